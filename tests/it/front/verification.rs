//! Signatures through the front door. The rules themselves are tested beside the code, with every vector.

use crate::support::{
    client::{post_head, signature, signed, unix_now},
    harness::{AUDIT, POLICY, SECRET, Setup, sample},
};

#[test]
fn unsigned_requests_leave_nothing_behind() {
    let mut gateway = Setup::new("", "").start();
    let canary = br#"{"id":"canary_id","type":"policy.active","data":{"id":"canary_entity"}}"#;
    let forged = format!("convoy-timestamp: {}\r\nx-convoy-signature: {}\r\n", unix_now(), "ab".repeat(64));
    for headers in ["", &forged, &signature(AUDIT, canary)] {
        assert_eq!(gateway.connect().request(&post_head(POLICY, canary, headers), canary).status, 401);
    }
    assert_eq!(gateway.metric("journal_appends_total"), 0.0);
    assert_eq!(gateway.metric("dedup_entries"), 0.0);
    gateway.wait_for_log(|line| line["reason"] == "signature missing");
    gateway.wait_for_log(|line| line["reason"] == "signature mismatch");
    assert!(!gateway.log_so_far().contains("canary"), "nobody has looked into an unsigned body");
    let setup = gateway.stop();
    for file in std::fs::read_dir(setup.path().join("hookbus-data")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }
}

#[test]
fn every_signature_line_must_verify() {
    let gateway = Setup::new("", "").start();
    let body = sample("audit1/samples/camel/file.processed.json");
    let right = signature(AUDIT, &body);
    let wrong = format!("X-Audit1-Signature: {}\r\n", "00".repeat(32));
    assert_eq!(gateway.connect().request(&post_head(AUDIT, &body, &(right.clone() + &wrong)), &body).status, 401);
    assert_eq!(gateway.connect().request(&post_head(AUDIT, &body, &right), &body).status, 200);
}

/// A signature of the past counts as a positive skew, one of the future as a negative one, and an event's age is in seconds.
#[test]
fn skew_age_and_the_matching_secret_are_measured() {
    // Seconds that a request may take, and the cut-off of a Unix time to whole seconds.
    const SLACK: f64 = 20.0;
    let gateway = Setup::new("", "").start();
    let begin = unix_now();
    let measure = |id: u32, signed_ago: i64, created_ago: i64| {
        let now = unix_now();
        let body = format!(r#"{{"id":"evt_{id}","type":"policy.active","created":{},"data":{{}}}}"#, now - created_ago);
        let headers = signed(POLICY, SECRET, now - signed_ago, body.as_bytes());
        assert_eq!(
            gateway.connect().request(&post_head(POLICY, body.as_bytes(), &headers), body.as_bytes()).status,
            200
        );
        let sum = |series: &str| gateway.metric(&format!("{series}_sum{{source=\"acme\"}}"));
        (sum("signature_skew_seconds"), sum("event_age_seconds"))
    };
    let (past, hour) = measure(1, 100, 3600);
    assert!((100.0..100.0 + SLACK).contains(&past), "{past}");
    assert!((3600.0..3600.0 + SLACK).contains(&hour), "{hour}");
    let (both, two_hours) = measure(2, -200, 7200);
    assert!((-200.0..-200.0 + SLACK).contains(&(both - past)), "{past}, then {both}");
    assert!((7200.0..7200.0 + SLACK).contains(&(two_hours - hour)), "{hour}, then {two_hours}");

    assert_eq!(gateway.metric(r#"secret_matches_total{secret="1099policy",source="acme"}"#), 2.0);
    assert_eq!(gateway.metric(r#"signature_skew_seconds_count{source="acme"}"#), 2.0);
    assert_eq!(gateway.metric(r#"event_age_seconds_count{source="acme"}"#), 2.0);
    let last = gateway.metric(r#"last_event_timestamp_seconds{source="acme"}"#);
    assert!((begin as f64..=unix_now() as f64 + 1.0).contains(&last), "{last}");
}

/// Secrets and bodies never reach a log or a metric, whatever happens to the request.
#[test]
fn secrets_and_payloads_are_in_neither_log_nor_metrics() {
    let mut gateway = Setup::new("", "[log]\nlevel = \"debug\"\n").start();
    let body = br#"{"id":"evt_1","type":"policy.active","data":{"id":"pl_1","ssn":"canary-123-45-6789"}}"#;
    assert_eq!(gateway.post(POLICY, body).status, 200);
    assert_eq!(gateway.connect().request(&post_head(POLICY, body, ""), body).status, 401);
    gateway.wait_for_log(|line| line["event_id"] == "evt_1");
    gateway.wait_for_log(|line| line["status"] == 401);
    let metrics = gateway.get_admin("/metrics").body;
    let command_line = std::fs::read_to_string(format!("/proc/{}/cmdline", gateway.pid())).unwrap();
    for text in [gateway.log_so_far(), metrics, command_line] {
        assert!(!text.contains("canary") && !text.contains(SECRET), "{text}");
    }
}

/// Convoy's `t=` style is verified over the compacted body too. White space strewn into a captured request is the same
/// event all the same, and white space that would join two tokens is no white space.
#[test]
fn white_space_in_a_captured_request_makes_no_new_event() {
    let gateway = Setup::new("", "").start();
    let body = br#"{"type":"policy.active","data":{"n":12}}"#;
    assert_eq!(gateway.post(POLICY, body).status, 200);
    let plain = signature(POLICY, body);
    let value = |name: &str| {
        let line = plain.lines().find(|line| line.starts_with(name)).unwrap();
        line.split(": ").nth(1).unwrap().to_owned()
    };
    let versioned =
        format!("x-convoy-signature: t={},v1={}\r\n", value("convoy-timestamp"), value("x-convoy-signature"));
    for (variant, status) in [
        (&br#"{ "type":"policy.active","data":{"n":12}}"#[..], 200),
        (br#"{"type" : "policy.active", "data" : {"n" : 12} }"#, 200),
        (br#"{"type":"policy.active","data":{"n":1 2}}"#, 401),
        (br#"{"type":"policy. active","data":{"n":12}}"#, 401),
    ] {
        let answer = gateway.connect().request(&post_head(POLICY, variant, &versioned), variant);
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(variant));
    }
    assert_eq!(gateway.metric("journal_appends_total"), 1.0);
    assert_eq!(gateway.metric(r#"dedup_hits_total{source="acme"}"#), 2.0);
}

/// Many signature lines, each right, would each cost a hash of the body.
#[test]
fn more_than_four_signature_lines_are_malformed() {
    let gateway = Setup::new("", "").start();
    let body = sample("audit1/samples/camel/file.processed.json");
    let line = signature(AUDIT, &body);
    assert_eq!(gateway.connect().request(&post_head(AUDIT, &body, &line.repeat(4)), &body).status, 200);
    assert_eq!(gateway.connect().request(&post_head(AUDIT, &body, &line.repeat(5)), &body).status, 401);
    assert_eq!(gateway.metric(r#"signature_checks_total{result="malformed",source="payroll"}"#), 1.0);
}
