use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::{
    config::{BusKind, SourceConfig},
    log::RequestLine,
    server::metrics::Metrics,
    vendors::Vendor,
};

/// What a sender can write into an event's id.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&\u{202e}\n";

fn line<'a>(event_id: &'a str, path: Option<&'a str>) -> RequestLine<'a> {
    RequestLine {
        source: "acme",
        status: 200,
        outcome: "accepted",
        reason: None,
        event_type: Some("com.1099policy.policy.active"),
        event_id: Some(event_id),
        entity: Some(event_id),
        path,
        sender: std::net::Ipv4Addr::LOCALHOST.into(),
        user_agent: None,
        secret: None,
        bytes: 653,
        duration: Duration::from_micros(1371),
        trace_id: None,
    }
}

fn console(hosts: &[&str]) -> (Console, Arc<History>) {
    let source =
        SourceConfig::defaults("acme", Vendor::Policy1099, "/webhooks/acme", vec!["secrets/1099policy".into()]);
    let mut config = Config::defaults(BusKind::Nats, vec![source]);
    config.admin.console_hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let (metrics, _sources) = Metrics::new(&config).unwrap();
    Console::open(&config, "pod-0".into(), &metrics.families).unwrap()
}

fn ask(console: &Console, method: &str, uri: &str, host: &str) -> AdminReply {
    let request = Request::builder().method(method).uri(uri).header("host", host).body(()).unwrap();
    console.answer(&request, (Stage::Serving, true))
}

fn page(console: &Console, uri: &str) -> String {
    match ask(console, "GET", uri, "localhost") {
        AdminReply::Console(Content::Page(text) | Content::Json(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_text_of_a_sender_becomes_a_tag_an_attribute_or_a_direction() {
    let (console, history) = console(&[]);
    history.push(&line(HOSTILE, None));
    history.push(&line("evt_2", Some(HOSTILE)));
    // What the operator typed stands in its field as it is, with its directions.
    let typed = HOSTILE.trim_end_matches(['\u{202e}', '\n']);
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("id", typed).finish();
    for uri in ["/console".to_owned(), format!("/console?{query}")] {
        let page = page(&console, &uri);
        assert!(!page.contains("<script>") && !page.contains("<img") && !page.contains('\u{202e}'), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;"), "{page}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&page(&console, &format!("/console/recent.json?{query}"))).unwrap();
    assert_eq!((json["matching"].as_u64(), json["requests"][0]["event_id"].as_str()), (Some(1), Some(HOSTILE)));
}

#[test]
fn it_is_read_only_and_under_names_that_are_ours() {
    let (console, _history) = console(&["ops.example.com"]);
    for path in ["/console", "/console/recent.json", "/console/style.css", "/console/script.js"] {
        for (method, host, status) in [
            ("GET", "127.0.0.1:9464", StatusCode::OK),
            ("HEAD", "OPS.example.com", StatusCode::OK),
            ("POST", "127.0.0.1:9464", StatusCode::METHOD_NOT_ALLOWED),
            ("OPTIONS", "127.0.0.1:9464", StatusCode::METHOD_NOT_ALLOWED),
            ("DELETE", "127.0.0.1:9464", StatusCode::METHOD_NOT_ALLOWED),
            ("GET", "evil.example:9464", StatusCode::FORBIDDEN),
        ] {
            let response = ask(&console, method, path, host).response();
            assert_eq!(response.status(), status, "{method} {path} at {host}");
            let policy = response.headers().get("content-security-policy").unwrap().to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        }
    }
    let without_host = Request::builder().uri("/console").body(()).unwrap();
    assert_eq!(console.answer(&without_host, (Stage::Serving, true)), AdminReply::StrangeHost);
    assert_eq!(ask(&console, "GET", "/console/other", "localhost"), AdminReply::NotFound);
    assert!(matches!(ask(&console, "GET", "/console?limit=0", "localhost"), AdminReply::BadQuery(_)));
    let too_many = |path: &str| matches!(ask(&console, "GET", path, "localhost"), AdminReply::BadQuery(_));
    assert_eq!(["/console?limit=500", "/console?limit=501"].map(too_many), [false, true]);
    assert_eq!(["/console/recent.json?limit=2000", "/console/recent.json?limit=2001"].map(too_many), [false, true]);
    assert_eq!(["/console", "/console/x", "/consoles", "/"].map(Console::has), [true, true, false, false]);
}

#[test]
fn the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline() {
    let page = page(&console(&[]).0, "/console");
    for word in ["http://", "https://", "style=", "<style", "onclick", "javascript:"] {
        assert!(!page.contains(word), "{word} in {page}");
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains(r#"<script src="console/script.js" defer></script>"#));
    assert!(page.contains("The bus is down"), "nothing has reached the bus of this test");
}
