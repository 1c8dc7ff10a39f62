//! One subject or topic that its broker refuses while it takes all others.

use std::{thread, time::Duration};

use async_nats::jetstream::stream;

use crate::support::{
    brokers::{
        either::{TOPICS, recorded, stored},
        kafka::{FIXED_TOPICS, shared},
        nats::{NatsServer, Operator},
    },
    harness::{Gateway, POLICY, Setup},
    load::{LONG, Load, Shape, wait_for_drain},
    oracle::{Fault, dead_letters},
    wait::{wait_at_most, wait_until},
};

/// A spool of two small segments, and a hedge that a busy machine does not meet.
fn small_spool(setup: Setup) -> Setup {
    setup.edit("[admin]", "max_body = \"100KiB\"\n[admin]");
    setup.with_spool("max_size = \"2MiB\"\nsegment_size = \"1MiB\"\nhedge_after = \"4s\"")
}

/// Fifty keys of each vendor, as fast as two cores allow.
fn healthy() -> Load {
    Load::new("healthy", Shape { keys: 50, pause: Duration::from_millis(1), ..Shape::default() })
}

/// An event of a type that is not in the catalogue, which goes to the catch-all.
fn odd(number: usize) -> Vec<u8> {
    format!(r#"{{"id":"odd_{number}","type":"odd.event","data":{{"object":{{"id":"odd","n":1.50}}}}}}"#).into()
}

fn spooled(gateway: &Gateway, cause: &str) -> f64 {
    gateway.metric(&format!("spool_events_total{{cause=\"{cause}\"}}"))
}

/// After a start with something in the spool the gate is closed until the bus has answered.
fn wait_for_refusal(gateway: &Gateway) {
    wait_until("a refusal", || gateway.metric(r#"bus_publish_total{result="unroutable"}"#) > 0.0);
}

/// A stream of the healthy events' subjects only.
fn settings() -> stream::Config {
    stream::Config { subjects: TOPICS.map(str::to_owned).to_vec(), ..Operator::settings() }
}

/// Every healthy event goes direct, none is answered 503 although the journal is small and a record stays in it, and a
/// restart after kill -9 publishes none again.
#[test]
fn nats_a_refused_subject_costs_no_other_event_its_way() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(settings());
    let gateway = small_spool(server.setup("", "ack_timeout = \"500ms\"")).start();
    let load = healthy();
    load.aim(&[gateway.address]).run(|| {
        load.wait_for(100);
        for number in 0..3 {
            assert_eq!(gateway.post(POLICY, &odd(number)).status, 200);
            load.wait_for(1500);
        }
    });
    let times = load.all_times();
    println!("beside a refused subject: {times}");
    assert_eq!(times.failed(), 0);
    assert_eq!(["gate", "hedge", "refused"].map(|cause| spooled(&gateway, cause)), [0.0, 0.0, 3.0]);
    assert_eq!((gateway.metric("journal_records"), gateway.metric("dead_letters")), (3.0, 0.0));
    assert_eq!(gateway.metric("spool_refused_keys"), 1.0);

    let gateway = gateway.kill().start();
    wait_for_refusal(&gateway);
    load.aim(&[gateway.address]).run(|| load.wait_for(500));
    assert_eq!(["gate", "hedge", "refused"].map(|cause| spooled(&gateway, cause)), [0.0; 3]);
    assert_eq!(gateway.metric(r#"bus_publish_total{result="duplicate"}"#), 0.0);

    operator.runtime.block_on(operator.context.update_stream(Operator::settings())).unwrap();
    wait_for_drain(&gateway);
    assert_eq!(gateway.post(POLICY, &odd(3)).status, 200);
    assert_eq!(spooled(&gateway, "refused"), 0.0, "direct again");
    assert_eq!(gateway.metric("spool_refused_keys"), 0.0);
    gateway.stop();
    let found = stored(&operator);
    let odd: Vec<_> = found.iter().filter(|found| found.key.ends_with("/odd")).collect();
    let place =
        |n: usize| odd.iter().position(|found| String::from_utf8_lossy(&found.payload).contains(&format!("odd_{n}")));
    assert_eq!([0, 1, 2, 3].map(place), [Some(0), Some(1), Some(2), Some(3)]);
    load.judge(&found).has_none_of(&Fault::ALL);
}

/// An outage puts events into the spool behind one that stays there, and they leave it: kill -9 does not bring them back.
#[test]
fn nats_acknowledged_events_behind_a_refused_one_do_not_come_back() {
    let mut server = NatsServer::start();
    let operator = server.operator();
    operator.create(settings());
    let gateway = small_spool(server.setup("", "ack_timeout = \"500ms\"")).start();
    assert_eq!(gateway.post(POLICY, &odd(0)).status, 200);
    server.kill();
    let load = healthy();
    load.aim(&[gateway.address]).run(|| load.wait_for(100));
    server.run();
    wait_at_most(LONG, "the others to leave the spool", || gateway.metric("journal_records") == 1.0);
    // What was acknowledged is stored a second or so later.
    thread::sleep(Duration::from_secs(3));
    let gateway = gateway.kill().start();
    assert_eq!(gateway.metric("journal_records"), 1.0, "what was acknowledged comes back");
    wait_for_refusal(&gateway);
    load.aim(&[gateway.address]).run(|| load.wait_for(500));
    assert_eq!(spooled(&gateway, "gate"), 0.0);
    assert_eq!(gateway.metric(r#"bus_publish_total{result="duplicate"}"#), 0.0);
    gateway.stop();
    load.judge(&stored(&operator)).has_none_of(&Fault::ALL);
}

/// A limit for each subject: what is over it waits, all other subjects go direct; the stream's own limit is an outage.
#[test]
fn nats_a_full_subject_costs_no_other_event_its_way() {
    let server = NatsServer::start();
    let operator = server.operator();
    let limits = stream::Config {
        max_messages_per_subject: 1,
        discard_new_per_subject: true,
        max_messages: 60,
        ..Operator::settings()
    };
    operator.create(limits.clone());
    let bus = "unknown_types = \"route\"";
    let gateway = small_spool(server.setup(bus, "")).start();
    let event = |number: usize, subject: usize| {
        let head = format!(r#"{{"id":"evt_{number}","type":"t.n{subject}","data":{{"object":"#);
        format!(r#"{head}{{"id":"{number}"}}}}}}"#).into_bytes()
    };
    for number in 0..50 {
        assert_eq!(gateway.post(POLICY, &event(number, number)).status, 200);
        assert_eq!(gateway.post(POLICY, &event(100 + number, 0)).status, 200);
    }
    assert_eq!(["gate", "hedge", "refused"].map(|cause| spooled(&gateway, cause)), [0.0, 0.0, 50.0]);
    assert_eq!(operator.count(), 50);
    for number in 200..230 {
        assert_eq!(gateway.post(POLICY, &event(number, number)).status, 200);
    }
    assert_eq!(operator.count(), 60);
    assert!(0.0 < spooled(&gateway, "gate"), "full for all");
    let more = stream::Config { max_messages: 0, ..limits };
    operator.runtime.block_on(operator.context.update_stream(more)).unwrap();
    wait_at_most(LONG, "the others", || operator.count() == 80);
    operator.runtime.block_on(operator.context.update_stream(Operator::settings())).unwrap();
    wait_for_drain(&gateway);
    assert_eq!((operator.count(), gateway.metric("dead_letters")), (130, 0.0));
}

/// Its age counts through a kill -9; replayed, it is on the stream.
#[test]
fn nats_what_is_refused_for_too_long_becomes_a_dead_letter() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(settings());
    let setup = server.setup("", "").with_spool("dead_letter_after = \"3s\"");
    let gateway = setup.start();
    assert_eq!(gateway.post(POLICY, &odd(0)).status, 200);
    assert_eq!((gateway.metric("dead_letters"), gateway.metric("journal_records")), (0.0, 1.0));
    let gateway = gateway.kill().start();
    wait_until("the dead letter", || gateway.metric("dead_letters") == 1.0);
    assert_eq!(gateway.metric(r#"dead_letters_total{reason="refused"}"#), 1.0);
    wait_for_drain(&gateway);
    operator.runtime.block_on(operator.context.update_stream(Operator::settings())).unwrap();
    let setup = gateway.stop();
    assert_eq!(dead_letters(&setup).len(), 1);
    let output = setup.run(&["replay", "dead-letters", "--send"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(operator.count(), 1);
}

/// A topic whose broker refuses each record for its time.
#[test]
fn kafka_a_refused_topic_costs_no_other_event_its_way() {
    let broker = shared();
    let topics = TOPICS.map(|topic| topic.replace("webhooks", "picky"));
    let topics = topics.each_ref().map(String::as_str);
    broker.create(&topics);
    let gateway = small_spool(broker.setup("", "subject = \"picky.{vendor}.{type}\"", "")).start();
    let load = healthy();
    let server = broker.address();
    let configure = |change: &str, value: &str| {
        let tool = ["kafka.admin.ConfigCommand", "--bootstrap-server", &server, "--alter", "--topic", FIXED_TOPICS[0]];
        broker.tool(&[&tool[..], &[change, value]].concat());
    };
    configure("--add-config", "message.timestamp.before.max.ms=0");
    load.aim(&[gateway.address]).run(|| {
        load.wait_for(100);
        for number in 0..3 {
            assert_eq!(gateway.post(POLICY, &odd(number)).status, 200);
            load.wait_for(500);
        }
    });
    assert_eq!(load.all_times().failed(), 0);
    assert_eq!(["gate", "hedge", "refused"].map(|cause| spooled(&gateway, cause)), [0.0, 0.0, 3.0]);
    assert_eq!((gateway.metric("journal_records"), gateway.metric("dead_letters")), (3.0, 0.0));
    configure("--delete-config", "message.timestamp.before.max.ms");
    wait_for_drain(&gateway);
    gateway.stop();
    let odd: Vec<_> =
        recorded(broker, &FIXED_TOPICS[..1]).into_iter().filter(|found| found.key.ends_with("/odd")).collect();
    assert_eq!(odd.len(), 3);
    load.judge(&recorded(broker, &topics)).has_none_of(&Fault::BUT_DUPLICATED);
}
