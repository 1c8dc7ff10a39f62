//! The envelope as others see it: byte for byte, and through the CloudEvents SDKs of two other languages.

use std::process::{Command, Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hookbus::{
    config::Encoding,
    envelope::{attributes::Attribute, message::Binding},
};
use journal::{Reader, Start};
use serde_json::{Value, json, value::RawValue};

use crate::support::{
    harness::{AUDIT, Gateway, POLICY, SECRET, Setup, sample},
    process::Process,
};

/// Numbers, escapes, key order, duplicate keys, blanks and letters that a parser would have changed.
const ODD: &[u8] =
    "{ \"id\":\"evt_odd\",\t\"type\":\"policy.active\",\r\n \"data\":{\"z\":148320.50,\"a\":12345678901234567890123,\
    \"e\":1e400,\"d\":1,\"d\":2,\"u\":\"\\u00e9\\ud83d\\ude00 \\ud800 \\/ Zoë 保険\",\"n\":-0.0,\"b\": [ ] } } "
        .as_bytes();

#[test]
fn odd_bodies_arrive_byte_for_byte() {
    let gateway = Setup::new("", "").start();
    assert_eq!(gateway.post(POLICY, ODD).status, 200);
    // As stored: exactly the bytes received.
    let entry = first_entry(&gateway);
    assert_eq!(entry.body, ODD);
    // As printed: the same bytes less the white space between tokens.
    let line = gateway.tail(1).remove(0);
    let compact = "{\"id\":\"evt_odd\",\"type\":\"policy.active\",\"data\":{\"z\":148320.50,\"a\":12345678901234567890123,\
        \"e\":1e400,\"d\":1,\"d\":2,\"u\":\"\\u00e9\\ud83d\\ude00 \\ud800 \\/ Zoë 保険\",\"n\":-0.0,\"b\":[]}}";
    assert!(line.ends_with(&format!(",\"data\":{compact}}}")), "{line}");
}

fn first_entry(gateway: &Gateway) -> journal::Entry {
    let mut reader = Reader::open(&gateway.setup.path().join("hookbus-data"), Start::Oldest).unwrap();
    reader.next().unwrap().unwrap()
}

#[test]
fn a_trace_is_passed_on_or_begun() {
    let gateway = Setup::new("", "").start();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let body = sample("policy1099/samples/flat/policy.active.json");
    let headers = format!("traceparent: {trace}\r\n{}", crate::support::client::signature(POLICY, &body));
    assert_eq!(
        gateway.connect().request(&crate::support::client::post_head(POLICY, &body, &headers), &body).status,
        200
    );
    assert_eq!(gateway.post(POLICY, b"{\"type\":\"policy.active\"}").status, 200);
    let events = gateway.tail(2);
    let traces: Vec<_> =
        events.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["traceparent"].clone()).collect();
    assert_eq!(traces[0], trace);
    assert!(traces[1].as_str().unwrap().starts_with("00-") && traces[1] != trace, "{traces:?}");
}

/// What a reader of another language must find: one line of JSON per event.
fn expectations(lines: &[String], gateway: &Gateway) -> Vec<Value> {
    let mut reader = Reader::open(&gateway.setup.path().join("hookbus-data"), Start::Oldest).unwrap();
    lines
        .iter()
        .map(|structured| {
            let entry = reader.next().unwrap().unwrap();
            let message = hookbus::envelope::Message::decode(entry.head, entry.body).unwrap();
            let headers = |binding, encoding| -> Vec<_> { message.headers(binding, encoding).collect() };
            json!({
                "structured": structured,
                "key": message.get(Attribute::PartitionKey),
                "kafka_structured": headers(Binding::Kafka, Encoding::Structured),
                "kafka_binary": headers(Binding::Kafka, Encoding::Binary),
                "nats_structured": headers(Binding::Nats, Encoding::Structured),
                "nats_binary": headers(Binding::Nats, Encoding::Binary),
                "body": STANDARD.encode(&message.body),
            })
        })
        .collect()
}

