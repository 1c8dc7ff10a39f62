//! Consumes topics in a group: brokers remember how far.
//!
//! Of each partition the place is committed before which everything is done with. While there is no room the partitions
//! pause, and the group is answered all the same. Every few seconds brokers are asked whether they answer this client at all: a
//! deaf one (`deaf.rs`) ends with an error, and its owner opens another.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::task::spawn_blocking;

use super::{
    deaf::{Deaf, another_is_answered},
    reader,
    settings::{self, OpenError},
};
use crate::{
    bus::{marks::Marks, record::Record},
    config::KafkaConfig,
};

/// Between two looks whether brokers answer.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longest wait for their answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Why nothing can be consumed now.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The password file or the client's settings.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A topic.
    #[error("this login may not read the topics: see deploy/permissions")]
    ForbiddenTopic,
    /// The group.
    #[error("this login may not use the group {0}: see deploy/permissions")]
    ForbiddenGroup(String),
    /// Brokers answer another client, and not this one.
    #[error("brokers answer another client, and not this member of the group {0}, which is replaced")]
    Deaf(String),
    /// The login, or any other error of the client.
    #[error(transparent)]
    Client(#[from] KafkaError),
}

/// Topic, partition and offset.
#[derive(Debug)]
pub(in crate::bus) struct Place(Log, u64);

/// Topic and partition.
type Log = (String, i32);

/// A member of a group.
pub(in crate::bus) struct Consumer {
    client: Arc<StreamConsumer>,
    kafka: KafkaConfig,
    group: String,
    marks: BTreeMap<Log, Marks>,
    /// What has been committed of each.
    committed: BTreeMap<Log, u64>,
    is_paused: bool,
    /// What came while there was no room: of partitions that were given to us meanwhile.
    waiting: VecDeque<(Record, Place)>,
    look_due: Instant,
    deaf: Deaf,
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("group", &self.group).finish_non_exhaustive()
    }
}

impl Consumer {
    /// Joins the group; that a broker is away is no error.
    pub(in crate::bus) fn open(
        kafka: &KafkaConfig,
        group: &str,
        topics: &BTreeSet<String>,
    ) -> Result<Self, ConsumeError> {
        let client: StreamConsumer = settings::member(kafka, group)?.create()?;
        client.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(Consumer {
            client: Arc::new(client),
            kafka: kafka.clone(),
            group: group.into(),
            marks: BTreeMap::new(),
            committed: BTreeMap::new(),
            is_paused: false,
            waiting: VecDeque::new(),
            look_due: Instant::now() + LOOK_EVERY,
            deaf: Deaf::default(),
        })
    }

    pub(in crate::bus) async fn next(&mut self, has_room: bool) -> Result<(Record, Place), ConsumeError> {
        loop {
            if has_room && let Some(first) = self.waiting.pop_front() {
                return Ok(first);
            }
            self.pause(!has_room)?;
            let message = match self.client.recv().await {
                Ok(message) => message,
                Err(error) => {
                    self.check(error)?;
                    continue;
                }
            };
            let log = (message.topic().to_owned(), message.partition());
            let offset = u64::try_from(message.offset()).unwrap_or_default();
            let taken = (reader::record(&message), Place(log.clone(), offset));
            self.marks.entry(log).or_default().taken(offset);
            self.waiting.push_back(taken);
            // Of a partition that was given to us after the others were paused.
            self.is_paused &= has_room;
        }
    }

    pub(in crate::bus) fn acknowledge(&mut self, place: &Place) {
        if let Some(marks) = self.marks.get_mut(&place.0) {
            marks.done(place.1);
        }
    }

    /// Tells the broker how far; an answer is not waited for. Looks now and then whether brokers answer.
    pub(in crate::bus) async fn commit(&mut self) -> Result<(), ConsumeError> {
        if self.look_due <= Instant::now() {
            self.listen().await?;
            self.look_due = Instant::now() + LOOK_EVERY;
        }
        let mut list = TopicPartitionList::new();
        for (log, marks) in &self.marks {
            if let Some(next) = marks.next()
                && self.committed.get(log) != Some(&next)
            {
                let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
                list.add_partition_offset(&log.0, log.1, offset)?;
                self.committed.insert(log.clone(), next);
            }
        }
        if 0 < list.count() {
            self.client.commit(&list, CommitMode::Async)?;
        }
        Ok(())
    }

