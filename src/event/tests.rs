//! Readings: every documented body as expected, and strangers of every kind.

use super::*;
use crate::vendors::Vendor;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;

use Vendor::{Audit1, Policy1099};

fn sample(path: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/vendors").join(path)).unwrap()
}

fn read_text(vendor: Vendor, body: &str) -> Reading {
    read(vendor, "acme", body.as_bytes())
}

fn read_json(vendor: Vendor, body: &Value) -> Reading {
    read_text(vendor, &body.to_string())
}

fn form(reading: &Reading) -> Option<&'static str> {
    reading.form.map(|form| form.name)
}

fn quarantine(vendor: Vendor, body: &[u8]) -> Option<Quarantine> {
    let reading = read(vendor, "acme", body);
    let Kind::Quarantined(reason) = reading.kind else {
        return None;
    };
    assert_eq!((reading.id, reading.id_is_derived), (derived_id(vendor, "acme", body), true));
    assert_eq!(
        (reading.form, reading.time, reading.entity, reading.entity_path, reading.subject),
        (None, None, None, None, None)
    );
    assert_eq!((reading.kind.event_type(), reading.kind.type_label()), (None, "quarantine"));
    Some(reason)
}

#[derive(Deserialize)]
struct Expected {
    sample: String,
    vendor: String,
    source_name: String,
    form: String,
    id: String,
    r#type: String,
    entity: String,
    entitypath: Option<String>,
    subject: Option<String>,
    time: Option<String>,
    partitionkey: String,
    subject_or_topic: String,
}

