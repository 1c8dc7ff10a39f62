//! `hookbus reconcile` against the stand-in of both vendors' APIs and real buses: what never came is named, what came is not,
//! and what nobody can know is called unknown.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::endpoints::{assert_silent, endpoints, with_accounts};
use crate::support::{
    brokers::{kafka, nats},
    client::{Connection, unix_now},
    harness::{AUDIT, Gateway, HOOKBUS, POLICY, Setup, free_ports, sample, tail},
    process::{Process, log_file},
    vendors::Vendors,
    wait::wait_until,
};

/// A gateway whose endpoints are made, on any bus; nothing has a grace.
pub fn gateway(setup: Setup, vendors: &Vendors, keys: &str) -> Gateway {
    let [port] = free_ports();
    let urls = [POLICY, AUDIT].map(|path| format!("http://127.0.0.1:{port}{path}"));
    let setup = with_accounts(setup, vendors, &urls[0], &urls[1]);
    setup.edit("address = \"127.0.0.1:0\"", &format!("address = \"127.0.0.1:{port}\""));
    let [page] = free_ports();
    let section = format!("[reconcile]\naddress = \"127.0.0.1:{page}\"\ngrace = \"0s\"\ninterval = \"1s\"\n{keys}\n");
    setup.edit("[admin]", &format!("{section}[admin]"));
    let (code, text) = endpoints(&setup, vendors, &["apply", "--yes"]);
    assert_eq!(code, Some(0), "{text}");
    setup.start()
}

/// A change of a certificate's status, and its event.
pub fn certificate(name: &str, status: &str, created: i64, is_lost: bool) -> Value {
    let mut body: Value =
        serde_json::from_slice(&sample("policy1099/samples/nested/certificate.flagged.json")).unwrap();
    let event = format!("certificate.{status}");
    (body["id"], body["type"], body["created"]) = (format!("evt_{name}").into(), event.clone().into(), created.into());
    let object = &mut body["data"]["object"];
    (object["id"], object["status"], object["created"]) = (name.into(), status.into(), created.into());
    json!({"event": event, "body": body, "drop": is_lost})
}

pub fn file(name: &str, is_lost: bool) -> Value {
    let mut body: Value = serde_json::from_slice(&sample("audit1/samples/camel/file.processed.json")).unwrap();
    body["id"] = name.into();
    json!({"event": "file.processed", "body": body, "drop": is_lost})
}

pub fn fire(vendors: &Vendors, vendor: &str, events: &[Value]) {
    vendors.control("fires", Some(&json!({"vendor": vendor, "events": events})));
}

/// Looks once: the exit code, the findings, and what it says beside them.
pub fn look(setup: &Setup, vendors: &Vendors) -> (Option<i32>, Vec<Value>, String) {
    let output = setup.run(&["reconcile", "--once", "--json"]);
    let (out, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_silent(vendors, &format!("{out}{said}"));
    (output.status.code(), out.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), said)
}

/// The things that were found, by kind.
pub fn by_kind(findings: &[Value]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut kinds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for finding in findings {
        let subject = finding["subject"].as_str().unwrap();
        assert!(kinds.entry(finding["kind"].as_str().unwrap()).or_default().insert(subject), "twice: {finding}");
    }
    kinds
}

pub fn wait_past(second: i64) {
    wait_until("the next second", || second < unix_now());
}

