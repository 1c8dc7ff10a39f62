//! The headers of a message, in one piece.
//!
//! In: a [`Message`]. Out: the client's header map. An allow-list by construction: the attributes, the content type, and
//! two that the server reads; nothing of a request can add a line.
//!
//! The client's map hashes, allocates and copies each header, and twenty of them cost more than the rest of a
//! publication (a sixth of the gateway's CPU time with JetStream). So it gets one entry, the stream's, which every message
//! has and which the configuration holds to the letters of a stream's name; its value goes on with the other lines as they
//! stand on the wire. A value read by serde is taken as it is; made in any other way, it must be one line. That the client
//! writes it so: `it::nats::events_arrive_with_their_headers_in_both_modes`.

use async_nats::{HeaderMap, HeaderValue, header::NATS_EXPECTED_STREAM};

use crate::{
    bus::PublishError,
    config::Encoding,
    envelope::{Message, attributes::Attribute, message::Binding},
};

/// Bytes of the headers' names and of what stands between them and their values, at most.
const NAMES: usize = 512;

/// Lays the headers out. `stream`: what must take the message, so that a subject that another stream has captured is
/// noticed.
///
/// # Errors
/// The client does not take them.
pub(super) fn headers(message: &Message, stream: &str, encoding: Encoding) -> Result<HeaderMap, PublishError> {
    let mut lines = String::with_capacity(message.attributes.encoded().len() + NAMES);
    lines.push_str(stream);
    line(&mut lines, "Nats-Msg-Id", message.get(Attribute::MessageId));
    if let Some(content_type) = message.content_type(Binding::Nats, encoding) {
        line(&mut lines, "content-type", content_type);
    }
    for (name, value) in message.headers(Binding::Nats) {
        line(&mut lines, name, &value);
    }
    let value: HeaderValue =
        serde_json::from_value(serde_json::Value::String(lines)).map_err(|_| PublishError::Error)?;
    Ok(HeaderMap::from_iter([(NATS_EXPECTED_STREAM, value)]))
}

/// Ends the line before and adds one. No value has control characters (they are escaped in all but the message id, and
/// ids hold none); should one come from an old journal, it must not end the line.
fn line(lines: &mut String, name: &str, value: &str) {
    lines.extend(["\r\n", name, ": "]);
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        lines.push_str(value);
    } else {
        lines.extend(value.chars().map(|letter| if letter.is_control() { '_' } else { letter }));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::envelope::Attributes;

    /// What the client writes: its name, a colon and a space, its value.
    fn on_the_wire(headers: &HeaderMap) -> Vec<String> {
        let entries = headers.iter().map(|(name, values)| format!("{name}: {}", values[0].as_str()));
        let mut lines: Vec<_> =
            entries.flat_map(|text| text.split("\r\n").map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.sort();
        lines
    }

    #[test]
    fn every_header_is_on_the_list() {
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Id, &"a\r\nNats-Rollup: all");
        attributes.push(Attribute::Type, &"com.audit1.file.failed");
        attributes.push(Attribute::Route, &"webhooks.audit1.file.failed");
        attributes.push(Attribute::MessageId, &"audit1/acme/a\r\nNats-Rollup: all/00");
        attributes.push(Attribute::Hop, &"00-1-2-00");
        let message = Message { attributes, body: Bytes::from_static(b"{}") };
        let expected = [
            "Nats-Expected-Stream: S",
            "Nats-Msg-Id: audit1/acme/a__Nats-Rollup: all/00",
            "ce-id: a%0D%0ANats-Rollup:%20all",
            "ce-specversion: 1.0",
            "ce-type: com.audit1.file.failed",
            "content-type: application/cloudevents+json",
            "traceparent: 00-1-2-00",
        ];
        assert_eq!(on_the_wire(&headers(&message, "S", Encoding::Structured).unwrap()), expected);
        let binary = on_the_wire(&headers(&message, "S", Encoding::Binary).unwrap());
        assert_eq!(binary.len(), expected.len() - 1);
        assert!(!binary.iter().any(|line| line.starts_with("content-type")));
    }
}
