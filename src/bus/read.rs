//! Reads a message back from a bus, for what reads it without consuming it: tail, forward, timeline, replay, reconcile.
//!
//! In: the headers and the payload of a record. Out: the event, with its body byte for byte. The payload of a structured
//! message has every attribute; headers beside it, as earlier versions wrote them, are ignored.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    envelope::{
        Attributes, Encoding, Message,
        attributes::Attribute,
        message::{Binding, CONTENT_TYPE},
    },
    text,
};

/// Media types of every structured message begin with it, in letters of either case.
const CLOUDEVENTS: &[u8] = b"application/cloudevents";

/// The event of a record; `None` for a record that hookbus has not written. `header`: the value of a header.
pub(super) fn message<'a>(
    binding: Binding,
    route: &str,
    header: impl Fn(&str) -> Option<&'a str>,
    payload: &Bytes,
) -> Option<Message> {
    let mut message = if is_structured(header(CONTENT_TYPE)) {
        structured(payload)?
    } else {
        Message { attributes: binary(binding, header), body: payload.clone() }
    };
    message.attributes.get(Attribute::Id)?;
    message.attributes.push_parts(Attribute::Route, &[route]);
    Some(message)
}

/// Whether a content type marks structured mode.
pub(super) fn is_structured(content_type: Option<&str>) -> bool {
    let start = content_type.and_then(|value| value.as_bytes().get(..CLOUDEVENTS.len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(CLOUDEVENTS))
}

/// Of a structured message, attributes come first and their quotes are escaped; so the first `"data":` is the body's, and
/// the body reaches to the last brace.
fn structured(payload: &Bytes) -> Option<Message> {
    let split = |mark: &[u8], end: &[u8]| {
        let start = memchr::memmem::find(payload, mark)?;
        let body = payload.get(start + mark.len()..)?.strip_suffix(end)?;
        Some((payload.slice(..start), payload.slice_ref(body)))
    };
    let (head, body) = split(b",\"data\":", b"}").or_else(|| {
        let (head, encoded) = split(b",\"data_base64\":\"", b"\"}")?;
        Some((head, STANDARD.decode(encoded).ok()?.into()))
    })?;
    let members: Map<String, Value> = serde_json::from_slice(&[&head, &b"}"[..]].concat()).ok()?;
    let mut attributes = Attributes::with_capacity(head.len());
    for (name, value) in &members {
        // A later version may have more of them.
        if let (Some(attribute), Some(value)) = (Attribute::from_name(name), value.as_str()) {
            attributes.push_parts(attribute, &[value]);
        }
    }
    Some(Message { attributes, body })
}

/// The attributes of a binary message, in the order in which the gateway sets them.
fn binary<'a>(binding: Binding, header: impl Fn(&str) -> Option<&'a str>) -> Attributes {
    let mut attributes = Attributes::default();
    for attribute in Attribute::ALL.into_iter().filter(|attribute| attribute.name().is_some()) {
        // On Kafka the body's type is the content type.
        let value = header(binding.header(attribute, Encoding::Binary).unwrap_or(CONTENT_TYPE));
        let value = value.map(|value| match binding {
            Binding::Kafka => Cow::from(value),
            Binding::Nats => text::percent_decode(value),
        });
        if let Some(value) = value {
            attributes.push_parts(attribute, &[&value]);
        }
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::message::JSON;

    fn written(body: &[u8], content_type: &str) -> Message {
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Id, &"a \"b\" \\ é %25 \",\"data\":");
        attributes.push(Attribute::Type, &"com.audit1.file.failed");
        attributes.push(Attribute::DataContentType, &content_type);
        attributes.push(Attribute::EntityPath, &"");
        attributes.push(Attribute::Route, &"webhooks.audit1.unknown");
        Message { attributes, body: Bytes::copy_from_slice(body) }
    }

    #[test]
    fn what_was_written_is_read_back_to_the_byte() {
        for (body, content_type) in
            [(&b" { \"data\" : 1.50,\"data\":1e999}\n"[..], JSON), (b"\xff{", "application/octet-stream")]
        {
            let written = written(body, content_type);
            for binding in [Binding::Kafka, Binding::Nats] {
                for encoding in [Encoding::Structured, Encoding::Binary] {
                    let headers: Vec<_> = written.headers(binding, encoding).collect();
                    let find = |name: &str| Some(headers.iter().find(|(found, _)| *found == name)?.1.as_ref());
                    let read = message(binding, written.route(), find, &written.payload(encoding).into_owned().into());
                    assert_eq!(read.as_ref(), Some(&written), "{binding:?} {encoding:?}");
                }
            }
        }
    }

    #[test]
    fn headers_of_an_earlier_version_beside_a_structured_payload_change_nothing() {
        let written = written(b"{}", JSON);
        let find = |name: &str| {
            Some(if name == CONTENT_TYPE { "Application/CloudEvents+json; charset=UTF-8" } else { "other" })
        };
        assert_eq!(message(Binding::Nats, written.route(), find, &written.structured().into()), Some(written));
    }

    #[test]
    fn attributes_of_a_later_version_are_passed_over_and_foreign_records_are_none() {
        let find = |name: &str| (name == CONTENT_TYPE).then_some("application/cloudevents+json");
        let read = |payload: &'static [u8]| message(Binding::Kafka, "a", find, &Bytes::from_static(payload));
        let later = read(br#"{"specversion":"1.0","id":"1","later":7,"data":[]}"#).unwrap();
        assert_eq!((later.get(Attribute::Id), &later.body[..], later.attributes.iter().count()), ("1", &b"[]"[..], 2));
        for foreign in [&b"{}"[..], b"", br#"{"specversion":"1.0","data":{}}"#, br#"{"id":"1","data_base64":"%"}"#] {
            assert_eq!(read(foreign), None, "{foreign:?}");
        }
        assert_eq!(message(Binding::Kafka, "a", |_| None, &Bytes::from_static(b"{}")), None);
    }
}
