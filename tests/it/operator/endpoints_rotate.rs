//! `hookbus endpoints rotate`: a second endpoint, both secrets live, and the old one goes when nothing depends on it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use serde_json::{Value, json};

use super::{
    endpoints::{AUDIT_URL, POLICY_URL, assert_silent, endpoints, list_two_files, secret_of, setup},
    endpoints_killed::{STEPS, under_strace},
};
use crate::support::{
    client::{post_head, signed, unix_now},
    harness::{AUDIT, Gateway, POLICY, Setup, free_ports, sample},
    replay::said,
    vendors::Vendors,
};

/// A gateway that has both files of `acme` or `payroll`, as the name says, and the endpoint's URL.
fn gateway(vendors: &Vendors, source: &str) -> (Gateway, String) {
    let [port] = free_ports();
    let urls = [POLICY, AUDIT].map(|path| format!("http://127.0.0.1:{port}{path}"));
    let setup = setup(vendors, &urls[0], &urls[1]);
    setup.edit("address = \"127.0.0.1:0\"", &format!("address = \"127.0.0.1:{port}\""));
    let [url, _] = urls.clone();
    let url = if source == "acme" { url } else { urls[1].clone() };
    let file = if source == "acme" { "1099policy" } else { "audit1" };
    setup.edit(&format!("[\"secrets/{file}\"]"), &format!("[\"secrets/{file}\", \"secrets/next\"]"));
    let (code, text) = endpoints(&setup, vendors, &["apply", "--yes"]);
    assert_eq!(code, Some(0), "{text}");
    (setup.start(), url)
}

/// Makes an event happen that has never been; each endpoint gets it.
fn fire(vendors: &Vendors, vendor: &str, event: &str, path: &str, id: &str) {
    let mut body: Value = serde_json::from_slice(&sample(path)).unwrap();
    body["id"] = id.into();
    vendors.control("fire", Some(&json!({"vendor": vendor, "event": event, "body": body})));
}

fn assert_waits(answer: &(Option<i32>, String), why: &str) {
    assert!(answer.0 == Some(2) && answer.1.contains(why), "no `{why}` in {answer:?}");
}

