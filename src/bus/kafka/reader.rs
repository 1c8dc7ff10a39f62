//! A reader of the bus, for `hookbus tail` and `hookbus replay`: it joins no group, commits nothing, and changes nothing for anybody.
//!
//! In: records of the topics that the configuration can lead to. Out: the messages they were made from, in either
//! encoding. What hookbus has not written is passed over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _},
    types::RDKafkaRespErr,
};

use super::{OpenError, settings, topics};
use crate::{
    config::Config,
    envelope::{Attributes, Message, attributes::Attribute},
    pattern::Pattern,
};

/// Longest wait for the brokers' list of topics.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks for topics that were made since.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long brokers may be silent while records are known to be there.
const SILENCE: Duration = Duration::from_secs(15);

/// One try to get it: between two of them, what the brokers said of the login is looked at.
const ANSWER_SLICE: Duration = Duration::from_secs(2);

/// Why nothing can be read, for good.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The password file or the client's settings.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A topic, or all of them.
    #[error("this login may not read {0}: see deploy/rights")]
    Forbidden(String),
    /// Who we are, or who they are.
    #[error("the brokers and this login do not agree: {0}")]
    Login(KafkaError),
    /// Anything else that the client says.
    #[error(transparent)]
    Client(#[from] KafkaError),
}

/// Reads every partition of every topic that matches.
pub struct Reader {
    consumer: BaseConsumer,
    wanted: BTreeSet<String>,
    /// What was asked for, for messages.
    pattern: String,
    assigned: BTreeSet<(String, i32)>,
    look_due: Instant,
    /// Partitions that are not read to the end that they had at the start, with that end; `None` goes on for ever.
    ends: Option<BTreeMap<(String, i32), i64>>,
    /// Since when there was nothing to read.
    silent: Option<Instant>,
}

impl Reader {
    /// Finds the topics that `pattern` matches. `from_start`: begin with the oldest event, else with the next one.
    ///
    /// # Errors
    /// The settings or the login are refused, the topics may not be seen, or no broker answers in ten seconds.
    pub fn open(config: &Config, pattern: &Pattern, from_start: bool) -> Result<Self, ReadError> {
        let consumer: BaseConsumer = settings::reader(&config.bus.kafka)?.create()?;
        let wanted = topics::expected(config).into_iter().filter(|topic| pattern.matches(topic)).collect();
        let (assigned, now) = (BTreeSet::new(), Instant::now());
        let (pattern, look_due) = (pattern.to_string(), now + LOOK_EVERY);
        let mut reader = Reader { consumer, wanted, pattern, assigned, look_due, ends: None, silent: None };
        reader.wait_for_answer()?;
        reader.assign(if from_start { Offset::Beginning } else { Offset::End })?;
        if reader.assigned.is_empty() {
            reader.ask_for_one()?;
        }
        Ok(reader)
    }

    /// Everything that lies on the topics that `pattern` matches now, and nothing that comes later; gives also how many
    /// records that are at most.
    ///
    /// # Errors
    /// As for [`Reader::open`].
    pub fn until_now(config: &Config, pattern: &Pattern) -> Result<(Self, u64), ReadError> {
        let mut reader = Reader::open(config, pattern, true)?;
        let (mut ends, mut records) = (BTreeMap::new(), 0);
        for (topic, partition) in &reader.assigned {
            let (low, high) = reader.consumer.fetch_watermarks(topic, *partition, ANSWER_LIMIT)?;
            if low < high {
                ends.insert((topic.clone(), *partition), high);
                records += high.abs_diff(low);
            }
        }
        reader.ends = Some(ends);
        Ok((reader, records))
    }

    /// Whether everything that was there at the start of [`Reader::until_now`] has been read.
    pub fn finished(&self) -> bool {
        self.ends.as_ref().is_some_and(BTreeMap::is_empty)
    }

    fn is_owed(&self) -> bool {
        self.ends.as_ref().is_some_and(|ends| !ends.is_empty())
    }

    /// Takes note of a record's place; `false` for one that came after the start.
    fn within(&mut self, topic: &str, partition: i32, offset: i64) -> bool {
        let Some(ends) = &mut self.ends else { return true };
        let key = (topic.to_owned(), partition);
        let Some(end) = ends.get(&key).copied() else { return false };
        if end <= offset + 1 {
            ends.remove(&key);
        }
        offset < end
    }

