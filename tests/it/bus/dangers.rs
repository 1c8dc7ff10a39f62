//! Streams and topics that lose acknowledged events by their nature, each in turn: refused at the start, at a new
//! connection and by `check --connect`, unless `bus.waive` has the word.

use std::{process::Command, time::Duration};

use async_nats::{
    ConnectOptions,
    jetstream::stream::{self, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType},
};

use crate::support::{
    brokers::{
        kafka::{Broker, FIXED_TOPICS, shared},
        nats::{NatsServer, Operator, USERS, event, with_login},
    },
    harness::{AUDIT, HOOKBUS, POLICY, Setup},
    replay::said,
    wait::wait_until,
};

/// Neither `serve` nor `check --connect` takes it, and both name the word that would.
fn is_refused(setup: &Setup, name: &str) {
    let word = format!("(waive: {name})");
    let serve = Command::new("timeout").args(["30", HOOKBUS, "serve"]).current_dir(setup.path()).output().unwrap();
    let (code, text) = said(&serve);
    assert!(code == Some(64) && text.contains(&word), "{name}: {code:?} {text}");
    let (code, text) = said(&setup.run(&["check", "--connect"]));
    let problem = text.lines().any(|line| line.starts_with("problem: ") && line.contains(&word));
    assert!(code == Some(1) && problem, "{name}: {code:?} {text}");
}

/// Both take it, and say so. Gives what the metrics call its acknowledgements.
fn is_waived(setup: Setup, bus: &str, name: &str) -> String {
    let word = format!("(waive: {name})");
    let (code, text) = said(&setup.run(&["check", "--connect"]));
    let warning = text.lines().any(|line| line.starts_with("warning: ") && line.contains(&word));
    assert!(code == Some(0) && warning, "{name}: {code:?} {text}");
    let mut gateway = setup.start();
    gateway.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains(&word)));
    assert_eq!(gateway.metric("bus_unsafe_topics"), 0.0);
    let metrics = gateway.get_admin("/metrics").body;
    let prefix = format!("hookbus_bus_durability_info{{bus=\"{bus}\",class=\"");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap();
    line.split('"').next().unwrap().to_owned()
}

#[test]
fn streams_that_lose_acknowledged_events_are_refused() {
    let server = NatsServer::start();
    let operator = server.operator();
    let good = Operator::settings;
    for (name, settings, class) in [
        ("memory_storage", stream::Config { storage: StorageType::Memory, ..good() }, "memory"),
        ("no_ack", stream::Config { no_ack: true, ..good() }, "unknown"),
        ("interest_retention", stream::Config { retention: RetentionPolicy::Interest, ..good() }, "unknown"),
        ("workqueue_retention", stream::Config { retention: RetentionPolicy::WorkQueue, ..good() }, "unknown"),
        ("per_subject_limit", stream::Config { max_messages_per_subject: 1, ..good() }, "unknown"),
        ("async_persistence", stream::Config { persist_mode: Some(PersistenceMode::Async), ..good() }, "memory"),
        ("short_retention", stream::Config { max_age: Duration::from_hours(13), ..good() }, "unknown"),
    ] {
        operator.create(settings);
        is_refused(&server.setup("", ""), name);
        let waived = server.setup(&format!("waive = [\"{name}\"]"), "");
        assert_eq!(is_waived(waived, "nats", name), class, "{name}");
        operator.runtime.block_on(operator.context.delete_stream("WEBHOOKS")).unwrap();
    }
}

/// What loses nothing by itself is said, and stops nothing.
#[test]
fn streams_that_do_more_than_store_are_warned_of() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(stream::Config { name: "ORIGIN".into(), subjects: vec!["origin".into()], ..Operator::settings() });
    let source = stream::Source { name: "ORIGIN".into(), ..stream::Source::default() };
    let rewrite = stream::SubjectTransform { source: "webhooks.audit1.>".into(), destination: "other.audit1.>".into() };
    let republish = stream::Republish { source: ">".into(), destination: "copy.>".into(), headers_only: false };
    operator.create(stream::Config {
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        max_messages_per_subject: 5,
        sources: Some(vec![source.clone()]),
        subject_transform: Some(rewrite),
        republish: Some(republish),
        ..Operator::settings()
    });
    let setup = server.setup("", "");
    let check = || said(&setup.run(&["check", "--connect"]));
    let (code, text) = check();
    assert_eq!(code, Some(0), "{text}");
    for words in ["(max_msgs_per_subject)", "(subject_transform to other.audit1.>)", "(sources)", "copy.> (republish)"]
    {
        assert!(text.lines().any(|line| line.starts_with("warning: ") && line.contains(words)), "{words} in\n{text}");
    }
    operator.runtime.block_on(operator.context.delete_stream("WEBHOOKS")).unwrap();
    operator.create(stream::Config { subjects: Vec::new(), mirror: Some(source), ..Operator::settings() });
    let (code, text) = check();
    assert!(code == Some(1) && text.contains("problem: stream WEBHOOKS is a mirror"), "{text}");
}