#[test]
fn an_old_endpoint_that_cannot_be_switched_off_goes_when_the_new_secret_is_used() {
    let vendors = Vendors::start();
    let (gateway, url) = gateway(&vendors, "acme");
    let flagged = |id: &str| {
        fire(&vendors, "1099policy", "certificate.flagged", "policy1099/samples/nested/certificate.flagged.json", id);
    };
    let metrics = format!("http://{}/metrics", gateway.admin);
    let words = ["rotate", "--yes", "--source", "acme", "--metrics", &metrics];
    let rotate = |more: &[&str]| endpoints(&gateway.setup, &vendors, &[&words, more].concat());
    let old = vendors.endpoints("1099policy", &url)[0].clone();
    assert_waits(&rotate(&[]), "its secret is in secrets/next");
    let both = vendors.endpoints("1099policy", &url);
    let new = both.iter().find(|endpoint| endpoint["id"] != old["id"]).unwrap();
    assert_eq!((both.len(), secret_of(&gateway.setup, "next").as_deref()), (2, new["secret"].as_str()));
    assert_eq!(secret_of(&gateway.setup, "1099policy").as_deref(), old["secret"].as_str());
    gateway.wait_for_metric(r#"secret_reloads_total{result="ok",source="acme"}"#, 1.0);
    assert_waits(&rotate(&["--retries", "0s"]), "no request was verified with the secret of");
    let (code, text) = endpoints(&gateway.setup, &vendors, &["plan"]);
    assert!(code == Some(0) && text.contains("a rotation to") && !text.contains("more than once"), "{text}");

    // Each event comes twice, and is one event.
    flagged("evt_1");
    gateway.wait_for_metric(r#"secret_matches_total{secret="next",source="acme"}"#, 1.0);
    gateway.wait_for_metric(r#"secret_matches_total{secret="1099policy",source="acme"}"#, 1.0);
    assert_waits(&rotate(&[]), "the old endpoint may get what was sent before");
    let (code, text) = rotate(&["--retries", "0s"]);
    let id = old["id"].as_str().unwrap();
    assert!(code == Some(0) && text.contains(&format!("done: - delete {id}")), "{text}");
    assert_eq!(vendors.endpoints("1099policy", &url).as_slice(), std::slice::from_ref(new));
    for file in ["1099policy", "next"] {
        assert_eq!(secret_of(&gateway.setup, file).as_deref(), new["secret"].as_str());
    }
    gateway.wait_for_metric(r#"secret_reloads_total{result="ok",source="acme"}"#, 2.0);
    flagged("evt_2");
    assert_eq!(gateway.tail(2).len(), 2);
    assert_eq!(endpoints(&gateway.setup, &vendors, &["plan"]).0, Some(0));
    // The next rotation begins; one that the operator gives up is found.
    assert_waits(&rotate(&[]), "its secret is in secrets/next");
    let made = vendors.endpoints("1099policy", &url).pop().unwrap();
    vendors.control("remove", Some(&json!({"vendor": "1099policy", "id": made["id"]})));
    let (code, text) = rotate(&[]);
    assert!(code == Some(1) && text.contains("is gone at the vendor, and the rotation is given up"), "{text}");
    let (code, text) = rotate(&[]);
    assert!(code == Some(1) && text.contains("must hold the secret in use, and secrets/next the same"), "{text}");
    let mut gateway = gateway;
    assert_silent(&vendors, &gateway.log_so_far());
}

#[test]
fn an_old_endpoint_that_can_be_switched_off_goes_when_its_secret_is_silent() {
    let vendors = Vendors::start();
    let (gateway, url) = gateway(&vendors, "payroll");
    let metrics = format!("http://{}/metrics", gateway.admin);
    let words = ["rotate", "--yes", "--source", "payroll", "--retries", "0s", "--metrics", &metrics];
    let rotate = |more: &[&str]| endpoints(&gateway.setup, &vendors, &[&words, more].concat());
    let old = vendors.endpoints("audit1", &url)[0].clone();
    assert_waits(&rotate(&[]), "its secret is in secrets/next");
    gateway.wait_for_metric(r#"secret_reloads_total{result="ok",source="payroll"}"#, 1.0);
    fire(&vendors, "audit1", "file.processed", "audit1/samples/camel/file.processed.json", "evt_1");
    gateway.wait_for_metric(r#"secret_matches_total{secret="next",source="payroll"}"#, 1.0);
    gateway.wait_for_metric(r#"secret_matches_total{secret="audit1",source="payroll"}"#, 1.0);
    assert_waits(&rotate(&[]), "was switched off; it goes when its secret was silent for");
    let status = |id: &Value| {
        let all = vendors.endpoints("audit1", &url);
        all.iter().find(|endpoint| endpoint["id"] == *id).map(|endpoint| endpoint["status"].clone())
    };
    assert_eq!(status(&old["id"]), Some(json!("disabled")));
    let (code, text) = endpoints(&gateway.setup, &vendors, &["plan"]);
    assert!(code == Some(0) && !text.contains("switch"), "an apply must not switch it on again: {text}");
    // A delivery from before is tried again.
    let body = b"{\"id\":\"evt_late\",\"type\":\"file.failed\"}";
    let head = post_head(AUDIT, body, &signed(AUDIT, old["secret"].as_str().unwrap(), unix_now(), body));
    assert_eq!(gateway.connect().request(&head, body).status, 200);
    assert_waits(&rotate(&[]), "is off, and its secret was used");
    let (code, text) = rotate(&["--wait", "--every", "10ms"]);
    assert!(code == Some(0) && text.contains("is the endpoint; each file of source payroll"), "{text}");
    assert_eq!((status(&old["id"]), vendors.endpoints("audit1", &url).len()), (None, 1));

    // Metrics that are not of this gateway begin nothing.
    gateway.setup.edit("secrets/next", "secrets/other");
    fs::copy(gateway.setup.path().join("secrets/next"), gateway.setup.path().join("secrets/other")).unwrap();
    let (code, text) = rotate(&[]);
    assert!(code == Some(1) && text.contains("counts nothing for the secret other of source payroll"), "{text}");
    gateway.setup.edit(", \"secrets/other\"", "");
    let (code, text) = rotate(&[]);
    assert!(code == Some(64) && text.contains("needs a second file in secret_files"), "{text}");
    assert_eq!(vendors.calls("audit1 POST /webhooks"), 2);
}

/// Metrics of a gateway to which each look shows one more reload and one more use of the new secret; their URL.
fn metrics() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (looks, client) in listener.incoming().enumerate() {
            let page = format!(
                "hookbus_secret_matches_total{{secret=\"1099policy\",source=\"acme\"}} 1\n\
                 hookbus_secret_matches_total{{secret=\"next\",source=\"acme\"}} {looks}\n\
                 hookbus_secret_reloads_total{{result=\"ok\",source=\"acme\"}} {looks}\n"
            );
            let mut client = client.unwrap();
            // The request's head is short, and one that was killed sends none.
            let _head = client.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", page.len());
            let _gone = client.write_all((head + &page).as_bytes());
        }
    });
    url
}

#[test]
fn killed_at_each_step_a_rotation_ends_with_one_endpoint() {
    let (vendors, metrics) = (Vendors::start(), metrics());
    for begun in [false, true] {
        let steps: usize = STEPS
            .iter()
            .map(|call| (1..).take_while(|when| killed(&vendors, &metrics, call, *when, begun)).count())
            .sum();
        println!("begun {begun}: killed at {steps} steps");
        assert!(15 < steps, "only {steps} steps were seen");
    }
}

/// Kills at one step, and goes on to the end; whether there was such a step.
fn killed(vendors: &Vendors, metrics: &str, call: &str, when: usize, begun: bool) -> bool {
    let url = format!("https://hooks.example.com/webhooks/{begun}/{call}{when}");
    let setup = setup(vendors, &url, AUDIT_URL);
    list_two_files(&setup);
    assert_eq!(endpoints(&setup, vendors, &["apply", "--yes", "--source", "acme"]).0, Some(0));
    let old = vendors.endpoints("1099policy", &url)[0]["id"].clone();
    let rotate = ["rotate", "--yes", "--source", "acme", "--retries", "0s", "--metrics", metrics];
    if begun {
        assert_waits(&endpoints(&setup, vendors, &rotate), "its secret is in secrets/next");
    }
    let output = under_strace(&setup, &rotate, call, "signal=KILL", when);
    assert_silent(vendors, &said(&output).1);
    // Each endpoint has its secret in a file, or the next call deletes it.
    let is_done = || {
        let (code, text) = endpoints(&setup, vendors, &rotate);
        assert!(code == Some(0) || code == Some(2), "killed at {call} {when}: {text}");
        code == Some(0)
    };
    assert!((0..4).any(|_| is_done()), "killed at {call} {when}");
    let there = vendors.endpoints("1099policy", &url);
    assert!(there.len() == 1 && there[0]["id"] != old, "killed at {call} {when}: {there:?}");
    for file in ["1099policy", "next"] {
        assert_eq!(secret_of(&setup, file).as_deref(), there[0]["secret"].as_str(), "killed at {call} {when}");
    }
    let left = fs::read_dir(setup.path().join("secrets")).unwrap();
    let left = left.filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().contains("unfinished"));
    assert_eq!(left.count(), 0, "killed at {call} {when}");
    output.status.code().is_none()
}

#[test]
fn in_kubernetes_the_new_secret_is_another_key() {
    let (vendors, metrics) = (Vendors::start(), metrics());
    let setup: Setup = setup(&vendors, POLICY_URL, AUDIT_URL);
    list_two_files(&setup);
    let to = ["--yes", "--source", "acme", "--secret-to", "kubernetes"];
    assert!(setup.run(&[&["endpoints", "apply"], &to[..]].concat()).status.success());
    let rotate = || setup.run(&[&["endpoints", "rotate", "--retries", "0s", "--metrics", &metrics], &to[..]].concat());
    let output = rotate();
    let manifest = String::from_utf8(output.stdout).unwrap();
    assert!(manifest.contains("\n  \"next\": ") && !manifest.contains("\"1099policy\": "), "{}", manifest.len());
    assert_silent(&vendors, &String::from_utf8(output.stderr).unwrap());
    let (code, text) = said(&rotate());
    assert!(code == Some(0) && text.contains("write the key next of its Secret over the key 1099policy"), "{text}");
    assert_eq!(vendors.endpoints("1099policy", POLICY_URL).len(), 1);
    assert_eq!(endpoints(&setup, &vendors, &["plan", "--source", "acme"]).0, Some(0));
}
