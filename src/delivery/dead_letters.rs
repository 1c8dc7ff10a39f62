//! Dead letters: a journal of its own for what the bus refuses for good, with the reason in each record's head.
//!
//! In: a message and the refusal. Out: `Ok` when it is on the disk. It lies apart from the spool and leaves less of the
//! file system to others, so that a spool that is full does not stop it. Records stay until `hookbus replay` has sent
//! them on: what it has written beside them ([`super::replayed`]) is looked at every few seconds.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use bytes::Bytes;

use super::replayed::{Follower, Place, Range};
use crate::{
    bus::PublishError,
    config::Config,
    envelope::{Attributes, Message, attributes::Attribute},
    journal::{AppendError, Entry, Journal, Record, Start},
    observe::metrics::Metrics,
};

/// Why a message lies here. The labels of `dead_letters_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Larger than the bus takes.
    TooLarge,
    /// No topic takes it, not even the catch-all.
    Unroutable,
    /// The bus does not let us.
    Unauthorized,
    /// A spooled record that this version cannot read as a message.
    Unreadable,
}

impl Reason {
    /// Every reason and its label.
    pub const ALL: [(Reason, &str); 4] = [
        (Reason::TooLarge, "too_large"),
        (Reason::Unroutable, "unroutable"),
        (Reason::Unauthorized, "unauthorized"),
        (Reason::Unreadable, "unreadable"),
    ];

    /// The reason of a refusal for good; `None` when a retry may help.
    pub fn of(error: PublishError) -> Option<Self> {
        match error {
            PublishError::TooLarge => Some(Reason::TooLarge),
            PublishError::Unroutable => Some(Reason::Unroutable),
            PublishError::Unauthorized => Some(Reason::Unauthorized),
            PublishError::Timeout | PublishError::Refused | PublishError::Unprovisioned | PublishError::Error => None,
        }
    }

    /// The label.
    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(reason, _)| *reason == self).map_or("", |(_, label)| label)
    }
}

/// Where the dead letters of a configuration lie.
pub fn directory(config: &Config) -> PathBuf {
    config.journal.directory.join("dead-letters")
}

/// The log.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    journal: Journal,
    metrics: Arc<Metrics>,
    replayed: Arc<Mutex<News>>,
}

/// What was sent on by others.
#[derive(Debug)]
struct News {
    follower: Follower,
    /// Told and not acknowledged yet: the disk did not give the records.
    told: Vec<Range>,
    /// What was last said to be wrong, so that one fault is one line.
    said: Option<io::ErrorKind>,
}

impl DeadLetters {
    /// `journal`: one that keeps until acknowledged, in `directory`.
    pub fn new(journal: Journal, directory: &Path, metrics: Arc<Metrics>) -> Self {
        let news = News { follower: Follower::new(directory), told: Vec::new(), said: None };
        DeadLetters { journal, metrics, replayed: Arc::new(Mutex::new(news)) }
    }

    /// Counts as done what `hookbus replay` has sent on since the last call. Blocks while it reads those records.
    pub fn forget_replayed(&self) {
        let mut news = self.replayed.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.count();
        match self.forget(&mut news) {
            Ok(()) => news.said = None,
            Err(error) if news.said == Some(error.kind()) => {}
            Err(error) => {
                tracing::error!(%error, "what was replayed of the dead letters cannot be read: they count on");
                news.said = Some(error.kind());
            }
        }
        let records = held.saturating_sub(self.count());
        if records > 0 {
            tracing::info!(records, "dead letters were replayed or discarded");
        }
    }

    fn forget(&self, news: &mut News) -> io::Result<()> {
        let more = news.follower.news()?;
        news.told.extend(more);
        // The file tells all of its history to a gateway that starts: most of it is acknowledged and gone.
        let low_water = self.journal.low_water();
        news.told.retain(|range| low_water < range.last);
        while let Some(range) = news.told.first() {
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
            news.told.remove(0);
        }
        Ok(())
    }

    /// Puts a message here.
    ///
    /// # Errors
    /// The disk does not take it: it lies nowhere yet.
    pub(super) async fn bury(&self, message: Message, reason: Reason) -> Result<(), AppendError> {
        let Message { mut attributes, body } = message;
        attributes.push(Attribute::DeadLetterReason, &reason.as_str());
        let id = attributes.get(Attribute::Id).unwrap_or_default().escape_debug().to_string();
        self.append(Record { head: attributes.into_encoded(), body }, &id, reason).await
    }

    /// Puts a record here whose head is none: the reason stands before it, so that the head says at least that.
    ///
    /// # Errors
    /// As for [`DeadLetters::bury`].
    pub(super) async fn bury_unreadable(&self, head: Bytes, body: Bytes) -> Result<(), AppendError> {
        let mut attributes = Attributes::with_capacity(head.len() + 16);
        attributes.push(Attribute::DeadLetterReason, &Reason::Unreadable.as_str());
        let mut bytes = Arc::unwrap_or_clone(attributes.into_encoded());
        bytes.extend_from_slice(&head);
        self.append(Record { head: Arc::new(bytes), body }, "", Reason::Unreadable).await
    }

    async fn append(&self, record: Record, id: &str, reason: Reason) -> Result<(), AppendError> {
        let reason_text = reason.as_str();
        match self.journal.append(record).await {
            Ok(sequence) => {
                self.metrics.dead_letter(reason);
                tracing::error!(id, reason = reason_text, sequence, "dead letter: the bus refuses it for good");
                Ok(())
            }
            Err(error) => {
                tracing::error!(id, reason = reason_text, %error, "the bus refuses it for good, and so does the disk");
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