/// A stream that was made anew under a running gateway, and is none to publish to: the spool takes over.
#[test]
fn a_stream_that_becomes_dangerous_gets_nothing_more() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    let mut gateway = server.setup("", "").with_spool("").start();
    assert_eq!(gateway.post(POLICY, &event(1)).status, 200);
    let remake = |settings| {
        operator.runtime.block_on(operator.context.delete_stream("WEBHOOKS")).unwrap();
        operator.create(settings);
    };
    remake(stream::Config { retention: RetentionPolicy::Interest, ..Operator::settings() });
    gateway.wait_for_metric("bus_unsafe_topics", 1.0);
    assert_eq!((gateway.metric("bus_up"), gateway.get_admin("/readyz").status), (0.0, 200));
    gateway.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("nothing is published")));
    (2..10).for_each(|number| assert_eq!(gateway.post(POLICY, &event(number)).status, 200));
    remake(Operator::settings());
    wait_until("the drain", || operator.count() == 8);
    assert_eq!((gateway.metric("bus_up"), gateway.metric("bus_unsafe_topics")), (1.0, 0.0));
}

/// The same while the gateway is away: not even what waits in the spool reaches it before it is judged.
#[test]
fn a_stream_that_is_another_after_a_reconnection_is_judged_first() {
    let mut server = NatsServer::start_with(USERS);
    let admin = || ConnectOptions::with_user_and_password("admin".into(), "admin-pw".into());
    server.operator_with(admin()).create(Operator::settings());
    let gateway = with_login(&server, "gateway-pw").with_spool("").start();
    assert_eq!(gateway.post(POLICY, &event(0)).status, 200);
    server.kill();
    server.configure(&USERS.replace("gateway-pw", "another-pw"));
    server.run();
    let operator = server.operator_with(admin());
    operator.runtime.block_on(operator.context.delete_stream("WEBHOOKS")).unwrap();
    operator.create(stream::Config { retention: RetentionPolicy::Interest, ..Operator::settings() });
    (1..9).for_each(|number| assert_eq!(gateway.post(POLICY, &event(number)).status, 200));
    server.configure(USERS);
    server.reload();
    gateway.wait_for_metric("bus_unsafe_topics", 1.0);
    let last = operator
        .runtime
        .block_on(async { operator.context.get_stream("WEBHOOKS").await.unwrap().cached_info().state.last_sequence });
    assert_eq!((last, gateway.metric("journal_records")), (0, 8.0));
}

#[test]
fn topics_that_lose_acknowledged_events_are_refused() {
    let broker = shared();
    for (prefix, name, settings) in [
        ("compacted", "compaction", &[("cleanup.policy", "compact")][..]),
        ("both", "compaction", &[("cleanup.policy", "compact,delete")]),
        ("short", "short_retention", &[("retention.ms", "3600000")]),
        ("small", "short_retention", &[("retention.bytes", "1048576")]),
    ] {
        broker.create_with(&[&format!("{prefix}.1099policy.policy.active")], 1, settings);
        let bus = format!("subject = \"{prefix}.{{vendor}}.{{type}}\"");
        is_refused(&broker.setup("", &bus, ""), name);
        let waived = broker.setup("", &format!("{bus}\nwaive = [\"{name}\"]"), "");
        assert_eq!(is_waived(waived, "kafka", name), "unknown", "{prefix}");
    }
    broker.create_with(&["odd.1099policy.policy.active"], 1, &[("unclean.leader.election.enable", "true")]);
    let setup = broker.setup("", "subject = \"odd.{vendor}.{type}\"", "");
    let (code, text) = said(&setup.run(&["check", "--connect"]));
    assert!(code == Some(0) && text.contains("warning: odd.1099policy.policy.active: may elect"), "{text}");
}

/// One topic that is none to publish to costs the others nothing.
#[test]
fn a_topic_that_becomes_dangerous_gets_nothing_more() {
    let mut broker = Broker::new();
    broker.start();
    broker.create(&FIXED_TOPICS);
    let topic = "webhooks.1099policy.policy.active";
    broker.create(&[topic]);
    let mut gateway = broker.setup("", "", "").with_spool("").start();
    assert_eq!(gateway.post(POLICY, &event(1)).status, 200);
    broker.alter(topic, &[("cleanup.policy", "compact")]);
    // The settings are read again when there is another topic.
    broker.create(&["webhooks.1099policy.policy.expired"]);
    gateway.wait_for_metric("bus_unsafe_topics", 1.0);
    gateway.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("nothing is published")));
    assert_eq!(gateway.post(POLICY, &event(2)).status, 200);
    assert_eq!(gateway.post(AUDIT, br#"{"event":"brand.new"}"#).status, 200);
    wait_until("the other topic", || broker.count(FIXED_TOPICS[2]) == 1);
    assert_eq!((broker.count(topic), gateway.metric("bus_up")), (1, 1.0));
    broker.alter(topic, &[("cleanup.policy", "delete")]);
    broker.create(&["webhooks.1099policy.policy.cancelled"]);
    wait_until("the drain", || broker.count(topic) == 2);
}
