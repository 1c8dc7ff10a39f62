//! Consumes topics in a group: brokers remember how far.
//!
//! Of each partition the place is committed before which everything is done with. While there is no room the partitions
//! pause, and the group is answered all the same.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    reader,
    settings::{self, OpenError},
};
use crate::{
    bus::{marks::Marks, record::Record},
    config::KafkaConfig,
};

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
    client: StreamConsumer,
    group: String,
    marks: BTreeMap<Log, Marks>,
    /// What has been committed of each.
    committed: BTreeMap<Log, u64>,
    is_paused: bool,
    /// What came while there was no room: of partitions that were given to us meanwhile.
    waiting: VecDeque<(Record, Place)>,
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
        let (marks, committed, waiting) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        Ok(Consumer { client, group: group.into(), marks, committed, is_paused: false, waiting })
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

    /// Tells the broker how far; an answer is not waited for.
    pub(in crate::bus) fn commit(&mut self) -> Result<(), ConsumeError> {
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
