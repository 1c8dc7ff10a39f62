//! `hookbus reconcile` at the size that counts: thousands of events, and nobody who lives through it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::reconcile::{by_kind, certificate, file, fire, gateway, look, on_the_bus, page, reconciler, wait_past};
use crate::support::{
    brokers::nats,
    client::unix_now,
    harness::{AUDIT, Gateway, Setup},
    vendors::Vendors,
    wait::wait_until,
};

/// 1,999 events of both vendors, 40 of them lost, and a gateway that is killed in the middle. Gives the certificates of which an
/// event is lost, and the ids of the events that come.
fn two_thousand(
    mut gateway: Gateway,
    vendors: &Vendors,
    operator: &nats::Operator,
) -> (Gateway, BTreeSet<String>, BTreeSet<String>) {
    let (mut lost, mut expected) = (BTreeSet::new(), BTreeSet::from(["evt_cert_first".to_owned()]));
    for batch in 0..20 {
        let numbers = 50 * batch..50 * (batch + 1);
        let certificates: Vec<_> = numbers
            .clone()
            // With the first one there are a thousand.
            .filter(|number| *number != 999)
            .map(|number| {
                let name = format!("cert_{number}");
                let status = ["approved", "flagged", "denied"][number % 3];
                let is_lost = number % 50 == 7;
                if is_lost {
                    lost.insert(name.clone());
                } else {
                    expected.insert(format!("evt_{name}"));
                }
                certificate(&name, status, unix_now(), is_lost)
            })
            .collect();
        let files: Vec<_> =
            numbers.clone().map(|number| file(&format!("evt_file_{number}"), number % 50 == 9)).collect();
        expected.extend(numbers.filter(|number| number % 50 != 9).map(|number| format!("evt_file_{number}")));
        fire(vendors, "1099policy", &certificates);
        fire(vendors, "audit1", &files);
        if batch == 10 {
            gateway = gateway.kill().start();
        }
        wait_until("room for the next", || operator.count() + 60 > u64::try_from(98 * batch).unwrap());
    }
    wait_until("all that was not lost", || operator.count() == 1_960);
    (gateway, lost, expected)
}

/// What is well again says so, and what breaks anew is something new.
fn ends_and_begins_anew(setup: &Setup, operator: &nats::Operator, first: &Value, switch: impl Fn(&str)) {
    switch("active");
    wait_until("the end of it", || operator.count() == 2_027);
    switch("disabled");
    wait_until("another one", || operator.count() == 2_028);
    let all = on_the_bus(setup, 2_028);
    let last: Vec<_> = all[2_026..].iter().map(|event| (event["data"]["state"].clone(), &event["id"])).collect();
    assert_eq!([&last[0].0, &last[1].0], ["healed", "open"]);
    assert!(last[1].1 != first && last[0].1 != first, "{last:?}");
}

/// What the issue asks for: 2,000 events, 40 of them lost, an endpoint that is off, 25 certificates that are stuck, and nobody
/// who lives through it.
#[test]
fn exactly_what_is_wrong_is_found_whoever_is_killed() {
    let (vendors, server) = (Vendors::start_patient(), nats::NatsServer::start());
    let operator = server.operator();
    operator.create(nats::Operator::settings());
    let gateway = gateway(server.setup("", ""), &vendors, "");
    fire(&vendors, "1099policy", &[certificate("cert_first", "flagged", unix_now(), false)]);
    wait_until("the first event", || operator.count() == 1);
    wait_past(unix_now());

    let (gateway, lost, expected) = two_thousand(gateway, &vendors, &operator);
    let old = unix_now() - 3 * 3600;
    for number in 0..25 {
        let status = ["pending", "processing"][number % 2];
        let stuck = json!({"id": format!("cert_stuck_{number}"), "status": status, "created": old, "updated": old});
        vendors.control("certificate", Some(&stuck));
    }
    let url = format!("http://{}{AUDIT}", gateway.address);
    let endpoint = vendors.endpoints("audit1", &url)[0]["id"].as_str().unwrap().to_owned();
    let switch = |status: &str| {
        vendors.control("status", Some(&json!({"vendor": "audit1", "id": endpoint, "status": status})));
    };
    switch("disabled");

    // The long form is killed in the middle; the next one goes on.
    let mut first = reconciler(&gateway.setup);
    wait_until("a finding", || operator.count() > 1_960);
    first.kill();
    let _second = reconciler(&gateway.setup);
    wait_until("the findings", || operator.count() >= 1_960 + 66);
    let shown = |line: &str| page(&gateway.setup, "/metrics").lines().any(|found| found == line);
    for (kind, source, count) in [
        ("event_missed", "acme", 20),
        ("certificate_stuck", "acme", 25),
        ("delivery_failed", "payroll", 20),
        ("endpoint_off", "payroll", 1),
        ("certificate_error", "acme", 0),
        ("endpoint_off", "acme", 0),
    ] {
        let line = format!("hookbus_vendor_findings{{kind=\"{kind}\",source=\"{source}\"}} {count}");
        wait_until(&line, || shown(&line));
    }
    assert_eq!([page(&gateway.setup, "/readyz"), page(&gateway.setup, "/livez")], ["ok\n", "ok\n"]);

    let (code, findings, said) = look(&gateway.setup, &vendors);
    assert_eq!(code, Some(2), "{said}");
    let kinds = by_kind(&findings);
    let counts: Vec<_> = kinds.iter().map(|(kind, things)| (*kind, things.len())).collect();
    let wanted = [("certificate_stuck", 25), ("delivery_failed", 20), ("endpoint_off", 1), ("event_missed", 20)];
    assert_eq!(counts, wanted, "{said}");
    assert_eq!(kinds["event_missed"], lost.iter().map(String::as_str).collect());
    assert!(kinds["certificate_stuck"].iter().all(|thing| thing.starts_with("cert_stuck_")));
    assert_eq!(kinds["endpoint_off"], BTreeSet::from([endpoint.as_str()]));
    assert!(!said.contains("far enough"), "{said}");

    // Of all processes together each finding lies there once, and no vendor's event that no vendor has sent.
    let (own, others): (Vec<Value>, Vec<Value>) =
        on_the_bus(&gateway.setup, 1_960 + 66).into_iter().partition(|event| event["vendor"] == "hookbus");
    let ids =
        |events: &[Value]| events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
    assert_eq!((operator.count(), others.len(), ids(&others)), (2_026, 1_960, expected));
    assert_eq!(ids(&own), ids(&findings));
    let off = findings.iter().find(|finding| finding["kind"] == "endpoint_off").unwrap();
    ends_and_begins_anew(&gateway.setup, &operator, &off["id"], switch);
}
