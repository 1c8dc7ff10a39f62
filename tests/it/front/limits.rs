//! Connections, memory and overload.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};

use crate::support::{
    client::{Connection, post_head, signature},
    harness::{Gateway, POLICY, Setup, peak_rss, sample},
    wait::wait_until,
};

const BODY: &str = "policy1099/samples/flat/policy.active.json";

/// 500 unsigned bodies of the largest size at once: what the process holds is bounded by the budget and by what hyper
/// buffers per connection, not by what senders declare or send.
#[test]
fn a_flood_of_unsigned_bodies_stays_within_the_budget() {
    const FLOOD: usize = 500;
    const BODY_BYTES: usize = 5 * 1024 * 1024;
    const BUDGET: u64 = 32 * 1024 * 1024;
    // hyper's read buffer of each connection, and the allocator's slack around it all: 11 to 26 MiB were seen.
    const BUFFERS: u64 = FLOOD as u64 * 16 * 1024;
    const SLACK: u64 = 40 * 1024 * 1024;
    let gateway = Setup::new("max_inflight = \"32MiB\"\nbody_timeout = \"4s\"", "").start();
    let before = peak_rss(gateway.pid());

    let address = gateway.address;
    let senders: Vec<_> = (0..FLOOD)
        .map(|_| {
            thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || {
                    let mut connection = Connection::open(address);
                    connection
                        .send(format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY_BYTES}\r\n\r\n"));
                    let piece = vec![b'x'; 64 * 1024];
                    for _ in 0..BODY_BYTES / piece.len() {
                        // A 503 and a close is what most of them get half-way.
                        if connection.try_send(&piece).is_err() {
                            break;
                        }
                    }
                    connection.answer().map(|answer| answer.status)
                })
                .unwrap()
        })
        .collect();
    let statuses: Vec<_> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
    // A sender whose own bytes are unread when the gateway closes may see a reset instead of the 503.
    assert!(statuses.iter().all(|status| matches!(status, None | Some(401 | 408 | 503))), "{statuses:?}");
    assert!(gateway.metric(r#"http_requests_total{source="acme",status="503"}"#) > 0.0, "the budget was never used up");
    let grown = peak_rss(gateway.pid()) - before;
    println!("grown by {} MiB of {}", grown >> 20, (BUDGET + BUFFERS + SLACK) >> 20);
    assert!(grown <= BUDGET + BUFFERS + SLACK, "grew by {} MiB", grown / 1024 / 1024);

    gateway.wait_for_metric("http_inflight_bytes", 0.0);
    assert_eq!(gateway.post(POLICY, &sample(BODY)).status, 200, "and it serves on");
    assert_eq!(gateway.metric("journal_appends_total"), 1.0, "nothing unsigned was stored");
}

/// A body that is only declared holds no memory: heads that announce much more than the budget do not shut out others.
#[test]
fn a_declared_body_holds_no_more_than_its_head() {
    let gateway = Setup::new("max_inflight = \"2MiB\"\nmax_body = \"1MiB\"", "").start();
    let held: Vec<_> = (0..200)
        .map(|_| {
            let mut connection = gateway.connect();
            connection.send(format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"));
            connection
        })
        .collect();
    gateway.wait_for_metric("http_inflight_requests", 200.0);
    assert!(gateway.metric("http_inflight_bytes") < 200.0 * 100.0);
    assert_eq!(gateway.post(POLICY, &sample(BODY)).status, 200);
    drop(held);
}

#[test]
fn without_budget_it_is_503() {
    let gateway = Setup::new("max_inflight = \"1MiB\"\nmax_body = \"512KiB\"", "").start();
    let body = vec![b'x'; 512 * 1024];
    let mut holder = gateway.connect();
    holder.send(post_head(POLICY, &body, ""));
    holder.send(&body[..body.len() - 1]);
    wait_for_held(&gateway, 512 * 1024);

    // A second one as large does not fit into the part for large bodies; a small one does.
    let mut second = gateway.connect();
    second.send(post_head(POLICY, &body, ""));
    // It may be reset while it still sends.
    let _cut = second.try_send(&body);
    gateway.wait_for_metric(r#"http_requests_total{source="acme",status="503"}"#, 1.0);
    let small = sample(BODY);
    assert_eq!(gateway.post(POLICY, &small).status, 200);

    holder.send(&body[..1]);
    assert_eq!(holder.answer().map(|answer| answer.status), Some(401));
    gateway.wait_for_metric("http_inflight_bytes", 0.0);
}

/// All of the budget in small bodies: the next one is refused before a byte of it is read.
#[test]
fn overload_is_503_before_the_body_is_read() {
    let gateway = Setup::new("max_inflight = \"129KiB\"\nmax_body = \"64KiB\"", "").start();
    let body = vec![b'x'; 64 * 1024];
    let mut holders: Vec<_> = (0..2)
        .map(|_| {
            let mut holder = gateway.connect();
            holder.send(post_head(POLICY, &body, ""));
            holder.send(&body[..body.len() - 1]);
            holder
        })
        .collect();
    wait_for_held(&gateway, 128 * 1024);
    let small = vec![b'x'; 2000];
    let answer = gateway.connect().request(&post_head(POLICY, &small, ""), &small);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(answer.body, r#"{"error":"unavailable"}"#);
    for holder in &mut holders {
        holder.send(&body[..1]);
        assert_eq!(holder.answer().map(|answer| answer.status), Some(401));
    }
    gateway.wait_for_metric("http_inflight_bytes", 0.0);
    assert_eq!(gateway.post(POLICY, &sample(BODY)).status, 200);
}

/// Waits until the budget holds so many bytes of bodies, and their heads.
fn wait_for_held(gateway: &Gateway, bytes: usize) {
    wait_until("held bodies", || gateway.metric("http_inflight_bytes") >= bytes as f64);
}

/// A piece of one byte costs one byte: requests that stall after it do not use up the budget.
#[test]
fn small_pieces_cost_what_they_are() {
    let gateway = Setup::new("max_inflight = \"1MiB\"\nmax_body = \"512KiB\"", "").start();
    let held: Vec<_> = (0..500)
        .map(|_| {
            let mut connection = gateway.connect();
            connection.send(format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nx"));
            connection
        })
        .collect();
    gateway.wait_for_metric("http_inflight_requests", 500.0);
    assert!(gateway.metric("http_inflight_bytes") < 500.0 * 100.0);
    assert_eq!(gateway.post(POLICY, &sample(BODY)).status, 200);
    drop(held);
}

/// Heads that are not complete, and heads whose bodies do not come: what they hold is part of the budget, and small bodies
/// still find room.
#[test]
fn heads_are_part_of_the_budget() {
    const CONNECTIONS: usize = 1500;
    const BUDGET: u64 = 8 * 1024 * 1024;
    // What a connection costs beside its head, and the allocator's slack around it all.
    const EACH: u64 = CONNECTIONS as u64 * 10 * 1024;
    const SLACK: u64 = 4 * 1024 * 1024;
    for end in ["", "\r\n"] {
        let gateway = Setup::new("max_inflight = \"8MiB\"\nmax_body = \"1MiB\"", "").start();
        let before = peak_rss(gateway.pid());
        let fat = "x".repeat(15 * 1024);
        let head = format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\nX: {fat}\r\n{end}");
        let mut held: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let mut connection = gateway.connect();
                let _refused = connection.try_send(head.as_bytes());
                connection
            })
            .collect();
        let source = if end.is_empty() { "none" } else { "acme" };
        let refused = format!(r#"http_requests_total{{source="{source}",status="503"}}"#);
        wait_until("some refused", || gateway.metric(&refused) > 100.0);
        assert_eq!(gateway.post(POLICY, &sample(BODY)).status, 200, "a small body finds room");
        let grown = peak_rss(gateway.pid()) - before;
        assert!(grown <= BUDGET + EACH + SLACK, "grew by {} KiB", grown / 1024);
        assert!(gateway.metric("http_inflight_bytes") <= BUDGET as f64);
        let answer = held.pop().unwrap().answer().unwrap();
        assert_eq!((answer.status, answer.header("connection")), (503, Some("close")));
        drop(held);
        gateway.wait_for_metric("http_inflight_bytes", 0.0);
    }
}

/// A body that trickles after a burst is as slow as one that never came: the budget is not for parking.
#[test]
fn a_trickle_is_a_stall() {
    let gateway = Setup::new("body_timeout = \"500ms\"\nrequest_timeout = \"10s\"", "").start();
    let mut parked = gateway.connect();
    parked.send(format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"));
    parked.send(vec![b'x'; 500_000]);
    let stalled = r#"http_connections_closed_total{reason="body_timeout"}"#;
    for _ in 0..50 {
        if parked.try_send(b"x").is_err() || gateway.metric(stalled) > 0.0 {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(gateway.metric(stalled), 1.0);
    assert_eq!(gateway.metric("http_inflight_bytes"), 0.0);
}

/// Chunks of one byte cost far more work than they carry.
#[test]
fn a_body_in_crumbs_is_refused() {
    let gateway = Setup::new("", "").start();
    let mut connection = gateway.connect();
    connection.send(format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
    let _cut = connection.try_send("1\r\nx\r\n".repeat(20_000).as_bytes());
    gateway.wait_for_metric(r#"http_requests_total{source="acme",status="400"}"#, 1.0);
}

#[test]
fn one_connection_too_many_is_503_and_closed() {
    let gateway = Setup::new("max_connections = 2", "").start();
    let mut first = gateway.connect();
    assert_eq!(first.post(POLICY, &sample(BODY)).status, 200);
    let mut second = gateway.connect();
    assert_eq!(second.post(POLICY, &sample(BODY)).status, 200);
    let mut third = gateway.connect();
    assert_eq!(third.answer().map(|answer| answer.status), Some(503));
    assert_eq!(gateway.metric(r#"http_connections_closed_total{reason="limit"}"#), 1.0);
    drop(second);
    gateway.wait_for_metric("http_connections", 1.0);
    assert_eq!(gateway.post(POLICY, &sample(BODY)).status, 200);
}

/// What a body takes of the budget it holds until the bus has it: here the disk is slow.
#[test]
fn a_body_on_its_way_to_the_bus_holds_its_budget() {
    let gateway = Setup::new("", "").start_on_a_disk_with("delay_enter=3000000");
    let body = sample(BODY);
    let mut connection = gateway.connect();
    connection.send([post_head(POLICY, &body, &signature(POLICY, &body)).as_bytes(), &body].concat());
    gateway.wait_for_metric("bus_inflight", 1.0);
    let (held, least) = (gateway.metric("http_inflight_bytes"), body.len() as f64);
    assert!((least..least + 1000.0).contains(&held), "{held}: the body and its head");
    assert_eq!(connection.answer().map(|answer| answer.status), Some(200));
    gateway.wait_for_metric("http_inflight_bytes", 0.0);
}

/// A log that nobody reads (a full pipe) blocks no request.
#[test]
fn a_blocked_log_blocks_nobody() {
    let first_line_only = r#"exec "$0" "$@" 2> >(grep -m1 serving >&2; exec sleep 600)"#;
    let gateway = Setup::new("", "").start_under(&["bash", "-c", first_line_only]);
    let mut connection = gateway.connect();
    let body = sample(BODY);
    // Repeats are accepted events, whose lines nothing bounds but the buffer: more than it and the pipe hold.
    for _ in 0..8000 {
        assert_eq!(connection.post(POLICY, &body).status, 200);
    }
    wait_until("dropped lines", || gateway.metric("log_lines_dropped_total") > 0.0);
}

/// A flood of refused requests fills no disk with their lines; the counters stay exact.
#[test]
fn a_flood_of_refusals_is_counted_not_written() {
    let mut gateway = Setup::new("", "").start();
    let mut connection = gateway.connect();
    let head = format!("PUT {POLICY} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    let begin = Instant::now();
    for _ in 0..2000 {
        assert_eq!(connection.request(&head, b"").status, 405);
    }
    // Of 2000 in one second: the first hundred, and the sample of the others.
    let allowed = 200 * (begin.elapsed().as_secs() as usize + 2);
    assert_eq!(gateway.metric(r#"http_requests_total{source="acme",status="405"}"#), 2000.0);
    let mut written = 0;
    wait_until("every line, written or counted", || {
        written = gateway.log_so_far().lines().filter(|line| line.contains("\"status\":405")).count();
        written + gateway.metric("log_lines_dropped_total") as usize == 2000
    });
    assert!((1..=allowed).contains(&written), "{written} written, {allowed} allowed");
}

/// Whoever is awake first accepts a connection, and keeps it only if no other worker has fewer.
#[test]
fn connections_are_spread_evenly_over_the_workers() {
    const WORKERS: usize = 4;
    let gateway = Setup::new("workers = 4", "").start();
    let connect = |count: usize| -> Vec<Connection> {
        let ask = |_| {
            let mut connection = gateway.connect();
            assert_eq!(connection.request(&format!("GET {POLICY} HTTP/1.1\r\nHost: h\r\n\r\n"), b"").status, 200);
            connection
        };
        (0..count).map(ask).collect()
    };
    let mut connections = connect(40);
    let now = watched(gateway.pid());
    assert!(now[0] == now[WORKERS - 1] && now[0] > 40 / WORKERS, "{now:?}");

    // What ends leaves its worker.
    connections.drain(..20);
    gateway.wait_for_metric("http_connections", 20.0);
    connections.extend(connect(20));
    assert_eq!(watched(gateway.pid())[..WORKERS], now[..WORKERS]);
}

/// How many descriptors each event loop of a process watches, most first: workers that have connections before all others.
fn watched(pid: u32) -> Vec<usize> {
    let loops = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let target = fs::read_link(entry.path()).ok()?;
        let is_loop = target.to_string_lossy() == "anon_inode:[eventpoll]";
        let number = entry.file_name();
        let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", number.display())).ok();
        text.filter(|_| is_loop)
    });
    let lines = |text: String| text.lines().filter(|line| line.starts_with("tfd:")).map(str::to_owned).collect();
    // Each is open twice, and lists the same.
    let mut counts: Vec<usize> =
        loops.map(lines).collect::<BTreeSet<BTreeSet<String>>>().iter().map(BTreeSet::len).collect();
    counts.sort_unstable_by_key(|count| Reverse(*count));
    counts
}
