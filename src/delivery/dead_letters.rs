//! Dead letters: a journal of its own for what the bus refuses for good, with the reason in each record's head.
//!
//! In: a message and the refusal. Out: `Ok` when it is on the disk. It lies apart from the spool and leaves less of the
//! file system to others, so that a spool that is full does not stop it. Records stay until they are replayed.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    bus::PublishError,
    envelope::{Attributes, Message, attributes::Attribute},
    journal::{AppendError, Journal, Record},
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

/// The log.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    journal: Journal,
    metrics: Arc<Metrics>,
}

impl DeadLetters {
    /// `journal`: one that keeps until acknowledged.
    pub fn new(journal: Journal, metrics: Arc<Metrics>) -> Self {
        DeadLetters { journal, metrics }
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
        let mut bytes = attributes.into_encoded();
        bytes.extend_from_slice(&head);
        self.append(Record { head: bytes, body }, "", Reason::Unreadable).await
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
