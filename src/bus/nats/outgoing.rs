//! A message as NATS takes it: subject, headers, payload.
//!
//! In: a [`Message`]. Out: an [`Outgoing`], the same for every attempt. The headers are an allow-list by construction:
//! the attributes, the content type, and two that the server reads.

use std::borrow::Cow;

use async_nats::{
    HeaderMap, HeaderName,
    header::{NATS_EXPECTED_STREAM, NATS_MESSAGE_ID},
};
use bytes::Bytes;

use crate::{
    config::Encoding,
    envelope::{Message, attributes::Attribute, message::Binding},
};

/// What goes on the wire.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

impl Outgoing {
    /// Lays the event out. `stream`: what must take it, so that a subject that another stream has captured is noticed.
    pub(super) fn new(message: &Message, stream: &str, encoding: Encoding) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, header_text(message.get(Attribute::MessageId)).as_ref());
        headers.insert(NATS_EXPECTED_STREAM, stream);
        if let Some(content_type) = message.content_type(Binding::Nats, encoding) {
            headers.insert(HeaderName::from_static("content-type"), content_type);
        }
        for (name, value) in message.headers(Binding::Nats) {
            headers.insert(HeaderName::from_static(name), value.as_ref());
        }
        let payload = match encoding {
            Encoding::Structured => message.structured().into(),
            Encoding::Binary => message.body.clone(),
        };
        Outgoing { subject: message.route().into(), headers, payload }
    }
}

/// Ids hold no control characters; should one come from an old journal, it must not end the header.
fn header_text(id: &str) -> Cow<'_, str> {
    if id.contains(char::is_control) { Cow::Owned(id.replace(char::is_control, "_")) } else { Cow::Borrowed(id) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Attributes;

    #[test]
    fn every_header_is_on_the_list() {
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Id, &"a\r\nNats-Rollup: all");
        attributes.push(Attribute::Type, &"com.audit1.file.failed");
        attributes.push(Attribute::Route, &"webhooks.audit1.file.failed");
        attributes.push(Attribute::MessageId, &"audit1/acme/a\r\nNats-Rollup: all/00");
        attributes.push(Attribute::Hop, &"00-1-2-00");
        let message = Message { attributes, body: Bytes::from_static(b"{}") };
        let outgoing = Outgoing::new(&message, "S", Encoding::Structured);
        let mut found: Vec<_> =
            outgoing.headers.iter().map(|(name, values)| format!("{name}: {}", values[0].as_str())).collect();
        found.sort();
        let expected = [
            "Nats-Expected-Stream: S",
            "Nats-Msg-Id: audit1/acme/a__Nats-Rollup: all/00",
            "ce-id: a%0D%0ANats-Rollup:%20all",
            "ce-specversion: 1.0",
            "ce-type: com.audit1.file.failed",
            "content-type: application/cloudevents+json",
            "traceparent: 00-1-2-00",
        ];
        assert_eq!(found, expected);
        assert_eq!(outgoing.subject, "webhooks.audit1.file.failed");
        let binary = Outgoing::new(&message, "S", Encoding::Binary);
        assert!(binary.headers.get("content-type").is_none());
        assert_eq!(binary.payload, "{}");
    }
}
