//! What may happen to topics, brokers of a cluster and permissions under load. Judged by the one [oracle](crate::support::oracle).

use std::time::Duration;

use crate::support::{
    brokers::{
        either::{TOPICS, recorded},
        kafka::{Broker, FIXED_TOPICS, USER, shared},
    },
    load::{LONG, Load, Shape, soak_or, wait_for_drain},
    oracle::{Fault, dead_letters},
    wait::wait_at_most,
};

/// A broker that is away at the start and then comes without topics: what no topic takes is a dead letter, what only the
/// catch-all takes is there, and from the moment that a topic is made its events are in it.
#[test]
fn kafka_topics_made_late() {
    let mut broker = Broker::new();
    let gateway = broker.setup("", "", "").with_spool("").start();
    let load = Load::new("late", Shape::default());
    load.aim(&[gateway.address]).run(|| {
        load.wait_for(200);
        assert_eq!(gateway.metric("dead_letters"), 0.0, "no broker has said that there is no topic");
        broker.start();
        wait_at_most(LONG, "dead letters", || gateway.metric("dead_letters") > 100.0);
        broker.create(&FIXED_TOPICS);
        wait_at_most(LONG, "the catch-alls", || broker.count(FIXED_TOPICS[0]) > 100);
        broker.create(&TOPICS);
        wait_at_most(LONG, "the topics", || broker.count(TOPICS[0]) > 100);
        load.wait_for(100);
    });
    wait_for_drain(&gateway);
    assert_eq!(load.all_times().failed(), 0);
    let letters = dead_letters(&gateway.stop());
    let bus = recorded(&broker, &[&TOPICS[..], &FIXED_TOPICS].concat());
    load.judge(&[bus, letters].concat()).has_none_of(&Fault::BUT_DUPLICATED);
}

/// The right to write one topic is taken away for a while: its events are dead letters, all others go on.
#[test]
fn kafka_permissions_revoked() {
    let broker = shared();
    let topics = TOPICS.map(|topic| topic.replace("webhooks", "revoked"));
    let topics = topics.each_ref().map(String::as_str);
    broker.create(&topics);
    let gateway = broker.setup_with_login("subject = \"revoked.{vendor}.{type}\"", USER.1).with_spool("").start();
    let right = |change: &str, principal: &str, operation: &str| {
        let server = broker.address();
        let rule = [principal, "User:alice", "--operation", operation, "--topic", topics[1]];
        let tool = ["org.apache.kafka.tools.AclCommand", "--bootstrap-server", &server, change];
        let force = ["--force"];
        broker.tool(&[&tool[..], &rule[..], if change == "--remove" { &force[..] } else { &[] }].concat());
    };
    // A topic with rules shows itself only to whom a rule allows it, and a hidden one counts as missing.
    right("--add", "--allow-principal", "All");
    let load = Load::new("revoked", Shape::default());
    load.aim(&[gateway.address]).run(|| {
        load.wait_for(200);
        right("--add", "--deny-principal", "Write");
        wait_at_most(LONG, "dead letters", || gateway.metric("dead_letters") > 50.0);
        let before = broker.count(topics[0]);
        load.wait_for(200);
        wait_at_most(LONG, "the other topic", || broker.count(topics[0]) > before + 50);
        right("--remove", "--deny-principal", "Write");
        let before = broker.count(topics[1]);
        wait_at_most(LONG, "the topic", || broker.count(topics[1]) > before + 50);
    });
    wait_for_drain(&gateway);
    assert_eq!(load.all_times().failed(), 0);
    let letters = dead_letters(&gateway.stop());
    assert!(letters.iter().all(|letter| letter.key.starts_with("audit1/")));
    load.judge(&[recorded(broker, &topics), letters].concat()).has_none_of(&Fault::BUT_DUPLICATED);
}

