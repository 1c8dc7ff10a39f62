//! Reads the topics back that the configuration can lead to. It joins no group and commits nothing.
//!
//! A reader without an end keeps where it is in each partition: a deaf consumer (`deaf.rs`) is replaced there. One with an end
//! fails after some seconds of silence, and its command says so.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _},
    metadata::Metadata,
    types::RDKafkaRespErr,
};

use super::{
    deaf::{Deaf, another_is_answered},
    settings::{self, OpenError},
    topics,
};
use crate::{
    bus::record::{Extent, Next, Record},
    config::{Config, KafkaConfig},
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
    /// Where the next record of each partition is.
    places: BTreeMap<(String, i32), Offset>,
    look_due: Instant,
    deaf: Deaf,
    kafka: KafkaConfig,
    /// Partitions that are not read to the end that they had at the start, with that end; `None` goes on for ever.
    ends: Option<BTreeMap<(String, i32), i64>>,
    /// Partitions that had lost their first records when the end was marked, until one of them is read.
    cut: BTreeSet<(String, i32)>,
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
        let (pattern, kafka) = (pattern.to_string(), config.bus.kafka.clone());
        let (places, deaf, cut) = (BTreeMap::new(), Deaf::default(), BTreeSet::new());
        let mut reader = Reader { consumer, wanted, pattern, places, look_due, deaf, kafka, ends: None, cut };
        reader.wait_for_answer()?;
        let metadata = reader.consumer.fetch_metadata(None, ANSWER_LIMIT)?;
        reader.assign(&metadata, if extent == Extent::New { Offset::End } else { Offset::Beginning })?;
        if reader.places.is_empty() {
            reader.ask_for_one()?;
        }
        let records = if extent == Extent::UntilNow { reader.mark_ends()? } else { 0 };
        Ok((reader, records))
    }

    /// Takes note of where each partition ends now; gives how many records that are at most.
    fn mark_ends(&mut self) -> Result<u64, ReadError> {
        let (mut ends, mut records) = (BTreeMap::new(), 0);
        for (topic, partition) in self.places.keys() {
            let (low, high) = self.consumer.fetch_watermarks(topic, *partition, ANSWER_LIMIT)?;
            if 0 < low {
                self.cut.insert((topic.clone(), *partition));
            }
            if low < high {
                ends.insert((topic.clone(), *partition), high);
                records += high.abs_diff(low);
            }
        }
        self.ends = Some(ends);
        Ok(records)
    }

    /// Topics with a partition that is cut and of which nothing was read.
    pub(in crate::bus) fn emptied(&self) -> Vec<String> {
        self.cut.iter().map(|(topic, _)| topic.clone()).collect()
    }

    /// Takes note of a record's place; `false` for one that came after the start.
    fn within(&mut self, topic: String, partition: i32, offset: i64) -> bool {
        let key = (topic, partition);
        if let Some(place) = self.places.get_mut(&key) {
            *place = Offset::Offset(offset + 1);
        }
        let Some(ends) = &mut self.ends else { return true };
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
                self.look()?;
            }
            _ => {}
        }
        let (topic, partition, offset, mut record) = match self.consumer.poll(wait) {
            Some(Ok(message)) => (message.topic().to_owned(), message.partition(), message.offset(), record(&message)),
            Some(Err(error)) => {
                self.check(error)?;
                return Ok(Next::Idle);
            }
            None => return Ok(Next::Idle),
        };
        record.is_behind_a_gap = self.cut.remove(&(topic.clone(), partition));
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

    /// Looks for topics made after the start, which are read whole, and whether brokers answer at all. While none does, the
    /// next look will do.
    fn look(&mut self) -> Result<(), ReadError> {
        match self.consumer.fetch_metadata(None, ANSWER_SLICE) {
            Ok(metadata) => {
                self.deaf.answered();
                if let Err(error) = self.assign(&metadata, Offset::Beginning) {
                    tracing::debug!(%error, "reading new topics");
                }
            }
            Err(error) => {
                tracing::debug!(%error, "looking for new topics");
                let kafka = &self.kafka;
                if self.deaf.is_deaf(Instant::now(), || another_is_answered(kafka)) {
                    tracing::warn!("kafka: brokers answer another client, and not the reader, which is replaced");
                    self.replace()?;
                }
            }
        }
        Ok(())
    }

    /// Goes on with another consumer, at each partition's next record. What the old one has fetched and not given out is fetched
    /// again.
    fn replace(&mut self) -> Result<(), ReadError> {
        let consumer: BaseConsumer = settings::reader(&self.kafka)?.create()?;
        let mut places = TopicPartitionList::new();
        for ((topic, partition), place) in &self.places {
            places.add_partition_offset(topic, *partition, *place)?;
        }
        consumer.incremental_assign(&places)?;
        self.consumer = consumer;
        Ok(())
    }

    /// Reads the wanted partitions that are not read yet, from `offset` on.
    fn assign(&mut self, metadata: &Metadata, offset: Offset) -> Result<(), KafkaError> {
        let mut fresh = TopicPartitionList::new();
        for topic in metadata.topics().iter().filter(|topic| self.wanted.contains(topic.name())) {
            for partition in topic.partitions() {
                if let Entry::Vacant(place) = self.places.entry((topic.name().to_owned(), partition.id())) {
                    place.insert(offset);
                    fresh.add_partition_offset(topic.name(), partition.id(), offset)?;
                }
            }
        }
        if fresh.count() == 0 {
            return Ok(());
        }
        if offset == Offset::End {
            self.find_ends(&mut fresh);
        }
        self.consumer.incremental_assign(&fresh)
    }

    /// Puts the number of its next record for the end of each partition: "the end" would be another one for the next consumer.
    /// Brokers that do not say it leave it at that.
    fn find_ends(&mut self, partitions: &mut TopicPartitionList) {
        // Asked for as a time, the end is its own number in the protocol.
        let Ok(found) = self.consumer.offsets_for_times(partitions.clone(), ANSWER_LIMIT) else { return };
        for partition in found.elements().iter().filter(|partition| partition.error().is_ok()) {
            let (topic, number, Offset::Offset(next)) = (partition.topic(), partition.partition(), partition.offset())
            else {
                continue;
            };
            if partitions.set_partition_offset(topic, number, Offset::Offset(next)).is_ok() {
                self.places.insert((topic.to_owned(), number), Offset::Offset(next));
            }
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("topics", &self.wanted.len()).finish_non_exhaustive()
    }
}

