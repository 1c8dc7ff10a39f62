//! Answers that are given before the body is read: the sender, still writing, gets that answer and never a reset.

use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    client::{Answer, Connection, post_head},
    harness::{Gateway, POLICY, Setup, sample},
    wait::wait_until,
};

const BODY: &str = "policy1099/samples/flat/policy.active.json";

/// Bodies from what fits into a socket's buffers to what does not by far.
const SIZES: [usize; 4] = [64 * 1024 + 1, 900_000, 5_000_000, 40_000_000];

/// Writes the whole request before it reads, as `requests` and many others do, then reads up to the end of the connection.
fn stubborn(address: SocketAddr, head: &str, body: &[u8]) -> Result<Answer, String> {
    let mut connection = Connection::open(address);
    connection.try_send(head.as_bytes()).map_err(|error| format!("head: {error}"))?;
    connection.try_send(body).map_err(|error| format!("body: {error}"))?;
    let answer = connection.answer().ok_or("no answer")?;
    if connection.closed_within(Duration::from_secs(5)) { Ok(answer) } else { Err("not closed".into()) }
}

fn head(method: &str, path: &str, bytes: usize) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {bytes}\r\n\r\n")
}

#[test]
fn a_sender_that_writes_on_gets_the_status() {
    let gateway = Setup::new("", "").start();
    for size in SIZES {
        let body = vec![b'x'; size];
        for (method, path, status) in
            [("POST", "/nowhere", 404), ("PUT", POLICY, 405), ("GET", POLICY, 200), ("POST", "/", 404)]
        {
            let answer = stubborn(gateway.address, &head(method, path, size), &body).map(|answer| seen(&answer));
            assert_eq!(answer, Ok((status, Some("close".to_owned()))), "{method} {path} {size}");
        }
        if size > 5 * 1024 * 1024 {
            let answer = stubborn(gateway.address, &head("POST", POLICY, size), &body).map(|answer| seen(&answer));
            assert_eq!(answer, Ok((413, Some("close".to_owned()))), "{size}");
        }
        // What hyper answers itself.
        let wide = format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nX: {}\r\n", "x".repeat(20_000));
        let answer = stubborn(gateway.address, &wide, &body).map(|answer| seen(&answer));
        assert_eq!(answer, Ok((431, Some("close".to_owned()))), "{size}");
        let answer = stubborn(gateway.address, "nonsense\r\n\r\n", &body).map(|answer| seen(&answer));
        assert_eq!(answer, Ok((400, Some("close".to_owned()))), "{size}");
    }
    gateway.wait_for_metric("http_connections", 0.0);
}

fn seen(answer: &Answer) -> (u16, Option<String>) {
    let connection = answer.header("connection").map(str::to_owned);
    (answer.status, connection)
}

#[test]
fn a_body_in_chunks_without_an_end_gets_the_status() {
    let gateway = Setup::new("", "").start();
    let head = "POST /nowhere HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let answer = stubborn(gateway.address, head, chunk.repeat(100).as_bytes()).map(|answer| seen(&answer));
    assert_eq!(answer, Ok((404, Some("close".to_owned()))));
}

#[test]
fn overload_is_told_to_a_sender_that_writes_on() {
    let gateway =
        Setup::new("max_inflight = \"2MiB\"\nmax_body = \"1MiB\"\nmax_connections = 3\nbody_timeout = \"15s\"", "")
            .start();
    let body = vec![b'x'; 1024 * 1024];
    let mut holder = gateway.connect();
    holder.send(post_head(POLICY, &body, ""));
    holder.send(&body[..body.len() - 1]);
    wait_until("a held body", || gateway.metric("http_inflight_bytes") >= 1024.0 * 1024.0);
    let answer = stubborn(gateway.address, &post_head(POLICY, &body, ""), &body).map(|answer| seen(&answer));
    assert_eq!(answer, Ok((503, Some("close".to_owned()))), "no memory for it");

    gateway.wait_for_metric("http_connections", 1.0);
    let _others = (gateway.connect(), gateway.connect());
    gateway.wait_for_metric("http_connections", 3.0);
    for size in SIZES {
        let body = vec![b'x'; size];
        let answer = stubborn(gateway.address, &post_head(POLICY, &body, ""), &body).map(|answer| seen(&answer));
        assert_eq!(answer, Ok((503, Some("close".to_owned()))), "no connection for it: {size}");
    }
}

