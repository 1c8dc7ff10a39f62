//! A backlog that a run before has left in the spool: what it costs, and what a stop in the middle of it costs.

use crate::support::{
    brokers::nats::{NatsServer, Operator},
    harness::peak_rss,
    journal::fill_spool,
    load::wait_for_drain,
    wait::wait_until,
};

/// Large events, which the drain's bound on records alone would let into memory all at once.
#[test]
fn a_backlog_costs_disk_and_no_memory() {
    const COUNT: usize = 60;
    const BYTES: usize = 2 << 20;
    // 16 MiB, what the client copies of them to send, and all the rest of the process.
    const LIMIT: u64 = 80 << 20;
    let mut server = NatsServer::stopped("max_payload: 8MB");
    let setup = server.setup("", "publish_timeout = \"1s\"\nack_timeout = \"500ms\"").with_spool("");
    fill_spool(&setup, COUNT, BYTES);
    let gateway = setup.start();
    // It has read as much as it will, and tried.
    wait_until("a refusal", || gateway.metric(r#"bus_publish_total{result="refused"}"#) > 0.0);
    let waiting = peak_rss(gateway.pid());
    assert!(waiting < LIMIT, "{} MiB", waiting >> 20);
    server.run();
    let operator = server.operator();
    operator.create(Operator::settings());
    wait_for_drain(&gateway);
    assert_eq!(operator.count() as usize, COUNT);
    let sending = peak_rss(gateway.pid());
    assert!(sending < LIMIT, "{} MiB", sending >> 20);
    println!(
        "{} MiB of events, at most {} MiB in memory, {} MiB while it sent",
        (COUNT * BYTES) >> 20,
        waiting >> 20,
        sending >> 20
    );
}

/// An orderly stop waits for what is on its way: the next run sends the rest, and nothing twice.
#[test]
fn a_stop_in_the_middle_of_the_drain_makes_no_duplicate() {
    const COUNT: usize = 20_000;
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    let setup = server.setup("", "").with_spool("");
    fill_spool(&setup, COUNT, 0);
    let gateway = setup.start();
    wait_until("the drain", || operator.count() > 500);
    let setup = gateway.stop();
    let sent = operator.count() as usize;
    assert!(sent < COUNT, "all were sent before the stop, so it came too late to show anything");
    let gateway = setup.start();
    wait_for_drain(&gateway);
    assert_eq!(
        gateway.metric(r#"bus_publish_total{result="duplicate"}"#),
        0.0,
        "the stop has forgotten what it had sent"
    );
    assert_eq!(gateway.metric(r#"bus_publish_total{result="ok"}"#) as usize, COUNT - sent);
    assert_eq!(operator.count() as usize, COUNT);
    println!("{sent} of {COUNT} before the stop");
}
