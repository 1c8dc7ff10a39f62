//! What arrives and what comes out: every documented event through the front door, and strangers of every kind.

use hookbus::envelope::{Message, attributes::Attribute};
use journal::{Reader, Start};
use serde_json::Value;

use crate::support::harness::{AUDIT, POLICY, Setup, sample};

fn rows() -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string("tests/data/expected.json").unwrap()).unwrap()
}

/// Every sample, the documents' own printed examples included, gives exactly its row of `expected.json`, where the source
/// of either vendor is called `acme`.
#[test]
fn every_documented_sample_comes_out_as_expected() {
    for (vendor, path, policy, audit) in [("1099policy", POLICY, "acme", "other"), ("audit1", AUDIT, "other", "acme")] {
        let setup = Setup::new("", "");
        let file = setup.path().join("hookbus.toml");
        let config = std::fs::read_to_string(&file)
            .unwrap()
            .replace("name = \"acme\"", &format!("name = \"{policy}\""))
            .replace("name = \"payroll\"", &format!("name = \"{audit}\""));
        std::fs::write(&file, config).unwrap();
        let gateway = setup.start();
        let rows: Vec<_> = rows().into_iter().filter(|row| row["vendor"] == vendor).collect();
        assert!(rows.len() > 20);
        for row in &rows {
            assert_eq!(gateway.post(path, &sample(row["sample"].as_str().unwrap())).status, 200);
        }
        let mut reader = Reader::open(&gateway.setup.path().join("hookbus-data"), Start::Oldest).unwrap();
        for row in &rows {
            let entry = reader.next().unwrap().unwrap();
            check(row, &hookbus::envelope::Message::decode(entry.head, entry.body).unwrap());
        }
    }
}