#[test]
fn a_small_body_is_read_and_the_connection_kept() {
    let gateway = Setup::new("", "").start();
    let mut connection = gateway.connect();
    for size in [1, 1000, 16 * 1024, 64 * 1024] {
        let body = vec![b'x'; size];
        for (method, path, status) in [("POST", "/nowhere", 404), ("PUT", POLICY, 405), ("GET", POLICY, 200)] {
            // In two pieces, as a proxy writes it.
            connection.send(head(method, path, size));
            thread::sleep(Duration::from_millis(20));
            connection.send(&body);
            let answer = connection.answer().unwrap();
            assert_eq!(seen(&answer), (status, None), "{method} {path} {size}");
        }
        connection.send("POST /nowhere HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        connection.send(format!("{size:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(size)));
        assert_eq!(seen(&connection.answer().unwrap()), (404, None), "chunked {size}");
    }
    assert_eq!(connection.post(POLICY, &sample(BODY)).status, 200, "on the same connection");
}

/// A sender that asks before it sends its body is answered at once and need not send it.
#[test]
fn a_sender_that_asks_first_is_not_told_to_go_on() {
    let gateway = Setup::new("", "").start();
    let mut connection = gateway.connect();
    connection.send("POST /nowhere HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n");
    assert_eq!(seen(&connection.answer().unwrap()), (404, Some("close".to_owned())));
    assert!(connection.closed_within(Duration::from_secs(5)));
}

/// What is discarded is bounded in bytes and in time, and holds its connection's place as long.
#[test]
fn a_stranger_does_not_keep_a_connection_for_long() {
    let gateway = Setup::new("discard_max = \"1MiB\"\ndiscard_timeout = \"1s\"", "").start();
    let mut greedy = TcpStream::connect(gateway.address).unwrap();
    let begin = Instant::now();
    std::io::Write::write_all(&mut greedy, head("POST", "/nowhere", 1 << 40).as_bytes()).unwrap();
    let piece = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while std::io::Write::write_all(&mut greedy, &piece).is_ok() {
        sent += piece.len();
        assert!(sent < 64 * 1024 * 1024, "no bound in bytes");
    }
    gateway.wait_for_metric("http_connections", 0.0);

    let mut slow = gateway.connect();
    slow.send(head("POST", "/nowhere", 1 << 40));
    while slow.try_send(b"x").is_ok() {
        thread::sleep(Duration::from_millis(50));
        assert!(begin.elapsed() < Duration::from_secs(10), "no bound in time");
    }
    gateway.wait_for_metric("http_connections", 0.0);

    let mut silent = gateway.connect();
    silent.send(head("POST", "/nowhere", 1 << 40));
    assert_eq!(silent.answer().map(|answer| answer.status), Some(404));
    gateway.wait_for_metric("http_connections", 0.0);
}

/// A drain waits for a stranger's last bytes no longer than its deadline.
#[test]
fn the_drain_ends_a_strangers_discard_at_its_deadline() {
    let mut gateway = Setup::new("drain_deadline = \"1s\"\ndiscard_timeout = \"60s\"", "").start();
    let mut stranger = gateway.connect();
    stranger.send(head("POST", "/nowhere", 1 << 40));
    assert_eq!(stranger.answer().map(|answer| answer.status), Some(404));
    let writer = thread::spawn(move || {
        while stranger.try_send(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    gateway.signal("-TERM");
    let begin = Instant::now();
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    writer.join().unwrap();
}

/// The senders that vendors are made of: each posts bodies of several sizes to an unknown path and prints the statuses.
#[test]
fn common_clients_see_the_status() {
    const NODE: &str = r#"
        const sizes = [65537, 900000, 5000000, 40000000];
        for (const size of sizes) {
            const answer = await fetch(process.argv[1], { method: "POST", body: "x".repeat(size) });
            await answer.text();
            console.log(answer.status);
        }"#;
    // What `requests` is made of, which need not be installed.
    const PYTHON: &str = "import http.client, sys\n\
        for size in [65537, 900000, 5000000, 40000000]:\n\
        \x20   connection = http.client.HTTPConnection(sys.argv[1])\n\
        \x20   connection.request('POST', '/nowhere', b'x' * size)\n\
        \x20   print(connection.getresponse().status)\n";
    let gateway = Setup::new("", "").start();
    let url = format!("http://{}/nowhere", gateway.address);
    statuses(&gateway, Command::new("node").args(["--input-type=module", "-e", NODE, "--", &url]));
    statuses(&gateway, Command::new("python3").args(["-c", PYTHON, &gateway.address.to_string()]));
}

fn statuses(gateway: &Gateway, command: &mut Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text, "404\n404\n404\n404\n", "{command:?}: {errors}");
    gateway.wait_for_metric("http_connections", 0.0);
}