#[test]
fn every_sample_reads_as_expected() {
    let expected: Vec<Expected> = serde_json::from_str(include_str!("../../tests/data/expected.json")).unwrap();
    assert_eq!(expected.len(), 76);
    for row in expected {
        let vendor: Vendor = row.vendor.parse().unwrap();
        let reading = read(vendor, &row.source_name, &sample(&row.sample));
        let event_type = reading.kind.event_type().unwrap();
        assert!(matches!(reading.kind, Kind::Documented(entry) if Some(entry.form) == reading.form), "{}", row.sample);
        assert_eq!(form(&reading), Some(row.form.as_str()), "{}", row.sample);
        assert_eq!(reading.id, row.id, "{}", row.sample);
        assert_eq!(reading.id_is_derived, row.id.starts_with("sha256:"));
        assert_eq!(format!("com.{vendor}.{event_type}"), row.r#type);
        assert_eq!(format!("webhooks.{vendor}.{event_type}"), row.subject_or_topic);
        assert_eq!(reading.entity, Some(row.entity.as_str()));
        assert_eq!(reading.entity_path, row.entitypath.as_deref(), "{}", row.sample);
        assert_eq!(reading.subject, row.subject, "{}", row.sample);
        assert_eq!(reading.time.map(|time| time.text), row.time, "{}", row.sample);
        let key = match reading.subject {
            Some(subject) => format!("{vendor}/{}/{subject}", row.source_name),
            None => reading.id,
        };
        assert_eq!(key, row.partitionkey);
    }
}

#[test]
fn derived_ids_follow_the_vectors() {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../../tests/data/id_vectors.json")).unwrap();
    assert_eq!(vectors.len(), 17);
    for vector in vectors {
        let text = |name: &str| vector.get(name).and_then(Value::as_str);
        let body = match text("body") {
            Some(path) => sample(path),
            None => BASE64_STANDARD.decode(text("body_b64").unwrap()).unwrap(),
        };
        let reading = read(text("vendor").unwrap().parse().unwrap(), text("source").unwrap(), &body);
        assert_eq!((Some(reading.id.as_str()), reading.id_is_derived), (text("id"), true));
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_json_text() {
    let bare = r#"{"type":"file.failed","data":{"fileId":"f_1"}}"#;
    let marked = format!("\u{feff}{bare}");
    let reading = read_text(Audit1, &marked);
    assert_eq!((reading.kind.event_type(), reading.subject.as_deref()), (Some("file.failed"), Some("f_1")));
    assert_eq!(reading.id, derived_id(Audit1, "acme", marked.as_bytes()), "over the bytes that were signed");
    assert_ne!(reading.id, read_text(Audit1, bare).id);
}

#[test]
fn all_twelve_reasons_for_quarantine() {
    let deep = format!(r#"{{"type":"policy.active","data":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(300));
    let cases: [(Quarantine, &[&[u8]]); 12] = [
        (Quarantine::Empty, &[b""]),
        (Quarantine::NotUtf8, &[b"\xff\xfe", b"{\"type\":\"\xc3\"}"]),
        (
            Quarantine::NotJson,
            &[
                b"not json",
                b" ",
                b"\xef\xbb\xbf",
                b"\xef\xbb\xbfx",
                b"\xef\xbb\xbf\xef\xbb\xbf{}",
                b"{\"type\":\"a\"}x",
                b"{\"type\":\"a\n\"}",
                b"a=1",
            ],
        ),
        (Quarantine::NotObject, &[b"[1,2]", b"null", b"\"policy.active\"", b"[{\"type\":\"policy.active\"}]", b"7"]),
        (Quarantine::TooDeep, &[deep.as_bytes()]),
        (Quarantine::TypeMissing, &[b"{}", b"{\"Type\":\"a\"}", b"{\"data\":{\"type\":\"a\"}}"]),
        (Quarantine::TypeNotString, &[b"{\"type\":1}", b"{\"type\":null}", b"{\"type\":[\"a\"]}", b"{\"type\":{}}"]),
        (Quarantine::TypeEmpty, &[b"{\"type\":\"\"}"]),
        (
            Quarantine::TypeNotText,
            &[
                br#"{"type":"a\u0000"}"#,
                br#"{"type":"a\r\nb"}"#,
                br#"{"type":"\ud800"}"#,
                "{\"type\":\"a\u{85}\"}".as_bytes(),
            ],
        ),
        (Quarantine::TypeUnroutable, &[b"{\"type\":\"a b\"}", b"{\"type\":\"a.b.c.d.e.f.g.h.i\"}"]),
        (Quarantine::TypeTooLong, &[long.as_bytes()]),
        (Quarantine::DuplicateMember, &[b"{\"type\":\"a\",\"type\":\"a\"}"]),
    ];
    assert_eq!(cases.map(|(reason, _)| reason), Quarantine::ALL);
    for (reason, bodies) in cases {
        for vendor in Vendor::ALL {
            for body in bodies {
                assert_eq!(quarantine(vendor, body), Some(reason), "{}", String::from_utf8_lossy(body));
            }
        }
    }
}

#[test]
fn no_hostile_type_gets_through() {
    let long = "x".repeat(300);
    for hostile in [
        "*",
        ">",
        "..",
        ".",
        "a.*",
        "a.>",
        "$JS.API.STREAM.PURGE.X",
        "\0",
        "a\r\nb",
        "\u{202e}a",
        "a/b",
        "é",
        "\u{fffe}",
        &long,
    ] {
        for (vendor, key) in [(Policy1099, "type"), (Audit1, "type"), (Audit1, "event"), (Audit1, "event_type")] {
            let body = json!({ key: hostile, "id": "evt_1", "data": { "id": "x" } }).to_string();
            assert!(quarantine(vendor, body.as_bytes()).is_some(), "{hostile:?}");
        }
    }
}

#[test]
fn a_member_that_routes_may_stand_there_once() {
    for body in [
        r#"{"type":"policy.active","\u0074ype":"policy.cancelled","data":{"id":"x"}}"#,
        r#"{"type":"policy.active","id":"a","i\u0064":"a"}"#,
        r#"{"type":"policy.active","data":{"id":"x"},"data":{"id":"x"}}"#,
        r#"{"type":"policy.active","data":1,"data":1}"#,
        r#"{"type":"policy.active","data":{"object":"policy","object":{"id":"x"}}}"#,
        r#"{"type":"policy.active","data":{"id":"x","id":"y"}}"#,
        r#"{"type":"policy.active","event":1,"event":2}"#,
        r#"{"type":"policy.active","event_type":1,"event_type":2}"#,
        r#"{"type":"certificate.flagged","id":"e","data":{"object":{"id":"x","\u0069d":"y"}}}"#,
        r#"{"type":"stranger.seen","data":{"strangerId":"x","strangerId":"y"}}"#,
        r#"{"type":"stranger.seen","stranger_id":1,"stranger_id":1}"#,
    ] {
        assert_eq!(quarantine(Policy1099, body.as_bytes()), Some(Quarantine::DuplicateMember), "{body}");
    }
    // Others may be as double as they like: they choose nothing.
    let reading = read_text(
        Policy1099,
        r#"{"type":"policy.active","created":1,"created":2,"x":1,"x":2,"data":{"id":"x","quote":1,"quote":2,"certificates":{"id":1,"id":2}}}"#,
    );
    assert_eq!((reading.kind.event_type(), reading.time), (Some("policy.active"), None));
    assert_eq!(reading.subject.as_deref(), Some("x"));
    // The second candidate of a row is not the member that gives the id while the first does.
    let reading = read_text(Audit1, r#"{"type":"file.failed","data":{"fileId":"f","file_id":"g","file_id":"h"}}"#);
    assert_eq!(reading.subject.as_deref(), Some("f"));
}

#[test]
fn an_event_in_no_document_is_unlisted_and_found_a_subject_by_common_names() {
    for (vendor, body, wanted, subject, path) in [
        (
            Policy1099,
            json!({"type": "quote.made", "id": "e", "data": {"object": {"id": "q"}, "id": "n"}}),
            "nested",
            Some("q"),
            Some("/data/object"),
        ),
        (
            Policy1099,
            json!({"type": "quote.made", "id": "e", "data": {"object": "quote", "id": "q"}}),
            "event_api",
            Some("q"),
            Some("/data"),
        ),
        (Policy1099, json!({"type": "quote.made", "data": {"id": 12}}), "flat", Some("12"), Some("/data")),
        (Audit1, json!({"event": "invoice.issued", "data": {"invoice_id": "i"}}), "snake", Some("i"), Some("/data")),
        (
            Audit1,
            json!({"type": "invoice.issued", "data": {"invoice_id": "i", "invoiceId": "j"}}),
            "camel",
            Some("j"),
            Some("/data"),
        ),
        (Audit1, json!({"event_type": "refund.made", "refund_id": "r"}), "payments", Some("r"), Some("")),
        (
            Audit1,
            json!({"type": "policy.audit_scheduled", "data": {"policyId": "p"}}),
            "camel",
            Some("p"),
            Some("/data"),
        ),
        (Audit1, json!({"type": "refund", "data": []}), "camel", None, None),
    ] {
        let reading = read_json(vendor, &body);
        assert!(matches!(reading.kind, Kind::Unlisted(_)), "{body}");
        assert_eq!(reading.kind.type_label(), "unknown");
        assert_eq!((form(&reading), reading.entity), (Some(wanted), None), "{body}");
        assert_eq!((reading.subject.as_deref(), reading.entity_path), (subject, path), "{body}");
    }
}

#[test]
fn a_documented_event_in_another_form_stays_documented() {
    let body = json!({"id": "evt_1", "type": "policy.active", "data": {"object": {"id": "pl_1"}}});
    let reading = read_json(Policy1099, &body);
    assert!(matches!(reading.kind, Kind::Documented(entry) if entry.event == "policy.active"));
    assert_eq!(
        (form(&reading), reading.entity, reading.subject.as_deref()),
        (Some("nested"), Some("policy"), Some("pl_1"))
    );
    let reading = read_json(Audit1, &json!({"event_type": "file.failed", "file_id": "f"}));
    assert_eq!(
        (form(&reading), reading.entity, reading.subject.as_deref()),
        (Some("payments"), Some("file"), Some("f"))
    );
    let reading =
        read_json(Audit1, &json!({"event": "file.failed", "type": "audit.started", "event_type": "payment.failed"}));
    assert_eq!((form(&reading), reading.kind.event_type()), (Some("payments"), Some("payment.failed")));
}

#[test]
fn wrong_shapes_are_events_too() {
    for data in [json!(null), json!([]), json!("x"), json!(1.5), json!({}), json!({"id": null}), json!({"id": ["x"]})] {
        let is_object = data.is_object();
        let reading =
            read_json(Policy1099, &json!({"type": "policy.active", "data": data, "created": "soon", "id": null}));
        assert_eq!(reading.kind.type_label(), "policy.active");
        assert_eq!((form(&reading), reading.subject, reading.time), (Some("event_api"), None, None));
        assert_eq!(reading.entity_path, is_object.then_some("/data"));
        assert!(reading.id_is_derived);
    }
    let reading = read_json(Policy1099, &json!({"type": "policy.active"}));
    assert_eq!((form(&reading), reading.entity_path, reading.subject), (Some("flat"), None, None));
}

#[test]
fn ids_are_strings_of_text_and_never_rewritten() {
    let with_id = |id: Value| read_json(Audit1, &json!({"type": "webhook.test", "id": id}));
    for good in ["a", " ", "*", "é😀", &"x".repeat(256), "\u{202e}", "\"\\"] {
        let reading = with_id(json!(good));
        assert_eq!((reading.id.as_str(), reading.id_is_derived), (good, false));
    }
    assert_eq!(read_text(Audit1, r#"{"type":"webhook.test","id":"\u0061\u00e9"}"#).id, "aé");
    let long = "é".repeat(129);
    for bad in ["", "a\n", "\0", "\u{7f}", "\u{85}", "\u{fdd0}", "\u{ffff}", "\u{1fffe}", &"x".repeat(257), &long] {
        assert!(with_id(json!(bad)).id_is_derived, "{bad:?}");
    }
    for bad in [json!(1), json!(null), json!(["a"]), json!({"a": 1}), json!(true)] {
        assert!(with_id(bad).id_is_derived);
    }
    assert!(read_text(Audit1, r#"{"type":"webhook.test","id":"\ud800"}"#).id_is_derived);
}

#[test]
fn subjects_are_texts_or_integers_as_written() {
    let with = |id: &str| {
        read_text(
            Policy1099,
            &format!(r#"{{"type":"category_code.added","data":{{"category_code":{id},"id":"second"}}}}"#),
        )
        .subject
        .unwrap()
    };
    assert_eq!(with(r#""jc_\u0031""#), "jc_1");
    assert_eq!(with("12345678901234567890123"), "12345678901234567890123");
    assert_eq!(with("-0"), "-0");
    let long = format!("\"{}\"", "x".repeat(257));
    for unusable in
        ["1.0", "1e3", "null", "true", "{}", "[]", r#""""#, r#""a\n""#, r#""\udfff""#, &long, &"9".repeat(257)]
    {
        assert_eq!(with(unusable), "second", "{unusable}");
    }
}

#[test]
fn times_are_read_where_the_form_keeps_them() {
    let time = |vendor, body: Value| read_json(vendor, &body).time.map(|time| time.text);
    let created = |value: Value| time(Policy1099, json!({"type": "policy.active", "created": value}));
    assert_eq!(created(json!(1_767_312_139)).as_deref(), Some("2026-01-02T00:02:19Z"));
    assert_eq!(created(json!(1_767_312_139_042_u64)).as_deref(), Some("2026-01-02T00:02:19.042Z"));
    assert_eq!(created(json!("2026-01-02T02:02:19+02:00")).as_deref(), Some("2026-01-02T00:02:19Z"));
    for unreadable in
        [json!(1.5), json!(1e9), json!(u64::MAX), json!("2023-09-27T05:37:06.742302"), json!("1767312139"), json!(null)]
    {
        assert_eq!(created(unreadable), None);
    }
    let stamp = "2026-06-02T18:04:11.000Z";
    for (body, expected) in [
        (json!({"event": "file.failed", "timestamp": stamp}), Some(stamp)),
        (json!({"type": "file.failed", "timestamp": stamp}), Some(stamp)),
        (json!({"event_type": "payment.failed", "completed_at": stamp}), Some(stamp)),
        (json!({"event_type": "payment.failed", "timestamp": stamp}), None),
        (json!({"type": "file.failed", "created": 1_767_312_139}), None),
    ] {
        assert_eq!(time(Audit1, body).as_deref(), expected);
    }
}

#[test]
fn a_flood_of_members_pushes_none_out() {
    let flood: String = (0..5_000).map(|n| format!(r#""x{n}_id":{n},"#)).collect();
    let body = format!(r#"{{{flood}"data":{{{flood}"id":"pl_1"}},"type":"policy.active","id":"ev_1","created":0}}"#);
    let reading = read_text(Policy1099, &body);
    assert_eq!((reading.id.as_str(), reading.subject.as_deref()), ("ev_1", Some("pl_1")));
    assert!(reading.time.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_have_a_reading(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for vendor in Vendor::ALL {
            prop_assert_eq!(read(vendor, "acme", &body), read(vendor, "acme", &body));
        }
    }

    #[test]
    fn damaged_samples_have_a_reading_inside_the_alphabet(
        row in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..6),
    ) {
        let entries: Vec<_> = Vendor::ALL
            .into_iter()
            .flat_map(|vendor| vendor.profile().catalogue.iter().map(move |entry| (vendor, entry)))
            .collect();
        let (vendor, entry) = entries[row.index(entries.len())];
        let mut body = entry.sample.as_bytes().to_vec();
        for (place, byte, insert) in damage {
            let at = place.index(body.len());
            if insert { body.insert(at, byte) } else { body[at] = byte }
        }
        let reading = read(vendor, "acme", &body);
        prop_assert!(reading.kind.event_type().is_none_or(crate::subject::is_routable));
        for id in reading.subject.iter().chain([&reading.id]) {
            prop_assert!(!id.is_empty() && id.len() <= 256 && !id.chars().any(char::is_control));
        }
    }

    #[test]
    fn any_text_as_type_stays_inside_the_alphabet(event_type: String, id: String) {
        let reading = read_json(Audit1, &json!({"type": event_type, "id": id, "data": {"id": id}}));
        prop_assert!(reading.kind.event_type().is_none_or(|text| text == event_type && crate::subject::is_routable(text)));
    }
}
