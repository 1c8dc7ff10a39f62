//! One publication: the topic that it takes, and what its delivery report means.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use rdkafka::{
    Message as _,
    error::RDKafkaErrorCode,
    message::{Header, Headers as _, OwnedHeaders, OwnedMessage},
};
use tokio::sync::oneshot::{Receiver, error::RecvError};

use super::{
    ends::Partitions,
    lanes::{Failed, Outgoing, Report},
    shared::Shared,
};
use crate::{
    bus::outcome::{Ack, Boxed, PublishError},
    config::Encoding,
    envelope::{Attributes, Message, attributes::Attribute, message::Binding, route},
};

/// A message on its way to the brokers.
pub(in crate::bus) struct UnderWay {
    shared: Arc<Shared>,
    delivery: Delivering,
    /// For its vendor's catch-all, should its topic go.
    attributes: Attributes,
    /// Where its topic ended when it was handed over.
    ends: Option<Arc<Partitions>>,
}

enum Delivering {
    /// To its own topic.
    First(Receiver<Report>),
    /// To the catch-all, which is rare.
    Again(Boxed),
}

impl Shared {
    /// Puts a message into the line of its partition.
    pub(super) fn hand_over(self: &Arc<Self>, message: &Message) -> Result<UnderWay, PublishError> {
        let known = self.topics.load();
        let known = known.as_ref().ok_or(PublishError::Refused)?;
        let topic = known.choose(message.route(), || catch_all(&message.attributes));
        if topic.as_deref() != Some(message.route()) {
            // A topic that was made a moment ago is found by looking again.
            self.signal.look_again();
        }
        let topic = &*topic.ok_or(PublishError::Unroutable)?;
        if self.refused.load().contains(topic) {
            return Err(PublishError::Unsafe);
        }
        let headers = headers(message, self.encoding);
        let (key, payload) = (message.get(Attribute::PartitionKey).into(), message.payload(self.encoding));
        let event = Outgoing { key, payload, headers };
        let ends = self.ends.of(topic);
        let delivery = Delivering::First(self.send(topic, event)?);
        Ok(UnderWay { shared: Arc::clone(self), delivery, attributes: message.attributes.clone(), ends })
    }

    fn send(&self, topic: &str, event: Outgoing<'_>) -> Result<Receiver<Report>, PublishError> {
        self.producer.load().send(topic, event).map_err(|code| self.not_taken(code))
    }

    /// Whether a topic takes a message by itself, whatever it is sent with. Yes while no limit has been read, which is
    /// soon; not when the brokers do not let us read this topic's.
    fn fits(&self, message: &OwnedMessage) -> bool {
        let limits = self.limits.load();
        let Some(limits) = limits.as_ref() else { return true };
        limits.get(message.topic()).is_some_and(|limit| size_of_batch(message) <= *limit)
    }

    /// What a failure means.
    fn meaning_of(&self, failed: &Failed) -> PublishError {
        match failed {
            Failed::NotTaken(code) => self.not_taken(*code),
            Failed::Reported(code, message) => match meaning(*code) {
                // A broker takes or refuses a batch as a whole; sent alone, this one fits.
                PublishError::TooLarge if self.fits(message) => PublishError::Refused,
                other => other,
            },
            Failed::Lost => PublishError::Error,
        }
    }

    /// What it means that the client does not take an event: nothing was handed over.
    pub(super) fn not_taken(&self, code: Option<RDKafkaErrorCode>) -> PublishError {
        if code == Some(RDKafkaErrorCode::Fatal) {
            // The watcher makes another producer.
            self.signal.look_again();
            return PublishError::Refused;
        }
        if is_unknown_topic(code) {
            // One answer of a broker was enough for the client; the watcher wants two before the topic is gone.
            self.signal.look_again();
            return PublishError::Uncovered;
        }
        match meaning(code) {
            PublishError::Error | PublishError::Timeout => PublishError::Refused,
            other => other,
        }
    }
}