pub(super) fn record(message: &BorrowedMessage<'_>) -> Record {
    let header = |name: &str| {
        let mut headers = message.headers()?.iter();
        std::str::from_utf8(headers.find(|header| header.key == name)?.value?).ok()
    };
    let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    Record::of(Binding::Kafka, message.topic(), header, payload)
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{TOPIC, block_on, config, message, open},
        *,
    };
    use crate::envelope::attributes::Attribute;

    /// The numbers of the next so many events.
    fn read(reader: &mut Reader, count: usize, limit: Duration) -> Vec<String> {
        let (mut ids, until) = (Vec::new(), Instant::now() + limit);
        while ids.len() < count && Instant::now() < until {
            if let Next::Record(record) = reader.next(Duration::from_millis(50)).unwrap() {
                ids.extend(record.message.unwrap().attributes.get(Attribute::Id).map(ToOwned::to_owned));
            }
        }
        ids
    }

    /// Loses the brokers of a consumer: none answers it, while they answer others, as after librdkafka has forgotten all of them.
    fn goes_on(extent: Extent, before: &[&str]) {
        let (cluster, kafka) = open(|_| ());
        let publish = |number| block_on(kafka.publish(&message(TOPIC, number))).unwrap();
        publish(1);
        let mut config = config();
        config.bus.kafka.brokers = vec![cluster.bootstrap_servers()];
        let (mut reader, _) = Reader::open(&config, &">".parse().unwrap(), extent).unwrap();
        assert_eq!(read(&mut reader, before.len(), Duration::from_secs(10)), before);
        let mut nowhere = settings::reader(&config.bus.kafka).unwrap();
        reader.consumer = nowhere.set("bootstrap.servers", "127.0.0.1:1").create().unwrap();
        publish(2);
        publish(3);
        assert_eq!(read(&mut reader, 2, Duration::from_secs(60)), ["evt_2", "evt_3"]);
        assert!(read(&mut reader, 1, Duration::from_secs(1)).is_empty(), "none twice");
        kafka.close();
    }

    #[test]
    fn a_reader_that_has_lost_its_brokers_goes_on_where_it_was() {
        goes_on(Extent::All, &["evt_1"]);
    }

    #[test]
    fn one_that_has_read_nothing_yet_goes_on_where_it_began() {
        goes_on(Extent::New, &[]);
    }
}
