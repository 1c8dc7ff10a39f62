//! What the log says of Kafka brokers that cannot be reached: which ones, and why, one line for each change of cause.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    thread,
    time::Duration,
};

use crate::support::{
    brokers::kafka::{Broker, shared},
    harness::{Gateway, POLICY, Setup, free_ports},
    wait::try_at_most,
};

const UNREACHED: &str = "kafka: no broker answers, trying for ever";
/// Several looks, each with its own attempts.
const A_WHILE: Duration = Duration::from_secs(8);

/// A gateway's folder whose only broker is said to be there. `tls`: keys of `[bus.kafka]`.
fn at(broker: &str, tls: &str) -> Setup {
    let shared: &Broker = shared();
    let setup = shared.setup("", "", tls);
    setup.edit(&shared.address(), broker);
    setup
}

/// The causes that the log names, in order.
fn causes(gateway: &mut Gateway) -> Vec<String> {
    let log = gateway.log_so_far();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let lines = lines.filter(|line| line["message"] == UNREACHED);
    lines.map(|line| line["error"].as_str().unwrap().to_owned()).collect()
}

/// Waits until the log names this cause, of this broker.
fn is_said(gateway: &mut Gateway, broker: &str, cause: &str) {
    let mut said = Vec::new();
    let is_there = try_at_most(Duration::from_secs(30), || {
        said = causes(gateway);
        said.iter().any(|line| line.starts_with(&format!("{broker}: ")) && line.contains(cause))
    });
    assert!(is_there, "{broker}: {cause}: {said:?}");
}

#[test]
fn a_refused_connection_is_said_once_with_broker_and_cause() {
    let [port] = free_ports();
    let broker = format!("127.0.0.1:{port}");
    let mut gateway = at(&broker, "tls = {}").start();
    is_said(&mut gateway, &broker, "Connection refused");
    assert_eq!(gateway.post(POLICY, br#"{"id":"evt_1","type":"policy.active","data":{}}"#).status, 503);
    let refused = |said: &[String]| said.iter().filter(|line| line.contains("refused")).count();
    assert!(!try_at_most(A_WHILE, || refused(&causes(&mut gateway)) > 1), "{:?}", causes(&mut gateway));
    // Another cause at the same broker: something takes connections, and speaks no TLS.
    let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    thread::spawn(move || {
        for mut connection in stranger.incoming().map_while(Result::ok) {
            // What is left unread would reset the connection, which is another cause.
            let _greeting = connection.read(&mut [0; 4096]);
            let _gone = connection.write_all(b"421 no\r\n");
        }
    });
    is_said(&mut gateway, &broker, "TLS handshake failed");
    assert!(!try_at_most(A_WHILE, || causes(&mut gateway).len() > 2), "{:?}", causes(&mut gateway));
}

#[test]
fn a_name_that_leads_nowhere_and_a_broker_without_tls_are_said() {
    let plain = shared().address();
    for (broker, tls, cause) in
        [("nowhere.invalid:9092", "", "Failed to resolve"), (plain.as_str(), "tls = {}", "TLS handshake failed")]
    {
        is_said(&mut at(broker, tls).start(), broker, cause);
    }
}
