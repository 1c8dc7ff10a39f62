use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
};

use super::{
    Lines, RequestLine, TARGET,
    lines::{MAX_WAITING_BYTES, is_in_sample},
    subscriber,
};
use crate::config::{LogConfig, LogFormat, LogLevel};

const LINE: RequestLine<'_> = RequestLine {
    source: "acme",
    status: 200,
    outcome: "accepted",
    reason: None,
    event_type: Some("policy.active"),
    event_id: Some("evt\"\n\u{202e}\u{1f600}"),
    entity: None,
    path: None,
    sender: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
    user_agent: Some(b"Convoy/1.0 \"\n\xff"),
    secret: Some("acme"),
    bytes: 7,
    duration: Duration::from_micros(1500),
    trace_id: None,
};

/// The lines of what `work` logs.
fn logged(format: LogFormat, work: impl FnOnce(&Lines)) -> (String, Lines) {
    let lines = Lines::new(LogLevel::Info);
    let subscriber = subscriber(&LogConfig { format, level: LogLevel::Info }, &lines);
    tracing::subscriber::with_default(subscriber, || work(&lines));
    let text = String::from_utf8(lines.shared.lock().bytes.clone()).unwrap();
    (text, lines)
}

#[test]
fn a_json_line_is_json_in_plain_ascii() {
    let (text, _) = logged(LogFormat::Json, |lines| lines.request(&LINE));
    assert!(text.is_ascii() && text.ends_with("}\n") && text.matches('\n').count() == 1, "{text}");
    let (time, rest) = text.split_at(r#"{"timestamp":"2026-11-28T15:22:42.151102Z""#.len());
    assert!(time.starts_with(r#"{"timestamp":"2"#) && time.ends_with("Z\""), "{text}");
    let expected = concat!(
        r#","level":"INFO","message":"request","source":"acme","status":200,"outcome":"accepted","#,
        r#""type":"policy.active","event_id":"evt\"\u000a\u202e\ud83d\ude00","sender":"203.0.113.7","#,
        r#""user_agent":"Convoy/1.0 \"\u000a\ufffd","secret":"acme","bytes":7,"duration_ms":1.500}"#,
        "\n"
    );
    assert_eq!(rest, expected);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["event_id"], "evt\"\n\u{202e}\u{1f600}");
}

#[test]
fn a_text_line_stays_one_line() {
    let refused = RequestLine { status: 401, outcome: "rejected", reason: Some("signature missing"), ..LINE };
    let (text, _) = logged(LogFormat::Text, |lines| lines.request(&refused));
    let (_, rest) = text.split_once(' ').unwrap();
    let expected = concat!(
        r#" WARN request source=acme status=401 outcome=rejected reason="signature missing" type="policy.active" "#,
        r#"event_id="evt\"\u000a\u202e\ud83d\ude00" sender="203.0.113.7" "#,
        r#"user_agent="Convoy/1.0 \"\u000a\ufffd" secret="acme" bytes=7 duration_ms=1.500"#,
        "\n"
    );
    assert_eq!(rest, expected);
}

#[test]
fn other_events_go_the_same_way() {
    let (text, _) = logged(LogFormat::Json, |_| tracing::info!(workers = 2, "serving"));
    assert!(text.contains(r#""level":"INFO","message":"serving","workers":2}"#), "{text}");
    let (text, _) = logged(LogFormat::Text, |_| tracing::info!(workers = 2, "serving"));
    assert!(text.ends_with("  INFO serving workers=2\n"), "{text}");
}

#[test]
fn beyond_the_bound_lines_are_dropped_and_counted() {
    let (text, lines) = logged(LogFormat::Json, |lines| {
        (0..MAX_WAITING_BYTES / 100).for_each(|_| lines.request(&LINE));
    });
    let left_out = lines.shared.lock().left_out.unwrap();
    assert!(left_out.blocked > 0);
    assert_eq!(left_out.blocked, lines.dropped());
    assert!(text.len() <= MAX_WAITING_BYTES);
}

#[test]
fn ten_times_the_flood_is_ninety_lines_more() {
    for (requests, written) in [(1, 1), (100, 100), (101, 100), (1000, 190), (10_000, 280), (1_000_000, 460)] {
        assert_eq!((1..=requests).filter(|number| is_in_sample(*number)).count(), written, "{requests}");
    }
    assert!((u32::MAX - 9..=u32::MAX).filter(|number| is_in_sample(*number)).count() <= 1);
}

#[test]
fn of_requests_without_an_event_a_second_has_a_sample_and_the_rest_is_counted() {
    let ping = RequestLine { event_type: None, event_id: None, reason: Some("ping"), ..LINE };
    let refused = RequestLine { status: 401, ..ping };
    let begin = Instant::now();
    let (text, lines) = logged(LogFormat::Text, |lines| {
        (0..500).for_each(|_| lines.request(&ping));
        (0..500).for_each(|_| lines.request(&refused));
    });
    let (written, seconds) = (text.lines().count(), usize::try_from(begin.elapsed().as_secs()).unwrap() + 2);
    assert!((100..=190 * seconds).contains(&written), "{written} in {seconds} s");
    assert!(text.contains("status=401"), "the end of a flood has its share");
    assert_eq!(u64::try_from(1000 - written).unwrap(), lines.dropped());
    let left_out = lines.shared.lock().left_out.unwrap();
    assert_eq!((left_out.unsampled, left_out.blocked, left_out.level), (lines.dropped(), 0, tracing::Level::WARN));
}

#[test]
fn how_many_lines_were_left_out_is_said_at_the_end() {
    let ping = RequestLine { event_type: None, event_id: None, reason: Some("ping"), ..LINE };
    let (text, lines) = logged(LogFormat::Text, |lines| {
        (0..1000).for_each(|_| lines.request(&ping));
        lines.flush(Duration::from_millis(10));
    });
    let expected = format!(" WARN log lines left out unsampled={} blocked=0\n", lines.dropped());
    assert!(lines.dropped() > 0 && text.ends_with(&expected), "{expected}{text}");
}

#[test]
fn a_user_agent_has_a_bound() {
    let long = [b'x'; 5000];
    let (text, _) = logged(LogFormat::Text, |lines| lines.request(&RequestLine { user_agent: Some(&long), ..LINE }));
    assert!(text.contains(&format!("user_agent=\"{}\"", "x".repeat(256))), "{text}");
}

/// A layer that is not ours.
#[derive(Clone, Default)]
struct Second(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl<S: Subscriber> Layer<S> for Second {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == TARGET {
            event.record(&mut self.clone());
        }
    }
}

impl Visit for Second {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.lock().unwrap().insert(field.name(), format!("{value:?}"));
    }
}

#[test]
fn another_layer_sees_the_fields_of_a_request() {
    let lines = Lines::new(LogLevel::Info);
    let second = Second::default();
    let config = LogConfig { format: LogFormat::Json, level: LogLevel::Info };
    let both = subscriber(&config, &lines).with(second.clone());
    tracing::subscriber::with_default(both, || lines.request(&LINE));
    let seen = second.0.lock().unwrap().clone();
    let expected = [
        ("bytes", "7"),
        ("duration_ms", "1.5"),
        ("event_id", r#""evt\"\n\u{202e}😀""#),
        ("message", "request"),
        ("outcome", "\"accepted\""),
        ("secret", "\"acme\""),
        ("sender", "203.0.113.7"),
        ("source", "\"acme\""),
        ("status", "200"),
        ("type", "\"policy.active\""),
        ("user_agent", "\"Convoy/1.0 \\\"\\n\u{fffd}\""),
    ];
    assert_eq!(seen, expected.map(|(name, value)| (name, value.to_owned())).into());
    assert!(!lines.shared.lock().bytes.is_empty(), "our own layer writes its line too");
}
