//! What a vendor has changed is counted and shown, and refused nowhere.

use serde_json::{Map, Value, json};

use crate::support::{
    brokers::either::{Either, Kind},
    harness::{Gateway, POLICY, Setup, sample},
    wait::wait_until,
};

const SAMPLE: &str = "policy1099/samples/nested/certificate.flagged.json";

/// Posts the sample, changed, in a second of its own: a second has one event of each type in the sample.
fn post(gateway: &Gateway, compared: &mut f64, change: impl FnOnce(&mut Map<String, Value>)) {
    let mut event: Value = serde_json::from_slice(&sample(SAMPLE)).unwrap();
    event["id"] = format!("evt_{}", fastrand::u64(..)).into();
    change(event.as_object_mut().unwrap());
    let body = event.to_string();
    wait_until("an event of the sample", || {
        assert_eq!(gateway.post(POLICY, body.as_bytes()).status, 200);
        gateway.metric(r#"schema_samples_total{result="compared"}"#) > *compared
    });
    *compared = gateway.metric(r#"schema_samples_total{result="compared"}"#);
}

fn counted(gateway: &Gateway) -> [f64; 4] {
    ["unknown_member", "missing_member", "other_type", "other_form"].map(|kind| {
        gateway.metric(&format!("schema_drift_total{{kind=\"{kind}\",source=\"acme\",type=\"certificate.flagged\"}}"))
    })
}

#[test]
fn each_kind_of_drift_is_counted_and_every_event_arrives() {
    let gateway = Setup::new("", "").start();
    let mut compared = 0.0;
    post(&gateway, &mut compared, |_| {});
    assert_eq!(counted(&gateway), [0.0; 4], "as documented");
    post(&gateway, &mut compared, |event| drop(event.insert("\u{1b}[2Jnew\n".into(), 1.into())));
    wait_until("an unknown member", || counted(&gateway)[0] > 0.0);
    assert_eq!(counted(&gateway)[1..], [0.0; 3]);
    post(&gateway, &mut compared, |event| drop(event.insert("created".into(), json!({}))));
    wait_until("another type", || counted(&gateway)[2] > 0.0);
    assert_eq!(counted(&gateway)[1], 0.0);
    post(&gateway, &mut compared, |event| drop(event.remove("created")));
    wait_until("a missing member", || counted(&gateway)[1] > 0.0);
    // Larger than what is compared: dropped, counted, and on the bus.
    let large = "x".repeat(100_000);
    let body = json!({"id": "evt_large", "type": "policy.active", "data": {"object": {"id": "pl_1", "x": large}}});
    assert_eq!(gateway.post(POLICY, body.to_string().as_bytes()).status, 200);
    gateway.wait_for_metric(r#"schema_samples_total{result="dropped"}"#, 1.0);
    for failed in ["unknown", "quarantine"] {
        let events = format!("events_total{{result=\"accepted\",source=\"acme\",type=\"{failed}\"}}");
        assert_eq!(gateway.metric(&events), 0.0, "{failed}");
    }
}

/// The members of what lies on a bus, beside the documented ones.
fn is_shown(gateway: &Gateway) {
    for (name, value) in [("new_member", json!(true)), ("\u{1b}[2J\u{202e}\nforged", json!(1)), ("created", json!([]))]
    {
        let mut event: Value = serde_json::from_slice(&sample(SAMPLE)).unwrap();
        event["id"] = format!("evt_{}", fastrand::u64(..)).into();
        event.as_object_mut().unwrap().insert(name.into(), value);
        assert_eq!(gateway.post(POLICY, event.to_string().as_bytes()).status, 200);
    }
    assert_eq!(gateway.post(POLICY, b"no JSON").status, 200);
    assert_eq!(gateway.post(POLICY, &sample("policy1099/samples/flat/policy.active.json")).status, 200);

    let output = gateway.setup.run(&["schema", "--observed", "1099policy/certificate.flagged"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')), "{text}");
    let row = |name: &str| {
        let row = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        row.unwrap_or_else(|| panic!("no {name} in {text}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(text.starts_with("1099policy/certificate.flagged nested: 3 events\n"), "{text}");
    assert_eq!(row("new_member"), "new_member - boolean 1 <- unknown");
    assert_eq!(row("\\u001b[2J\\u202e\\u000aforged"), "\\u001b[2J\\u202e\\u000aforged - number 1 <- unknown");
    assert_eq!(row("data"), "data object object 3");
    assert!(row("created").ends_with("3 <- other type"), "{text}");
    assert!(!text.contains("policy.active"), "another type");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("3 events; 2 other records were read"), "{said}");

    let all = gateway.setup.run(&["schema", "--observed"]);
    assert!(String::from_utf8(all.stdout).unwrap().contains("1099policy/policy.active flat: 1 events\n"));
    assert_eq!(gateway.setup.run(&["schema", "--observed", "envelope"]).status.code(), Some(64));
}

#[test]
fn the_journal_shows_what_was_observed() {
    is_shown(&Setup::new("", "").start());
}

#[test]
fn a_stream_shows_what_was_observed() {
    let nats = Either::start_new(Kind::Nats);
    is_shown(&nats.setup("").start());
}

#[test]
fn topics_show_what_was_observed() {
    let kafka = Either::start_new(Kind::Kafka);
    is_shown(&kafka.setup("").start());
}
