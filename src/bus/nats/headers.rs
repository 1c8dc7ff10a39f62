//! The headers of a message, as the client takes them.
//!
//! An allow-list by construction: what [`Message::headers`] lists, and the stream that must take the message, so that a
//! subject that another stream has captured is noticed. Nothing of a request can add a line.

use std::{borrow::Cow, iter::once};

use async_nats::{HeaderMap, HeaderName, HeaderValue, header::NATS_EXPECTED_STREAM};

use crate::envelope::{Encoding, Message, message::Binding};

/// Lays the headers out.
pub(super) fn headers(message: &Message, stream: &str, encoding: Encoding) -> HeaderMap {
    let others = message.headers(Binding::Nats, encoding);
    let others = others.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from(&*one_line(&value))));
    once((NATS_EXPECTED_STREAM, HeaderValue::from(stream))).chain(others).collect()
}

/// No value has control characters: ids hold none, and all but the message id are encoded. One that comes from a damaged
/// journal must not end its line.
fn one_line(value: &str) -> Cow<'_, str> {
    let is_one = value.bytes().all(|byte| !byte.is_ascii_control());
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
            let headers = headers(&message, "S", encoding);
            let mut lines: Vec<_> =
                headers.iter().map(|(name, values)| format!("{name}: {}", values[0].as_str())).collect();
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
