//! The scanner against `serde_json`: on good texts, on damaged ones, and on the corners of the grammar.

use super::*;
use proptest::prelude::*;
use serde_json::Value as Tree;

/// Whether `serde_json` takes it. `IgnoredAny` is read without recursion, so depth is not its concern.
fn serde_accepts(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

fn accepts(body: &[u8]) -> bool {
    scan(body, |_| {}).is_ok()
}

fn members(body: &str) -> Vec<(Scope, String, Kind, String)> {
    let mut seen = Vec::new();
    scan(body.as_bytes(), |member| {
        seen.push((member.scope, member.key.to_owned(), member.value.kind, member.value.raw(body).to_owned()));
    })
    .unwrap();
    seen
}

fn compacted(body: &[u8]) -> Vec<u8> {
    compact(body).flatten().copied().collect()
}

#[test]
fn shows_the_members_of_the_three_scopes_and_no_others() {
    let seen = members(
        r#" { "\u0074ype" : "a\n.b" , "deep":{"data":{"id":0}}, "data":{"object":{"id":"x","in":{"id":1}},"n":-1.50e+3},
            "list":[{"id":2}], "data":[{"id":3}], "object":{"id":4}, "ok":true } "#,
    );
    let short: Vec<(Scope, &str, Kind, &str)> =
        seen.iter().map(|(scope, key, kind, raw)| (*scope, key.as_str(), *kind, raw.as_str())).collect();
    assert_eq!(
        short,
        [
            (Scope::Root, "type", Kind::String, r"a\n.b"),
            (Scope::Root, "deep", Kind::Object, "{"),
            (Scope::Root, "data", Kind::Object, "{"),
            (Scope::Data, "object", Kind::Object, "{"),
            (Scope::DataObject, "id", Kind::String, "x"),
            (Scope::DataObject, "in", Kind::Object, "{"),
            (Scope::Data, "n", Kind::Number, "-1.50e+3"),
            (Scope::Root, "list", Kind::Array, "["),
            (Scope::Root, "data", Kind::Array, "["),
            (Scope::Root, "object", Kind::Object, "{"),
            (Scope::Root, "ok", Kind::Literal, "true"),
        ]
    );
}

