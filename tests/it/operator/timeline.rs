//! `hookbus timeline`: the events of one thing over all types, in the order of time, from each bus.

use serde_json::Value;

use crate::support::{
    brokers::either::{Either, Kind},
    harness::{Gateway, POLICY, Setup},
};

fn post(gateway: &Gateway, id: &str, event: &str, policy: &str, created: Option<&str>) {
    let created = created.map(|time| format!(r#""created":"{time}","#)).unwrap_or_default();
    let id = serde_json::to_string(id).unwrap();
    let body = format!(r#"{{"id":{id},"type":"{event}",{created}"data":{{"object":"policy","id":"{policy}"}}}}"#);
    assert_eq!(gateway.post(POLICY, body.as_bytes()).status, 200);
}

/// Seven events: four of `pl_1`, one of them posted twice; three of others.
fn post_all(gateway: &Gateway) {
    post(gateway, "second", "policy.active", "pl_1", Some("2026-01-02T00:00:00Z"));
    post(gateway, "first", "policy.cancelled", "pl_1", Some("2026-01-01T00:00:00Z"));
    for number in 0..3 {
        post(gateway, &format!("other_{number}"), "policy.active", &format!("pl_1{number}"), None);
    }
    // No time: its arrival stands for it. A type that no document lists, and an id that turns a terminal's text around.
    post(gateway, "last\u{202e}", "policy.unheard_of", "pl_1", None);
    post(gateway, "third", "policy.active", "pl_1", Some("2026-01-03T00:00:00Z"));
    // Long forgotten, with a memory of one event.
    post(gateway, "second", "policy.active", "pl_1", Some("2026-01-02T00:00:00Z"));
}

/// `repeats`: of the event that was posted twice.
fn tells_the_whole_trail(setup: &Setup, repeats: u64) {
    let output = setup.run(&["timeline", "pl_1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ids: Vec<_> = text.lines().map(|line| line.split("id=").nth(1).unwrap().split(' ').next().unwrap()).collect();
    assert_eq!(ids, ["first", "second", "third", "last\\u{202e}"], "{text}");
    let first = text.lines().next().unwrap();
    for words in ["2026-01-01T00:00:00Z  com.1099policy.policy.cancelled", "form=event_api", "arrival=2", "repeats=0"] {
        assert!(first.contains(words), "no `{words}` in {first}");
    }
    assert!(first.ends_with("source=//hookbus/1099policy/acme"), "{first}");

    let output = setup.run(&["timeline", "pl_1", "--json", "--source", "acme"]);
    let rows: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["first", "second", "third", "last\u{202e}"]);
    assert_eq!((&rows[1]["repeats"], &rows[2]["repeats"]), (&repeats.into(), &0.into()));
    assert_eq!((&rows[3]["time"], &rows[3]["type"]), (&Value::Null, &"com.1099policy.policy.unheard_of".into()));
    assert_eq!(rows[0]["environment"], "production");
    assert_eq!(rows[0]["sha256"].as_str().unwrap().len(), 64);

    let output = setup.run(&["timeline", "pl_1", "--source", "payroll"]);
    assert!(output.status.success() && output.stdout.is_empty(), "no event of another source");
    // Less than everything is no trail: none is printed.
    let output = setup.run(&["timeline", "pl_1", "--most", "3"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("more than 3 events"));
    assert_eq!(setup.run(&["timeline", "pl_1", "--source", "nobody"]).status.code(), Some(64));
}

#[test]
fn from_the_journal() {
    let setup = Setup::new("", "");
    setup.edit("kind = \"journal\"\n", "kind = \"journal\"\nrecent_events = 1\n");
    let gateway = setup.start();
    post_all(&gateway);
    tells_the_whole_trail(&gateway.setup, 1);
}

#[test]
fn from_a_stream() {
    let nats = Either::start_new(Kind::Nats);
    let gateway = nats.setup("recent_events = 1").start();
    post_all(&gateway);
    // The stream itself has dropped the copy.
    tells_the_whole_trail(&gateway.setup, 0);
}

#[test]
fn from_topics() {
    let kafka = Either::start_new(Kind::Kafka);
    let gateway = kafka.setup("recent_events = 1").start();
    post_all(&gateway);
    tells_the_whole_trail(&gateway.setup, 1);
}