/// Waits for the delivery report.
impl Future for UnderWay {
    type Output = Result<Ack, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let report = match &mut self.delivery {
                Delivering::First(delivery) => ready!(Pin::new(delivery).poll(cx)),
                Delivering::Again(delivery) => return delivery.as_mut().poll(cx),
            };
            match flat(report) {
                Ok((partition, offset)) => return Poll::Ready(Ok(self.stored(partition, offset))),
                // The topic was deleted after it was chosen: certainly not stored, so it may go elsewhere.
                Err(Failed::Reported(code, message)) if is_unknown_topic(code) => {
                    let (shared, catch_all) = (Arc::clone(&self.shared), catch_all(&self.attributes));
                    self.delivery = Delivering::Again(Box::pin(shared.again(message, catch_all)));
                }
                Err(failed) => return Poll::Ready(Err(self.shared.meaning_of(&failed))),
            }
        }
    }
}

impl UnderWay {
    fn stored(&self, partition: i32, offset: i64) -> Ack {
        let shared = &self.shared;
        shared.acknowledged.store(true, Ordering::Relaxed);
        if self.ends.as_ref().is_some_and(|ends| shared.ends.stored(ends, partition, offset)) {
            shared.signal.look_again();
        }
        Ack::Stored
    }
}

impl Shared {
    /// Delivers a message whose topic has gone to its vendor's catch-all.
    async fn again(self: Arc<Self>, message: OwnedMessage, catch_all: String) -> Result<Ack, PublishError> {
        if message.topic() == catch_all {
            return Err(PublishError::Unroutable);
        }
        self.signal.look_again();
        let (key, payload) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        let event = Outgoing {
            key: String::from_utf8_lossy(key),
            payload: payload.into(),
            headers: message.headers().cloned().unwrap_or_else(OwnedHeaders::new),
        };
        match flat(self.send(&catch_all, event)?.await) {
            Ok(_) => Ok(Ack::Stored),
            Err(Failed::Reported(code, _)) if is_unknown_topic(code) => Err(PublishError::Unroutable),
            Err(failed) => Err(self.meaning_of(&failed)),
        }
    }
}

fn catch_all(attributes: &Attributes) -> String {
    route::catch_all(attributes.get(Attribute::Vendor).unwrap_or_default()).to_string()
}

/// A delivery report; without one the producer was dropped first.
fn flat(report: Result<Report, RecvError>) -> Report {
    report.unwrap_or(Err(Failed::Lost))
}

/// An upper bound of the bytes of a batch of this message only, without compression.
fn size_of_batch(message: &OwnedMessage) -> usize {
    /// The batch's own head, and the lengths in a record and before a header, at their longest.
    const HEADS: (usize, usize, usize) = (61, 32, 10);
    let header = |header: Header<'_, &[u8]>| HEADS.2 + header.key.len() + header.value.map_or(0, <[u8]>::len);
    let headers: usize = message.headers().map_or(0, |headers| headers.iter().map(header).sum());
    let [key, payload] = [message.key(), message.payload()].map(|part| part.map_or(0, <[u8]>::len));
    HEADS.0 + HEADS.1 + key + payload + headers
}

fn is_unknown_topic(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(code, Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic))
}

/// What an error of the client or of a broker means to the caller.
pub(super) fn meaning(code: Option<RDKafkaErrorCode>) -> PublishError {
    use RDKafkaErrorCode as Code;
    match code {
        // The cluster answers this to every message.
        Some(Code::QueueFull | Code::ClusterAuthorizationFailed) => PublishError::Refused,
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge) => {
            PublishError::TooLarge
        }
        Some(Code::TopicAuthorizationFailed) => PublishError::Unauthorized,
        Some(Code::MessageTimedOut | Code::RequestTimedOut) => PublishError::Timeout,
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => PublishError::Unroutable,
        Some(Code::InvalidTopic) => PublishError::Uncovered,
        Some(Code::InvalidRecord | Code::InvalidTimestamp | Code::PolicyViolation) => PublishError::Rejected,
        _ => PublishError::Error,
    }
}

/// What [`Message::headers`] lists: nothing that came with the HTTP request.
fn headers(message: &Message, encoding: Encoding) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(20);
    for (name, value) in message.headers(Binding::Kafka, encoding) {
        headers = headers.insert(Header { key: name, value: Some(value.as_ref()) });
    }
    headers
}
