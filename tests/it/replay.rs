//! `hookbus replay` and `check --connect`, against real brokers.

use std::{
    fs,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use async_nats::HeaderMap;
use hookbus::{
    envelope::{Attributes, attributes::Attribute},
    journal::{Journal, Keep, Options, Record},
    vendor::{Vendor, derived_id},
};
use serde_json::Value;

use crate::{
    harness::{AUDIT, Gateway, HOOKBUS, PATIENCE, POLICY, Setup, sample, tail, wait_until},
    kafka_broker::Broker,
    nats_server::{NatsServer, Operator},
    quarantined,
};

const LETTERS: &str = "dead-letters";

/// Exit code, and what was said on both outputs.
fn said(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn replay(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String) {
    said(&setup.run(&[&["replay"], arguments].concat()))
}

/// Ends well, and says this.
fn assert_says(setup: &Setup, arguments: &[&str], words: &[&str]) -> String {
    let (code, text) = replay(setup, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{arguments:?}: no `{word}` in\n{text}"));
    text
}

/// Fails, and says this.
fn assert_fails(setup: &Setup, arguments: &[&str], words: &[&str]) {
    let (code, text) = replay(setup, arguments);
    assert_eq!(code, Some(1), "{arguments:?}: {text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{arguments:?}: no `{word}` in\n{text}"));
}

/// An event of about so many bytes, with a number that no parser would leave as it is.
fn large(id: &str, bytes: usize) -> Vec<u8> {
    let padding = "x".repeat(bytes);
    format!(r#"{{ "id" : "{id}", "type":"policy.active","n":1.50,"n":2,"data":{{"object":{{"id":"pl_1"}},"x":"{padding}"}}}}"#)
        .into()
}

fn holds(payload: &[u8], body: &[u8]) -> bool {
    payload.windows(body.len()).any(|window| window == body)
}

fn bury(gateway: &Gateway, body: &[u8], count: f64) {
    assert_eq!(gateway.post(POLICY, body).status, 200);
    assert_eq!(gateway.metric("dead_letters"), count);
}

/// Too large for the server, then not any more: listed, refused, sent once, remembered, and gone from the gauge.
#[test]
fn dead_letters_go_to_nats_once_the_limit_is_raised() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    let gateway = server.setup("", "").with_spool("").start();
    let setup = &gateway.setup;
    let place = setup.path().canonicalize().unwrap().join("hookbus-data/dead-letters").display().to_string();
    assert_says(setup, &[LETTERS], &["0 event(s)", &format!("from {place}")]);
    let body = large("evt_large", 2_000_000);
    bury(&gateway, &body, 1.0);

    let text =
        assert_says(setup, &[LETTERS], &["  com.1099policy.policy.active  id=evt_large subject=pl_1 reason=too_large"]);
    assert!(text.contains("-> webhooks.1099policy.policy.active") && text.contains("1 event(s)"), "{text}");
    assert!(text.contains("Nothing was sent: --send sends") && !text.contains("xxxx"), "{text}");
    assert_fails(
        setup,
        &[LETTERS, "--send"],
        &["id=evt_large", "not sent", "too large", "1 event(s) could not be sent"],
    );
    assert_eq!((operator.count(), gateway.metric("dead_letters")), (0, 1.0), "it stays");

    server.configure("max_payload: 8MB");
    server.reload();
    assert_says(setup, &[LETTERS, "--id", "evt_other", "--send"], &["0 event(s)"]);
    assert_says(setup, &[LETTERS, "--id", "evt_large", "--send"], &["1 event(s)", "sent to NATS stream WEBHOOKS"]);
    let stored = operator.read();
    let [event] = &stored[..] else { panic!("{}", stored.len()) };
    assert_eq!((event.subject.as_str(), event.header("ce-id")), ("webhooks.1099policy.policy.active", "evt_large"));
    assert!(event.header("Nats-Msg-Id").starts_with("1099policy/acme/evt_large/"));
    assert!(event.headers.iter().all(|(name, _)| !name.to_lowercase().contains("dead")), "{:?}", event.headers);
    assert!(holds(&event.payload, &body), "the body's own bytes");
    gateway.wait_for_metric("dead_letters", 0.0);

    assert_says(setup, &[LETTERS], &["0 event(s)", "1 sent by an earlier replay"]);
    assert_says(setup, &[LETTERS, "--send"], &["0 event(s)", "1 sent by an earlier replay"]);
    assert_says(setup, &[LETTERS, "--send", "--again"], &["1 event(s)", "1 of them it had already"]);
    assert_eq!(operator.count(), 1);
}

/// What is replayed while no gateway runs is known to the next one; what was not, it still counts.
#[test]
fn a_gateway_that_starts_knows_what_was_replayed_without_it() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(async_nats::jetstream::stream::Config { max_message_size: 10_000, ..Operator::settings() });
    let gateway = server.setup("", "").with_spool("").start();
    for (number, count) in [(1, 1.0), (2, 2.0), (3, 3.0)] {
        bury(&gateway, &large(&format!("evt_{number}"), 20_000), count);
    }
    let setup = gateway.stop();
    operator.runtime.block_on(operator.context.update_stream(&Operator::settings())).unwrap();
    assert_says(&setup, &[LETTERS, "--id", "evt_1", "--id", "evt_3", "--send"], &["2 event(s)"]);
    let gateway = setup.start();
    assert_eq!(gateway.metric("dead_letters"), 1.0, "before anything else happens");
    assert_says(&gateway.setup, &[LETTERS, "--send"], &["1 event(s)", "2 sent by an earlier replay"]);
    gateway.wait_for_metric("dead_letters", 0.0);
    let ids: Vec<_> = operator.read().iter().map(|stored| stored.header("ce-id").to_owned()).collect();
    assert_eq!(ids, ["evt_1", "evt_3", "evt_2"]);
    let gateway = gateway.kill().start();
    assert_eq!(gateway.metric("dead_letters"), 0.0, "after a crash, too");
}

/// What can never be sent is given up, by name, and counts no more; what was not named still does.
#[test]
fn dead_letters_can_be_discarded_by_name() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(async_nats::jetstream::stream::Config { max_message_size: 10_000, ..Operator::settings() });
    let gateway = server.setup("", "").with_spool("").start();
    for (number, count) in [(1, 1.0), (2, 2.0)] {
        bury(&gateway, &large(&format!("evt_{number}"), 20_000), count);
    }
    let setup = &gateway.setup;
    for words in [
        &[LETTERS, "--discard"][..],
        &["quarantine", "--discard", "--id", "x"],
        &["journal", "--discard", "--id", "x"],
        &[LETTERS, "--discard", "--send", "--id", "x"],
    ] {
        assert_eq!(replay(setup, words).0, Some(64), "{words:?}");
    }
    assert_says(setup, &[LETTERS, "--id", "evt_none", "--discard"], &["0 event(s)"]);
    assert_eq!(gateway.metric("dead_letters"), 2.0);
    let text = assert_says(setup, &[LETTERS, "--id", "evt_1", "--discard"], &["id=evt_1", "  discarded", "1 event(s)"]);
    assert!(!text.contains("evt_2") && !text.contains("--send"), "{text}");
    gateway.wait_for_metric("dead_letters", 1.0);
    let text = assert_says(setup, &[LETTERS], &["id=evt_2", "1 event(s)", "or discarded"]);
    assert!(!text.contains("id=evt_1"), "{text}");
    assert_eq!(operator.count(), 0);
}

