//! `hookbus endpoints` against the stand-in of both vendors' APIs, which was written from their documents.

use std::{fs, os::unix::fs::PermissionsExt as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{
    harness::{AUDIT, POLICY, Setup, free_ports, sample},
    replay::said,
    vendors::{CLIENT, KEY, Vendors},
    wait::wait_until,
};

pub const POLICY_URL: &str = "https://hooks.example.com/webhooks/1099policy";
pub const AUDIT_URL: &str = "https://hooks.example.com/webhooks/audit1";

/// A configuration whose sources have accounts at the stand-in, and no secrets yet.
pub fn setup(vendors: &Vendors, policy_url: &str, audit_url: &str) -> Setup {
    with_accounts(Setup::new("", ""), vendors, policy_url, audit_url)
}

/// The same of a configuration on another bus.
pub fn with_accounts(setup: Setup, vendors: &Vendors, policy_url: &str, audit_url: &str) -> Setup {
    let secrets = setup.path().join("secrets");
    for name in ["1099policy", "audit1"] {
        fs::remove_file(secrets.join(name)).unwrap();
    }
    fs::write(secrets.join("key"), format!("{KEY}\n")).unwrap();
    fs::write(secrets.join("client"), CLIENT).unwrap();
    let api = |vendor: &str, url: &str, more: &str| {
        let base = vendors.base(vendor);
        format!("[sources.api]\nkey_file = \"secrets/key\"\nbase_url = \"{base}\"\nendpoint_url = \"{url}\"\n{more}")
    };
    let policy = "secret_files = [\"secrets/1099policy\"]\n";
    setup.edit(policy, &format!("{policy}{}", api("1099policy", policy_url, "environment = \"sandbox\"\n")));
    let audit = "secret_files = [\"secrets/audit1\"]\n";
    setup.edit(audit, &format!("{audit}{}", api("audit1", audit_url, "client_id_file = \"secrets/client\"\n")));
    setup
}

/// Runs the command; what it says may hold neither a credential nor a secret of any endpoint.
pub fn endpoints(setup: &Setup, vendors: &Vendors, words: &[&str]) -> (Option<i32>, String) {
    let (code, text) = said(&setup.run(&[&["endpoints"], words].concat()));
    assert_silent(vendors, &text);
    (code, text)
}

pub fn assert_silent(vendors: &Vendors, text: &str) {
    let state = vendors.state();
    let secrets = ["1099policy", "audit1"].map(|vendor| state[vendor]["endpoints"].as_array().unwrap().clone());
    for secret in secrets.iter().flatten().map(|endpoint| endpoint["secret"].as_str().unwrap()).chain([KEY, CLIENT]) {
        assert!(!text.contains(secret) && !text.contains(&STANDARD.encode(secret)), "{secret} in\n{text}");
    }
    assert!(!text.contains(&STANDARD.encode(format!("{KEY}:"))), "{text}");
}

pub fn secret_of(setup: &Setup, name: &str) -> Option<String> {
    fs::read_to_string(setup.path().join("secrets").join(name)).ok()
}

#[test]
fn an_endpoint_is_made_gets_events_and_is_changed() {
    let vendors = Vendors::start();
    let [port] = free_ports();
    let urls = [POLICY, AUDIT].map(|path| format!("http://127.0.0.1:{port}{path}"));
    let setup = setup(&vendors, &urls[0], &urls[1]);
    setup.edit("address = \"127.0.0.1:0\"", &format!("address = \"127.0.0.1:{port}\""));
    let run = |words: &[&str]| endpoints(&setup, &vendors, words);

    let (code, text) = run(&["plan"]);
    assert_eq!(code, Some(2), "{text}");
    assert_eq!(text.matches("+ make an endpoint").count(), 2, "{text}");
    assert_eq!(vendors.calls("audit1 POST /webhooks"), 0);
    let (code, text) = run(&["apply"]);
    assert!(code == Some(64) && text.contains("--yes"), "{text}");
    let (code, text) = run(&["apply", "--yes"]);
    assert_eq!(code, Some(0), "{text}");
    for (vendor, url) in [("1099policy", &urls[0]), ("audit1", &urls[1])] {
        let there = vendors.endpoints(vendor, url);
        assert_eq!(there.len(), 1);
        assert_eq!(there[0]["secret"].as_str(), secret_of(&setup, vendor).as_deref());
        let mode = fs::metadata(setup.path().join("secrets").join(vendor)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(run(&["plan"]).0, Some(0));
    let (code, text) = run(&["apply", "--yes"]);
    assert!(code == Some(0) && text.matches("nothing to do").count() == 2, "{text}");
    assert_eq!(vendors.calls("audit1 POST /webhooks"), 1);

    // The vendors sign with what was stored, and the gateway takes it.
    let gateway = setup.start();
    let run = |words: &[&str]| endpoints(&gateway.setup, &vendors, words);
    for (vendor, event, path) in [
        ("1099policy", "certificate.flagged", "policy1099/samples/nested/certificate.flagged.json"),
        ("audit1", "file.processed", "audit1/samples/camel/file.processed.json"),
    ] {
        let body: Value = serde_json::from_slice(&sample(path)).unwrap();
        vendors.control("fire", Some(&json!({"vendor": vendor, "event": event, "body": body})));
    }
    assert_eq!(gateway.tail(2).len(), 2);
    let (code, text) = run(&["test", "--source", "payroll"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(gateway.tail(3)[2].contains("com.audit1.webhook.test"));
    let (code, text) = run(&["test", "--source", "acme"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(gateway.tail(4)[3].contains("com.1099policy.hookbus.test"));

    changes(&gateway.setup, &vendors, &urls);
    let mut gateway = gateway;
    let log = gateway.log_so_far();
    assert_silent(&vendors, &log);
}

/// Events, the switch, the log of deliveries, the end.
fn changes(setup: &Setup, vendors: &Vendors, urls: &[String; 2]) {
    let run = |words: &[&str]| endpoints(setup, vendors, words);
    setup.edit("client_id_file", "events = [\"file.failed\", \"file.processed\"]\nclient_id_file");
    let (code, text) = run(&["plan", "--source", "payroll"]);
    assert!(code == Some(2) && text.contains(" -audit.adjusted") && !text.contains(" -file.failed"), "{text}");
    assert_eq!(run(&["apply", "--yes"]).0, Some(0));
    assert_eq!(vendors.endpoints("audit1", &urls[1])[0]["events"], json!(["file.failed", "file.processed"]));

    let (code, text) = run(&["disable", "--source", "payroll"]);
    assert!(code == Some(0) && text.contains("switched off"), "{text}");
    assert_eq!(vendors.endpoints("audit1", &urls[1])[0]["status"], "disabled");
    let (code, text) = run(&["plan"]);
    assert!(code == Some(2) && text.contains("~ switch wh_"), "{text}");
    assert_eq!(run(&["apply", "--yes"]).0, Some(0));
    assert_eq!(vendors.endpoints("audit1", &urls[1])[0]["status"], "active");
    let (code, text) = run(&["disable", "--source", "acme"]);
    assert!(code == Some(64) && text.contains("1099policy documents no call"), "{text}");

    // A secret that the gateway does not know: the vendor tries, gives up, and says so.
    let other = json!({"vendor": "audit1", "url": urls[1], "events": ["file.failed"]});
    let id = vendors.control("endpoint", Some(&other))["id"].as_str().unwrap().to_owned();
    vendors
        .control("fire", Some(&json!({"vendor": "audit1", "event": "file.failed", "body": {"type": "file.failed"}})));
    let deliveries = |more: &[&str]| run(&[&["deliveries", &id, "--source", "payroll"], more].concat()).1;
    wait_until("a delivery that is given up", || deliveries(&["--failed"]).contains("failed"));
    let text = deliveries(&["--json", "--since", "1h"]);
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&line["event"], &line["code"], &line["attempts"]), (&json!("file.failed"), &json!(401), &json!(7)));
    assert_eq!(deliveries(&["--since", "2100-01-01"]), "");
    let (code, text) = run(&["plan"]);
    assert!(code == Some(0) && text.contains(&format!("note: {id} too")), "{text}");
    let (code, text) = run(&["list"]);
    assert!(code == Some(0) && text.contains(&format!("* {id}")), "{text}");
    assert_eq!(run(&["list", "--json"]).1.lines().count(), 3);

    let (code, text) = run(&["delete", &id, "--source", "payroll", "--yes"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(vendors.endpoints("audit1", &urls[1]).len(), 1);
    let (code, text) = run(&["delete", "wh_none", "--source", "payroll", "--yes"]);
    assert!(code == Some(1) && text.contains("no endpoint of this id"), "{text}");
    // A new URL is a change, not a second endpoint.
    setup.edit(&urls[1], AUDIT_URL);
    assert_eq!(run(&["apply", "--yes", "--source", "payroll"]).0, Some(0));
    assert_eq!((vendors.endpoints("audit1", &urls[1]).len(), vendors.endpoints("audit1", AUDIT_URL).len()), (0, 1));
}

#[test]
fn a_secret_is_never_overwritten_and_none_is_missing_silently() {
    let vendors = Vendors::start();
    let setup = setup(&vendors, POLICY_URL, AUDIT_URL);
    let run = |words: &[&str]| endpoints(&setup, &vendors, words);
    fs::write(setup.path().join("secrets/1099policy"), "of another endpoint").unwrap();
    let (code, text) = run(&["apply", "--yes", "--source", "acme"]);
    assert!(code == Some(1) && text.contains("already holds a secret: `apply --rotate` replaces it"), "{text}");
    assert_eq!(vendors.calls("1099policy POST /webhook_endpoints"), 0);
    assert_eq!(secret_of(&setup, "1099policy").as_deref(), Some("of another endpoint"));
    let (code, text) = run(&["apply", "--yes", "--source", "acme", "--rotate"]);
    assert_eq!(code, Some(0), "{text}");
    let made = vendors.endpoints("1099policy", POLICY_URL);
    assert_eq!(made[0]["secret"].as_str(), secret_of(&setup, "1099policy").as_deref());

    // An endpoint from the portal, whose secret is not here: nothing is deleted by itself.
    let portal = json!({"vendor": "audit1", "url": AUDIT_URL, "events": ["file.failed"]});
    let made = vendors.control("endpoint", Some(&portal));
    let (code, text) = run(&["apply", "--yes", "--source", "payroll"]);
    assert!(code == Some(1) && text.contains("its secret is not in secrets/audit1: copy it there"), "{text}");
    assert_eq!((vendors.endpoints("audit1", AUDIT_URL).len(), secret_of(&setup, "audit1")), (1, None));
    fs::write(setup.path().join("secrets/audit1"), made["secret"].as_str().unwrap()).unwrap();
    assert_eq!(run(&["apply", "--yes"]).0, Some(0));
    assert_eq!(run(&["plan"]).0, Some(0));
    // Two with our URL, and nothing says which is ours.
    vendors.control("endpoint", Some(&portal));
    fs::remove_file(setup.path().join("secrets/audit1.endpoint")).unwrap();
    let (code, text) = run(&["plan"]);
    assert!(code == Some(2) && text.contains("each event comes 2 times"), "{text}");
}

/// A source that is ready for a rotation: its second file may hold another secret one day.
pub fn list_two_files(setup: &Setup) {
    setup.edit("[\"secrets/1099policy\"]", "[\"secrets/1099policy\", \"secrets/next\"]");
}

#[test]
fn each_listed_file_gets_the_secret_so_that_a_gateway_starts() {
    let vendors = Vendors::start();
    let setup = setup(&vendors, POLICY_URL, AUDIT_URL);
    list_two_files(&setup);
    let run = |words: &[&str]| endpoints(&setup, &vendors, words);
    let (code, text) = run(&["apply", "--yes"]);
    assert!(code == Some(0) && text.contains("done: = write its secret to secrets/next, too"), "{text}");
    let secret = secret_of(&setup, "1099policy");
    assert!(secret.is_some() && secret_of(&setup, "next") == secret);
    assert_eq!(said(&setup.run(&["check"])).0, Some(0));
    // One that holds another secret is left alone.
    fs::write(setup.path().join("secrets/next"), "another secret of 32 bytes or more").unwrap();
    assert_eq!(run(&["plan"]).0, Some(0));
    let manifest = setup.run(&[
        "endpoints",
        "delete",
        vendors.endpoints("1099policy", POLICY_URL)[0]["id"].as_str().unwrap(),
        "--source",
        "acme",
        "--yes",
    ]);
    assert!(manifest.status.success());
    let words = ["endpoints", "apply", "--yes", "--rotate", "--source", "acme", "--secret-to", "kubernetes"];
    let manifest = String::from_utf8(setup.run(&words).stdout).unwrap();
    assert!(manifest.contains("\n  \"1099policy\": ") && manifest.contains("\n  \"next\": "));
}

#[test]
fn a_secret_goes_to_kubernetes() {
    let vendors = Vendors::start();
    let setup = setup(&vendors, POLICY_URL, AUDIT_URL);
    let output = setup.run(&["endpoints", "apply", "--yes", "--secret-to", "kubernetes"]);
    let (out, err) = (String::from_utf8(output.stdout.clone()).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert_silent(&vendors, &err);
    for (name, key) in [("hookbus-acme", "1099policy"), ("hookbus-payroll", "audit1")] {
        assert!(
            out.contains(&format!("kind: Secret\nmetadata:\n  name: \"{name}\"\ntype: Opaque\ndata:\n  \"{key}\": "))
        );
    }
    let made = vendors.endpoints("1099policy", POLICY_URL)[0]["secret"].as_str().unwrap().to_owned();
    assert!(out.contains(&STANDARD.encode(made)) && secret_of(&setup, "1099policy").is_none());
    assert_eq!(endpoints(&setup, &vendors, &["plan"]).0, Some(0), "the ledger knows where the secrets went");
}

#[test]
fn check_names_credentials_that_are_missing() {
    let vendors = Vendors::start();
    let setup = setup(&vendors, POLICY_URL, AUDIT_URL);
    for name in ["1099policy", "audit1"] {
        fs::write(setup.path().join("secrets").join(name), format!("{name} secret of 32 bytes or more")).unwrap();
    }
    let (code, text) = said(&setup.run(&["check"]));
    assert!(code == Some(0) && !text.contains("warning: sources"), "{text}");
    fs::remove_file(setup.path().join("secrets/client")).unwrap();
    let (code, text) = said(&setup.run(&["check"]));
    assert!(code == Some(0) && text.contains("sources[1].api.client_id_file: the file does not exist"), "{text}");
    setup.edit("client_id_file = \"secrets/client\"\n", "");
    let (code, text) = said(&setup.run(&["check"]));
    assert!(code == Some(64) && text.contains("sources[1].api.client_id_file: is required"), "{text}");
}