    /// The next message; `None` when there was none within `wait`.
    ///
    /// # Errors
    /// What the brokers refuse for good; that none can be reached is waited out, unless records are known to be there.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Message>, ReadError> {
        if self.ends.is_none() && self.look_due <= Instant::now() {
            self.look_due = Instant::now() + LOOK_EVERY;
            // A topic made after the start is read whole. While no broker answers, the next look will do.
            if let Err(error) = self.assign(Offset::Beginning) {
                tracing::debug!(%error, "looking for new topics");
            }
        }
        let polled = self.consumer.poll(wait);
        let record = match polled {
            Some(Ok(record)) => {
                Some((record.topic().to_owned(), record.partition(), record.offset(), message(&record)))
            }
            Some(Err(error)) => {
                self.bear(error)?;
                None
            }
            None => None,
        };
        match record {
            Some((topic, partition, offset, message)) => {
                self.silent = None;
                // Also of a record that is none of ours: it may be the last one.
                let inside = self.within(&topic, partition, offset);
                Ok(message.filter(|_| inside))
            }
            None if SILENCE <= self.silent.get_or_insert_with(Instant::now).elapsed() && self.is_owed() => {
                Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut).into())
            }
            None => Ok(None),
        }
    }

    /// Returns what no waiting mends.
    fn bear(&self, error: KafkaError) -> Result<(), ReadError> {
        use RDKafkaErrorCode::{Authentication, SaslAuthenticationFailed, TopicAuthorizationFailed};
        match (&error, error.rdkafka_error_code()) {
            (KafkaError::MessageConsumptionFatal(_), _) => Err(error.into()),
            // Not what is said of the group: its name is asked for, and it is never joined.
            (_, Some(TopicAuthorizationFailed)) => Err(ReadError::Forbidden(self.pattern.clone())),
            (_, Some(Authentication | SaslAuthenticationFailed)) => Err(ReadError::Login(error)),
            _ => {
                tracing::debug!(%error, "reading");
                Ok(())
            }
        }
    }

    /// Until a broker answers. The answer to a question is only that it took too long: why is told beside it.
    fn wait_for_answer(&self) -> Result<(), ReadError> {
        let until = Instant::now() + ANSWER_LIMIT;
        loop {
            let Err(late) = self.consumer.fetch_metadata(None, ANSWER_SLICE) else { return Ok(()) };
            while let Some(told) = self.consumer.poll(Duration::ZERO) {
                let Err(error) = told else { continue };
                // A broker that is just coming up breaks off handshakes, too; but none has answered yet.
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::SSL) {
                    return Err(ReadError::Login(error));
                }
                self.bear(error)?;
            }
            if until <= Instant::now() {
                return Err(late.into());
            }
        }
    }

    /// A list of all topics leaves out what may not be seen; who asks for one by its name is told.
    fn ask_for_one(&self) -> Result<(), ReadError> {
        let Some(topic) = self.wanted.first() else { return Ok(()) };
        let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER_LIMIT)?;
        let forbidden = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        if metadata.topics().iter().any(|topic| topic.error() == Some(forbidden)) {
            return Err(ReadError::Forbidden(self.pattern.clone()));
        }
        Ok(())
    }

    fn assign(&mut self, offset: Offset) -> Result<(), KafkaError> {
        let metadata = self.consumer.fetch_metadata(None, ANSWER_LIMIT)?;
        let mut fresh = TopicPartitionList::new();
        for topic in metadata.topics().iter().filter(|topic| self.wanted.contains(topic.name())) {
            for partition in topic.partitions() {
                if self.assigned.insert((topic.name().to_owned(), partition.id())) {
                    fresh.add_partition_offset(topic.name(), partition.id(), offset)?;
                }
            }
        }
        if fresh.count() == 0 { Ok(()) } else { self.consumer.incremental_assign(&fresh) }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("topics", &self.wanted.len()).finish_non_exhaustive()
    }
}

/// The message of a record; `None` for one that hookbus did not write.
fn message(record: &BorrowedMessage<'_>) -> Option<Message> {
    let headers = record.headers()?;
    let text = |value: Option<&[u8]>| value.and_then(|value| std::str::from_utf8(value).ok()).map(str::to_owned);
    let mut found: Vec<(Attribute, String)> = Vec::new();
    let mut content_type = String::new();
    for header in headers.iter() {
        let value = text(header.value)?;
        if header.key == "content-type" {
            content_type = value;
        } else if let Some(attribute) = header.key.strip_prefix("ce_").and_then(Attribute::from_name) {
            found.push((attribute, value));
        }
    }
    let structured = content_type.starts_with("application/cloudevents");
    let is_quarantined = found.iter().any(|(attribute, _)| *attribute == Attribute::QuarantineReason);
    let body_type = match (structured, is_quarantined) {
        (false, _) => content_type,
        (true, true) => "application/octet-stream".into(),
        (true, false) => "application/json".into(),
    };
    found.push((Attribute::DataContentType, body_type));
    found.push((Attribute::Route, record.topic().to_owned()));
    rebuild(&found, record.payload()?, structured)
}

/// Puts the attributes into their order and takes the body out of the payload.
fn rebuild(found: &[(Attribute, String)], payload: &[u8], structured: bool) -> Option<Message> {
    let mut attributes = Attributes::with_capacity(640);
    for wanted in Attribute::ALL {
        if let Some((_, value)) = found.iter().find(|(attribute, _)| *attribute == wanted) {
            attributes.push(wanted, value);
        }
    }
    attributes.get(Attribute::Id)?;
    let mut message = Message { attributes, body: Bytes::new() };
    if !structured {
        message.body = Bytes::copy_from_slice(payload);
        return Some(message);
    }
    // A structured payload is the envelope with the body in one known place: what an empty body would give ends there.
    let empty = message.structured();
    if let Some(body) = empty.strip_suffix(b"}").and_then(|head| payload.strip_prefix(head)?.strip_suffix(b"}")) {
        message.body = Bytes::copy_from_slice(body);
        return Some(message);
    }
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let encoded = empty.strip_suffix(b"\"}").and_then(|head| payload.strip_prefix(head)?.strip_suffix(b"\"}"))?;
    message.body = STANDARD.decode(encoded).ok()?.into();
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_encoding_gives_the_message_back() {
        for (body, kind) in [(&br#"{ "a" : 1.50 }"#[..], "application/json"), (b"\xff{", "application/octet-stream")] {
            let mut attributes = Attributes::with_capacity(0);
            attributes.push(Attribute::Id, &"evt \"1\"");
            attributes.push(Attribute::DataContentType, &kind);
            attributes.push(Attribute::Route, &"webhooks.audit1.unknown");
            let message = Message { attributes, body: Bytes::copy_from_slice(body) };
            let mut found: Vec<_> = message.attributes.iter().map(|(name, value)| (name, value.to_owned())).collect();
            found.reverse();
            assert_eq!(rebuild(&found, &message.structured(), true), Some(message.clone()));
            assert_eq!(rebuild(&found, body, false), Some(message));
            assert_eq!(rebuild(&found, b"{}", true), None);
            assert_eq!(rebuild(&[], b"{}", false), None);
        }
    }
}
