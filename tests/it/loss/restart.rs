//! The memory of recent events over a restart: what a vendor sends again is answered and not stored twice.

use std::{thread, time::Duration};

use crate::support::{
    brokers::{
        kafka::shared,
        nats::{NatsServer, Operator},
    },
    harness::{AUDIT, Gateway, POLICY, Setup, tail},
    journal::fill_journal,
    wait::wait_until,
};

/// Enough that one segment of the journal does not hold them.
const EVENTS: usize = 60;
const FILLER: usize = 40_000;

fn post_all(gateway: &Gateway) {
    let filler = "x".repeat(FILLER);
    let mut connection = gateway.connect();
    for number in 0..EVENTS {
        // One form has an id of its own, the other has not.
        let policy = format!(r#"{{"id":"evt/{number}","type":"policy.active","data":{{"x":"{filler}"}}}}"#);
        assert_eq!(connection.post(POLICY, policy.as_bytes()).status, 200);
        let audit = format!(r#"{{"event":"file.failed","file_id":"f_{number}"}}"#);
        assert_eq!(connection.post(AUDIT, audit.as_bytes()).status, 200);
    }
    assert_eq!(connection.post(AUDIT, b"not json").status, 200);
}

fn hits(gateway: &Gateway) -> f64 {
    ["acme", "payroll"].iter().map(|source| gateway.metric(&format!("dedup_hits_total{{source=\"{source}\"}}"))).sum()
}

/// A clean stop, then kill -9: the embedded bus is read back.
#[test]
fn a_retry_over_a_restart_is_not_stored_twice_on_the_embedded_bus() {
    const STORED: usize = 2 * EVENTS + 1;
    let mut gateway = Setup::new("", "[journal]\nreserve = \"1MiB\"\nsegment_size = \"1MiB\"\n").start();
    post_all(&gateway);
    for end in [Gateway::stop, Gateway::kill] {
        gateway = end(gateway).start();
        assert_eq!(gateway.metric("dedup_entries"), STORED as f64);
        post_all(&gateway);
        assert_eq!(hits(&gateway), STORED as f64);
    }
    let setup = gateway.stop();
    assert_eq!(tail(setup.path(), &["--from-start", "--count", &STORED.to_string()]).len(), STORED);
    let mut reader = journal::Reader::open(&setup.path().join("hookbus-data"), journal::Start::Oldest).unwrap();
    let stored = std::iter::from_fn(|| reader.next().unwrap()).count();
    assert_eq!(stored, STORED);

    // What the bus has lost is not remembered.
    std::fs::remove_dir_all(setup.path().join("hookbus-data")).unwrap();
    let gateway = setup.start();
    assert_eq!(gateway.metric("dedup_entries"), 0.0);
    post_all(&gateway);
    assert_eq!(hits(&gateway), 0.0);
}

/// A memory that is smaller than the bus begins with the newest half at least.
#[test]
fn what_is_read_back_is_bounded() {
    let setup = Setup::new("", "");
    setup.edit("kind = \"journal\"", "kind = \"journal\"\nrecent_events = 100");
    fill_journal(&setup, 5_000);
    let gateway = setup.start();
    let remembered = gateway.metric("dedup_entries");
    assert!((50.0..=100.0).contains(&remembered), "{remembered}");
    gateway.stop();
}

/// A clean stop, then kill -9, with no event in flight; all events are sent again after each.
fn restart_twice(mut gateway: Gateway, count: impl Fn() -> u64) -> Setup {
    const STORED: usize = 2 * EVENTS + 1;
    post_all(&gateway);
    for end in [Gateway::stop, Gateway::kill] {
        // A killed gateway writes no more, and writes every few milliseconds.
        thread::sleep(Duration::from_secs(1));
        gateway = end(gateway).start();
        gateway.wait_for_metric("dedup_entries", STORED as f64);
        assert_eq!(gateway.metric("bus_losses_total"), 0.0);
        post_all(&gateway);
        assert_eq!((hits(&gateway), count()), (STORED as f64, STORED as u64));
    }
    gateway.stop()
}

/// The stream's own duplicate window is over by then. A stream that was made anew meanwhile has none of the events.
#[test]
fn a_retry_over_a_restart_is_not_stored_twice_on_nats() {
    let server = NatsServer::start();
    let operator = server.operator();
    let window = Duration::from_millis(500);
    let settings = || async_nats::jetstream::stream::Config { duplicate_window: window, ..Operator::settings() };
    operator.create(settings());
    let setup = restart_twice(server.setup("", "").with_spool("").start(), || operator.count());
    operator.runtime.block_on(operator.context.delete_stream("WEBHOOKS")).unwrap();
    operator.create(settings());
    let gateway = setup.start();
    // What is known of the time before.
    gateway.wait_for_metric("bus_losses_total", 1.0);
    post_all(&gateway);
    assert_eq!(hits(&gateway), 0.0);
    wait_until("all of them again", || operator.count() == 2 * EVENTS as u64 + 1);
    gateway.stop();
}

#[test]
fn a_retry_over_a_restart_is_not_stored_twice_on_kafka() {
    let broker = shared();
    let topics = ["restart.1099policy.policy.active", "restart.audit1.file.failed"];
    broker.create(&topics);
    let setup = broker.setup("", "subject = \"restart.{vendor}.{type}\"", "").with_spool("");
    // Other tests share the topic of what is no JSON.
    let count = || 1 + topics.iter().map(|topic| broker.count(topic)).sum::<i64>().unsigned_abs();
    restart_twice(setup.start(), count);
}

/// Without a spool there may be no disk to keep it on.
#[test]
fn without_a_spool_nothing_is_kept_over_a_restart() {
    let server = NatsServer::start();
    server.operator().create(Operator::settings());
    let setup = server.setup("", "");
    // One that an earlier configuration has left.
    std::fs::create_dir_all(setup.path().join("hookbus-data")).unwrap();
    let gateway = setup.start();
    gateway.wait_for_metric("bus_up", 1.0);
    post_all(&gateway);
    let gateway = gateway.stop().start();
    gateway.wait_for_metric("bus_up", 1.0);
    post_all(&gateway);
    assert_eq!(hits(&gateway), 0.0);
    let setup = gateway.stop();
    assert!(!setup.path().join("hookbus-data/recent").exists());
}

/// What was asked to end, by SIGTERM, is no crash; what was killed is one, and stays counted.
#[test]
fn an_end_that_nobody_asked_for_is_counted_over_restarts() {
    let nats = NatsServer::start();
    nats.operator().create(Operator::settings());
    for setup in [Setup::new("", ""), nats.setup("", "").with_spool("")] {
        let mut gateway = setup.start();
        assert_eq!(gateway.metric("crashes_total"), 0.0);
        for (end, crashes) in [(Gateway::stop as fn(Gateway) -> Setup, 0.0), (Gateway::kill, 1.0), (Gateway::stop, 1.0)]
        {
            gateway = end(gateway).start();
            assert_eq!(gateway.metric("crashes_total"), crashes);
        }
        assert!(!gateway.log_so_far().contains("the last run ended"), "it was asked to");
    }
    // With the spool off nothing of the gateway is on a disk.
    let gateway = nats.setup("", "").start().kill().start();
    assert_eq!(gateway.metric("crashes_total"), 0.0);
    assert!(!gateway.setup.path().join("hookbus-data").exists());
}