    /// Asks in threads, since both questions block.
    async fn listen(&mut self) -> Result<(), ConsumeError> {
        let client = Arc::clone(&self.client);
        let ask = move || client.fetch_metadata(None, ANSWER_LIMIT).is_ok();
        if spawn_blocking(ask).await.unwrap_or(true) {
            self.deaf.answered();
            return Ok(());
        }
        let (mut deaf, kafka) = (std::mem::take(&mut self.deaf), self.kafka.clone());
        let ask = move || (deaf.is_deaf(Instant::now(), || another_is_answered(&kafka)), deaf);
        let (is_deaf, deaf) = spawn_blocking(ask).await.unwrap_or_default();
        self.deaf = deaf;
        if is_deaf { Err(ConsumeError::Deaf(self.group.clone())) } else { Ok(()) }
    }

    fn pause(&mut self, pause: bool) -> Result<(), KafkaError> {
        if pause == self.is_paused {
            return Ok(());
        }
        let assigned = self.client.assignment()?;
        if pause {
            self.client.pause(&assigned)?
        } else {
            self.client.resume(&assigned)?
        };
        self.is_paused = pause;
        Ok(())
    }

    /// Returns an error that waiting does not mend.
    fn check(&self, error: KafkaError) -> Result<(), ConsumeError> {
        use RDKafkaErrorCode as Code;
        match (&error, error.rdkafka_error_code()) {
            (_, Some(Code::TopicAuthorizationFailed)) => Err(ConsumeError::ForbiddenTopic),
            (_, Some(Code::GroupAuthorizationFailed)) => Err(ConsumeError::ForbiddenGroup(self.group.clone())),
            (KafkaError::MessageConsumptionFatal(_), _)
            | (_, Some(Code::Authentication | Code::SaslAuthenticationFailed)) => Err(error.into()),
            // A broker that is away, or a topic that is not made yet: it goes on by itself.
            _ => {
                tracing::debug!(%error, "consuming");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        runtime::Builder,
        time::{sleep, timeout},
    };

    use super::{
        super::tests::{TOPIC, block_on, config, message, open},
        *,
    };
    use crate::envelope::attributes::Attribute;

    async fn next_id(consumer: &mut Consumer) -> String {
        let next = timeout(Duration::from_secs(20), consumer.next(true)).await.expect("an event").unwrap();
        let message = next.0.message.unwrap();
        message.get(Attribute::Id).to_owned()
    }

    /// Loses the brokers of a member: none answers it, while they answer others, as after librdkafka has forgotten all of them.
    #[test]
    fn a_member_that_has_lost_its_brokers_is_opened_anew_and_goes_on() {
        let (cluster, kafka) = open(|_| ());
        let publish = |number| block_on(kafka.publish(&message(TOPIC, number))).unwrap();
        publish(1);
        let mut config = config().bus.kafka;
        config.brokers = vec![cluster.bootstrap_servers()];
        let topics = BTreeSet::from([TOPIC.to_owned()]);
        let open = || Consumer::open(&config, "details", &topics).unwrap();
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let mut consumer = open();
            assert_eq!(next_id(&mut consumer).await, "evt_1");
            consumer.look_due = Instant::now();
            consumer.commit().await.unwrap();
            let mut nowhere = settings::member(&config, "details").unwrap();
            consumer.client = Arc::new(nowhere.set("bootstrap.servers", "127.0.0.1:1").create().unwrap());
            let deaf = async {
                loop {
                    if let Err(error) = consumer.commit().await {
                        break error;
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            };
            let error = timeout(Duration::from_secs(60), deaf).await.expect("it is found to be deaf");
            assert!(matches!(error, ConsumeError::Deaf(_)), "{error}");
            drop(consumer);
            // What was not acknowledged comes again.
            assert_eq!(next_id(&mut open()).await, "evt_1");
        });
        kafka.close();
    }
}
