//! What the log says of a NATS server that cannot be reached: which one, and why, once.

use crate::support::brokers::nats::{NatsServer, Operator, event};
use crate::support::harness::{Gateway, POLICY};

const UNREACHED: &str = "NATS: not connected, trying for ever";

/// The first line on it.
fn said(gateway: &mut Gateway) -> String {
    gateway.wait_for_log(|line| line["message"] == UNREACHED)["error"].as_str().unwrap().to_owned()
}

#[test]
fn a_refused_connection_is_said_once_with_server_and_cause() {
    let mut server = NatsServer::stopped("");
    let mut gateway = server.setup("", "publish_timeout = \"600ms\"\nack_timeout = \"300ms\"").start();
    let server_at = server.url().trim_start_matches("nats://").to_owned();
    let error = said(&mut gateway);
    assert!(error.starts_with(&format!("{server_at}: ")) && error.contains("Connection refused"), "{error}");
    // Some attempts more, by every worker.
    for number in 0..4 {
        assert_eq!(gateway.post(POLICY, &event(number)).status, 503);
    }
    server.run();
    server.operator().create(Operator::settings());
    gateway.wait_for_metric("bus_up", 1.0);
    let lines = |log: &str| log.matches(UNREACHED).count();
    assert_eq!(lines(&gateway.log_so_far()), 1, "one fault, one line");
    // The next outage is another fault.
    server.kill();
    gateway.wait_for_metric("bus_up", 0.0);
    crate::support::wait::wait_until("the next line", || lines(&gateway.log_so_far()) > 1);
}

#[test]
fn a_name_that_leads_nowhere_and_a_server_without_tls_are_said() {
    let server = NatsServer::start();
    let plain = server.url().replace("nats://", "");
    for (servers, words) in [
        ("nats://nowhere.invalid:4222".to_owned(), "nowhere.invalid:4222: DNS error".to_owned()),
        (format!("tls://{plain}"), format!("{plain}: ")),
    ] {
        let mut gateway = server.setup("", &format!("servers = [\"{servers}\"]")).start();
        let error = said(&mut gateway);
        assert!(error.contains(&words) && !error.ends_with("IO error"), "{error}");
    }
}
