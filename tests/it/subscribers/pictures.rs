//! The dashboard's panels, drawn from a real Prometheus that scrapes two real gateways, one on NATS with a spool and one on Kafka,
//! through an outage of NATS and the rotation of a secret. A panel that draws nothing fails, but for those whose emptiness is
//! good. `make pictures` keeps what was drawn as docs/dashboard.png.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use crate::support::{
    brokers::{
        kafka::shared,
        nats::{NatsServer, Operator},
    },
    client::{Connection, post_head, signed, unix_now},
    dashboard::{Panel, draw},
    harness::{AUDIT, Gateway, POLICY, SECRET},
    prometheus::{Prometheus, RULES},
};

/// The vendor's secret after the rotation.
const NEW_SECRET: &str = "the_secret_after_the_rotation";
/// The variable with the picture's file; the run is longer then.
const PICTURE: &str = "HOOKBUS_PICTURE";

/// A Kafka broker's line, which has its address.
const BROKER: &str = "the broker";

/// Lines that each panel must have. Without any, it must be empty, and say something better than "No data".
const DRAWN: &[(&str, &[&str])] = &[
    ("Gateways", &[""]),
    ("Ready", &[""]),
    ("Bus", &[""]),
    ("Answered 503, 1 h", &[""]),
    ("In the spool", &[""]),
    ("Dead letters", &[""]),
    ("Webhooks by source", &["acme", "payroll"]),
    ("Answers by status", &["200", "401"]),
    ("Silence", &["acme", "payroll"]),
    ("Answer time", &["p50", "p99", "p99.9"]),
    ("Age on arrival", &["acme p50", "acme p95"]),
    ("Body size", &["p50", "p99"]),
    ("Checks that failed", &["payroll mismatch"]),
    ("Which secret verifies", &["acme 1099policy", "payroll audit1", "payroll audit1.next"]),
    ("Clock skew", &["acme"]),
    ("Secret files", &["acme", "payroll", "payroll ok"]),
    ("Repeats", &["acme", "payroll"]),
    ("Odd events", &[]),
    ("Publications", &["ok"]),
    ("Acknowledgement time", &["p50", "p99"]),
    ("Waiting for the bus", &["nats in flight", "kafka in flight", "kafka Kafka queue"]),
    ("Connection", &["nats up", "kafka up", "nats reconnects"]),
    ("Kafka", &[BROKER]),
    ("Topics and durability", &["missing topics", "refused topics"]),
    ("Records", &["nats"]),
    ("Oldest record", &["nats"]),
    ("Disk", &["nats free", "nats segments", "nats full at"]),
    ("Into the spool", &["gate", "appends"]),
    ("Sync time", &["nats p50", "nats p99"]),
    ("Trouble", &[]),
    ("CPU", &["nats", "kafka"]),
    ("Memory", &["nats resident", "nats heads and bodies", "kafka resident"]),
    ("Connections", &["nats connections", "nats requests", "nats descriptors"]),
    ("Closed by us", &[]),
    ("Crashes", &[]),
    ("Findings", &[]),
    ("Last look", &[]),
    ("Unknown", &[]),
    ("Follow-up details", &[]),
];

/// What is wrong with the panels as they were drawn; `broker`: Kafka's address.
fn complaints(panels: &[Panel], broker: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let titles: Vec<_> = panels.iter().map(|panel| panel.title.as_str()).collect();
    if titles != DRAWN.iter().map(|(title, _)| *title).collect::<Vec<_>>() {
        wrong.push(format!("other panels than this test knows: {titles:?}"));
    }
    for Panel { title, says, lines, .. } in panels {
        let expected = DRAWN.iter().find(|(known, _)| known == title).map_or(&[][..], |(_, expected)| expected);
        let names: Vec<_> = lines.keys().collect();
        if expected.is_empty() && (!lines.is_empty() || says.is_none()) {
            wrong.push(format!("{title}: is to be empty and say so, says {says:?} and draws {names:?}"));
        }
        let expected = expected.iter().map(|name| if *name == BROKER { broker } else { name });
        let missing: Vec<_> = expected.filter(|name| !lines.contains_key(*name)).collect();
        if !missing.is_empty() {
            wrong.push(format!("{title}: {missing:?} are not among {names:?}"));
        }
        let is_nan = |name: &&String| lines[*name].iter().any(|(_, value)| value.is_nan());
        wrong.extend(names.iter().copied().filter(is_nan).map(|name| format!("{title}: {name} has a NaN")));
    }
    wrong
}

/// What a vendor posts, until the test ends.
struct Vendor<'g> {
    gateway: &'g Gateway,
    number: AtomicU64,
    /// What Audit1 signs with.
    secret: Mutex<&'static str>,
    stop: AtomicBool,
}