/// Everything on the bus.
pub fn on_the_bus(setup: &Setup, count: usize) -> Vec<Value> {
    let lines = tail(setup.path(), &["--from-start", "--count", &count.to_string()]);
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The long form; killed when dropped.
pub fn reconciler(setup: &Setup) -> Process {
    let mut command = Command::new(HOOKBUS);
    command.arg("reconcile").current_dir(setup.path()).stdin(Stdio::null());
    Process::start(command.stdout(Stdio::null()).stderr(log_file(&setup.path().join("reconcile.log"))))
}

pub fn page(setup: &Setup, path: &str) -> String {
    let text = std::fs::read_to_string(setup.path().join("hookbus.toml")).unwrap();
    let address = text.split("[reconcile]\naddress = \"").nth(1).unwrap().split('"').next().unwrap();
    let Ok(mut connection) = Connection::try_open(address.parse().unwrap()) else { return String::new() };
    connection.request(&format!("GET {path} HTTP/1.1\r\nHost: reconcile\r\n\r\n"), b"").body
}

/// One event is lost among others on this bus.
fn one_is_lost(setup: Setup, name: &str, has_own_events: bool) {
    let vendors = Vendors::start();
    let gateway = gateway(setup, &vendors, if has_own_events { "publish_missed = true" } else { "" });
    let id = |what: &str| format!("cert_{name}_{what}");
    fire(&vendors, "1099policy", &[certificate(&id("first"), "flagged", unix_now(), false)]);
    fire(&vendors, "audit1", &[file(&format!("evt_{name}_file"), false)]);
    let has = |events: f64| {
        ["acme", "payroll"].map(|source| {
            let kind = if source == "acme" { "certificate.flagged" } else { "file.processed" };
            gateway.wait_for_metric(
                &format!(r#"events_total{{result="accepted",source="{source}",type="{kind}"}}"#),
                events,
            );
        })
    };
    has(1.0);
    let (code, findings, said) = look(&gateway.setup, &vendors);
    assert!(code == Some(0) && findings.is_empty(), "{findings:?}\n{said}");

    let at = unix_now() + 1;
    fire(&vendors, "1099policy", &[certificate(&id("lost"), "approved", at, true)]);
    // No webhook tells of it.
    let failed = json!({"id": id("error"), "status": "error", "created": at, "updated": at});
    vendors.control("certificate", Some(&failed));
    // It is new, and may take its time.
    vendors.control("certificate", Some(&json!({"id": id("new"), "status": "pending", "created": at})));
    wait_past(at);
    let (code, findings, said) = look(&gateway.setup, &vendors);
    let (lost, error) = (id("lost"), id("error"));
    let expected = BTreeMap::from([
        ("certificate_error", BTreeSet::from([error.as_str()])),
        ("event_missed", BTreeSet::from([lost.as_str()])),
    ]);
    assert_eq!((code, by_kind(&findings)), (Some(2), expected), "{said}");
    let missed = findings.iter().find(|finding| finding["kind"] == "event_missed").unwrap();
    let facts = ["event", "eventid", "source", "vendor"].map(|fact| missed[fact].as_str().unwrap().to_owned());
    assert_eq!(facts, ["certificate.approved", &format!("evt_{lost}"), "acme", "1099policy"]);
    // It is the same when it is found again.
    let again = look(&gateway.setup, &vendors).1;
    let ids = |findings: &[Value]| findings.iter().map(|found| found["id"].to_string()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&findings), ids(&again));
    if has_own_events {
        own_events(&gateway.setup, missed, &lost);
    }
}

/// What the bus has of the findings: each once, and the vendor's own object of the one that was missed.
fn own_events(setup: &Setup, missed: &Value, lost: &str) {
    let lines = tail(setup.path(), &["webhooks.hookbus.>", "--from-start", "--count", "3"]);
    let own: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| own.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("{own:#?}"));
    let finding = of("com.hookbus.finding.event_missed");
    assert_eq!(
        (&finding["id"], &finding["subject"], &finding["vendor"]),
        (&missed["id"], &json!(lost), &json!("hookbus"))
    );
    of("com.hookbus.finding.certificate_error");
    let fetched = &of("com.hookbus.missed.certificate")["data"];
    assert_eq!((&fetched["finding"], &fetched["certificate"]["status"]), (&missed["id"], &json!("approved")));
    assert_eq!(fetched["event"]["id"], json!(format!("evt_{lost}")));
    assert!(fetched["fetched"].is_string());
}

#[test]
fn a_lost_event_is_named_on_the_embedded_bus() {
    one_is_lost(Setup::new("", ""), "journal", false);
}

#[test]
fn a_lost_event_is_named_on_nats() {
    let server = nats::NatsServer::start();
    server.operator().create(nats::Operator::settings());
    one_is_lost(server.setup("", ""), "nats", true);
}

#[test]
fn a_lost_event_is_named_on_kafka() {
    let broker = kafka::shared();
    let kinds = ["finding.event_missed", "finding.certificate_error", "missed.certificate"];
    let own = kinds.map(|kind| format!("webhooks.hookbus.{kind}"));
    let topics = ["lost.certificate.flagged", "lost.certificate.approved", "lost.file.processed"];
    broker.create(&topics.into_iter().chain(own.iter().map(String::as_str)).collect::<Vec<_>>());
    one_is_lost(broker.setup("", "subject = \"lost.{type}\"", ""), "kafka", true);
}

#[test]
fn what_the_bus_does_not_reach_is_unknown() {
    let (vendors, server) = (Vendors::start(), nats::NatsServer::start());
    let operator = server.operator();
    operator.create(nats::Operator::settings());
    let gateway = gateway(server.setup("", ""), &vendors, "");
    let fire_one =
        |name: &str, is_lost| fire(&vendors, "1099policy", &[certificate(name, "denied", unix_now(), is_lost)]);
    fire_one("cert_1", false);
    wait_until("the first event", || operator.count() == 1);
    wait_past(unix_now());
    fire_one("cert_2", true);
    fire_one("cert_3", false);
    wait_until("the second event", || operator.count() == 2);
    wait_past(unix_now());
    fire_one("cert_4", false);
    wait_until("the third event", || operator.count() == 3);
    let missed = |findings: &[Value]| findings.iter().map(|found| found["subject"].to_string()).collect::<Vec<_>>();
    let (code, findings, said) = look(&gateway.setup, &vendors);
    assert_eq!((code, missed(&findings)), (Some(2), vec!["\"cert_2\"".to_owned()]), "{said}");

    // The stream forgets all but the last one, and the finding of it.
    operator.purge_up_to(3);
    wait_past(unix_now());
    fire_one("cert_5", true);
    wait_past(unix_now());
    let (code, findings, said) = look(&gateway.setup, &vendors);
    assert_eq!((code, missed(&findings)), (Some(2), vec!["\"cert_5\"".to_owned()]), "{said}");
    assert!(said.contains("acme: of 3 change(s)"), "{said}");

    // Without an event there is no memory at all; without a bus neither, and it says so.
    operator.purge();
    let (code, findings, said) = look(&gateway.setup, &vendors);
    assert!(code == Some(0) && findings.is_empty() && said.contains("acme: of 5 change(s)"), "{said}");
    drop(server);
    let (code, findings, said) = look(&gateway.setup, &vendors);
    assert!(code == Some(1) && findings.is_empty() && said.contains("the bus: "), "{said}");
}

