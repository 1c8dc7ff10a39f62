//! The admin port under clients that hold its connections: a probe and a scrape get their answers all the same.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::support::{
    client::Connection,
    harness::{Gateway, Setup},
    wait::wait_until,
};

/// All the connections that the admin port takes at once.
const ALL: usize = 32;
/// A probe that waits for longer has failed: the limit of the chart's liveness probe. An answer's writing may take longer.
const PROBE: Duration = Duration::from_secs(5);

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Some requests in one piece over a socket that takes as little as there can be; nothing is ever read from it.
fn ask_and_read_nothing(address: SocketAddr, path: &str, requests: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.write_all(get(path).repeat(requests).as_bytes()).unwrap();
    stream
}

/// A gateway whose console has much to say.
fn talkative() -> Gateway {
    let gateway = Setup::new("", "").start();
    let path = format!("/{}", "x".repeat(200));
    let mut connection = gateway.connect();
    for _ in 0..1000 {
        assert_eq!(connection.request(&get(&path), b"").status, 404);
    }
    wait_until("the console has them", || gateway.get_admin("/console/recent.json?limit=2000").body.len() > 300_000);
    gateway
}

fn probe(gateway: &Gateway, path: &str, within: Duration) {
    let begin = Instant::now();
    assert_eq!(gateway.get_admin(path).status, 200, "{path}");
    assert!(begin.elapsed() < within, "{path} took {:?}", begin.elapsed());
}

#[test]
fn who_does_not_read_keeps_no_probe_and_no_scrape_away() {
    let gateway = talkative();
    for path in ["/console/recent.json?limit=2000", "/console?limit=500"] {
        let _held: Vec<_> = (0..2 * ALL).map(|_| ask_and_read_nothing(gateway.admin, path, 1)).collect();
        for path in ["/livez", "/metrics", "/readyz"] {
            probe(&gateway, path, PROBE);
        }
    }
}

#[test]
fn who_does_not_read_metrics_or_probes_keeps_no_probe_away() {
    for (path, requests) in [("/metrics", 4), ("/livez", 2000)] {
        let gateway = Setup::new("", "").start();
        let _held: Vec<_> = (0..ALL).map(|_| ask_and_read_nothing(gateway.admin, path, requests)).collect();
        for path in ["/livez", "/readyz"] {
            probe(&gateway, path, PROBE);
        }
    }
}

#[test]
fn a_connection_that_waits_makes_room() {
    let gateway = Setup::new("", "").start();
    let mut kept: Vec<_> = (0..ALL).map(|_| Connection::open(gateway.admin)).collect();
    for connection in &mut kept {
        assert_eq!(connection.request(&get("/livez"), b"").status, 200);
    }
    probe(&gateway, "/livez", PROBE);
    assert!(kept.iter_mut().any(|connection| connection.closed_within(PROBE)));
}

#[test]
fn a_connection_that_asks_nothing_is_closed_in_seconds() {
    let gateway = Setup::new("", "").start();
    let silent: Vec<_> = (0..ALL).map(|_| Connection::open(gateway.admin)).collect();
    for mut connection in silent.into_iter().take(2) {
        assert!(connection.closed_within(Duration::from_secs(8)));
    }
    let mut begun = Connection::open(gateway.admin);
    begun.send("GET /liv");
    assert!(begun.closed_within(Duration::from_secs(8)));
}

/// Whoever holds connections of the admin port does not hold the stop.
#[test]
fn the_stop_waits_a_second_for_last_answers_and_no_longer() {
    let mut gateway = Setup::new("", "").start();
    let mut kept = Connection::open(gateway.admin);
    assert_eq!(kept.request(&get("/livez"), b"").status, 200);
    let (_silent, _unread) = (Connection::open(gateway.admin), ask_and_read_nothing(gateway.admin, "/metrics", 20));
    let begin = Instant::now();
    gateway.signal("-TERM");
    assert_eq!(gateway.wait().code(), Some(0));
    println!("stopped after {:?}", begin.elapsed());
    assert!(kept.closed_within(PROBE));
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
}
