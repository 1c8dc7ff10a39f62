//! Reads the topics back that the configuration can lead to. It joins no group and commits nothing.

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

use super::{
    settings::{self, OpenError},
    topics,
};
use crate::{
    bus::record::{Extent, Next, Record},
    config::Config,
    envelope::message::Binding,
    subject::Pattern,
};

/// Longest wait for the brokers' list of topics.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks for topics that were made since.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// One try to get it: between two of them, errors of the login are looked at.
const ANSWER_SLICE: Duration = Duration::from_secs(2);

/// Why nothing can be read, for good.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The password file or the client's settings.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A topic, or all of them.
    #[error("this login may not read {0}: see deploy/permissions")]
    Forbidden(String),
    /// The login, or the brokers' certificate.
    #[error("the brokers and this login do not agree: {0}")]
    Login(KafkaError),
    /// Any other error of the client.
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
}

impl Reader {
    /// Finds the topics that `pattern` matches; gives also how many records there are to read at most, where that is
    /// known.
    ///
    /// # Errors
    /// The settings or the login are refused, the topics may not be seen, or no broker answers in ten seconds.
    pub(in crate::bus) fn open(config: &Config, pattern: &Pattern, extent: Extent) -> Result<(Self, u64), ReadError> {
        let consumer: BaseConsumer = settings::reader(&config.bus.kafka)?.create()?;
        let wanted = topics::expected(config).into_iter().filter(|topic| pattern.matches(topic)).collect();
        let look_due = Instant::now() + LOOK_EVERY;
        let (pattern, assigned) = (pattern.to_string(), BTreeSet::new());
        let mut reader = Reader { consumer, wanted, pattern, assigned, look_due, ends: None };
        reader.wait_for_answer()?;
        reader.assign(if extent == Extent::New { Offset::End } else { Offset::Beginning })?;
        if reader.assigned.is_empty() {
            reader.ask_for_one()?;
        }
        let records = if extent == Extent::UntilNow { reader.mark_ends()? } else { 0 };
        Ok((reader, records))
    }

    /// Takes note of where each partition ends now; gives how many records that are at most.
    fn mark_ends(&mut self) -> Result<u64, ReadError> {
        let (mut ends, mut records) = (BTreeMap::new(), 0);
        for (topic, partition) in &self.assigned {
            let (low, high) = self.consumer.fetch_watermarks(topic, *partition, ANSWER_LIMIT)?;
            if low < high {
                ends.insert((topic.clone(), *partition), high);
                records += high.abs_diff(low);
            }
        }
        self.ends = Some(ends);
        Ok(records)
    }

    /// Takes note of a record's place; `false` for one that came after the start.
    fn within(&mut self, topic: String, partition: i32, offset: i64) -> bool {
        let Some(ends) = &mut self.ends else { return true };
        let key = (topic, partition);
        let Some(end) = ends.get(&key).copied() else { return false };
        if end <= offset + 1 {
            ends.remove(&key);
        }
        offset < end
    }

    /// The next record, if one comes within `wait`.
    ///
    /// # Errors
    /// What the brokers refuse for good. That none can be reached is no error.
    pub(in crate::bus) fn next(&mut self, wait: Duration) -> Result<Next, ReadError> {
        match &self.ends {
            Some(ends) if ends.is_empty() => return Ok(Next::End),
            None if self.look_due <= Instant::now() => {
                self.look_due = Instant::now() + LOOK_EVERY;
                // A topic made after the start is read whole. While no broker answers, the next look will do.
                if let Err(error) = self.assign(Offset::Beginning) {
                    tracing::debug!(%error, "looking for new topics");
                }
            }
            _ => {}
        }
        let (topic, partition, offset, record) = match self.consumer.poll(wait) {
            Some(Ok(message)) => (message.topic().to_owned(), message.partition(), message.offset(), record(&message)),
            Some(Err(error)) => {
                self.check(error)?;
                return Ok(Next::Idle);
            }
            None => return Ok(Next::Idle),
        };
        Ok(if self.within(topic, partition, offset) { Next::Record(record) } else { Next::Idle })
    }

    /// Returns an error that waiting does not mend.
    fn check(&self, error: KafkaError) -> Result<(), ReadError> {
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

    /// Waits until a broker answers. The question itself only times out; the reason comes as an event of the client.
    fn wait_for_answer(&self) -> Result<(), ReadError> {
        let until = Instant::now() + ANSWER_LIMIT;
        loop {
            let Err(late) = self.consumer.fetch_metadata(None, ANSWER_SLICE) else { return Ok(()) };
            while let Some(event) = self.consumer.poll(Duration::ZERO) {
                let Err(error) = event else { continue };
                // A broker that is just coming up breaks off handshakes, too; but none has answered yet.
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::SSL) {
                    return Err(ReadError::Login(error));
                }
                self.check(error)?;
            }
            if until <= Instant::now() {
                return Err(late.into());
            }
        }
    }

    /// A list of all topics leaves out what may not be seen; asked for by its name, such a topic has its own error.
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

fn record(message: &BorrowedMessage<'_>) -> Record {
    let header = |name: &str| {
        let mut headers = message.headers()?.iter();
        std::str::from_utf8(headers.find(|header| header.key == name)?.value?).ok()
    };
    let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    Record::of(Binding::Kafka, message.topic(), header, payload)
}