/// One certificate, and more events of it than a look asks for.
#[test]
fn a_list_that_is_cut_says_so() {
    let vendors = Vendors::start();
    let gateway = gateway(Setup::new("", ""), &vendors, "most_certificates = 100");
    let cut = "more certificates or events than reconcile.most_certificates";
    let happened = |number: usize| {
        let mut event = certificate("cert_1", "flagged", unix_now(), true);
        event["body"]["id"] = format!("evt_{number}").into();
        event
    };
    fire(&vendors, "1099policy", &[happened(0)]);
    let (_, _, said) = look(&gateway.setup, &vendors);
    assert!(!said.contains(cut), "{said}");
    fire(&vendors, "1099policy", &(1..=100).map(happened).collect::<Vec<_>>());
    let (_, _, said) = look(&gateway.setup, &vendors);
    assert!(said.contains(&format!("acme: there are {cut}")), "{said}");
    let _long = reconciler(&gateway.setup);
    let log = || std::fs::read_to_string(gateway.setup.path().join("reconcile.log")).unwrap_or_default();
    wait_until("the line of the long form", || log().lines().any(|line| line.contains(cut) && line.contains("acme")));
}

#[test]
fn an_endpoint_that_goes_or_changes_is_named_and_a_rotation_is_not() {
    let vendors = Vendors::start();
    let gateway = gateway(Setup::new("", ""), &vendors, "");
    let url = format!("http://{}{AUDIT}", gateway.address);
    let found = || {
        let (_, findings, said) = look(&gateway.setup, &vendors);
        assert!(findings.iter().all(|finding| finding["source"] == "payroll"), "{said}");
        findings.iter().map(|finding| finding["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(found().is_empty());
    let old = vendors.endpoints("audit1", &url)[0].clone();
    let switch = |endpoint: &Value, status: &str| {
        vendors.control("status", Some(&json!({"vendor": "audit1", "id": endpoint["id"], "status": status})));
    };
    // As a rotation leaves it: another endpoint is on, with all that is wanted.
    let made = json!({"vendor": "audit1", "url": url, "events": old["events"]});
    let new = vendors.control("endpoint", Some(&made));
    switch(&old, "disabled");
    assert!(found().is_empty());
    switch(&new, "failed");
    assert_eq!(found(), ["endpoint_off"]);
    vendors.control("remove", Some(&json!({"vendor": "audit1", "id": new["id"]})));
    vendors.control("remove", Some(&json!({"vendor": "audit1", "id": old["id"]})));
    assert_eq!(found(), ["endpoint_missing"]);
    vendors.control("endpoint", Some(&json!({"vendor": "audit1", "url": url, "events": ["file.failed"]})));
    assert_eq!(found(), ["endpoint_changed"]);

    // Of a list that a vendor does not give nothing is said, and of the others all the same.
    vendors.fault("1099policy", "GET", "status", &json!({"path": "/events", "status": 403, "message": "no"}));
    let (code, findings, said) = look(&gateway.setup, &vendors);
    assert_eq!((code, findings.len()), (Some(1), 1), "{said}");
    assert!(
        findings[0]["kind"] == "endpoint_changed" && said.contains("acme: GET ") && said.contains("/events"),
        "{said}"
    );
    vendors.control("certificate", Some(&json!({"id": "cert_odd", "status": null, "created": 1})));
    vendors.control("certificate", Some(&json!({"id": "cert_error", "status": "error", "created": unix_now()})));
    let (code, findings, said) = look(&gateway.setup, &vendors);
    assert_eq!((code, findings.len()), (Some(2), 2), "{said}");
    assert!(said.contains("acme: 1 item(s) of another shape"), "{said}");

    // What a vendor says no to is no finding.
    vendors.fault("audit1", "GET", "status", &json!({"status": 403, "message": "no"}));
    let (code, findings, said) = look(&gateway.setup, &vendors);
    assert!(code == Some(1) && said.contains("payroll: GET ") && said.contains("403"), "{said}");
    assert!(findings.iter().all(|finding| finding["source"] == "acme"), "{said}");
}
