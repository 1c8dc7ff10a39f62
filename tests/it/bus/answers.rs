//! `bus_up` and `/readyz` beside a bus that is connected and acknowledges nothing.

use crate::support::{
    brokers::{
        either::{Either, Kind},
        nats::event,
    },
    harness::{Gateway, POLICY, Setup},
    wait::wait_until,
};

/// A spool that takes nothing, as if it were full.
fn full(setup: Setup) -> Gateway {
    let setup = setup.with_spool("");
    setup.edit("reserve = \"1MiB\"", "reserve = \"1000000GiB\"");
    setup.start()
}

fn is_ready(gateway: &Gateway) -> (u16, f64) {
    (gateway.get_admin("/readyz").status, gateway.metric("bus_up"))
}

fn a_frozen_broker(kind: Kind) {
    let broker = Either::start_new(kind);
    let gateway = full(broker.setup(""));
    gateway.wait_for_metric("bus_up", 1.0);
    assert_eq!((gateway.post(POLICY, &event(0)).status, is_ready(&gateway)), (200, (200, 1.0)));
    broker.signal("-STOP");
    // The journal sees that it is full when it is to take one.
    let mut numbers = 1..;
    let mut post = || gateway.post(POLICY, &event(numbers.next().unwrap())).status;
    wait_until("503", || post() == 503);
    wait_until("503 of /readyz", || is_ready(&gateway) == (503, 0.0));
    broker.signal("-CONT");
    wait_until("an answer", || post() == 200);
    wait_until("200 of /readyz", || is_ready(&gateway) == (200, 1.0));
}

#[test]
fn a_frozen_nats_server_is_not_up() {
    a_frozen_broker(Kind::Nats);
}

/// Without an event, too: the client asks by itself.
#[test]
fn a_frozen_nats_server_is_not_up_when_nothing_is_published() {
    let broker = Either::start_new(Kind::Nats);
    let gateway = full(broker.setup(""));
    gateway.wait_for_metric("bus_up", 1.0);
    broker.signal("-STOP");
    wait_until("503 of /readyz", || is_ready(&gateway) == (503, 0.0));
    broker.signal("-CONT");
    wait_until("200 of /readyz", || is_ready(&gateway) == (200, 1.0));
}

#[test]
fn a_frozen_kafka_broker_is_not_up() {
    a_frozen_broker(Kind::Kafka);
}
