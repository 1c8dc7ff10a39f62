//! Metrics, health and logs as an operator's tools read them.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::support::{
    client::{post_head, signature},
    harness::{HOOKBUS, POLICY, Setup, sample},
    process::Process,
    prometheus::tool,
};

#[test]
fn promtool_finds_nothing_to_say() {
    let gateway = Setup::new("", "").start();
    assert_eq!(gateway.post(POLICY, &sample("policy1099/samples/flat/policy.active.json")).status, 200);
    let answer = gateway.get_admin("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut command = Command::new(tool("promtool"));
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = Process::start(&mut command).talk(answer.body.as_bytes());
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// One series of each family, without the prefix.
const SERIES: [&str; 52] = [
    r#"http_requests_total{source="acme",status="200"}"#,
    r#"http_requests_total{source="none",status="404"}"#,
    r#"http_request_duration_seconds_count{outcome="failed",source="payroll"}"#,
    r#"http_request_body_bytes_count{source="acme"}"#,
    "http_connections",
    "http_inflight_requests",
    "http_inflight_bytes",
    r#"http_connections_closed_total{reason="head_timeout"}"#,
    r#"proxy_heads_total{result="ended"}"#,
    r#"signature_checks_total{result="stale",source="acme"}"#,
    r#"secret_matches_total{secret="1099policy",source="acme"}"#,
    r#"signature_skew_seconds_count{source="acme"}"#,
    r#"secret_reloads_total{result="refused",source="acme"}"#,
    r#"secret_reload_success{source="acme"}"#,
    r#"events_total{result="failed",source="acme",type="certificate.flagged"}"#,
    r#"events_total{result="accepted",source="payroll",type="quarantine"}"#,
    r#"quarantined_events_total{reason="not_json"}"#,
    r#"event_age_seconds_count{source="acme"}"#,
    r#"last_event_timestamp_seconds{source="acme"}"#,
    r#"type_mismatch_total{source="payroll"}"#,
    r#"id_conflicts_total{source="acme"}"#,
    r#"bus_publish_total{result="refused"}"#,
    "bus_publish_duration_seconds_count",
    "bus_up",
    "bus_inflight",
    "bus_missing_topics",
    "bus_reconnects_total",
    "kafka_queue_messages",
    "kafka_queue_bytes",
    r#"bus_durability_info{bus="journal",class="synced"}"#,
    "bus_losses_total",
    "journal_records",
    "journal_bytes",
    "journal_free_bytes",
    "journal_oldest_timestamp_seconds",
    "journal_up",
    "journal_max_bytes",
    "journal_reserve_bytes",
    "crashes_total",
    r#"stage{stage="starting"}"#,
    r#"stage{stage="draining"}"#,
    "journal_appends_total",
    "journal_fsync_duration_seconds_count",
    "journal_damage_bytes_total",
    "journal_lost_records_total",
    r#"journal_errors_total{operation="fsync"}"#,
    r#"dedup_hits_total{source="acme"}"#,
    "dedup_entries",
    "log_lines_dropped_total",
    r#"schema_drift_total{kind="unknown_member",source="acme",type="certificate.flagged"}"#,
    r#"schema_drift_total{kind="other_form",source="payroll",type="file.failed"}"#,
    r#"schema_samples_total{result="dropped"}"#,
];

/// Every series of the contract stands before the first request, and no request adds one.
#[test]
fn all_series_are_present_from_the_start() {
    let gateway = Setup::new("", "").start();
    let series = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let before = series(&gateway.get_admin("/metrics").body);
    for family in SERIES {
        assert!(before.contains(&format!("hookbus_{family}")), "{family}");
    }
    assert!(before.iter().any(|name| name.starts_with("hookbus_build_info{")));
    assert_eq!(gateway.metric(r#"stage{stage="serving"}"#), 1.0);
    assert_eq!(gateway.metric(r#"stage{stage="starting"}"#), 0.0);
    assert_eq!(gateway.metric("journal_reserve_bytes"), 1_048_576.0);
    assert!(before.iter().any(|name| name == "process_resident_memory_bytes"));
    for n in 0..200 {
        let body = format!(r#"{{"type":"made.up.{n}","data":{{"id":"{n}"}}}}"#);
        assert_eq!(gateway.post(POLICY, body.as_bytes()).status, 200);
        gateway.connect().request(&format!("GET /made/up/{n} HTTP/1.1\r\nHost: h\r\n\r\n"), b"");
    }
    assert_eq!(series(&gateway.get_admin("/metrics").body), before, "no input makes a series");
}

#[test]
fn one_line_per_request_says_what_happened() {
    const PAUSE: Duration = Duration::from_millis(300);
    let mut gateway = Setup::new("", "").start();
    let body = sample("policy1099/samples/documents/certificate.flagged.json");
    let mut connection = gateway.connect();
    let (begin, begun) = (Timestamp::now(), Instant::now());
    connection.send(post_head(POLICY, &body, &signature(POLICY, &body)));
    gateway.wait_for_metric("http_inflight_requests", 1.0);
    thread::sleep(PAUSE);
    connection.send(&body);
    assert_eq!(connection.answer().map(|answer| answer.status), Some(200));
    let took = begun.elapsed();
    let line = gateway.wait_for_log(|line| line["message"] == "request" && line["status"] == 200);
    assert_eq!(line["source"], "acme");
    assert_eq!(line["outcome"], "accepted");
    assert_eq!(line["type"], "com.1099policy.certificate.flagged");
    assert_eq!(line["event_id"], "evt_abc123");
    assert_eq!(line["bytes"], body.len());
    assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
    let milliseconds = line["duration_ms"].as_f64().unwrap();
    let seconds = gateway.metric(r#"http_request_duration_seconds_sum{outcome="accepted",source="acme"}"#);
    for duration in [milliseconds / 1000.0, seconds] {
        assert!((PAUSE.as_secs_f64()..took.as_secs_f64()).contains(&duration), "{duration} s of {took:?}");
    }
    let at: Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
    assert!(begin <= at && at <= Timestamp::now(), "{at}");
}

#[test]
fn text_logs_are_for_people() {
    let setup = Setup::new("", "[log]\nformat = \"text\"\n");
    let mut command = Command::new(HOOKBUS);
    let mut process = Process::start(command.arg("serve").current_dir(setup.path()).stderr(Stdio::piped()));
    let mut stderr = BufReader::new(process.stderr());
    let mut text = String::new();
    while !text.contains("serving") {
        assert_ne!(stderr.read_line(&mut text).unwrap(), 0, "{text}");
    }
    // Both sources of these tests have one secret, which is warned of.
    let is_text = |line: &str| [" INFO ", " WARN "].iter().any(|level| line.contains(level)) && !line.starts_with('{');
    assert!(text.lines().all(is_text), "{text}");
}
