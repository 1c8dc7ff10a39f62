//! A bus that has lost what it held, whatever way: what a vendor sends again is stored again.

use std::process::Command;

use futures_util::StreamExt as _;

use crate::support::{
    brokers::{
        kafka::{Broker, FIXED_TOPICS},
        nats::{NatsServer, Operator, event},
    },
    harness::{Gateway, POLICY},
    wait::wait_until,
};

const COUNT: usize = 100;

fn send_all(gateway: &Gateway) {
    let mut connection = gateway.connect();
    (0..COUNT).for_each(|number| assert_eq!(connection.post(POLICY, &event(number)).status, 200));
}

fn wipe(operator: &Operator) {
    operator.runtime.block_on(operator.context.delete_stream("WEBHOOKS")).unwrap();
    operator.create(Operator::settings());
}

#[test]
fn a_stream_that_was_made_anew_gets_again_what_comes_again() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    let gateway = server.setup("", "").start();
    send_all(&gateway);
    send_all(&gateway);
    assert_eq!((operator.count(), gateway.metric("dedup_entries")), (100, 100.0));
    // The first new event tells it.
    wipe(&operator);
    assert_eq!(gateway.post(POLICY, &event(COUNT)).status, 200);
    send_all(&gateway);
    assert_eq!(operator.count(), 101);
    // Without one, a look does.
    wipe(&operator);
    wait_until("a repeat that is stored", || {
        assert_eq!(gateway.post(POLICY, &event(1)).status, 200);
        operator.count() == 1
    });
    send_all(&gateway);
    assert_eq!((operator.count(), gateway.metric("bus_losses_total")), (100, 2.0));
}

fn sh(server: &NatsServer, words: &str) {
    assert!(Command::new("sh").args(["-ec", words]).current_dir(server.path()).status().unwrap().success());
}

/// The stream's files are put back as they were: it has the same name and was made at the same time.
#[test]
fn a_stream_that_was_rolled_back_gets_again_what_comes_again() {
    let mut server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    let gateway = server.setup("", "").start();
    assert_eq!(gateway.post(POLICY, &event(COUNT)).status, 200);
    server.signal("-STOP");
    sh(&server, "cp -r data backup");
    server.signal("-CONT");
    send_all(&gateway);
    server.kill();
    sh(&server, "rm -r data; mv backup data");
    server.run();
    gateway.wait_for_metric("bus_up", 1.0);
    let operator = server.operator();
    assert_eq!(operator.count(), 1);
    wait_until("a repeat that is stored", || {
        assert_eq!(gateway.post(POLICY, &event(1)).status, 200);
        operator.count() == 2
    });
    send_all(&gateway);
    assert_eq!((operator.count(), gateway.metric("bus_losses_total")), (101, 1.0));
}

#[test]
fn a_topic_that_was_made_anew_gets_again_what_comes_again() {
    let mut broker = Broker::new();
    broker.start();
    broker.create(&FIXED_TOPICS);
    let gateway = broker.setup("", "", "").start();
    let topic = FIXED_TOPICS[0];
    send_all(&gateway);
    send_all(&gateway);
    assert_eq!((broker.count(topic), gateway.metric("dedup_entries")), (100, 100.0));
    broker.delete(topic);
    wait_until("the end of the topic", || !broker.topics().iter().any(|known| known == topic));
    broker.create(&[topic]);
    wait_until("a repeat that is stored", || {
        gateway.post(POLICY, &event(1));
        broker.count(topic) > 0
    });
    wait_until("its answer", || gateway.post(POLICY, &event(1)).status == 200);
    send_all(&gateway);
    let mut ids: Vec<_> = broker.records(topic).iter().map(|record| record.attribute("id").unwrap()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), COUNT);
    assert!(0.0 < gateway.metric("bus_losses_total"));
}

/// Only the stream itself says that it has an event.
#[test]
fn an_answer_that_is_not_the_streams_is_no_acknowledgement() {
    let server = NatsServer::start();
    let operator = server.operator();
    let mut gateway = server.setup("", "publish_timeout = \"2s\"\nack_timeout = \"1s\"").start();
    let client = operator.context.client();
    let mut requests = operator.runtime.block_on(client.subscribe("webhooks.>")).unwrap();
    for answer in [r#"{"stream":"","seq":0}"#, r#"{"stream":"WEBHOOKS","seq":0}"#, r#"{"stream":"OTHER","seq":7}"#] {
        let status = std::thread::scope(|scope| {
            let posted = scope.spawn(|| gateway.post(POLICY, &event(1)).status);
            operator.runtime.block_on(async {
                let request = requests.next().await.unwrap();
                client.publish(request.reply.unwrap(), answer.into()).await.unwrap();
                client.flush().await.unwrap();
            });
            posted.join().unwrap()
        });
        assert_eq!(status, 503, "{answer}");
    }
    let log = gateway.log_so_far();
    assert_eq!(log.matches("not stream WEBHOOKS has answered").count(), 1, "{log}");
}