impl<'g> Vendor<'g> {
    fn of(gateway: &'g Gateway) -> Self {
        Vendor { gateway, number: AtomicU64::new(0), secret: Mutex::new(SECRET), stop: AtomicBool::new(false) }
    }

    /// One connection for all of it; each tenth event comes twice.
    fn post(&self) {
        let (mut connection, mut policy) = (self.gateway.connect(), String::new());
        while !self.stop.load(Ordering::Relaxed) {
            let (number, now) = (self.number.fetch_add(1, Ordering::Relaxed), unix_now());
            if number % 10 != 9 {
                let entity = number % 7;
                policy = format!(
                    r#"{{"id":"evt_{number}","type":"policy.active","created":{now},"data":{{"id":"pl_{entity}"}}}}"#
                );
            }
            assert_eq!(connection.post(POLICY, policy.as_bytes()).status, 200);
            let status = self.post_audit(&mut connection, number, now);
            assert!([200, 401].contains(&status), "{status}");
            thread::sleep(Duration::from_millis(30));
        }
    }

    fn post_audit(&self, connection: &mut Connection, number: u64, now: i64) -> u16 {
        let body = format!(r#"{{"event":"file.processed","data":{{"file_id":"f_{number}"}}}}"#);
        let headers = signed(AUDIT, *self.secret.lock().unwrap(), now, body.as_bytes());
        connection.request(&post_head(AUDIT, body.as_bytes(), &headers), body.as_bytes()).status
    }
}

/// Ends a vendor however the test does.
struct Stop<'v>(&'v AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// What happens, each with its time, for the picture; `phase`: how long each lasts.
fn story(server: &mut NatsServer, spooled: &Gateway, vendor: &Vendor<'_>, phase: Duration) -> Vec<(f64, &'static str)> {
    let mut marks = Vec::new();
    thread::sleep(phase);
    marks.push((now(), "NATS is killed"));
    server.kill();
    spooled.wait_for_metric("bus_up", 0.0);
    thread::sleep(phase);
    marks.push((now(), "NATS is back"));
    server.run();
    spooled.wait_for_metric("journal_records", 0.0);
    thread::sleep(phase);
    marks.push((now(), "the vendor signs with another secret"));
    *vendor.secret.lock().unwrap() = NEW_SECRET;
    thread::sleep(phase / 2);
    marks.push((now(), "which is written here"));
    fs::write(spooled.setup.path().join("secrets/audit1.next"), NEW_SECRET).unwrap();
    spooled.wait_for_metric(r#"secret_reloads_total{result="ok",source="payroll"}"#, 1.0);
    thread::sleep(phase);
    marks
}

#[test]
fn every_panel_draws_through_an_outage_and_a_rotation() {
    let picture = std::env::var_os(PICTURE);
    let phase = Duration::from_secs(if picture.is_some() { 20 } else { 5 });
    let mut server = NatsServer::start();
    server.operator().create(Operator::settings());
    let setup = server.setup("", "ack_timeout = \"500ms\"").with_spool("hedge_after = \"300ms\"");
    setup.edit("\"secrets/audit1\"", "\"secrets/audit1\", \"secrets/audit1.next\"");
    fs::write(setup.path().join("secrets/audit1.next"), SECRET).unwrap();
    let spooled = setup.start();
    let kafka = shared().setup("", "", "").start();
    let prometheus =
        Prometheus::start(&fs::read_to_string(RULES).unwrap(), &[("nats", spooled.admin), ("kafka", kafka.admin)]);
    let from = now();
    let vendors = [&spooled, &kafka].map(Vendor::of);
    let marks = thread::scope(|scope| {
        let _stop = vendors.each_ref().map(|vendor| Stop(&vendor.stop));
        for vendor in &vendors {
            scope.spawn(|| vendor.post());
        }
        story(&mut server, &spooled, &vendors[0], phase)
    });
    let panels = draw(&prometheus, from, now());
    let wrong = complaints(&panels, &shared().address());
    assert!(wrong.is_empty(), "{wrong:#?}");
    if let Some(picture) = picture {
        paint(Path::new(&picture), spooled.setup.path(), &panels, &marks);
    }
}

fn paint(picture: &Path, folder: &Path, panels: &[Panel], marks: &[(f64, &str)]) {
    let drawn = folder.join("drawn.json");
    let panels: Vec<_> = panels.iter().map(Panel::to_json).collect();
    fs::write(&drawn, json!({ "panels": panels, "marks": marks }).to_string()).unwrap();
    let painted = Command::new("python3").arg("scripts/dashboard.py").arg(&drawn).arg(picture).status().unwrap();
    assert!(painted.success());
}
