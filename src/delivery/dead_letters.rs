//! Dead letters: a journal of its own for what the bus refuses for good, with the reason in each record's head.
//!
//! In: a message and the refusal. Out: `Ok` when it is on the disk. It lies apart from the spool and leaves less of the
//! file system to others, so that a spool that is full does not stop it. Records stay until `hookbus replay` has sent
//! them on: what it has written beside them ([`journal::replay_log`]) is looked at every few seconds.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use journal::{
    AppendError, Entry, Journal, Record, Start,
    replay_log::{Follower, Place, Range},
};
use log_once::LogOnce;

use super::{metrics::DeliveryMetrics, outcome::Reason};
use crate::{
    envelope::{Attributes, Message, attributes::Attribute},
    metrics::Label as _,
};

/// Where the dead letters lie below `journal.directory`.
pub fn directory(journal: &Path) -> PathBuf {
    journal.join("dead-letters")
}

/// The log.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    journal: Journal,
    metrics: Arc<DeliveryMetrics>,
    replayed: Arc<Mutex<News>>,
}

/// What `hookbus replay` has sent.
#[derive(Debug)]
struct News {
    follower: Follower,
    /// Sent, and not acknowledged in the journal yet: the disk did not give the records.
    sent: Vec<Range>,
    /// What was last said to be wrong, so that one fault is one line.
    said: LogOnce<io::ErrorKind>,
}

impl DeadLetters {
    /// `journal`: one that keeps until acknowledged, in `directory`.
    pub fn new(journal: Journal, directory: &Path, metrics: Arc<DeliveryMetrics>) -> Self {
        let news = News { follower: Follower::new(directory), sent: Vec::new(), said: LogOnce::default() };
        DeadLetters { journal, metrics, replayed: Arc::new(Mutex::new(news)) }
    }

    /// Counts as done what `hookbus replay` has sent on since the last call. Blocks while it reads those records.
    pub fn forget_replayed(&self) {
        let mut news = self.replayed.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.count();
        match self.forget(&mut news) {
            Ok(()) => {
                news.said.clear();
            }
            Err(error) if news.said.is_new(error.kind()) => {
                tracing::error!(%error, "what was replayed of the dead letters cannot be read: they count on");
            }
            Err(_) => {}
        }
        let records = held.saturating_sub(self.count());
        if records > 0 {
            tracing::info!(records, "dead letters were replayed or discarded");
        }
    }

    fn forget(&self, news: &mut News) -> io::Result<()> {
        let more = news.follower.news()?;
        news.sent.extend(more);
        // A gateway that starts reads the whole history of the file: most of it is acknowledged and gone.
        let low_water = self.journal.low_water();
        news.sent.retain(|range| low_water < range.last);
        while let Some(range) = news.sent.first() {
            let mut reader = self.journal.reader(Start::After(range.first.saturating_sub(1)));
            while let Some(Entry { sequence, recorded, .. }) = reader.next()? {
                if sequence > range.last {
                    break;
                }
                let recorded = recorded.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
                if range.holds(Place { sequence, recorded: u64::try_from(recorded).unwrap_or(u64::MAX) }) {
                    self.journal.acknowledge(sequence);
                }
            }
            news.sent.remove(0);
        }
        Ok(())
    }

    /// Puts a message here.
    ///
    /// # Errors
    /// The disk does not take it: it lies nowhere yet.
    pub(super) async fn append(&self, message: Message, reason: Reason) -> Result<(), AppendError> {
        let Message { mut attributes, body } = message;
        attributes.push(Attribute::DeadLetterReason, &reason.as_str());
        let id = attributes.get(Attribute::Id).unwrap_or_default().escape_debug().to_string();
        self.write(Record { head: attributes.into_encoded(), body }, &id, reason).await
    }

    /// Puts a record here whose head is none: the reason stands before it, so that the head says at least that.
    ///
    /// # Errors
    /// As for [`DeadLetters::append`].
    pub(super) async fn append_unreadable(&self, head: Bytes, body: Bytes) -> Result<(), AppendError> {
        let mut attributes = Attributes::with_capacity(head.len() + 16);
        attributes.push(Attribute::DeadLetterReason, &Reason::Unreadable.as_str());
        let mut bytes = Arc::unwrap_or_clone(attributes.into_encoded());
        bytes.extend_from_slice(&head);
        self.write(Record { head: Arc::new(bytes), body }, "", Reason::Unreadable).await
    }

    async fn write(&self, record: Record, id: &str, reason: Reason) -> Result<(), AppendError> {
        let reason_text = reason.as_str();
        match self.journal.append(record).await {
            Ok(sequence) => {
                self.metrics.dead_letters.inc(reason);
                tracing::error!(id, reason = reason_text, sequence, "dead letter: the bus does not take it");
                Ok(())
            }
            Err(error) => {
                tracing::error!(id, reason = reason_text, %error, "the bus does not take it, and neither does the disk");
                Err(error)
            }
        }
    }

    /// How many lie here.
    pub fn count(&self) -> u64 {
        self.journal.stats().records
    }

    /// Writes what waits, and closes; blocks, at most ten seconds.
    pub(super) fn close(&self) {
        self.journal.close();
    }
}
