//! File descriptors: who may have how many, and what happens without any.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::support::{
    client::Connection,
    harness::{POLICY, Setup, sample},
    wait::wait_until,
};

const BODY: &str = "policy1099/samples/flat/policy.active.json";

/// Strangers' connections end where the file descriptors for everything else begin: health answers, the journal writes.
#[test]
fn strangers_do_not_take_the_last_file_descriptors() {
    let mut gateway = Setup::new("", "").start_under(&["prlimit", "--nofile=80:80"]);
    let warning = gateway.wait_for_log(|line| line["wanted"] == 10_000);
    let allowed = usize::try_from(warning["max_connections"].as_u64().unwrap()).unwrap();
    assert!((1..80).contains(&allowed), "{warning}");
    let mut kept = gateway.connect();
    assert_eq!(kept.post(POLICY, &sample(BODY)).status, 200);
    let flood: Vec<_> = (0..300).map(|_| gateway.connect()).collect();
    gateway.wait_for_metric("http_connections", allowed as f64);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(gateway.get_admin(path).status, 200, "{path}");
    }
    assert_eq!(kept.post(POLICY, b"another event").status, 200);
    assert!(!gateway.log_so_far().contains("accept failed"), "no descriptor was missing");
    drop(flood);
    wait_until("an answer", || {
        let mut connection = gateway.connect();
        connection.send(format!("GET {POLICY} HTTP/1.1\r\nHost: h\r\n\r\n"));
        connection.answer().is_some_and(|answer| answer.status == 200)
    });
}

/// Out of file descriptors the accept loop pauses, longer each time, instead of spinning or dying, and serves when there are
/// some again. Its own share it never exceeds: here the limit falls under a running process.
#[test]
fn out_of_file_descriptors_is_survived() {
    let mut gateway = Setup::new("", "").start();
    limit(gateway.pid(), 8);
    let flood: Vec<_> = (0..10).map(|_| gateway.connect()).collect();
    let mut paused = |milliseconds: &str| -> jiff::Timestamp {
        let line = gateway.wait_for_log(|line| line["message"] == "accept failed" && line["pause_ms"] == milliseconds);
        line["timestamp"].as_str().unwrap().parse().unwrap()
    };
    // As each worker says it before its pause: 10, 20, 40, 80 and 160 ms lie between these two.
    let between = paused("10").duration_until(paused("320"));
    assert!(between.as_millis() >= 310, "{between:#}");
    limit(gateway.pid(), 1024);
    drop(flood);
    wait_until("an answer", || {
        let mut connection = gateway.connect();
        connection.send(format!("GET {POLICY} HTTP/1.1\r\nHost: h\r\n\r\n"));
        connection.answer().is_some_and(|answer| answer.status == 200)
    });
}

/// The soft limit of a running process.
fn limit(pid: u32, files: usize) {
    let arguments = ["--pid", &pid.to_string(), &format!("--nofile={files}:")];
    assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
}

/// File descriptors that a process holds.
fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Connections to the admin port are 32 at once, and one that is accepted and waits: more wait in the kernel, cost the process
/// nothing, and are served in turn, though nobody lets go. Webhooks have their own.
#[test]
fn the_admin_port_has_its_own_limit() {
    const LIMIT: usize = 32;
    const MORE: usize = 100;
    let gateway = Setup::new("", "").start();
    let before = descriptors(gateway.pid());
    let answered = AtomicBool::new(false);
    // From before the first: on a busy machine the silent ones give way while the last are opened.
    let (most, answer) = thread::scope(|scope| {
        let most = scope.spawn(|| {
            let mut most = 0;
            while !answered.load(Ordering::Relaxed) {
                most = most.max(descriptors(gateway.pid()));
                thread::sleep(Duration::from_millis(1));
            }
            most
        });
        let _held: Vec<_> = (0..LIMIT + MORE).map(|_| Connection::open(gateway.admin)).collect();
        let mut scrape = Connection::open(gateway.admin);
        scrape.send("GET /livez HTTP/1.1\r\nHost: admin\r\n\r\n");
        let answer = scrape.answer();
        answered.store(true, Ordering::Relaxed);
        (most.join().unwrap(), answer)
    });
    assert_eq!(answer.map(|answer| answer.status), Some(200));
    assert!((before + LIMIT..=before + LIMIT + 1).contains(&most), "{most} and {before} before");
    assert_eq!(gateway.post(POLICY, &sample(BODY)).status, 200);
}
