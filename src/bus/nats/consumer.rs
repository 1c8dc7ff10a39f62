//! Consumes a stream by a durable pull consumer: the server remembers what was acknowledged.
//!
//! What is out and not spoken of for `ACK_WAIT` comes again, so `keep` speaks of it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use async_nats::jetstream::{
    self, AckKind,
    consumer::{AckPolicy, DeliverPolicy, pull},
    message::Acker,
};
use futures_util::StreamExt as _;

use super::connection::connect_and_hear;
use crate::{bus::record::Record, config::NatsConfig, envelope::message::Binding};

/// How long the broker may take for one answer.
const ASK: Duration = Duration::from_secs(5);
/// How long the server waits for a word about an event before it gives it out again.
const ACK_WAIT: Duration = Duration::from_secs(15);
/// How often the word is given.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Why a stream cannot be consumed now.
#[derive(Debug, thiserror::Error)]
#[error("stream {stream}, consumer {name}: {fault}")]
pub struct ConsumeError {
    stream: String,
    name: String,
    /// What the client or the server said.
    fault: String,
}

/// A durable consumer.
pub(in crate::bus) struct Consumer {
    stream: String,
    name: String,
    messages: pull::Stream,
    out: BTreeMap<u64, Acker>,
    /// Those of them that were not taken yet.
    waiting: VecDeque<(Record, u64)>,
    /// Of the message that came last.
    number: u64,
    progress_due: Instant,
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Consumer {
    /// Makes it at the server, or brings the one that is there to these subjects.
    ///
    /// # Errors
    /// No connection, no stream, no right to make it.
    pub(in crate::bus) async fn open(
        nats: &NatsConfig,
        name: &str,
        subjects: &BTreeSet<String>,
        most: usize,
    ) -> Result<Self, ConsumeError> {
        let failed = |fault: &dyn fmt::Display| ConsumeError {
            stream: nats.stream.clone(),
            name: name.into(),
            fault: fault.to_string(),
        };
        let (client, refusals) = connect_and_hear(nats).await.map_err(|error| failed(&error))?;
        let context = jetstream::ContextBuilder::new().timeout(ASK).build(client);
        let config = pull::Config {
            durable_name: Some(name.into()),
            description: Some("follow-up calls, by hookbus".into()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: i64::try_from(most).unwrap_or(i64::MAX),
            filter_subjects: subjects.iter().cloned().collect(),
            ..Default::default()
        };
        let made = async {
            let stream = context.get_stream(&nats.stream).await.map_err(|error| error.to_string())?;
            stream.create_consumer(config).await.map_err(|error| error.to_string())
        };
        let consumer = refusals.or(made).await.map_err(|error| failed(&error))?;
        let messages = consumer.stream().max_messages_per_batch(most).heartbeat(PROGRESS_EVERY).messages();
        let messages = messages.await.map_err(|error| failed(&error))?;
        let (stream, name, progress_due) = (nats.stream.clone(), name.into(), Instant::now() + PROGRESS_EVERY);
        let (out, waiting) = (BTreeMap::new(), VecDeque::new());
        Ok(Consumer { stream, name, messages, out, waiting, number: 0, progress_due })
    }

    /// The next one. Without room what comes waits here and is spoken of: the server gives out ahead of us.
    pub(in crate::bus) async fn next(&mut self, has_room: bool) -> Result<(Record, u64), ConsumeError> {
        loop {
            if has_room && let Some(first) = self.waiting.pop_front() {
                return Ok(first);
            }
            let message = match self.messages.next().await {
                Some(message) => message.map_err(|error| self.failed(&error))?,
                None => return Err(self.failed(&"it has ended")),
            };
            let (message, acker) = message.split();
            self.number += 1;
            self.out.insert(self.number, acker);
            let headers = message.headers.unwrap_or_default();
            let header = |name: &str| headers.get(name).map(|value| value.as_str());
            let record = Record::of(Binding::Nats, &message.subject, header, message.payload);
            self.waiting.push_back((record, self.number));
        }
    }

    /// Hands the acknowledgement to the client. One that is lost lets the event come again.
    pub(in crate::bus) async fn acknowledge(&mut self, number: u64) -> Result<(), ConsumeError> {
        let Some(acker) = self.out.remove(&number) else { return Ok(()) };
        acker.ack().await.map_err(|error| self.failed(&error))
    }

    /// Says that what is out is worked on.
    pub(in crate::bus) async fn keep(&mut self) -> Result<(), ConsumeError> {
        if Instant::now() < self.progress_due {
            return Ok(());
        }
        self.progress_due = Instant::now() + PROGRESS_EVERY;
        for acker in self.out.values() {
            acker.ack_with(AckKind::Progress).await.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    fn failed(&self, fault: &dyn fmt::Display) -> ConsumeError {
        ConsumeError { stream: self.stream.clone(), name: self.name.clone(), fault: fault.to_string() }
    }
}
