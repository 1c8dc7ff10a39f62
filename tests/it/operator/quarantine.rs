//! `hookbus replay quarantine`: what is readable today leaves it.

use async_nats::HeaderMap;
use hookbus::{event::derived_id, vendors::Vendor};
use serde_json::Value;

use crate::support::{
    brokers::nats::{NatsServer, Operator},
    harness::{AUDIT, sample},
    quarantined,
    replay::{assert_fails, assert_says, holds},
};

/// A body that an older hookbus could not read, and one that no version can.
#[test]
fn what_is_readable_today_leaves_quarantine() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    let gateway = server.setup("", "").with_spool("").start();
    assert_eq!(gateway.post(AUDIT, b"not json").status, 200);
    quarantined::put(&operator);

    let setup = &gateway.setup;
    assert_says(
        setup,
        &["quarantine"],
        &["stays: still unreadable: not_json", "id=evt_9 subject=f_1 reason=type_missing"],
    );
    let before = ["quarantine", "--until", "2026-02-01"];
    let lines = setup.run(&[&["replay"], &before[..], &["--json", "--show"]].concat());
    let line: Value = serde_json::from_slice(&lines.stdout).unwrap();
    assert_eq!((&line["state"], &line["to"]), (&"waits".into(), &"webhooks.audit1.file.processed".into()));
    assert_eq!(line["event"]["data"]["data"]["fileId"], "f_1");
    assert!(String::from_utf8(lines.stderr).unwrap().contains("Nothing was sent"));
    assert_eq!(operator.count(), 2);

    assert_fails(setup, &["quarantine", "--send"], &["1 event(s)", "1 still unreadable", "could not be sent"]);
    assert_says(setup, &[&before[..], &["--send"]].concat(), &["0 event(s)", "1 sent by an earlier replay"]);
    let stored = operator.read();
    assert_eq!(stored.len(), 3, "it stays in quarantine as well");
    assert_eq!(
        (stored[2].subject.as_str(), stored[2].attribute("id").as_str()),
        ("webhooks.audit1.file.processed", "evt_9")
    );
    assert_eq!(stored[2].attribute("recordedtime"), "2026-01-02T03:04:05.000006Z");
    assert!(stored[2].header("Nats-Msg-Id").starts_with("audit1/payroll/evt_9/"));
    assert!(holds(&stored[2].payload, quarantined::BODY));

    // A gateway without a disk has no place to remember it in, and the stream knows it all the same.
    let without = server.setup("", "");
    let words = ["1 of them it had already", "not remembered"];
    assert_says(&without, &[&before[..], &["--send"]].concat(), &words);
    assert_eq!(operator.count(), 3);
}

/// A form without an id of its own keeps the derived one, with which the stream has seen it moments ago, in quarantine.
#[test]
fn an_event_with_a_derived_id_leaves_quarantine_within_the_duplicate_window() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    let setup = server.setup("", "").with_spool("");
    let body = sample("audit1/samples/snake/file.failed.json");
    let id = derived_id(Vendor::Audit1, "payroll", &body);
    let message_id = format!("audit1/payroll/{id}/{:016x}", xxhash_rust::xxh3::xxh3_64(&body));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("Nats-Msg-Id", message_id.as_str()),
        ("ce-id", id.as_str()),
        ("ce-source", "//hookbus/audit1/payroll"),
        ("ce-type", "com.audit1.quarantine"),
        ("ce-datacontenttype", "application/octet-stream"),
        ("ce-vendor", "audit1"),
        ("ce-tenant", "somebody-elses"),
        ("ce-recordedtime", "2026-01-02T03:04:05.000006Z"),
        ("ce-sequence", "old-1-00000000000000000001"),
        ("ce-quarantinereason", "type_missing"),
    ] {
        headers.insert(name, value);
    }
    let publish = operator.context.publish_with_headers("webhooks.audit1.quarantine", headers, body.clone().into());
    operator.runtime.block_on(async { publish.await.unwrap().await.unwrap() });

    let text = assert_says(&setup, &["quarantine", "--send"], &["1 event(s)", "sent to NATS stream"]);
    assert!(!text.contains("it had already"), "{text}");
    let stored = operator.read();
    assert_eq!(stored.len(), 2, "{text}");
    assert_eq!(
        (stored[1].subject.as_str(), stored[1].attribute("id").as_str()),
        ("webhooks.audit1.file.failed", id.as_str())
    );
    assert_eq!(stored[1].header("Nats-Msg-Id"), format!("{message_id}/reread"));
    assert!(stored[1].headers.iter().all(|(_, value)| value != "somebody-elses"), "{:?}", stored[1].headers);
    assert!(holds(&stored[1].payload, &body));
    let text = assert_says(&setup, &["quarantine", "--send"], &["1 of them it had already"]);
    assert_eq!(operator.count(), 2, "{text}");
    let text = assert_says(&setup, &["quarantine", "--send", "--again"], &["1 event(s)"]);
    assert_eq!(operator.count(), 3, "{text}");
}
