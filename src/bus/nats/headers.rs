//! The headers of a message, as the client takes them.
//!
//! An allow-list by construction: what [`Message::headers`] lists, and the stream that must take the message, so that a
//! subject that another stream has captured is noticed. Nothing of a request can add a line.

use std::borrow::Cow;

use async_nats::{HeaderMap, HeaderValue, header::NATS_EXPECTED_STREAM};

use crate::{
    bus::outcome::PublishError,
    envelope::{Encoding, Message, message::Binding},
    text::all_of,
};

/// Bytes that the headers of nearly every structured message have room in.
const ROOM: usize = 320;

/// Lays the headers out: the other lines stand behind the first one's value. The client writes the same bytes as for a table
/// of headers, each of which would be a list of texts; in a structured message ten allocations, against three.
///
/// # Errors
/// The client takes no such value any more. This version does when the value is deserialised.
pub(super) fn headers(message: &Message, stream: &str, encoding: Encoding) -> Result<HeaderMap, PublishError> {
    let mut lines = String::with_capacity(ROOM);
    lines.push_str(stream);
    for (name, value) in message.headers(Binding::Nats, encoding) {
        ["\r\n", name, ": ", &*one_line(&value)].into_iter().for_each(|part| lines.push_str(part));
    }
    let value: HeaderValue = serde_json::from_value(lines.into()).map_err(|_| PublishError::Error)?;
    Ok(HeaderMap::from_iter([(NATS_EXPECTED_STREAM, value)]))
}

/// No value has control characters: ids hold none, and all but the message id are encoded. One that comes from a damaged
/// journal must not end its line.
fn one_line(value: &str) -> Cow<'_, str> {
    let is_one = all_of(value.as_bytes(), |byte| !byte.is_ascii_control());
    if is_one { value.into() } else { value.replace(|letter: char| letter.is_ascii_control(), "_").into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Attributes, attributes::Attribute};

    #[test]
    fn every_header_is_on_the_list() {
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Id, &"a\r\nNats-Rollup: all");
        attributes.push(Attribute::Type, &"com.audit1.file.failed");
        attributes.push(Attribute::Route, &"webhooks.audit1.file.failed");
        attributes.push(Attribute::MessageId, &"audit1/acme/a\r\nNats-Rollup: all/00");
        attributes.push(Attribute::Hop, &"00-1-2-00");
        let message = Message { attributes, body: "{}".into() };
        let lines = |encoding| -> Vec<String> {
            let headers = headers(&message, "S", encoding).unwrap();
            let written: Vec<_> =
                headers.iter().map(|(name, values)| format!("{name}: {}", values[0].as_str())).collect();
            let mut lines: Vec<_> = written.iter().flat_map(|lines| lines.split("\r\n")).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let both = ["Nats-Expected-Stream: S", "Nats-Msg-Id: audit1/acme/a__Nats-Rollup: all/00"];
        let structured = ["content-type: application/cloudevents+json", "traceparent: 00-1-2-00"];
        assert_eq!(lines(Encoding::Structured), [both, structured].concat());
        let binary = ["ce-id: a%0D%0ANats-Rollup:%20all", "ce-specversion: 1.0", "ce-type: com.audit1.file.failed"];
        assert_eq!(lines(Encoding::Binary), [&both[..], &binary, &structured[1..]].concat());
    }
}
