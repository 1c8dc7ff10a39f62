//! Any signed body in its envelope, read back as a subscriber does: by a strict reader of CloudEvents, in both modes.
//!
//! First byte: the vendor, and whether the body follows a `traceparent` and a line feed.

use std::{borrow::Cow, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hookbus::{
    envelope::{
        Attributes, Encoding, Envelope, Message, Stamp,
        attributes::Attribute,
        message::{Binding, JSON},
        route::Template,
    },
    event::Event,
    json,
    request::{Body, Received},
    secrets::Secret,
    vendors::Vendor,
    verify::{Verifier, sign},
};
use http::{HeaderMap, HeaderValue};
use jiff::{Timestamp, civil::DateTime};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::{SECRETS, fault, secret_files, verify::identity};

const NOW: i64 = 1_767_312_145;

struct Rooms {
    verifiers: [Verifier; 2],
    template: Template,
    stamp: Stamp,
}

static ROOMS: LazyLock<Rooms> = LazyLock::new(|| Rooms {
    verifiers: [Vendor::Policy1099, Vendor::Audit1]
        .map(|vendor| Verifier::load(identity(vendor), secret_files(), None).expect("secrets")),
    template: "webhooks.{vendor}.{type}".parse::<Template>().expect("a template").routing_unknown(true),
    stamp: Stamp::new("fuzz", NOW * 1000),
});

/// One body.
pub fn run(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else { return };
    let vendor = if choice & 1 == 0 { Vendor::Policy1099 } else { Vendor::Audit1 };
    let split = (choice & 2 == 2).then(|| rest.iter().position(|byte| *byte == b'\n')).flatten();
    let (trace, body) = split.map_or((&b""[..], rest), |at| (&rest[..at], &rest[at + 1..]));
    let body = Bytes::copy_from_slice(body);
    let envelope = envelope(vendor, trace, &body);
    // Of an event, a byte order mark is left out; in quarantine it is one of the body's own bytes.
    let is_odd = envelope.attributes().get(Attribute::QuarantineReason).is_some();
    let body = if is_odd { body } else { body.slice_ref(json::without_mark(&body)) };
    let message = Message { attributes: envelope.attributes().clone(), body: written(&body) };
    structured(&message, &body);
    for binding in [Binding::Nats, Binding::Kafka] {
        headers(&message, binding);
    }
    route(message.route());
    let again = Attributes::decode(message.attributes.encoded().to_vec());
    assert_eq!(again.as_ref(), Some(&message.attributes), "what the journal reads back");
}

fn envelope(vendor: Vendor, trace: &[u8], body: &Bytes) -> Envelope {
    let secret = Secret::from_text(SECRETS[0].into()).expect("a secret");
    let mut headers = HeaderMap::new();
    for (name, value) in sign::headers(vendor, &secret, NOW, body) {
        headers.insert(name, value.parse().expect("a value"));
    }
    if let Ok(trace) = HeaderValue::from_bytes(trace) {
        headers.insert("traceparent", trace);
    }
    let arrival = Timestamp::from_second(NOW).expect("a time");
    let received = Received { headers: Cow::Borrowed(&headers), body: Body::unbudgeted(body.clone()), arrival };
    let verifier = &ROOMS.verifiers[usize::from(vendor == Vendor::Audit1)];
    let verified = verifier.verify(received).expect("a right signature");
    Envelope::new(Event::new(verified), &ROOMS.template, &ROOMS.stamp)
}

/// The planted fault: a body that is JSON is written anew.
fn written(body: &Bytes) -> Bytes {
    let tree = fault().then(|| serde_json::from_slice::<serde_json::Value>(body).ok()).flatten();
    tree.map_or_else(|| body.clone(), |tree| serde_json::to_vec(&tree).expect("JSON").into())
}

fn structured(message: &Message, body: &[u8]) {
    let event = message.structured();
    serde_json::from_slice::<IgnoredAny>(&event).expect("a structured event is JSON");
    let (head, data) = split(&event, body);
    let members: Map<String, Value> = serde_json::from_slice(&head).expect("attributes are JSON");
    let text = |name: &str| members.get(name).map(|value| value.as_str().expect("an attribute is a text"));
    let written = String::from_utf8_lossy(&head).into_owned();
    // A quote inside a value is escaped, so that this is found at a name only.
    let count: usize = members.keys().map(|name| written.matches(&format!("\"{name}\":")).count()).sum();
    assert_eq!(count, members.len(), "no attribute twice: {:?}", String::from_utf8_lossy(&head));
    assert_eq!(text("specversion"), Some("1.0"));
    for required in ["id", "source", "type"] {
        assert!(text(required).is_some_and(|value| !value.is_empty()), "{required}");
    }
    for time in ["time", "recordedtime"] {
        assert!(text(time).is_none_or(is_time), "{time}: {:?}", text(time));
    }
    for name in members.keys() {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{name}");
    }
    assert!(text("partitionkey").is_some() && text("sequence").is_some() && text("traceparent").is_some());
    match data {
        Data::Json => {
            assert_eq!((text("datacontenttype"), text("quarantinereason")), (Some(JSON), None));
            assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok());
        }
        Data::Base64(data) => {
            assert!(text("quarantinereason").is_some());
            assert_eq!(STANDARD.decode(data).expect("base64"), body, "the body's own bytes");
        }
    }
}

