//! The stop: unready, still accepting for a while, then closing, finishing, flushing, exit 0.

use std::{
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    client::{Connection, post_head, signature},
    harness::{POLICY, Setup, sample, tail},
    wait::{PATIENCE, wait_until},
};

const BODY: &str = "policy1099/samples/flat/policy.active.json";

#[test]
fn unready_at_once_then_accepting_for_the_delay_then_closed() {
    let mut gateway = Setup::new("drain_delay = \"1500ms\"", "").start();
    assert_eq!(gateway.get_admin("/readyz").status, 200);
    let mut pooled = gateway.connect();
    assert_eq!(pooled.post(POLICY, &sample(BODY)).header("connection"), None);
    let begin = Instant::now();
    gateway.signal("-TERM");
    wait_until("unready", || gateway.get_admin("/readyz").status == 503);
    assert_eq!(gateway.get_admin("/livez").status, 200);
    let late = gateway.post(POLICY, &sample(BODY));
    assert_eq!((late.status, late.header("connection")), (200, Some("close")), "a balancer that has not heard yet");
    assert_eq!(pooled.post(POLICY, &sample(BODY)).header("connection"), Some("close"));
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(begin.elapsed() >= Duration::from_millis(1500));
}

#[test]
fn what_is_in_flight_is_finished() {
    let mut gateway = Setup::new("", "").start();
    let body = sample(BODY);
    let mut slow = gateway.connect();
    slow.send([post_head(POLICY, &body, &signature(POLICY, &body)).as_bytes(), &body[..10]].concat());
    let mut idle = gateway.connect();
    assert_eq!(idle.post(POLICY, b"{}").status, 200);
    gateway.wait_for_metric("http_inflight_requests", 1.0);
    gateway.signal("-TERM");
    assert!(idle.closed_within(PATIENCE), "an idle connection is closed");
    slow.send(&body[10..]);
    let answer = slow.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(gateway.wait().code(), Some(0));
}

/// More than tokio lets a task accept in one turn.
#[test]
fn every_connection_that_waits_in_the_kernel_is_answered_before_the_listener_closes() {
    let mut gateway = Setup::new("workers = 1", "").start();
    gateway.signal("-STOP");
    let mut waiting: Vec<_> = (0..300).map(|_| gateway.connect()).collect();
    let body = sample(BODY);
    let request = [post_head(POLICY, &body, &signature(POLICY, &body)).as_bytes(), &body].concat();
    waiting.iter_mut().for_each(|connection| connection.send(&request));
    gateway.signal("-TERM");
    gateway.signal("-CONT");
    let answered = waiting.iter_mut().filter_map(Connection::answer).filter(|answer| answer.status == 200).count();
    assert_eq!((answered, gateway.wait().code()), (300, Some(0)));
}

/// Proxies open a connection, or take one from their pool, and write to it a moment later. What was open when the drain
/// began to close connections is not closed under such a request.
#[test]
fn a_request_under_way_when_connections_are_closed_is_answered() {
    let mut gateway = Setup::new("", "").start();
    let body = sample(BODY);
    let mut used = gateway.connect();
    assert_eq!(used.post(POLICY, b"{}").status, 200);
    let (mut new, mut begun) = (gateway.connect(), gateway.connect());
    assert_eq!(begun.post(POLICY, b"{}").status, 200);
    begun.send("POST /webh");
    gateway.wait_for_metric("http_connections", 3.0);
    gateway.signal("-TERM");
    gateway.wait_for_log(|line| line["message"] == "draining");
    wait_until("the listener is closed", || std::net::TcpStream::connect(gateway.address).is_err());
    let head = post_head(POLICY, &body, &signature(POLICY, &body));
    begun.send([head.strip_prefix("POST /webh").unwrap().as_bytes(), &body].concat());
    for connection in [&mut new, &mut used] {
        connection.send([head.as_bytes(), &body].concat());
    }
    for connection in [&mut begun, &mut new, &mut used] {
        let answer = connection.answer().expect("an answer, not a closed connection");
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    }
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn at_the_deadline_what_is_left_is_cut() {
    let mut gateway = Setup::new("drain_deadline = \"500ms\"", "").start();
    let mut stuck = gateway.connect();
    stuck.send(format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"));
    gateway.wait_for_metric("http_inflight_requests", 1.0);
    let begin = Instant::now();
    gateway.signal("-INT");
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(begin.elapsed() >= Duration::from_millis(500) && begin.elapsed() < Duration::from_secs(4));
    assert!(gateway.log_so_far().contains("drain deadline reached"));
}

#[test]
fn a_second_signal_skips_the_delay() {
    let mut gateway = Setup::new("drain_delay = \"60s\"", "").start();
    gateway.signal("-INT");
    gateway.wait_for_log(|line| line["message"] == "draining");
    gateway.signal("-INT");
    assert_eq!(gateway.wait().code(), Some(0));
}

/// A balancer's connection that still owes the head of the PROXY protocol: a head that is under way is read and its request
/// answered, and one that does not come holds nothing.
#[test]
fn a_connection_without_its_proxys_head_does_not_hold_the_stop() {
    let listener = "trusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = true\nhead_timeout = \"60s\"";
    let mut gateway = Setup::new(listener, "").start();
    let head = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let (mut silent, mut begun, mut good) = (gateway.connect(), gateway.connect(), gateway.connect());
    begun.send(&head[..7]);
    gateway.wait_for_metric("http_connections", 3.0);
    let begin = Instant::now();
    gateway.signal("-TERM");
    wait_until("the listener is closed", || std::net::TcpStream::connect(gateway.address).is_err());
    let body = sample(BODY);
    good.send([head, post_head(POLICY, &body, &signature(POLICY, &body)).as_bytes(), &body].concat());
    let answer = good.answer().expect("an answer, not a closed connection");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(silent.closed_within(PATIENCE) && begun.closed_within(PATIENCE));
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    assert!(!gateway.log_so_far().contains("drain deadline reached"));
}

/// SIGTERM under load: senders that reconnect when told to close see no failed request until the listener is gone.
#[test]
fn under_load_no_request_that_was_read_is_lost() {
    let mut gateway = Setup::new("drain_delay = \"500ms\"", "").start();
    let address = gateway.address;
    let answered = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for sender in 0..8 {
            let answered = &answered;
            scope.spawn(move || {
                let mut connection = None;
                for number in 0.. {
                    let id = format!("evt_{sender}_{number}");
                    let body = format!(r#"{{"id":"{id}","type":"policy.active","data":{{}}}}"#);
                    let open: &mut Connection = connection.get_or_insert_with(|| Connection::open(address));
                    let answer = open.post(POLICY, body.as_bytes());
                    assert_eq!(answer.status, 200);
                    answered.lock().unwrap().push(id);
                    if answer.header("connection") == Some("close") {
                        // As a balancer that has seen the unready endpoint: no new connection to it.
                        return;
                    }
                }
            });
        }
        wait_until("load", || answered.lock().unwrap().len() > 200);
        gateway.signal("-TERM");
    });
    assert_eq!(gateway.wait().code(), Some(0));
    let mut answered = answered.into_inner().unwrap();
    let lines = tail(gateway.into_setup().path(), &["--from-start", "--count", &answered.len().to_string()]);
    let mut stored: Vec<_> = lines
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    answered.sort_unstable();
    stored.sort_unstable();
    assert_eq!(stored, answered);
}
