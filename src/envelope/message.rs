//! What a subscriber receives: an event laid into a message, in either content mode of CloudEvents 1.0.
//!
//! In: attributes and a body, fresh from the gateway or read from the journal. Out: the payload and the headers for one
//! binding. A structured payload has every attribute, and no header repeats one.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::attributes::{Attribute, Attributes};
use crate::text;

/// `datacontenttype` of a body that is JSON; any other body is carried as `data_base64` in structured mode.
pub const JSON: &str = "application/json";
/// The payload's media type in structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// The header with the payload's media type, which marks the content mode.
pub const CONTENT_TYPE: &str = "content-type";

/// `bus.encoding`: the two content modes of CloudEvents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The message is one JSON object, `application/cloudevents+json`.
    Structured,
    /// The message is the webhook's body; the attributes are headers.
    Binary,
}

/// An event as it stands on a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Everything about the event but its body.
    pub attributes: Attributes,
    /// The webhook's body.
    pub body: Bytes,
}

/// The protocol binding of CloudEvents, which decides how headers are spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// `ce_<name>`, UTF-8; `content-type`.
    Kafka,
    /// `ce-<name>`, percent-encoded; `content-type` only in structured mode.
    Nats,
}

impl Binding {
    /// The header that carries an attribute, the hop's trace or the message id; none for what travels otherwise, or not
    /// at all.
    pub fn header(self, attribute: Attribute, encoding: Encoding) -> Option<&'static str> {
        match (attribute, self, encoding) {
            (Attribute::Hop, _, _) => Some(super::traceparent::HEADER),
            (Attribute::MessageId, Binding::Nats, _) => Some("Nats-Msg-Id"),
            // Kafka's binding carries the content type of a binary message in `content-type` alone.
            (_, _, Encoding::Structured) | (Attribute::DataContentType, Binding::Kafka, _) => None,
            (other, Binding::Kafka, _) => Some(other.spelling()?.kafka),
            (other, Binding::Nats, _) => Some(other.spelling()?.nats),
        }
    }

    /// The value of `content-type`, if the binding has that header in this mode. `body`: the body's media type.
    pub fn content_type(self, encoding: Encoding, body: &str) -> Option<&str> {
        match (encoding, self) {
            (Encoding::Structured, _) => Some(STRUCTURED),
            (Encoding::Binary, Binding::Kafka) => Some(body),
            // NATS marks structured mode by it; binary mode has `ce-datacontenttype`.
            (Encoding::Binary, Binding::Nats) => None,
        }
    }

    /// The header that carries `specversion`.
    pub fn version_header(self) -> &'static str {
        match self {
            Binding::Kafka => "ce_specversion",
            Binding::Nats => "ce-specversion",
        }
    }
}

impl Message {
    /// The event of a journal's record; `None` for a record that this version cannot read.
    pub fn decode(head: Bytes, body: Bytes) -> Option<Message> {
        Attributes::decode(head.into()).map(|attributes| Message { attributes, body })
    }

    /// The subject or topic.
    pub fn route(&self) -> &str {
        self.attributes.get(Attribute::Route).unwrap_or_default()
    }

    /// One attribute, empty when absent.
    pub fn get(&self, attribute: Attribute) -> &str {
        self.attributes.get(attribute).unwrap_or_default()
    }

    /// The whole event as one JSON object with the body's own bytes as `data`.
    pub fn structured(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(self.structured_room());
        self.write_structured(&mut json);
        json
    }

    /// Bytes that nearly every event has room in as one JSON object.
    pub fn structured_room(&self) -> usize {
        self.attributes.encoded().len() + self.body.len() + 256
    }

    /// Adds what [`Message::structured`] gives.
    pub fn write_structured(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(br#"{"specversion":"1.0""#);
        for (attribute, value) in self.attributes.iter_bytes() {
            if let Some(name) = attribute.name() {
                json.extend_from_slice(b",\"");
                json.extend_from_slice(name.as_bytes());
                json.extend_from_slice(b"\":\"");
                text::json_string(value, json);
                json.push(b'"');
            }
        }
        if self.get(Attribute::DataContentType) == JSON {
            json.extend_from_slice(b",\"data\":");
            json.extend_from_slice(&self.body);
        } else {
            json.extend_from_slice(b",\"data_base64\":\"");
            json.extend_from_slice(STANDARD.encode(&self.body).as_bytes());
            json.push(b'"');
        }
        json.push(b'}');
    }

    /// The payload: the whole event in structured mode, the body alone in binary mode.
    pub fn payload(&self, encoding: Encoding) -> Cow<'_, [u8]> {
        match encoding {
            Encoding::Structured => self.structured().into(),
            Encoding::Binary => self.body.as_ref().into(),
        }
    }

