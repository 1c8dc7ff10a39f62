//! `hookbus replay dead-letters`, against real brokers.

use crate::support::{
    brokers::{
        kafka::Broker,
        nats::{NatsServer, Operator},
    },
    harness::{AUDIT, Gateway, POLICY},
    replay::{LETTERS, assert_fails, assert_says, holds, replay, said},
};

/// An event of about so many bytes, with a number that no parser would leave as it is.
fn large(id: &str, bytes: usize) -> Vec<u8> {
    let padding = "x".repeat(bytes);
    format!(r#"{{ "id" : "{id}", "type":"policy.active","n":1.50,"n":2,"data":{{"object":{{"id":"pl_1"}},"x":"{padding}"}}}}"#)
        .into()
}

/// The event becomes the so many-th dead letter.
fn lose(gateway: &Gateway, body: &[u8], count: f64) {
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
    assert_says(setup, &[LETTERS], &[&format!("0 event(s): none found in {place}")]);
    let body = large("evt_large", 2_000_000);
    lose(&gateway, &body, 1.0);

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
    assert_eq!(
        (event.subject.as_str(), event.attribute("id").as_str()),
        ("webhooks.1099policy.policy.active", "evt_large")
    );
    assert!(event.header("Nats-Msg-Id").starts_with("1099policy/acme/evt_large/"));
    assert!(event.headers.iter().all(|(name, _)| !name.to_lowercase().contains("dead")), "{:?}", event.headers);
    assert!(holds(&event.payload, &body), "the body's own bytes");
    gateway.wait_for_metric("dead_letters", 0.0);

    assert_says(setup, &[LETTERS], &["0 event(s)", "1 sent by an earlier replay"]);
    assert_says(setup, &[LETTERS, "--send"], &["0 event(s)", "1 sent by an earlier replay"]);
    assert_says(setup, &[LETTERS, "--send", "--again"], &["1 event(s), "]);
    let stored = operator.read();
    let ids = stored.iter().map(|event| event.header("Nats-Msg-Id")).collect::<Vec<_>>();
    assert!(ids.len() == 2 && ids[1].starts_with(&format!("{}/again-", ids[0])), "{ids:?}");
}

/// What is replayed while no gateway runs is known to the next one; what was not, it still counts.
#[test]
fn a_gateway_that_starts_knows_what_was_replayed_without_it() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(async_nats::jetstream::stream::Config { max_message_size: 10_000, ..Operator::settings() });
    let gateway = server.setup("", "").with_spool("").start();
    for (number, count) in [(1, 1.0), (2, 2.0), (3, 3.0)] {
        lose(&gateway, &large(&format!("evt_{number}"), 20_000), count);
    }
    let setup = gateway.stop();
    operator.runtime.block_on(operator.context.update_stream(&Operator::settings())).unwrap();
    assert_says(&setup, &[LETTERS, "--id", "evt_1", "--id", "evt_3", "--send"], &["2 event(s)"]);
    let gateway = setup.start();
    assert_eq!(gateway.metric("dead_letters"), 1.0, "before anything else happens");
    assert_says(&gateway.setup, &[LETTERS, "--send"], &["1 event(s)", "2 sent by an earlier replay"]);
    gateway.wait_for_metric("dead_letters", 0.0);
    let ids: Vec<_> = operator.read().iter().map(|stored| stored.attribute("id")).collect();
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
        lose(&gateway, &large(&format!("evt_{number}"), 20_000), count);
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
    lose(&gateway, &body, 1.0);
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
    assert_eq!((records.len(), records[0].attribute("id").as_deref()), (1, Some("evt_lost")));
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
    // Records of another writer, without a header, are the last ones of all partitions: the end is the end.
    broker.produce_plain("webhooks.audit1.quarantine", 3);
    assert_says(setup, &["quarantine", "--show"], &words);
}