#[test]
fn an_array_at_the_root_has_no_members_and_empty_containers_no_trouble() {
    assert!(members(r#"[{"type":"a"},{},[],[[]],{"data":{}}]"#).is_empty());
    assert_eq!(members(r#"{"data":{},"id":{"object":{"id":1}}}"#).len(), 2);
    assert_eq!(scan(b" [ ] ", |_| {}).map(|document| document.kind), Ok(Kind::Array));
    assert_eq!(scan(b"null", |_| {}).map(|document| document.kind), Ok(Kind::Literal));
}

#[test]
fn keys_no_one_can_ask_for_are_passed_over() {
    assert!(members(r#"{"\ud800":1}"#).is_empty());
    assert!(members(&format!(r#"{{"{}":1}}"#, "k".repeat(MAX_KEY_BYTES + 1))).is_empty());
    assert_eq!(members(&format!(r#"{{"{}":1}}"#, "k".repeat(MAX_KEY_BYTES))).len(), 1);
}

/// Texts at the edge of the grammar, inside.
const GOOD: &[&str] = &[
    "0",
    "-0",
    "1e400",
    "12345678901234567890123",
    "-0.0e-0",
    "1E5",
    "\"\"",
    r#""\ud800""#,
    r#""\/\b\f\n\r\t\\\"""#,
    "\"\u{7f}\u{2028}\"",
    "[]",
    "{}",
    " \t\r\n1\n",
    "[1,2]",
    r#"{"a":1,"a":2}"#,
    "true",
    "false",
    "null",
    "\"é…😀\"",
];

/// Texts at the edge of the grammar, outside.
const BAD: &[&str] = &[
    "",
    " ",
    "01",
    "-",
    "+1",
    "1.",
    ".5",
    "1e",
    "1e+",
    "0x1",
    "NaN",
    "tru",
    "truee",
    "nul",
    "\"",
    "\"a",
    "\"\n\"",
    "\"\t\"",
    "\"\0\"",
    r#""\x""#,
    r#""\u12""#,
    r#""\u12g4""#,
    r#""\u123g""#,
    r#""\u123""#,
    r#""\"#,
    "[1,]",
    "[,1]",
    "[1 2]",
    "[",
    "]",
    "{",
    "}",
    "{]",
    "[}",
    "{1:2}",
    r#"{"a"}"#,
    r#"{"a":}"#,
    r#"{"a":1,}"#,
    r#"{"a":1 "b":2}"#,
    r#"{"a" 1}"#,
    "{,}",
    "1 2",
    "{}{}",
    "\u{feff}{}",
    "{}\0",
    "'a'",
    "// c\n1",
    "\u{a0}1",
    "[1]]",
    "\u{c}1",
];

#[test]
fn the_corners_of_the_grammar() {
    for body in GOOD {
        assert!(accepts(body.as_bytes()) && serde_accepts(body.as_bytes()), "{body}");
    }
    for body in BAD {
        assert_eq!(scan(body.as_bytes(), |_| {}), Err(Defect::NotJson), "{body:?}");
        assert!(!serde_accepts(body.as_bytes()), "{body:?}");
    }
    for body in [&b"\"\xff\""[..], b"\xfe\xff", b"{\"\xed\xa0\x80\":1}", b"\xc0\xaf"] {
        assert_eq!(scan(body, |_| {}), Err(Defect::NotUtf8));
    }
}

#[test]
fn every_control_byte_ends_a_string_at_every_offset() {
    for offset in 0..20 {
        for byte in 0..=0x7f_u8 {
            let mut body = vec![b'"'];
            body.extend(std::iter::repeat_n(b'x', offset));
            body.push(byte);
            body.extend(b"yyyyyyyyyyyy\"");
            assert_eq!(accepts(&body), serde_accepts(&body), "{byte} at {offset}");
        }
    }
}

#[test]
fn nesting_ends_at_the_limit() {
    let limit = MAX_DEPTH as usize;
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(accepts(nested(limit).as_bytes()));
    assert_eq!(scan(nested(limit + 1).as_bytes(), |_| {}), Err(Defect::TooDeep));
    assert_eq!(scan("[".repeat(5_000_000).as_bytes(), |_| {}), Err(Defect::TooDeep));
    let objects = |depth: usize| r#"{"data":"#.repeat(depth) + "1" + &"}".repeat(depth);
    assert!(accepts(objects(limit).as_bytes()));
    assert_eq!(scan(objects(limit + 1).as_bytes(), |_| {}), Err(Defect::TooDeep));
    // Mixed, closed and opened again: the bits of closed containers are gone.
    assert!(accepts(format!("[{}]", vec![r#"{"a":[{"b":[]}]}"#; 200].join(",")).as_bytes()));
}

#[test]
fn unescaping_resolves_what_is_text_and_refuses_what_is_not() {
    assert!(matches!(unescape("plain é"), Some(std::borrow::Cow::Borrowed("plain é"))));
    for (raw, text) in [
        (r"\u0074ype", "type"),
        (r"a\\b\/\b\f\n\r\t\u0000", "a\\b/\u{8}\u{c}\n\r\t\0"),
        (r"\ud83d\ude00!", "😀!"),
        (r"\uFFFF\uffff", "\u{ffff}\u{ffff}"),
        ("", ""),
    ] {
        assert_eq!(unescape(raw).as_deref(), Some(text), "{raw}");
    }
    for raw in [
        r"\ud800",
        r"\udc00",
        r"\ud800x",
        r"\ud800\n",
        r"\ud800\u0041",
        r"\ud800\ud800",
        r"\",
        r"\q",
        r"\u12",
        r"\u+123",
        r"\u12é4",
    ] {
        assert_eq!(unescape(raw), None, "{raw}");
    }
}

#[test]
fn compaction_keeps_literals_and_takes_white_space_only() {
    for (body, expected) in [
        ("{ \"a b\" : [ 1.50 , \"\\\" x\" ] }\n", r#"{"a b":[1.50,"\" x"]}"#),
        ("", ""),
        (" \n\t\r", ""),
        ("not json at all", "notjsonatall"),
        ("\"open  end", "\"open  end"),
        ("\"ends in a backslash \\", "\"ends in a backslash \\"),
        ("a\u{a0}\u{c}b c", "a\u{a0}\u{c}bc"),
        (r#""\\" "b""#, r#""\\""b""#),
    ] {
        assert_eq!(compacted(body.as_bytes()), expected.as_bytes(), "{body:?}");
    }
    assert!(compact(b" { } ").all(|run| !run.is_empty()));
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::from),
        any::<i64>().prop_map(Tree::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Tree::from),
        any::<String>().prop_map(Tree::from),
        "[ -~]{0,40}".prop_map(Tree::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let key =
            prop_oneof![Just("data".to_owned()), Just("object".to_owned()), Just("id".to_owned()), any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|members| Tree::Object(members.into_iter().collect())),
        ]
    })
}

/// What the scanner should show of a tree, in order.
fn expected_members(tree: &Tree) -> Vec<(Scope, String, Kind)> {
    fn walk(object: &Tree, scope: Scope, out: &mut Vec<(Scope, String, Kind)>) {
        for (key, value) in object.as_object().into_iter().flatten() {
            let kind = match value {
                Tree::Object(_) => Kind::Object,
                Tree::Array(_) => Kind::Array,
                Tree::String(_) => Kind::String,
                Tree::Number(_) => Kind::Number,
                Tree::Null | Tree::Bool(_) => Kind::Literal,
            };
            out.push((scope, key.clone(), kind));
            match (scope, key.as_str()) {
                (Scope::Root, "data") => walk(value, Scope::Data, out),
                (Scope::Data, "object") => walk(value, Scope::DataObject, out),
                _ => {}
            }
        }
    }
    let mut out = Vec::new();
    walk(tree, Scope::Root, &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_texts_are_read_as_written(tree in tree(), pretty: bool) {
        let body = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) }.unwrap();
        let mut seen = Vec::new();
        scan(body.as_bytes(), |member| {
            seen.push((member.scope, member.key.to_owned(), member.value.kind));
            if member.value.kind == Kind::String {
                let literal = body.get(member.value.start - 1..=member.value.end).unwrap();
                let text: String = serde_json::from_str(literal).unwrap();
                assert_eq!(unescape(member.value.raw(&body)).unwrap(), text);
            }
        })
        .unwrap();
        prop_assert_eq!(seen, expected_members(&tree));
        prop_assert_eq!(compacted(body.as_bytes()), serde_json::to_vec(&tree).unwrap());
    }

    #[test]
    fn damaged_texts_are_judged_as_serde_judges_them(
        tree in tree(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..4),
    ) {
        const SPICE: &[u8] = b"\"\\{}[]:,0-+.eEu \n\t\0tfn\xff/1ad8";
        let mut body = serde_json::to_vec(&tree).unwrap();
        for (place, byte, how) in damage {
            let at = place.index(body.len() + 1);
            let spice = SPICE[usize::from(byte) % SPICE.len()];
            match how {
                0 => body.insert(at, spice),
                1 if at < body.len() => drop(body.remove(at)),
                2 if at < body.len() => body[at] = spice,
                3 => body.truncate(at),
                _ => body.push(byte),
            }
        }
        prop_assert_eq!(accepts(&body), serde_accepts(&body));
    }

    #[test]
    fn arbitrary_bytes_are_judged_as_serde_judges_them(body in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(accepts(&body), serde_accepts(&body));
        let without: Vec<u8> = body.iter().copied().filter(|byte| !b" \t\r\n".contains(byte)).collect();
        let kept: Vec<u8> = compacted(&body).into_iter().filter(|byte| !b" \t\r\n".contains(byte)).collect();
        prop_assert_eq!(kept, without);
        if let Ok(text) = std::str::from_utf8(&body) {
            let _: Option<_> = unescape(text);
        }
    }

    #[test]
    fn token_soup_is_judged_as_serde_judges_it(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", ":", ",", " ", "\n", "\"a\"", "\"data\"", "\"\\u0000\"", "\"\\ud800\"", "0", "-1", "1.5", "1e9",
                "true", "null", "\"\\\\\"", "\"", "\\", "é",
            ]),
            0..16,
        ),
    ) {
        let body = tokens.concat();
        prop_assert_eq!(accepts(body.as_bytes()), serde_accepts(body.as_bytes()), "{}", body);
    }
}