fn check(row: &Value, message: &Message) {
    let event: Value = serde_json::from_slice(&message.structured()).unwrap();
    for (attribute, value) in row.as_object().unwrap() {
        match attribute.as_str() {
            "sample" | "source_name" => {}
            "subject_or_topic" => assert_eq!(message.route(), value.as_str().unwrap()),
            "data_sha256" => assert_eq!(sha256(&message.body), value.as_str().unwrap(), "{}", row["sample"]),
            name => assert_eq!(&event[name], value, "{} {attribute}", row["sample"]),
        }
    }
    for absent in ["subject", "time", "quarantinereason"] {
        assert_eq!(event.get(absent).is_some(), row.get(absent).is_some(), "{} {absent}", row["sample"]);
    }
    let id = format!("{}/acme/{}/", row["vendor"].as_str().unwrap(), row["id"].as_str().unwrap());
    let message_id = message.get(Attribute::MessageId);
    assert_eq!(message_id.strip_prefix(&id).map(str::len), Some(16), "{message_id}");
    assert_eq!((&event["specversion"], &event["datacontenttype"]), (&"1.0".into(), &"application/json".into()));
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn event_of(body: &[u8]) -> Value {
    let gateway = Setup::new("", "").start();
    assert_eq!(gateway.post(POLICY, body).status, 200);
    serde_json::from_str(&gateway.tail(1)[0]).unwrap()
}

#[test]
fn an_unknown_type_goes_to_the_catch_all_with_its_name() {
    let gateway = Setup::new("", "").start();
    let body = br#"{"id":"evt_1","type":"policy.teleported","created":1767312148,"data":{"id":"pl_1"}}"#;
    assert_eq!(gateway.post(POLICY, body).status, 200);
    assert_eq!(gateway.metric(r#"events_total{result="accepted",source="acme",type="unknown"}"#), 1.0);
    let lines = crate::support::harness::tail(
        gateway.setup.path(),
        &["webhooks.1099policy.unknown", "--from-start", "--count", "1"],
    );
    let event: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(event["type"], "com.1099policy.policy.teleported");
    assert_eq!(event["partitionkey"], "1099policy/acme/pl_1");
    assert_eq!(event["data"]["data"]["id"], "pl_1");
}

/// Types that try to choose a subject, a log line or a metric label.
#[test]
fn hostile_types_go_to_quarantine() {
    let mut gateway = Setup::new("", "").start();
    let long = "x".repeat(300);
    let types =
        ["*", ">", "..", "a..b", "$JS.API.STREAM.PURGE.X", &long, "a\0b", "a\r\nNats-Rollup: all", "a\u{202e}b", ""];
    for event_type in types {
        let body = serde_json::json!({"id": "evt_1", "type": event_type, "data": {}}).to_string();
        assert_eq!(gateway.post(POLICY, body.as_bytes()).status, 200, "{event_type:?}");
    }
    let count = types.len().to_string();
    let arguments = ["webhooks.1099policy.quarantine", "--from-start", "--count", &count];
    for (line, event_type) in crate::support::harness::tail(gateway.setup.path(), &arguments).iter().zip(types) {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["type"], "com.1099policy.quarantine");
        assert!(event["id"].as_str().unwrap().starts_with("sha256:"));
        assert!(event.get("form").is_none() && event.get("data").is_none());
        let reason = event["quarantinereason"].as_str().unwrap();
        assert!(reason.starts_with("type_"), "{event_type:?}: {reason}");
    }
    assert_eq!(
        gateway.metric(r#"events_total{result="accepted",source="acme",type="quarantine"}"#),
        types.len() as f64
    );
    gateway.wait_for_log(|line| line["type"] == "com.1099policy.quarantine");
    let log = gateway.log_so_far();
    assert!(!log.contains("PURGE") && !log.contains('\u{202e}') && !log.contains("Rollup"), "{log}");
}

/// The twelve kinds of quarantine, each with its reason, each answered 200, each with its bytes unharmed.
#[test]
fn quarantine_keeps_the_bytes_and_says_why() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let deep = format!(r#"{{"type":"policy.active","data":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    let long = format!(r#"{{"type":"{}"}}"#, "a".repeat(129));
    let cases: [(&str, &[u8]); 12] = [
        ("empty", b""),
        ("not_utf8", b"{\"type\":\"\xff\"}"),
        ("not_json", b"type=policy.active"),
        ("not_object", b"[1,2]"),
        ("too_deep", deep.as_bytes()),
        ("type_missing", b"{\"id\":\"evt_1\"}"),
        ("type_not_string", b"{\"type\":7}"),
        ("type_empty", b"{\"type\":\"\"}"),
        ("type_not_text", b"{\"type\":\"a\\u0000\"}"),
        ("type_unroutable", b"{\"type\":\"a b\"}"),
        ("type_too_long", long.as_bytes()),
        ("duplicate_member", b"{\"type\":\"a\",\"\\u0074ype\":\"b\"}"),
    ];
    let gateway = Setup::new("", "").start();
    for (_, body) in cases {
        assert_eq!(gateway.post(POLICY, body).status, 200);
    }
    for ((reason, body), line) in cases.iter().zip(gateway.tail(cases.len())) {
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["quarantinereason"], *reason);
        assert_eq!(event["datacontenttype"], "application/octet-stream");
        assert_eq!(STANDARD.decode(event["data_base64"].as_str().unwrap()).unwrap(), *body, "{reason}");
        assert_eq!(event["partitionkey"], event["id"]);
    }
}

#[test]
fn odd_members_and_wrong_shapes_are_taken() {
    let event = event_of(br#"{"type":"policy.active","data":null,"extra":[1,{"x":null}],"created":"yesterday"}"#);
    assert_eq!(event["type"], "com.1099policy.policy.active");
    assert!(event.get("time").is_none() && event.get("subject").is_none() && event.get("entitypath").is_none());
    assert_eq!(event["data"]["extra"][1]["x"], Value::Null);
    let event = event_of(br#"{"type":"policy.active","id":42,"data":{"id":4711},"created":1767312148123}"#);
    assert!(event["id"].as_str().unwrap().starts_with("sha256:"), "an id that is no string is derived");
    assert_eq!(event["subject"], "4711");
    assert_eq!(event["time"], "2026-01-02T00:02:28.123Z");
}

#[test]
fn a_repeat_is_answered_and_stored_once() {
    let mut gateway = Setup::new("", "").start();
    let body = sample("policy1099/samples/flat/policy.active.json");
    for _ in 0..3 {
        assert_eq!(gateway.post(POLICY, &body).status, 200);
    }
    assert_eq!(gateway.metric("journal_appends_total"), 1.0);
    assert_eq!(gateway.metric(r#"dedup_hits_total{source="acme"}"#), 2.0);
    assert_eq!(gateway.metric(r#"events_total{result="duplicate",source="acme",type="policy.active"}"#), 2.0);
    assert_eq!(gateway.metric("dedup_entries"), 1.0);
    gateway.wait_for_log(|line| line["reason"] == "duplicate");
}

#[test]
fn one_id_with_two_bodies_is_two_events_and_counted() {
    let mut gateway = Setup::new("", "").start();
    for n in [1, 2] {
        let body = format!(r#"{{"id":"evt_1","type":"policy.active","data":{{"n":{n}}}}}"#);
        assert_eq!(gateway.post(POLICY, body.as_bytes()).status, 200);
    }
    assert_eq!(gateway.metric(r#"id_conflicts_total{source="acme"}"#), 1.0);
    assert_eq!(gateway.tail(2).len(), 2);
    gateway.wait_for_log(|line| line["reason"] == "known id with another body" && line["event_id"] == "evt_1");
}

/// `X-Audit1-Event` is not signed: it is compared and counted, and chooses nothing.
#[test]
fn an_unsigned_type_header_chooses_nothing() {
    let gateway = Setup::new("", "").start();
    let body = sample("audit1/samples/snake/file.failed.json");
    let headers = format!("X-Audit1-Event: file.processed\r\n{}", crate::support::client::signature(AUDIT, &body));
    assert_eq!(
        gateway.connect().request(&crate::support::client::post_head(AUDIT, &body, &headers), &body).status,
        200
    );
    assert_eq!(gateway.metric(r#"type_mismatch_total{source="payroll"}"#), 1.0);
    let event: Value = serde_json::from_str(&gateway.tail(1)[0]).unwrap();
    assert_eq!(event["type"], "com.audit1.file.failed");
}

/// The mark is no part of the JSON text; every other byte stays, in either mode. The signature was over the mark, too, and so
/// is the derived id.
#[test]
fn an_event_behind_a_byte_order_mark_is_an_event() {
    let bare = r#"{ "event":"file.failed", "file_id":"f_1", "n":1.50 }"#;
    let marked = format!("\u{feff}{bare}");
    let gateway = Setup::new("", "").start();
    for body in [marked.as_bytes(), b"\xef\xbb\xbf", b"\xef\xbb\xbfnot json"] {
        assert_eq!(gateway.post(AUDIT, body).status, 200);
    }
    let lines = gateway.tail(3);
    assert!(!lines[0].contains('\u{feff}'), "{}", lines[0]);
    let event: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&event["type"], &event["data"]["file_id"]), (&"com.audit1.file.failed".into(), &"f_1".into()));
    let id = hookbus::event::derived_id(hookbus::vendors::Vendor::Audit1, "payroll", marked.as_bytes());
    assert_eq!(event["id"], id.as_str());
    for (line, raw) in [(&lines[1], "77u/"), (&lines[2], "77u/bm90IGpzb24=")] {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&event["quarantinereason"], &event["data_base64"]), (&"not_json".into(), &raw.into()));
    }
    let mut reader = Reader::open(&gateway.setup.path().join("hookbus-data"), Start::Oldest).unwrap();
    assert_eq!(&reader.next().unwrap().unwrap().body[..], bare.as_bytes(), "what a binary message has as its payload");
}