/// A topic that takes less than the producer believes. The broker refuses a batch as a whole: only what is too large by
/// itself may be a dead letter.
#[test]
fn kafka_topic_takes_less_than_the_producer_sends() {
    let broker = shared();
    let topics = TOPICS.map(|topic| topic.replace("webhooks", "narrow"));
    let topics = topics.each_ref().map(String::as_str);
    broker.create_with(&topics, 1, &[("max.message.bytes", "30000")]);
    let kafka = "linger = \"50ms\"\nproperties = { \"compression.type\" = \"none\" }";
    let mut gateway = broker.setup("", "subject = \"narrow.{vendor}.{type}\"", kafka).with_spool("").start();
    let shape =
        Shape { senders: 24, bytes: 8_000, large: Some((10, 30_000)), pause: Duration::ZERO, ..Shape::default() };
    let load = Load::new("narrow", shape);
    load.aim(&[gateway.address]).run(|| load.wait_for(800));
    wait_for_drain(&gateway);
    assert_eq!(load.all_times().failed(), 0);
    gateway.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("max.message.bytes")));
    let letters = dead_letters(&gateway.stop());
    assert!(load.large_accepted() <= letters.len() && 10 < letters.len(), "{}", letters.len());
    let small = letters.iter().filter(|letter| !load.is_large(letter)).count();
    assert_eq!(small, 0, "of {} dead letters so many were too large only together", letters.len());
    load.judge(&[recorded(broker, &topics), letters].concat()).has_none_of(&Fault::BUT_DUPLICATED);
}

/// Three brokers. The one that leads is killed: one topic elects another leader; the other needs all three copies and
/// refuses everything until the broker is back.
#[test]
fn kafka_leader_killed_and_too_few_replicas() {
    let mut brokers = Broker::cluster();
    brokers[0].create_with(&[&FIXED_TOPICS[..], &TOPICS[..1]].concat(), 3, &[("min.insync.replicas", "2")]);
    brokers[0].create_with(&TOPICS[1..], 3, &[("min.insync.replicas", "3")]);
    let addresses = brokers.each_ref().map(|broker| format!("\"{}\"", broker.address())).join(", ");
    let setup = |bus: &str| {
        let setup = brokers[0].setup("answer_timeout = \"2s\"", bus, "");
        setup.edit(&format!("[\"{}\"]", brokers[0].address()), &format!("[{addresses}]"));
        setup
    };
    let (spooled, direct) = (setup("").with_spool("").start(), setup("encoding = \"binary\"").start());
    let replicated = r#"bus_durability_info{bus="kafka",class="replicated"} 1"#;
    wait_at_most(LONG, replicated, || spooled.get_admin("/metrics").body.contains(replicated));
    let through_spool = Load::new("spooled", Shape { senders: 6, ..Shape::default() });
    let straight = Load::new("direct", Shape { senders: 6, ..Shape::default() });
    through_spool.aim(&[spooled.address]).run(|| {
        straight.aim(&[direct.address]).run(|| {
            for _ in 0..soak_or(10, 1) {
                through_spool.wait_for(200);
                straight.wait_for(200);
                let leader = usize::try_from(brokers[0].leader(TOPICS[0])).unwrap() - 1;
                brokers[leader].kill();
                through_spool.wait_for(500);
                // The senders of the topic that has elected.
                straight.wait_for(100);
                brokers[leader].start();
                straight.wait_for(200);
            }
        });
    });
    wait_for_drain(&spooled);
    let times = through_spool.all_times();
    println!("spooled: {times}");
    assert_eq!(times.failed(), 0, "{times}");
    assert!(straight.all_times().failed() > 0, "too few replicas are no 200");
    assert_eq!(spooled.metric("dead_letters"), 0.0);
    for gateway in [spooled, direct] {
        gateway.stop();
    }
    let bus = recorded(&brokers[0], &[&TOPICS[..], &FIXED_TOPICS].concat());
    straight.judge(&bus).has_none_of(&Fault::BUT_DUPLICATED);
    through_spool.judge(&bus).has_none_of(&Fault::BUT_DUPLICATED);
}
