//! Every status of the table, through a raw socket; the answer never says why, the metric and the log do.

use std::time::Duration;

use crate::harness::{AUDIT, Connection, POLICY, Setup, post_head, sample, signature};

const BODY: &str = "samples/1099policy/flat/policy.active.json";

#[test]
fn accepted_is_200() {
    let gateway = Setup::new("", "").start();
    let answer = gateway.post(POLICY, &sample(BODY));
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"received":true}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(gateway.post(AUDIT, &sample("samples/audit1/snake/file.failed.json")).status, 200);
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
        ("GET /webhooks/1099policy HTTP/1.0", "", 400),
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
    assert!(gateway.connect().closed_within(Duration::from_secs(5)), "one that never spoke");
    let mut used = gateway.connect();
    assert_eq!(used.post(POLICY, &sample(BODY)).status, 200);
    assert!(used.closed_within(Duration::from_secs(5)), "one that is done");
    gateway.wait_for_metric(r#"http_connections_closed_total{reason="idle"}"#, 2.0);
    gateway.wait_for_metric("http_connections", 0.0);
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
    assert_eq!(put.status, 405);
}
