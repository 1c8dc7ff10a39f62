//! What a subscriber receives: an event laid into a message, in either content mode of CloudEvents 1.0.
//!
//! In: attributes and a body, fresh from the gateway or read from the journal. Out: the payload and the headers for one
//! binding. In structured mode too the attributes stand as headers, so that consumers filter without parsing.

use std::{borrow::Cow, fmt::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::attributes::{Attribute, Attributes};
use crate::config::Encoding;

/// `datacontenttype` of a body that is JSON; any other body is carried as `data_base64` in structured mode.
pub const JSON: &str = "application/json";
/// The payload's media type in structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";

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
    /// The header that carries an attribute or the hop's trace; none for what travels otherwise, or not at all.
    pub fn header(self, attribute: Attribute) -> Option<&'static str> {
        match (attribute, self) {
            // Kafka's binding carries the content type of a binary message in `content-type` alone.
            (Attribute::DataContentType, Binding::Kafka) => None,
            (Attribute::Hop, _) => Some(super::traceparent::HEADER),
            (other, Binding::Kafka) => Some(other.spelling()?.kafka),
            (other, Binding::Nats) => Some(other.spelling()?.nats),
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
        let mut json = Vec::with_capacity(self.attributes.encoded().len() + self.body.len() + 256);
        json.extend_from_slice(br#"{"specversion":"1.0""#);
        for (attribute, value) in self.attributes.iter() {
            if let Some(name) = attribute.name() {
                json.extend_from_slice(b",\"");
                json.extend_from_slice(name.as_bytes());
                json.extend_from_slice(b"\":\"");
                escape(value, &mut json);
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
        json
    }

    /// The payload: the whole event in structured mode, the body alone in binary mode.
    pub fn payload(&self, encoding: Encoding) -> Bytes {
        match encoding {
            Encoding::Structured => self.structured().into(),
            Encoding::Binary => self.body.clone(),
        }
    }

    /// What keeps its order (P5): the partition key, which names the source and the entity, as a number.
    pub fn order(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.get(Attribute::PartitionKey).as_bytes())
    }

    /// The attributes as headers of the binding, without the payload's content type.
    pub fn headers(&self, binding: Binding) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        let attributes = self.attributes.iter().filter_map(move |(attribute, value)| {
            let name = binding.header(attribute)?;
            let value = match binding {
                Binding::Kafka => Cow::from(value),
                Binding::Nats => percent_encode(value),
            };
            Some((name, value))
        });
        std::iter::once((binding.version_header(), Cow::from("1.0"))).chain(attributes)
    }

    /// The header that tells the content mode, if the binding has one for it.
    pub fn content_type(&self, binding: Binding, encoding: Encoding) -> Option<&str> {
        match (encoding, binding) {
            (Encoding::Structured, _) => Some(STRUCTURED),
            (Encoding::Binary, Binding::Kafka) => Some(self.get(Attribute::DataContentType)),
            // NATS marks structured mode by it; binary mode has `ce-datacontenttype`.
            (Encoding::Binary, Binding::Nats) => None,
        }
    }
}

/// JSON string escapes: `"`, `\` and control characters; everything else stays as it is.
fn escape(text: &str, json: &mut Vec<u8>) {
    // Nearly every value is plain, and copied in one piece.
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        json.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => json.extend_from_slice(&[b'\\', byte]),
            0..0x20 => json.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => json.push(byte),
        }
    }
}

/// The NATS binding's header values: space, `"`, `%` and everything outside U+0021-U+007E as `%XX`.
fn percent_encode(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| matches!(byte, 0x21..=0x7e) && byte != b'"' && byte != b'%';
    if text.bytes().all(plain) {
        return Cow::from(text);
    }
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    Cow::from(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &'static [u8], content_type: &str) -> Message {
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Id, &"a \"b\" \\ é %");
        attributes.push(Attribute::DataContentType, &content_type);
        attributes.push(Attribute::Route, &"webhooks.audit1.unknown");
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
    fn headers_follow_each_binding() {
        let message = message(b"{}", JSON);
        let kafka: Vec<_> = message.headers(Binding::Kafka).collect();
        let spelt: Vec<_> = kafka.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        assert_eq!(spelt, [("ce_specversion", "1.0"), ("ce_id", "a \"b\" \\ é %"), ("traceparent", "00-1-2-00")]);
        let nats: Vec<_> = message.headers(Binding::Nats).collect();
        let spelt: Vec<_> = nats.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let expected = [
            ("ce-specversion", "1.0"),
            ("ce-id", "a%20%22b%22%20\\%20%C3%A9%20%25"),
            ("ce-datacontenttype", "application/json"),
            ("traceparent", "00-1-2-00"),
        ];
        assert_eq!(spelt, expected);
        assert_eq!(message.content_type(Binding::Kafka, Encoding::Binary), Some(JSON));
        assert_eq!(message.content_type(Binding::Nats, Encoding::Binary), None);
    }
}