    /// What keeps its order (P5): the partition key, which names the source and the entity, as a number.
    pub fn order(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.get(Attribute::PartitionKey).as_bytes())
    }

    /// Its subject or topic, hashed.
    pub fn route_hash(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.route().as_bytes())
    }

    /// Every header of the event and its payload.
    pub fn headers(&self, binding: Binding, encoding: Encoding) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        let content_type = binding.content_type(encoding, self.get(Attribute::DataContentType));
        let content_type = content_type.map(|value| (CONTENT_TYPE, Cow::from(value)));
        let version = (encoding == Encoding::Binary).then_some((binding.version_header(), Cow::from("1.0")));
        let others = self.attributes.iter_bytes().filter_map(move |(attribute, value)| {
            let name = binding.header(attribute, encoding)?;
            let value = std::str::from_utf8(value).ok()?;
            let is_encoded = binding == Binding::Nats && attribute.name().is_some();
            Some((name, if is_encoded { text::percent_encode(value) } else { Cow::from(value) }))
        });
        content_type.into_iter().chain(version).chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &'static [u8], content_type: &str) -> Message {
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Id, &"a \"b\" \\ é %");
        attributes.push(Attribute::DataContentType, &content_type);
        attributes.push(Attribute::Route, &"webhooks.audit1.unknown");
        attributes.push(Attribute::MessageId, &"audit1/x/a \"b\"/00");
        attributes.push(Attribute::Hop, &"00-1-2-00");
        Message { attributes, body: Bytes::from_static(body) }
    }

    #[test]
    fn structured_splices_the_bodys_own_bytes() {
        let body = br#"{"n":148320.50,"big":12345678901234567890123,"e":1e400,"a":1,"a":2,"u":"\u00e9\ud800"}"#;
        let json = message(body, JSON).structured();
        let expected = [
            &br#"{"specversion":"1.0","id":"a \"b\" \\ "#[..],
            "é %".as_bytes(),
            br#"","datacontenttype":"application/json","data":"#,
            body,
            b"}",
        ];
        assert_eq!(json, expected.concat());
    }

    #[test]
    fn a_body_that_is_no_json_goes_as_base64() {
        let json = message(b"\xff\xfe", "application/octet-stream").structured();
        assert!(json.ends_with(br#","data_base64":"//4="}"#));
    }

    #[test]
    fn the_payload_is_the_event_or_the_body() {
        let message = message(b"{}", JSON);
        assert_eq!(message.payload(Encoding::Structured), message.structured());
        assert_eq!(*message.payload(Encoding::Binary), b"{}"[..]);
        assert_eq!((message.route(), message.get(Attribute::Subject)), ("webhooks.audit1.unknown", ""));
    }

    #[test]
    fn one_partition_key_is_one_order() {
        let order = |key: &str, id: &str| {
            let mut attributes = Attributes::default();
            attributes.push(Attribute::Id, &id);
            attributes.push(Attribute::PartitionKey, &key);
            Message { attributes, body: Bytes::new() }.order()
        };
        assert_eq!(order("audit1/a/1", "x"), order("audit1/a/1", "y"));
        assert_ne!(order("audit1/a/1", "x"), order("audit1/a/2", "x"));
    }

    #[test]
    fn headers_follow_each_binding() {
        let message = message(b"{}", JSON);
        let headers = |binding, encoding| -> Vec<_> {
            message.headers(binding, encoding).map(|(name, value)| (name, value.into_owned())).collect()
        };
        let written = |pairs: &[(&'static str, &str)]| -> Vec<_> {
            pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
        };
        let (hop, structured) = (("traceparent", "00-1-2-00"), ("content-type", STRUCTURED));
        let kafka = [("content-type", JSON), ("ce_specversion", "1.0"), ("ce_id", "a \"b\" \\ é %"), hop];
        assert_eq!(headers(Binding::Kafka, Encoding::Binary), written(&kafka));
        let id = ("ce-id", "a%20%22b%22%20\\%20%C3%A9%20%25");
        let nats =
            [("ce-specversion", "1.0"), id, ("ce-datacontenttype", JSON), ("Nats-Msg-Id", "audit1/x/a \"b\"/00"), hop];
        assert_eq!(headers(Binding::Nats, Encoding::Binary), written(&nats));
        assert_eq!(headers(Binding::Kafka, Encoding::Structured), written(&[structured, hop]));
        assert_eq!(headers(Binding::Nats, Encoding::Structured), written(&[structured, nats[3], hop]));
    }
}
