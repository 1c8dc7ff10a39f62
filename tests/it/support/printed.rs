//! Whether a command has printed what a page shows.
//!
//! In: the page's lines and the printed ones. Out: yes or no. What differs from run to run (times, ids, durations, process
//! ids) counts as equal to another of its kind only; a `…` in a line stands for any text, a line of `…` for any lines.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Any text, any lines.
const ANY: &str = "…";

/// What differs from run to run, and what it is called instead; longer ones first.
static KINDS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\x1b\[[0-9;]*m", ""),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", "<time>"),
        (r"\b00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]\b", "<traceparent>"),
        (r"\b[0-9a-f]{64}\b", "<hash>"),
        (r"\b[0-9a-f]{32}\b", "<trace>"),
        (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>"),
        (r"\b[0-9a-f]{24}\b", "<object>"),
        (r"\b\d+(?:\.\d+)? ?(?:ns|µs|ms|s)\b", "<duration>"),
        (r#""duration_ms":[0-9.]+"#, r#""duration_ms":<number>"#),
        (r#""pid":\d+"#, r#""pid":<number>"#),
        (r"\b\d{16,20}\b", "<sequence>"),
        (r"\b1\d{9}\b", "<unix>"),
    ]
    .map(|(pattern, name)| (Regex::new(pattern).unwrap(), name))
    .into()
});

/// `evt_QODwqOxLJcn`: the prefix stays.
static ID: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b([a-z]{2,6})_([A-Za-z0-9]{8,})\b").unwrap());

/// A line with the kinds in place of what differs.
fn general(line: &str) -> String {
    let mut line = line.trim_end().to_owned();
    for (pattern, name) in KINDS.iter() {
        line = pattern.replace_all(&line, *name).into_owned();
    }
    let name = |found: &Captures<'_>| {
        let is_word = found[2].bytes().all(|b| b.is_ascii_lowercase());
        if is_word { found[0].to_owned() } else { format!("{}_<id>", &found[1]) }
    };
    ID.replace_all(&line, name).into_owned()
}

/// Whether these lines were printed, and no others.
pub fn is_as_shown(shown: &[String], printed: &str) -> bool {
    let shown: Vec<_> = shown.iter().map(|line| general(line)).collect();
    let printed: Vec<_> = printed.lines().map(general).collect();
    lines_match(&shown, &printed)
}

/// Whether these lines begin what was printed so far.
pub fn begins_as_shown(shown: &[String], printed: &str) -> bool {
    let more = shown.iter().cloned().chain([ANY.to_owned()]).collect::<Vec<_>>();
    is_as_shown(&more, printed)
}

fn lines_match(shown: &[String], printed: &[String]) -> bool {
    let Some((first, rest)) = shown.split_first() else { return printed.is_empty() };
    if first == ANY {
        return (0..=printed.len()).any(|from| lines_match(rest, &printed[from..]));
    }
    printed.split_first().is_some_and(|(line, later)| line_matches(first, line) && lines_match(rest, later))
}

fn line_matches(shown: &str, printed: &str) -> bool {
    let mut parts = shown.split(ANY);
    let Some(mut left) = printed.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return left.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some((_, right)) = left.split_once(part) else { return false };
        left = right;
    }
    true
}

#[test]
fn kinds_are_equal_and_all_else_is_not() {
    let same = |shown: &str, printed: &str| is_as_shown(&shown.lines().map(str::to_owned).collect::<Vec<_>>(), printed);
    let event = "2026-11-28T23:31:20.705943Z  webhooks.audit1.file.failed  id=evt_Frv1tWXlTlc  0.4 ms  200";
    assert!(same("2027-01-01T00:00:00Z  webhooks.audit1.file.failed  id=evt_Abcdefgh12  17 ms  200", event));
    assert!(same("…\n2026-01-01T00:00:00Z  webhooks.…  200\n…", &format!("a\nb\n{event}\nc")));
    assert!(same("a…b…c", "a 1 b 2 c") && same("", "") && same("…", ""));
    for other in [
        "2027-01-01  webhooks.audit1.file.failed  id=evt_Abcdefgh12  17 ms  200",
        "2027-01-01T00:00:00Z  webhooks.audit1.file.failed  id=cert_Abcdefgh12  17 ms  200",
        "2027-01-01T00:00:00Z  webhooks.audit1.file.failed  id=evt_Abcdefgh12  17 ms  401",
        "2027-01-01T00:00:00Z  webhooks.audit1.file.processed  id=evt_Abcdefgh12  17 ms  200",
        "…  401",
        "…\n…  200\nmore",
        "",
    ] {
        assert!(!same(other, event), "{other}");
    }
    assert!(!same("a…b…c", "a c b") && !same("hookbus_data1234", "hookbus_data5678x y"));
    assert!(begins_as_shown(&["a".into()], "a\nb") && !begins_as_shown(&["b".into()], "a\nb"));
}
