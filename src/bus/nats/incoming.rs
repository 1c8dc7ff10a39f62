//! Reads the stream back, for `hookbus tail` and `hookbus replay`.
//!
//! In: messages of the stream. Out: for each, its subject, its attributes and the structured event. It consumes nothing:
//! an ordered consumer lives in the server's memory and leaves no trace.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    jetstream::{
        self,
        consumer::{DeliverPolicy, pull},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::connect_once;
use crate::{
    config::Nats,
    envelope::{Attributes, Message, attributes::Attribute},
};

/// How long the broker may take for one answer.
const ASK: Duration = Duration::from_secs(5);
/// How long it may be silent while messages are known to be there.
const SILENCE: Duration = Duration::from_secs(15);

/// Follows a stream.
pub struct Follower {
    messages: pull::Ordered,
    /// Messages that were there at the start and are still to come; `None` goes on for ever.
    left: Option<u64>,
    /// The last of them lies at or before this place of the stream.
    end: u64,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

impl Follower {
    /// Begins at the oldest message or behind the newest.
    ///
    /// # Errors
    /// In words: no connection, no stream, no right to read it.
    pub async fn open(nats: &Nats, from_start: bool) -> Result<Self, String> {
        let deliver_policy = if from_start { DeliverPolicy::All } else { DeliverPolicy::New };
        let config = pull::OrderedConfig { deliver_policy, ..pull::OrderedConfig::default() };
        Self::consume(nats, config).await.map(|(follower, _pending)| follower)
    }

    /// Everything that lies on the subjects of `pattern` now, and nothing that comes later.
    ///
    /// # Errors
    /// As for [`Follower::open`].
    pub async fn until_now(nats: &Nats, pattern: &str) -> Result<Self, String> {
        let config = pull::OrderedConfig { filter_subject: pattern.into(), ..pull::OrderedConfig::default() };
        let (follower, pending) = Self::consume(nats, config).await?;
        Ok(Follower { left: Some(pending), ..follower })
    }

    /// Gives also how many messages are to come.
    async fn consume(nats: &Nats, config: pull::OrderedConfig) -> Result<(Self, u64), String> {
        let client = connect_once(nats).await.map_err(|error| error.to_string())?;
        let context = jetstream::ContextBuilder::new().timeout(ASK).build(client);
        let stream = context.get_stream(&nats.stream).await.map_err(|error| error.to_string())?;
        let end = stream.cached_info().state.last_sequence;
        let consumer = stream.create_consumer(config).await.map_err(|error| error.to_string())?;
        let pending = consumer.cached_info().num_pending;
        let messages = consumer.messages().await.map_err(|error| error.to_string())?;
        Ok((Follower { messages, left: None, end }, pending))
    }

    /// The next event; `None` when there will be none. Waits for it as long as it takes, unless it must be there: then
    /// a broker that is silent for long is an error.
    ///
    /// # Errors
    /// In words: the stream cannot be read any more.
    pub async fn next(&mut self) -> Option<Result<Event, String>> {
        let Some(left) = self.left else {
            return Some(self.messages.next().await?.map(|message| Event::of(message.message)).map_err(words));
        };
        if left == 0 {
            return None;
        }
        let message = match timeout(SILENCE, self.messages.next()).await {
            Ok(message) => message?,
            Err(_) => return Some(Err(format!("the broker is silent, {left} message(s) before the end"))),
        };
        let placed = message.map_err(words).and_then(|message| {
            let info = message.info().map_err(|error| error.to_string())?;
            let (sequence, pending) = (info.stream_sequence, info.pending);
            Ok((sequence, pending, message))
        });
        Some(placed.map(|(sequence, pending, message)| {
            self.left = Some(if sequence < self.end { pending } else { 0 });
            Event::of(message.message)
        }))
    }

    /// How many events are still to come at most, where that is known.
    pub fn left(&self) -> Option<u64> {
        self.left
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// One event, as the stream has it.
#[derive(Debug)]
pub struct Event {
    /// The subject, the attributes, and in binary mode the body.
    pub message: Message,
    /// The structured event.
    pub json: Vec<u8>,
}

impl Event {
    fn of(message: async_nats::Message) -> Self {
        let headers = message.headers.unwrap_or_default();
        let mut attributes = attributes(&headers);
        attributes.push(Attribute::Route, &message.subject);
        let structured = headers.get("content-type").is_some_and(|value| value.as_str().contains("cloudevents"));
        if structured {
            let json = message.payload.to_vec();
            return Event { message: Message { attributes, body: body(&message.payload) }, json };
        }
        let message = Message { attributes, body: message.payload };
        Event { json: message.structured(), message }
    }
}

/// The body inside a structured message of this gateway. Attributes come first and their quotes are escaped, so the
/// first `"data":` is the body's; empty for a message that somebody else has laid out.
fn body(structured: &Bytes) -> Bytes {
    let inside = |mark: &[u8], tail: usize| {
        let start = memchr::memmem::find(structured, mark)? + mark.len();
        let end = structured.len().checked_sub(tail)?;
        (start <= end).then(|| structured.slice(start..end))
    };
    if let Some(body) = inside(b",\"data\":", 1) {
        return body;
    }
    let encoded = inside(b",\"data_base64\":\"", 2).unwrap_or_default();
    STANDARD.decode(encoded).unwrap_or_default().into()
}

/// The `ce-` headers, in the order in which the gateway sets attributes.
fn attributes(headers: &HeaderMap) -> Attributes {
    let mut attributes = Attributes::default();
    for attribute in Attribute::ALL {
        let header = attribute.name().and_then(|name| headers.get(format!("ce-{name}").as_str()));
        if let Some(value) = header {
            attributes.push(attribute, &percent_decode(value.as_str()));
        }
    }
    attributes
}

fn percent_decode(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let coded = (*byte == b'%').then(|| tail.split_first_chunk::<2>()).flatten().and_then(|(digits, tail)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, tail))
        });
        let (byte, tail) = coded.unwrap_or((*byte, tail));
        decoded.push(byte);
        rest = tail;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::message::Binding;

    #[test]
    fn attributes_come_back_from_headers() {
        let mut attributes_before = Attributes::default();
        attributes_before.push(Attribute::Id, &"a \"b\" \\ é %25");
        attributes_before.push(Attribute::Type, &"com.audit1.file.failed");
        attributes_before.push(Attribute::DataContentType, &"application/json");
        let message = Message { attributes: attributes_before.clone(), body: "{}".into() };
        let mut headers = HeaderMap::new();
        for (name, value) in message.headers(Binding::Nats) {
            headers.insert(name, value.as_ref());
        }
        assert_eq!(attributes(&headers), attributes_before);
        for (content_type, payload) in [("application/json", &b"{\"a\":1}"[..]), ("application/octet-stream", b"\xff")]
        {
            let mut attributes = Attributes::default();
            attributes.push(Attribute::Id, &"\",\"data\":");
            attributes.push(Attribute::DataContentType, &content_type);
            let message = Message { attributes, body: payload.into() };
            assert_eq!(body(&message.structured().into()), payload);
        }
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%zz%4"), "%zz%4");
    }
}