/// Runs an SDK's reader over every kind of event and compares what it read, attribute by attribute.
fn read_by_sdk(program: &str, script: &str, variable: &str, path: &str) {
    let gateway = Setup::new("", "").start();
    let bodies: [(&str, Vec<u8>); 6] = [
        (POLICY, sample("policy1099/samples/documents/certificate.flagged.json")),
        (POLICY, sample("policy1099/samples/flat/category_code.added.json")),
        (AUDIT, sample("audit1/samples/payments/payment.completed.json")),
        (AUDIT, sample("audit1/samples/documents/file.processed.json")),
        (POLICY, br#"{"id":"evt_\"\\ \u00e9 %","type":"strange.type","data":{"id":"\ud83d\ude00"}}"#.to_vec()),
        (POLICY, b"\xff\xfe not json".to_vec()),
    ];
    for (path, body) in &bodies {
        assert_eq!(gateway.post(path, body).status, 200);
    }
    let lines = gateway.tail(bodies.len());
    let input: String = expectations(&lines, &gateway).iter().map(|line| format!("{line}\n")).collect();
    let root = env!("CARGO_MANIFEST_DIR");
    let mut command = Command::new(program);
    command
        .arg(format!("{root}/tests/sdk/{script}"))
        .env(variable, format!("{root}/target/tools/{path}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let output = Process::start(&mut command).talk(input.as_bytes());
    assert!(output.status.success(), "{script} failed (run `make tools`)");
    let read: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read.len(), lines.len() * 4, "each event in both modes on both buses");
    for (four, line) in read.chunks(4).zip(&lines) {
        let written: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        for found in four {
            for (name, value) in &written {
                if name == "time" {
                    // An SDK may keep a time as an instant of its own.
                    assert_eq!(instant(&found["attributes"][name]), instant(value), "{script} {}", found["mode"]);
                } else if name != "data" && name != "data_base64" {
                    assert_eq!(&found["attributes"][name], value, "{script} {} {name}", found["mode"]);
                }
            }
            let raw: std::collections::HashMap<String, &RawValue> = serde_json::from_str(line).unwrap();
            match raw.get("data") {
                Some(data) => {
                    let sent = serde_json::from_str(data.get()).unwrap();
                    assert!(same(&found["data"], &sent), "{script}: {} is not {sent}", found["data"]);
                }
                None => assert_eq!(found["data_base64"], written["data_base64"], "{script} {}", found["mode"]),
            }
        }
    }
}

/// Equal, with 375000.00 and 375000 one number: JavaScript knows no other.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

fn instant(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn the_python_sdk_reads_both_modes() {
    read_by_sdk("python3", "read.py", "PYTHONPATH", "python");
}

#[test]
fn the_javascript_sdk_reads_both_modes() {
    read_by_sdk("node", "read.js", "NODE_PATH", "node/node_modules");
}

/// A sandbox, or an endpoint for a vendor's test button, is a source of its own; its events say so, also in quarantine.
#[test]
fn a_source_of_tests_is_told_from_production() {
    let setup = Setup::new("", "");
    std::fs::write(setup.path().join("secrets/sandbox"), SECRET).unwrap();
    let mut text = std::fs::read_to_string(setup.path().join("hookbus.toml")).unwrap();
    text.push_str(
        "[[sources]]\nname = \"sandbox\"\nvendor = \"1099policy\"\npath = \"/webhooks/sandbox\"\n\
         environment = \"sandbox\"\nsecret_files = [\"secrets/sandbox\"]\n",
    );
    std::fs::write(setup.path().join("hookbus.toml"), text).unwrap();
    let gateway = setup.start();
    // One event at both: of the same id and body, and yet two.
    let body = sample("policy1099/samples/flat/policy.active.json");
    for (path, body) in [(POLICY, &body[..]), ("/webhooks/sandbox", &body), ("/webhooks/sandbox", b"no JSON")] {
        assert_eq!(gateway.post(path, body).status, 200);
    }
    let found = gateway.tail(3).into_iter().map(|line| {
        let event: Value = serde_json::from_str(&line).unwrap();
        [&event["source"], &event["environment"], &event["quarantinereason"]].map(Clone::clone)
    });
    let sandbox = "//hookbus/1099policy/sandbox";
    let expected = [
        [json!("//hookbus/1099policy/acme"), json!("production"), Value::Null],
        [json!(sandbox), json!("sandbox"), Value::Null],
        [json!(sandbox), json!("sandbox"), json!("not_json")],
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
}