/// RFC 3339 in UTC, with any number of digits behind the seconds.
fn is_time(text: &str) -> bool {
    let Some((clock, rest)) = text.split_at_checked("2026-06-02T18:04:11".len()) else { return false };
    let fraction = rest.strip_suffix('Z').map(|rest| rest.strip_prefix('.').map_or((rest, 0), |digits| (digits, 1)));
    let is_fraction = fraction.is_some_and(|(digits, least)| {
        digits.len() >= least && digits.bytes().all(|digit| digit.is_ascii_digit()) && (least == 1 || digits.is_empty())
    });
    is_fraction && clock.as_bytes()[10] == b'T' && clock.parse::<DateTime>().is_ok()
}

enum Data {
    /// The body's own bytes.
    Json,
    Base64(Vec<u8>),
}

/// Attributes, which come first, and the data behind them, which is the body to the byte.
fn split(event: &[u8], body: &[u8]) -> (Vec<u8>, Data) {
    let tail = [b",\"data\":", body, b"}"].concat();
    if let Some(head) = event.strip_suffix(&tail[..]) {
        return ([head, b"}"].concat(), Data::Json);
    }
    let mark = b",\"data_base64\":\"";
    let at = event.windows(mark.len()).position(|window| window == mark).expect("the body's own bytes, or base64");
    let data = event[at + mark.len()..].strip_suffix(b"\"}").expect("base64 comes last");
    ([&event[..at], b"}"].concat(), Data::Base64(data.to_vec()))
}

/// Headers are of a fixed alphabet, on NATS printable ASCII without blanks at their ends, and say what the attributes say.
fn headers(message: &Message, binding: Binding) {
    for encoding in [Encoding::Structured, Encoding::Binary] {
        for (name, value) in message.headers(binding, encoding) {
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{name}");
            if binding == Binding::Kafka {
                continue;
            }
            assert!(!value.contains(['\r', '\n', '\0']), "{name}: {value:?}");
            let Some(attribute) = name.strip_prefix("ce-").and_then(Attribute::from_name) else { continue };
            assert!(value.bytes().all(|byte| (0x21..0x7f).contains(&byte)), "{name}: {value:?}");
            assert_eq!(percent_decoded(&value), message.get(attribute).as_bytes(), "{name}: {value:?}");
        }
    }
}

fn percent_decoded(value: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), value.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        let pair = (byte == b'%').then(|| behind.get(..2).and_then(crate::naive::unhex)).flatten();
        rest = if pair.is_some() { &behind[2..] } else { behind };
        out.extend(pair.unwrap_or_else(|| vec![byte]));
    }
    out
}

fn route(route: &str) {
    let is_token = |token: &str| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    assert!(route.starts_with("webhooks.") && route.len() <= 200 && route.split('.').all(is_token), "{route:?}");
}