/// No topic and no catch-all: routed anew once there is one. Then quarantine, and what `check --connect` says meanwhile.
#[test]
fn dead_letters_go_to_kafka_once_a_topic_exists() {
    let mut broker = Broker::new();
    broker.start();
    let gateway = broker.setup("", "", "").with_spool("").start();
    let setup = &gateway.setup;
    let body = large("evt_lost", 100);
    bury(&gateway, &body, 1.0);
    let missing = gateway.metric("bus_missing_topics");
    assert_says(setup, &[LETTERS], &["id=evt_lost", "reason=unroutable"]);
    assert_fails(setup, &[LETTERS, "--send"], &["id=evt_lost", "unroutable"]);
    let (code, text) = said(&setup.run(&["check", "--connect"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("webhooks.1099policy.unknown") && text.contains("could not publish"), "{text}");
    let topics = broker.topics();
    assert!(!topics.iter().any(|topic| topic.starts_with("webhooks.")), "asking makes no topic: {topics:?}");

    broker.create(&["webhooks.1099policy.unknown", "webhooks.audit1.unknown"]);
    assert_says(setup, &[LETTERS, "--send"], &["1 event(s)", "sent to kafka"]);
    let records = broker.records("webhooks.1099policy.unknown");
    assert_eq!((records.len(), records[0].header("ce_id")), (1, Some("evt_lost")));
    assert!(holds(&records[0].payload, &body), "the body's own bytes");
    gateway.wait_for_metric("dead_letters", 0.0);
    assert_says(setup, &[LETTERS, "--send"], &["0 event(s)", "1 sent by an earlier replay"]);
    assert_eq!(broker.records("webhooks.1099policy.unknown").len(), 1);
    let (code, text) = said(&setup.run(&["check", "--connect"]));
    assert_eq!(code, Some(0), "{text}");
    for words in [
        "1 broker(s)",
        "one broker's memory (memory)",
        "topics are missing",
        "\"message.max.bytes\", 1000000B, is below",
    ] {
        assert!(text.contains(words), "{words} in\n{text}");
    }

    broker.create(&["webhooks.audit1.quarantine"]);
    // Until the gateway knows of it, the event would go to the catch-all.
    gateway.wait_for_metric("bus_missing_topics", missing - 3.0);
    assert_eq!(gateway.post(AUDIT, b"not \x1b[31m json").status, 200);
    let words = [
        "com.audit1.quarantine",
        "stays: still unreadable: not_json",
        "    not \\u001b[31m json",
        "1 still unreadable",
    ];
    assert_says(setup, &["quarantine", "--show"], &words);
    assert_fails(setup, &["quarantine", "--send"], &["still unreadable", "1 event(s) could not be sent"]);
    assert_says(setup, &["quarantine", "--type", "1099policy.>"], &["0 event(s)"]);
    // Somebody else's records, without a header, are the last ones of all partitions: the end is the end.
    broker.produce_plain("webhooks.audit1.quarantine", 3);
    assert_says(setup, &["quarantine", "--show"], &words);
}

/// A body that an older hookbus could not read, and one that nobody can.
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
    assert_eq!((stored[2].subject.as_str(), stored[2].header("ce-id")), ("webhooks.audit1.file.processed", "evt_9"));
    assert_eq!(stored[2].header("ce-recordedtime"), "2026-01-02T03:04:05.000006Z");
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
    let body = sample("samples/audit1/snake/file.failed.json");
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
    assert_eq!((stored[1].subject.as_str(), stored[1].header("ce-id")), ("webhooks.audit1.file.failed", id.as_str()));
    assert_eq!(stored[1].header("Nats-Msg-Id"), format!("{message_id}/reread"));
    assert!(stored[1].headers.iter().all(|(_, value)| value != "somebody-elses"), "{:?}", stored[1].headers);
    assert!(holds(&stored[1].payload, &body));
    let text = assert_says(&setup, &["quarantine", "--send"], &["1 of them it had already"]);
    assert_eq!(operator.count(), 2, "{text}");
}

/// From the embedded bus to NATS: what `tail` prints of both is the same, to the byte and in the same order.
#[test]
fn a_journal_moves_to_nats() {
    let gateway = Setup::new("", "").start();
    let mut connection = gateway.connect();
    for number in 0..200 {
        let body = format!(
            r#"{{"id":"evt_{number}","type":"policy.active","n":1.50,"data":{{"object":{{"id":"pl_{}"}}}}}}"#,
            number % 7
        );
        assert_eq!(connection.post(POLICY, body.as_bytes()).status, 200);
    }
    let odd: [&[u8]; 3] =
        [b"\xffnot json", br#"{"event":"brand.new","a":1,"a":2}"#, &sample("samples/audit1/snake/file.failed.json")];
    odd.iter().for_each(|body| assert_eq!(connection.post(AUDIT, body).status, 200));
    assert_says(&gateway.setup, &["quarantine"], &["1 still unreadable"]);
    let before = gateway.tail(203);
    assert_eq!(replay(&gateway.setup, &["journal", "--send"]).0, Some(64), "into itself");
    assert_says(&gateway.setup, &["journal", "--id", "evt_7", "--show"], &["1 event(s)", "\"n\":1.50"]);
    let setup = gateway.stop();

    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    setup.edit("kind = \"journal\"\n", &format!("kind = \"nats\"\n[bus.nats]\nservers = [\"{}\"]\n", server.url()));
    assert_says(&setup, &["journal"], &["203 event(s)", "Nothing was sent"]);
    assert_eq!(operator.count(), 0);
    assert_says(&setup, &["journal", "--type", "com.audit1.>", "--send"], &["3 event(s)"]);
    // All of it into an empty stream: one that has seen those message ids would not take them again.
    fs::remove_file(setup.path().join("hookbus-data/replayed")).unwrap();
    operator.runtime.block_on(operator.context.delete_stream("WEBHOOKS")).unwrap();
    operator.create(Operator::settings());
    assert_says(&setup, &["journal", "--send"], &["203 event(s)"]);
    assert_eq!(operator.count(), 203);
    assert_eq!(tail(setup.path(), &["--from-start", "--count", "203"]), before);
    assert_says(&setup, &["journal", "--send"], &["0 event(s)", "203 sent by an earlier replay"]);
    assert_eq!(operator.count(), 203);
}

/// Records as the embedded bus has them, without a gateway that would have to take them one by one.
pub fn fill_journal(setup: &Setup, count: usize) {
    let options = Options {
        directory: setup.path().join("hookbus-data"),
        segment_size: 16 << 20,
        max_size: 1 << 30,
        max_age: None,
        reserve: 0,
        keep: Keep::UntilOld,
        queue: count,
    };
    let journal = Journal::open(options, std::sync::Arc::new(())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let appends: Vec<_> = (0..count)
        .map(|number| {
            let mut head = Attributes::default();
            head.push(Attribute::Id, &format_args!("evt_{number}"));
            head.push(Attribute::Type, &"com.1099policy.policy.active");
            head.push(Attribute::DataContentType, &"application/json");
            head.push(Attribute::Vendor, &"1099policy");
            head.push(Attribute::PartitionKey, &format_args!("1099policy/acme/pl_{}", number % 500));
            head.push(Attribute::Route, &"webhooks.1099policy.policy.active");
            head.push(Attribute::MessageId, &format_args!("1099policy/acme/evt_{number}/00"));
            journal.append(Record { head: head.into_encoded(), body: format!("{{\"n\":{number}}}").into() })
        })
        .collect();
    for append in appends {
        runtime.block_on(append).unwrap();
    }
    journal.close();
}

/// Interrupted in the middle, with the server gone: it ends by itself, says how far it came, and the same call sends the
/// rest. Nothing is lost, nothing is there twice, and each key keeps its order.
#[test]
fn an_interrupted_replay_goes_on_where_it_ended() {
    const COUNT: usize = 30_000;
    let mut server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    let setup = server.setup("", "publish_timeout = \"2s\"\nack_timeout = \"1s\"");
    fill_journal(&setup, COUNT);
    let mut command = Command::new(HOOKBUS);
    command
        .args(["replay", "journal", "--send"])
        .current_dir(setup.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    wait_until("some events", || operator.count() > 1000);
    server.kill();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let began = Instant::now();
    let (code, text) = said(&child.wait_with_output().unwrap());
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("interrupted: not everything was sent") && text.contains("goes on from here"), "{text}");

    server.run();
    let operator = server.operator();
    let stored = usize::try_from(operator.count()).unwrap();
    assert!(stored < COUNT, "{stored} were stored before the interruption, so it came too late to show anything");
    let text = assert_says(&setup, &["journal", "--send"], &["sent by an earlier replay"]);
    let events = operator.read();
    assert_eq!(events.len(), COUNT, "{text}");
    let mut last = vec![None; 500];
    for event in &events {
        let number: usize = event.header("ce-id").strip_prefix("evt_").unwrap().parse().unwrap();
        let before = last[number % 500].replace(number);
        assert!(before.is_none_or(|before| before < number), "{before:?} before {number}");
    }
    println!("{stored} of {COUNT} before the interruption; then: {}", text.trim());
}

/// A bar on a terminal, and none in a pipe.
#[test]
fn progress_is_for_terminals() {
    let server = NatsServer::start();
    server.operator().create(Operator::settings());
    let setup = server.setup("", "");
    fill_journal(&setup, 2000);
    let call = format!("{HOOKBUS} replay journal --send");
    let terminal =
        Command::new("script").args(["-qec", &call, "/dev/null"]).current_dir(setup.path()).output().unwrap();
    let (code, text) = said(&terminal);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("/2000 read, ") && text.contains("2000 event(s)"), "{text}");
    let text = assert_says(&setup, &["journal", "--send", "--again"], &["2000 event(s)"]);
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn wrong_words_are_64_and_a_bus_that_is_away_is_1() {
    let server = NatsServer::stopped("");
    let setup = server.setup("", "");
    for arguments in [
        &[][..],
        &["everything"],
        &[LETTERS, "--since", "yesterday"],
        &[LETTERS, "--type", "a..b"],
        &[LETTERS, "--id"],
        &[LETTERS, "--all"],
    ] {
        let (code, text) = replay(&setup, arguments);
        assert_eq!(code, Some(64), "{arguments:?}: {text}");
        assert!(!text.is_empty());
    }
    // No gateway was here: a wrong working directory must not look like a clean one.
    let here = setup.path().canonicalize().unwrap();
    let data = here.join("hookbus-data").display().to_string();
    assert_fails(&setup, &[LETTERS], &[&format!("{data}/dead-letters: there is no such directory")]);
    assert_fails(&setup, &["journal"], &[&format!("{data}: there is no such directory")]);
    assert_fails(&setup, &["quarantine"], &["stream WEBHOOKS"]);
    fill_journal(&setup, 3);
    assert_fails(&setup, &["journal", "--send"], &["bus.nats"]);
    assert_says(&setup, &["journal"], &["3 event(s)"]);

    // The embedded bus belongs to the gateway that runs.
    let gateway = Setup::new("", "").start();
    assert_eq!(gateway.post(AUDIT, b"not json").status, 200);
    assert_says(&gateway.setup, &["quarantine"], &["1 still unreadable"]);
    assert_fails(&gateway.setup, &["quarantine", "--send"], &[&format!("in use by process {}", gateway.pid())]);
}

/// A running replay keeps others out, and a listing is no replay.
#[test]
fn two_replays_at_once_are_one_too_many() {
    let server = NatsServer::stopped("");
    let setup = server.setup("", "");
    fill_journal(&setup, 3);
    let held = fs::File::options().create(true).append(true).open(setup.path().join("hookbus-data/replayed")).unwrap();
    held.lock().unwrap();
    assert_fails(&setup, &["journal", "--send"], &["another replay is at work"]);
    assert_says(&setup, &["journal"], &["3 event(s)"]);
}

const USERS: &str = r#"authorization { users: [
  { user: admin, password: admin-pw }
  { user: gateway, password: gateway-pw, permissions: {
    publish: { allow: ["webhooks.1099policy.>", "$JS.API.STREAM.INFO.WEBHOOKS", "$SYS.REQ.USER.INFO"] },
    subscribe: { allow: ["_INBOX.>"] } } } ] }"#;

#[test]
fn check_connect_says_what_nats_is_worth() {
    let mut server = NatsServer::stopped("");
    let setup = server.setup("", "user = \"admin\"\npassword_file = \"secrets/nats\"");
    fs::write(setup.path().join("secrets/nats"), "admin-pw").unwrap();
    let (code, text) = said(&Setup::new("", "").run(&["check", "--connect"]));
    assert!(code == Some(0) && text.contains("nothing to connect to"), "{text}");
    let check = || said(&setup.run(&["check", "--connect"]));
    let began = Instant::now();
    let (code, text) = check();
    assert!(code == Some(1) && text.contains("problem: bus.nats"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());

    server.configure(USERS);
    server.run();
    let (code, text) = check();
    assert!(code == Some(1) && text.contains("there is no stream WEBHOOKS: `hookbus provision` makes it"), "{text}");
    let admin = async_nats::ConnectOptions::with_user_and_password("admin".into(), "admin-pw".into());
    let operator = server.operator_with(admin);
    operator.create(Operator::settings());
    let (code, text) = check();
    assert_eq!(code, Some(0), "{text}");
    for words in [
        "connected: ",
        "nats-server 2.",
        "messages up to 1MiB",
        "an acknowledgement means: one server has the event",
        "(unknown)",
        "warning: stream WEBHOOKS has 1 replica(s)",
        "the server's max_payload, 1MiB, is below",
        "larger events are answered 503",
        "the login may publish all subjects",
    ] {
        assert!(text.contains(words), "{words} in\n{text}");
    }

    // A right that is missing, a stream that takes too little.
    setup.edit("user = \"admin\"", "user = \"gateway\"");
    fs::write(setup.path().join("secrets/nats"), "gateway-pw").unwrap();
    let (code, text) = check();
    assert!(code == Some(1) && text.contains("problem: the login may not publish webhooks.audit1.>"), "{text}");
    let narrow =
        async_nats::jetstream::stream::Config { subjects: vec!["webhooks.audit1.>".into()], ..Operator::settings() };
    operator.runtime.block_on(operator.context.update_stream(&narrow)).unwrap();
    let (code, text) = check();
    assert!(
        code == Some(1) && text.contains("problem: stream WEBHOOKS does not take all of webhooks.1099policy.>"),
        "{text}"
    );

    // Tables inside tables come from the environment, too.
    let mut command = Command::new(HOOKBUS);
    command
        .args(["check", "--connect"])
        .current_dir(setup.path())
        .env("HOOKBUS__BUS__NATS__SERVERS", "nats://127.0.0.1:1");
    let (code, text) = said(&command.output().unwrap());
    assert!(code == Some(1) && text.contains("problem: bus.nats"), "{text}");
}
