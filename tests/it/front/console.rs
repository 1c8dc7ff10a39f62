//! The console, over HTTP as a program sees it, and in a browser as an operator does.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::support::{
    client::{Connection, post_head, signed, unix_now},
    harness::{AUDIT, Gateway, POLICY, SECRET, Setup, free_ports, sample},
    wait::wait_until,
};

const PLAIN: &[u8] = br#"{"id":"evt_plain","type":"policy.active","data":{"object":{"id":"pol_1"}}}"#;
const HOSTILE: &[u8] = br#"{"id":"<script>window.pwned=1</script>\"'><img src=x onerror=window.pwned=3>",
    "type":"policy.active","data":{"object":{"id":"pol_2"}}}"#;

fn ask(gateway: &Gateway, query: &str) -> Value {
    let answer = gateway.get_admin(&format!("/console/recent.json{query}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// One of each: accepted, a repeat, quarantined, refused, a path of no source.
fn some_of_each(gateway: &Gateway) {
    for body in [PLAIN, PLAIN, HOSTILE, b"no json"] {
        assert_eq!(gateway.post(POLICY, body).status, 200);
    }
    assert_eq!(gateway.post(AUDIT, &sample("audit1/samples/documents/file.failed.json")).status, 200);
    unsigned(gateway, POLICY, 1);
    let strange = "GET /%3Cscript%3E?token=in-the-query HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(gateway.connect().request(strange, b"").status, 404);
}

fn unsigned(gateway: &Gateway, path: &str, count: usize) {
    let mut connection = gateway.connect();
    for _ in 0..count {
        assert_eq!(connection.request(&post_head(path, PLAIN, "x-mark: in-a-header\r\n"), PLAIN).status, 401);
    }
}

#[test]
fn the_last_requests_as_json_say_what_happened_and_nothing_secret() {
    let gateway = Setup::new("", "").start();
    some_of_each(&gateway);
    // A request is kept just after its answer is made.
    wait_until("seven requests", || ask(&gateway, "")["kept"] == 7);
    let all = ask(&gateway, "");
    assert_eq!((&all["matching"], &all["since_start"], &all["not_kept"]), (&7.into(), &7.into(), &0.into()));
    let first = |query: &str| ask(&gateway, query)["requests"][0].clone();
    let plain = first("?id=evt_plain");
    assert_eq!(
        (&plain["source"], &plain["status"], &plain["outcome"]),
        (&"acme".into(), &200.into(), &"accepted".into())
    );
    assert_eq!((&plain["type"], &plain["entity"]), (&"com.1099policy.policy.active".into(), &"pol_1".into()));
    assert_eq!((&plain["reason"], &plain["bytes"]), (&"duplicate".into(), &PLAIN.len().into()));
    assert_eq!((&plain["sender"], &plain["secret"]), (&"127.0.0.1".into(), &"1099policy".into()));
    assert!(plain["duration_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(plain["trace_id"].as_str().unwrap().len(), 32);
    assert_eq!(first("?type=quarantine")["reason"], "not_json");
    assert_eq!(first("?outcome=rejected&source=acme")["reason"], "signature missing");
    assert_eq!(first("?source=none")["path"], "/%3Cscript%3E");
    assert_eq!(ask(&gateway, "?source=acme&limit=2")["requests"].as_array().unwrap().len(), 2);
    assert_eq!(gateway.metric(r#"quarantined_events_total{reason="not_json"}"#), 1.0);
    for path in ["/console", "/console/recent.json", "/console?id=pwned"] {
        let body = gateway.get_admin(path).body;
        for secret in [SECRET, "in-a-header", "in-the-query", "no json", "\"object\""] {
            assert!(!body.contains(secret), "{secret} in {path}: {body}");
        }
    }
    let wrong = gateway.get_admin("/console/recent.json?sorce=acme");
    assert_eq!((wrong.status, wrong.body.contains("source, outcome, type, id and limit")), (400, true));
}

#[test]
fn strangers_push_no_event_out() {
    let gateway = Setup::new("", "").start();
    assert_eq!(gateway.post(POLICY, PLAIN).status, 200);
    unsigned(&gateway, POLICY, 1_200);
    wait_until("all counted", || ask(&gateway, "")["since_start"] == 1_201);
    assert_eq!((&ask(&gateway, "")["kept"], &ask(&gateway, "?id=evt_plain")["matching"]), (&1_001.into(), &1.into()));
}

#[test]
fn headers_methods_and_host_names_keep_others_out() {
    let gateway = Setup::new("", "").start();
    let ask = |request: &str, host: &str| {
        Connection::open(gateway.admin).request(&format!("{request} HTTP/1.1\r\nHost: {host}\r\n\r\n"), b"")
    };
    let page = ask("GET /console", "127.0.0.1");
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    assert_eq!(ask("POST /console", "127.0.0.1").header("allow"), Some("GET, HEAD"));
    let rebound = ask("GET /console/recent.json", "evil.example:9464");
    assert_eq!((rebound.status, rebound.body.contains("admin.console_hosts")), (403, true));
    // What machines ask is not of the console.
    assert_eq!(ask("GET /livez", "evil.example").status, 200);
}

#[test]
fn it_can_be_switched_off() {
    let setup = Setup::new("", "");
    setup.edit("[admin]\n", "[admin]\nconsole = false\n");
    let gateway = setup.start();
    assert_eq!(gateway.post(POLICY, PLAIN).status, 200);
    for path in ["/console", "/console/recent.json", "/console/script.js"] {
        assert_eq!(gateway.get_admin(path).status, 404, "{path}");
    }
}

/// Needs Chromium (`make tools`).
#[test]
fn a_browser_renders_filters_updates_and_runs_nothing_of_a_sender() {
    let healthy = Setup::new("", "").start();
    some_of_each(&healthy);
    let [nowhere] = free_ports();
    let broker = format!(
        "[journal]\nhedge_after = \"200ms\"\nreserve = \"1MiB\"\n[bus.nats]\nservers = [\"nats://127.0.0.1:{nowhere}\"]\n"
    );
    let outage = Setup::new("", &broker);
    outage.edit("kind = \"journal\"", "kind = \"nats\"");
    let outage = outage.start();
    assert_eq!(outage.post(POLICY, PLAIN).status, 200);
    let attack = Setup::new("", "").start();
    assert_eq!(attack.post(POLICY, PLAIN).status, 200);
    let mut connection = attack.connect();
    for _ in 0..40 {
        let forged = signed(POLICY, "whsec_guessed", unix_now(), PLAIN);
        assert_eq!(connection.request(&post_head(POLICY, PLAIN, &forged), PLAIN).status, 401);
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/browser");
    let output = Command::new("timeout")
        .args(["180", "node", "tests/console/browser.mjs"])
        .arg(tools)
        .args(
            [("healthy", &healthy), ("outage", &outage), ("attack", &attack)]
                .map(|(name, gateway)| format!("{name}=http://{}/console", gateway.admin)),
        )
        .arg(format!("webhooks=http://{}{AUDIT}", healthy.address))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    println!("{}", String::from_utf8_lossy(&said));
    assert!(output.status.success(), "run `make tools` if there is no Chromium");
}
