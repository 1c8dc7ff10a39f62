//! Every status of the table, through a raw socket; the answer never says why, the metric and the log do.

use std::time::Duration;

use base64::Engine as _;

use crate::support::{
    client::{Connection, post_head, signature},
    harness::{AUDIT, POLICY, Setup, sample},
};

const BODY: &str = "policy1099/samples/flat/policy.active.json";

#[test]
fn accepted_is_200() {
    let gateway = Setup::new("", "").start();
    let answer = gateway.post(POLICY, &sample(BODY));
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"received":true}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(gateway.post(AUDIT, &sample("audit1/samples/snake/file.failed.json")).status, 200);
    assert_eq!(gateway.metric(r#"http_requests_total{source="acme",status="200"}"#), 1.0);
    assert_eq!(gateway.metric(r#"http_requests_total{source="payroll",status="200"}"#), 1.0);
}

#[test]
fn only_documented_headers_leave() {
    let gateway = Setup::new("", "").start();
    let allowed = ["content-type", "content-length", "date", "allow", "retry-after", "connection"];
    for answer in [
        gateway.post(POLICY, &sample(BODY)),
        gateway.connect().request(&post_head(POLICY, b"{}", ""), b"{}"),
        gateway.connect().request(&post_head("/nowhere", b"{}", ""), b"{}"),
    ] {
        for (name, _) in &answer.headers {
            assert!(allowed.contains(&name.as_str()), "{name} in {answer:?}");
        }
    }
}

#[test]
fn a_bad_signature_is_401_and_never_says_why() {
    let mut gateway = Setup::new("", "").start();
    let body = sample(BODY);
    let stale = "convoy-timestamp: 1\r\nx-convoy-signature: ".to_owned() + &"0".repeat(128) + "\r\n";
    let answers: Vec<_> = ["", "x-convoy-signature: zz\r\n", &stale]
        .iter()
        .map(|headers| gateway.connect().request(&post_head(POLICY, &body, headers), &body))
        .map(|answer| (answer.status, answer.body))
        .collect();
    for answer in answers {
        assert_eq!(answer, (401, r#"{"error":"invalid signature"}"#.to_owned()));
    }
    for result in ["missing", "malformed", "mismatch"] {
        assert_eq!(gateway.metric(&format!(r#"signature_checks_total{{result="{result}",source="acme"}}"#)), 1.0);
        let reason = format!("signature {result}");
        gateway.wait_for_log(|line| line["reason"] == reason.as_str() && line["outcome"] == "rejected");
    }
    assert_eq!(gateway.metric(r#"http_requests_total{source="acme",status="401"}"#), 3.0);
}

#[test]
fn an_unknown_path_is_404_and_a_wrong_method_405() {
    let mut gateway = Setup::new("", "").start();
    let body = sample(BODY);
    for path in
        ["/", "/webhooks/1099POLICY", "/webhooks/1099policy/", "//webhooks/1099policy", "/webhooks/%31099policy"]
    {
        let answer = gateway.connect().request(&post_head(path, &body, &signature(POLICY, &body)), &body);
        assert_eq!((answer.status, answer.body.as_str()), (404, r#"{"error":"not found"}"#), "{path}");
    }
    gateway.wait_for_log(|line| line["path"] == "/webhooks/1099POLICY" && line["source"] == "none");
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "CONNECTED"] {
        let head = format!("{method} {POLICY} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
        let answer = gateway.connect().request(&head, b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, GET, HEAD")), "{method}");
    }
    assert_eq!(gateway.metric(r#"http_requests_total{source="none",status="404"}"#), 5.0);
    assert_eq!(gateway.metric(r#"http_requests_total{source="acme",status="405"}"#), 5.0);
}

#[test]
fn a_ping_is_200_and_the_query_is_ignored() {
    let gateway = Setup::new("", "").start();
    let answer = gateway.connect().request(&format!("GET {POLICY}?a=b HTTP/1.1\r\nHost: h\r\n\r\n"), b"");
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    let mut connection = gateway.connect();
    connection.send(format!("HEAD {POLICY} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    let mut text = String::new();
    while let Some(line) = connection.line() {
        text.push_str(&line);
    }
    assert!(text.starts_with("HTTP/1.1 200") && !text.ends_with("{}"), "{text}");
    let body = sample(BODY);
    let head = post_head(&format!("{POLICY}?x=1"), &body, &signature(POLICY, &body));
    assert_eq!(gateway.connect().request(&head, &body).status, 200);
    assert_eq!(gateway.metric(r#"events_total{result="accepted",source="acme",type="policy.active"}"#), 1.0);
}

#[test]
fn malformed_http_is_400() {
    let gateway = Setup::new("", "").start();
    let mut malformed = 0.0;
    for bytes in [
        "nonsense\r\n\r\n",
        "POST /webhooks/1099policy HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
        "POST /webhooks/1099policy HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "POST /webhooks/1099policy HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
        "POST /webhooks/1099policy HTTP/1.1\r\nHost : h\r\n\r\n",
        "POST /webhooks/1099policy HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
    ] {
        let mut connection = gateway.connect();
        connection.send(bytes);
        assert_eq!(connection.answer().map(|answer| answer.status), Some(400), "{bytes:?}");
        assert!(connection.closed_within(Duration::from_secs(5)), "{bytes:?}");
        malformed += 1.0;
    }
    gateway.wait_for_metric(r#"http_connections_closed_total{reason="malformed"}"#, malformed);
    assert_eq!(gateway.metric(r#"http_requests_total{source="none",status="400"}"#), malformed);
    // An answer in HTTP/1.1 would be none to a speaker of HTTP/2.
    let mut preface = gateway.connect();
    preface.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(preface.closed_within(Duration::from_secs(5)));
}

/// What one program takes for the end of a request and another for its middle is refused, or ends the connection.
#[test]
fn a_request_has_one_length() {
    let gateway = Setup::new("", "").start();
    let post = |headers: &str, body: &str| format!("POST /nowhere HTTP/1.1\r\nHost: h\r\n{headers}\r\n{body}");
    for headers in [
        "Content-Length: +3\r\n",
        "Content-Length: 3, 4\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 3\r\n 4\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        let mut connection = gateway.connect();
        connection.send(post(headers, "0\r\n\r\n"));
        assert_eq!(connection.answer().map(|answer| answer.status), Some(400), "{headers:?}");
        assert!(connection.closed_within(Duration::from_secs(5)), "{headers:?}");
    }
    // The chunks count, and what stands behind them is no second request.
    let mut both = gateway.connect();
    both.send(post(
        "Content-Length: 50\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
    ));
    assert_eq!(both.answer().map(|answer| answer.status), Some(404));
    assert!(both.closed_within(Duration::from_secs(5)));
    assert_eq!(gateway.metric(r#"http_requests_total{source="none",status="404"}"#), 1.0);
}

/// Nothing is decompressed: a signed body is what was sent, whatever its headers say.
#[test]
fn what_is_compressed_stays_so() {
    let gateway = Setup::new("", "").start();
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    let headers = format!("Content-Encoding: gzip\r\n{}", signature(POLICY, &gzip));
    assert_eq!(gateway.connect().request(&post_head(POLICY, &gzip, &headers), &gzip).status, 200);
    let event: serde_json::Value = serde_json::from_str(&gateway.tail(1)[0]).unwrap();
    let data = base64::engine::general_purpose::STANDARD.decode(event["data_base64"].as_str().unwrap()).unwrap();
    assert_eq!(data, gzip);
}

/// A sender that goes in the middle of its body has sent no event.
#[test]
fn half_a_body_leaves_nothing_behind() {
    let mut gateway = Setup::new("", "").start();
    let body = sample(BODY);
    let mut connection = gateway.connect();
    connection.send(post_head(POLICY, &body, &signature(POLICY, &body)));
    connection.send(&body[..body.len() / 2]);
    drop(connection);
    gateway.wait_for_log(|line| line["source"] == "acme" && line["outcome"] != "accepted");
    assert_eq!(gateway.metric("journal_appends_total"), 0.0);
    gateway.wait_for_metric("http_inflight_bytes", 0.0);
}

#[test]
fn there_is_exactly_one_host() {
    let gateway = Setup::new("", "").start();
    for (line, hosts, status) in [
        ("GET /webhooks/1099policy HTTP/1.1", "Host: h\r\n", 200),
        ("GET http://h/webhooks/1099policy HTTP/1.1", "Host: h\r\n", 200),
        ("GET http://other/webhooks/1099policy HTTP/1.1", "Host: h\r\n", 400),
        ("GET /webhooks/1099policy HTTP/1.1", "", 400),
        ("GET /webhooks/1099policy HTTP/1.1", "Host:\r\n", 400),
        ("GET /webhooks/1099policy HTTP/1.1", "Host: h\r\nHost: h\r\n", 400),
        ("GET /webhooks/1099policy HTTP/1.1", "Host: h\r\nHost: other\r\n", 400),
        ("GET /webhooks/1099policy HTTP/1.0", "", 200),
        ("GET /webhooks/1099policy HTTP/1.0", "Host: h\r\n", 200),
        ("GET /webhooks/1099policy HTTP/1.0", "Host: h\r\nHost: h\r\n", 400),
        ("GET http://h:80/webhooks/1099policy HTTP/1.1", "Host: H\r\n", 200),
        ("GET http://h/webhooks/1099policy HTTP/1.1", "Host: h:80\r\n", 200),
        ("GET https://h:443/webhooks/1099policy HTTP/1.1", "Host: h\r\n", 200),
        ("GET http://h:443/webhooks/1099policy HTTP/1.1", "Host: h\r\n", 400),
        ("GET http://h:81/webhooks/1099policy HTTP/1.1", "Host: h\r\n", 400),
        ("GET http://u@h/webhooks/1099policy HTTP/1.1", "Host: h\r\n", 400),
    ] {
        let answer = gateway.connect().request(&format!("{line}\r\n{hosts}\r\n"), b"");
        assert_eq!(answer.status, status, "{line} {hosts:?}");
    }
}

#[test]
fn too_large_is_413_declared_or_sent() {
    let gateway = Setup::new("max_body = \"1KiB\"", "").start();
    let declared = format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nContent-Length: 1025\r\n\r\n");
    let answer = gateway.connect().request(&declared, b"");
    assert_eq!((answer.status, answer.body.as_str()), (413, r#"{"error":"payload too large"}"#));
    assert_eq!(answer.header("connection"), Some("close"));

    let chunk = format!("401\r\n{}\r\n", "x".repeat(1025));
    let chunked = format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    assert_eq!(gateway.connect().request(&chunked, b"").status, 413);

    let fits = vec![b'x'; 1024];
    assert_eq!(gateway.post(POLICY, &fits).status, 200, "exactly the limit is not too large");
    assert_eq!(gateway.metric(r#"http_requests_total{source="acme",status="413"}"#), 2.0);
}

#[test]
fn headers_too_large_are_431() {
    let gateway = Setup::new("max_head = \"8KiB\"", "").start();
    for headers in [format!("X: {}\r\n", "x".repeat(9000)), "X: y\r\n".repeat(101)] {
        let mut connection = gateway.connect();
        connection.send(format!("GET {POLICY} HTTP/1.1\r\nHost: h\r\n{headers}\r\n"));
        assert_eq!(connection.answer().map(|answer| answer.status), Some(431));
    }
    gateway.wait_for_metric(r#"http_requests_total{source="none",status="431"}"#, 2.0);
}

#[test]
fn a_slow_body_is_408() {
    let gateway = Setup::new("body_timeout = \"300ms\"\nrequest_timeout = \"1s\"", "").start();
    let head = format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n");
    let answer = gateway.connect().request(&head, b"{");
    assert_eq!((answer.status, answer.body.as_str()), (408, r#"{"error":"request timeout"}"#));
    gateway.wait_for_metric(r#"http_connections_closed_total{reason="body_timeout"}"#, 1.0);

    // Pieces that are large enough keep the pace and make the whole request too long.
    let mut steady = gateway.connect();
    steady.send(format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n"));
    let too_long = r#"http_connections_closed_total{reason="request_timeout"}"#;
    for _ in 0..40 {
        if steady.try_send(&[b' '; 20_000]).is_err() || gateway.metric(too_long) > 0.0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    gateway.wait_for_metric(too_long, 1.0);
    assert_eq!(gateway.metric(r#"http_requests_total{source="acme",status="408"}"#), 2.0);
}

#[test]
fn a_slow_head_is_closed_without_an_answer() {
    let gateway = Setup::new("head_timeout = \"300ms\"\nidle_timeout = \"1h\"", "").start();
    let mut slow = gateway.connect();
    slow.send("POST /webhooks");
    assert!(slow.closed_within(Duration::from_secs(5)));
    gateway.wait_for_metric(r#"http_connections_closed_total{reason="head_timeout"}"#, 1.0);

    // The same on a connection that has served a request, and not while it is only idle.
    let mut second = gateway.connect();
    assert_eq!(second.post(POLICY, &sample(BODY)).status, 200);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(second.post(POLICY, &sample(BODY)).status, 200, "idle longer than a head may take");
    second.send("POST");
    assert!(second.closed_within(Duration::from_secs(5)));
    gateway.wait_for_metric(r#"http_connections_closed_total{reason="head_timeout"}"#, 2.0);
}

#[test]
fn an_idle_connection_is_closed() {
    let gateway = Setup::new("idle_timeout = \"300ms\"", "").start();
    let mut used = gateway.connect();
    assert_eq!(used.post(POLICY, &sample(BODY)).status, 200);
    assert!(used.closed_within(Duration::from_secs(5)), "one that is done");
    gateway.wait_for_metric(r#"http_connections_closed_total{reason="idle"}"#, 1.0);
    gateway.wait_for_metric("http_connections", 0.0);
}

/// Who opens a connection and says nothing is as slow as who begins a head; a pool holds what has been used.
#[test]
fn a_connection_that_never_spoke_is_closed_after_the_head_timer() {
    let gateway = Setup::new("head_timeout = \"300ms\"\nidle_timeout = \"1h\"", "").start();
    let mut pooled = gateway.connect();
    assert_eq!(pooled.post(POLICY, &sample(BODY)).status, 200);
    assert!(gateway.connect().closed_within(Duration::from_secs(5)));
    gateway.wait_for_metric(r#"http_connections_closed_total{reason="head_timeout"}"#, 1.0);
    assert_eq!(pooled.post(POLICY, &sample(BODY)).status, 200);
}

/// For a balancer that can only ask the webhooks' port.
#[test]
fn a_health_path_answers_like_readyz() {
    let setup = Setup::new("health_path = \"/healthz\"\ndrain_delay = \"3s\"", "");
    let mut gateway = setup.start();
    let mut connection = gateway.connect();
    for request in [
        "GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:8080\r\n\r\n",
        "GET /healthz?from=balancer HTTP/1.1\r\nHost: h\r\n\r\n",
        "OPTIONS /healthz HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        assert_eq!(connection.request(request, b"").status, 200, "{request}");
    }
    for head in ["OPTIONS /healthz HTTP/1.0\r\n\r\n", "HEAD /healthz HTTP/1.0\r\n\r\n"] {
        let mut old = gateway.connect();
        old.send(head);
        let line = old.line().unwrap();
        assert!(line.starts_with("HTTP/1.0 200"), "{line}");
    }
    let body = sample(BODY);
    assert_eq!(gateway.post("/healthz", &body).status, 404, "it takes no webhook");
    assert_eq!(gateway.connect().request("OPTIONS / HTTP/1.0\r\n\r\n", b"").status, 404, "no other path does");

    gateway.signal("-TERM");
    gateway.wait_for_log(|line| line["message"] == "draining");
    let answer = gateway.connect().request("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", b"");
    assert_eq!((answer.status, answer.header("connection")), (503, Some("close")), "the drain is seen");
    let lines = gateway.log_so_far();
    assert_eq!(lines.matches("healthz").count(), 1, "a probe every second would fill the log: {lines}");
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let gateway = Setup::new("", "").start();
    let mut connection = gateway.connect();
    let body = sample(BODY);
    let one = [post_head(POLICY, &body, &signature(POLICY, &body)).as_bytes(), &body].concat();
    connection.send([one.clone(), one.clone(), one].concat());
    for _ in 0..3 {
        assert_eq!(connection.answer().map(|answer| answer.status), Some(200), "pipelined");
    }
    assert_eq!(gateway.metric("http_connections"), 1.0);
}

#[test]
fn a_body_in_many_pieces_verifies() {
    let gateway = Setup::new("", "").start();
    let body = sample(BODY);
    let mut connection = gateway.connect();
    connection.send(post_head(POLICY, &body, &format!("Expect: 100-continue\r\n{}", signature(POLICY, &body))));
    assert_eq!(connection.answer().map(|answer| answer.status), Some(100));
    for byte in &body {
        connection.send([*byte]);
    }
    assert_eq!(connection.answer().map(|answer| answer.status), Some(200));

    let chunks: Vec<u8> = body
        .chunks(7)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .collect();
    let head =
        format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n{}\r\n", signature(POLICY, &body));
    assert_eq!(gateway.connect().request(&head, &[&chunks[..], b"0\r\n\r\n"].concat()).status, 200);
}

#[test]
fn the_admin_port_is_another() {
    let gateway = Setup::new("", "").start();
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(gateway.connect().request(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"), b"").status, 404);
        assert_eq!(gateway.get_admin(path).status, 200);
    }
    assert_eq!(gateway.get_admin(POLICY).status, 404);
    let put = Connection::open(gateway.admin).request("PUT /metrics HTTP/1.1\r\nHost: h\r\n\r\n", b"");
    assert_eq!((put.status, put.header("allow")), (405, Some("GET, HEAD, OPTIONS")));
    for head in ["OPTIONS /readyz HTTP/1.0\r\n\r\n", "HEAD /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"] {
        let mut probe = Connection::open(gateway.admin);
        probe.send(head);
        let line = probe.line().unwrap();
        assert!(line.contains(" 200 "), "{head} {line}");
    }
}
