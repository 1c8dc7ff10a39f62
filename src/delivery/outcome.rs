//! What becomes of an event: proof for its sender that it is durable, or why it is not; and why it lies on the disk here.

use journal::AppendError;

use crate::{bus::PublishError, metrics::Label, recent::Seen};

/// Proof that an event is durable; only this room makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub(super) seen: Seen,
}

impl Receipt {
    /// What the memory of recent events said of it.
    pub fn seen(self) -> Seen {
        self.seen
    }
}

/// Why an event is not durable. It may still become so; the sender's retry carries the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undeliverable {
    /// The bus did not take it, and no disk either.
    #[error("bus: {0}")]
    Bus(#[from] PublishError),
    /// The bus does not take it now, or must not before older ones, and the spool does not take it.
    #[error("spool: {0}")]
    Spool(#[from] AppendError),
    /// The work on it has panicked.
    #[error("publication broken off")]
    BrokenOff,
    /// Not durable within `answer_timeout`.
    #[error("bus too slow")]
    TooSlow,
}

/// Why an event went into the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Not acknowledged after `hedge_after`.
    Hedge,
    /// Refused for now.
    Refused,
    /// Older events are in the spool.
    Gate,
}

impl Label for Cause {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [(Cause::Hedge, "hedge"), (Cause::Refused, "refused"), (Cause::Gate, "gate")]
    }
}

/// Why a message lies in the dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Larger than the bus takes.
    TooLarge,
    /// No topic takes it, not even the catch-all.
    Unroutable,
    /// The bus does not let us.
    Unauthorized,
    /// The bus has refused it, or its subject, for longer than `dead_letter_after`.
    Refused,
    /// A spooled record that this version cannot read as a message.
    Unreadable,
}

impl Label for Reason {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [
            (Reason::TooLarge, "too_large"),
            (Reason::Unroutable, "unroutable"),
            (Reason::Unauthorized, "unauthorized"),
            (Reason::Refused, "refused"),
            (Reason::Unreadable, "unreadable"),
        ]
    }
}

impl Reason {
    /// The reason of a refusal for good; `None` when a retry may help.
    pub fn of(error: PublishError) -> Option<Self> {
        match error {
            PublishError::TooLarge => Some(Reason::TooLarge),
            PublishError::Unroutable => Some(Reason::Unroutable),
            PublishError::Unauthorized => Some(Reason::Unauthorized),
            PublishError::Timeout
            | PublishError::Refused
            | PublishError::Unprovisioned
            | PublishError::Uncovered
            | PublishError::SubjectFull
            | PublishError::Unsafe
            | PublishError::Rejected
            | PublishError::Error => None,
        }
    }
}
