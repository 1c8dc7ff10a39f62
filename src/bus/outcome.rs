//! What becomes of a message that is published: the same for every bus.

use std::pin::Pin;

use journal::AppendError;

/// How a message became durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// Stored now.
    Stored,
    /// The bus had it already.
    Duplicate,
}

/// Why a message did not become durable. A closed list, the same for every bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No acknowledgement in time. The message may be stored, or be stored later: unknown, never failed.
    #[error("timeout")]
    Timeout,
    /// Not now: full, electing, unreachable, or more at once than it takes. A retry may succeed.
    #[error("refused for now")]
    Refused,
    /// Larger than the bus takes.
    #[error("too large")]
    TooLarge,
    /// No stream, topic or catch-all takes it.
    #[error("unroutable")]
    Unroutable,
    /// There is no stream. It may be made, so this is not for good.
    #[error("no stream")]
    Unprovisioned,
    /// There is a stream, and it does not take this subject; or the Kafka client takes the topic for gone, which a broker has yet to say
    /// twice. It may come, so this is not for good either.
    #[error("no stream for the subject, or no topic")]
    Uncovered,
    /// The stream holds as much of this subject as it may, and has room for others.
    #[error("subject full")]
    SubjectFull,
    /// The topic loses what it acknowledges, which is not waived.
    #[error("topic loses events")]
    Unsafe,
    /// The bus does not let us.
    #[error("unauthorized")]
    Unauthorized,
    /// The broker answers that it does not take this message, for a reason that is not on this list.
    #[error("rejected")]
    Rejected,
    /// It failed in another way.
    #[error("failed")]
    Error,
}

/// What a failure speaks of: the others go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The bus, as far as it is known: no message is likely to do better now.
    Bus,
    /// The subject or topic.
    Route,
    /// This message.
    Message,
}

impl PublishError {
    /// What it speaks of.
    pub fn scope(self) -> Scope {
        match self {
            PublishError::Timeout | PublishError::Refused | PublishError::Unprovisioned | PublishError::Error => {
                Scope::Bus
            }
            PublishError::Unroutable
            | PublishError::Uncovered
            | PublishError::SubjectFull
            | PublishError::Unsafe
            | PublishError::Unauthorized => Scope::Route,
            PublishError::TooLarge | PublishError::Rejected => Scope::Message,
        }
    }
}

/// A publication of many steps.
pub(crate) type Boxed = Pin<Box<dyn Future<Output = Result<Ack, PublishError>> + Send>>;

impl From<AppendError> for PublishError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Busy | AppendError::Full | AppendError::Closed => PublishError::Refused,
            AppendError::TooLarge => PublishError::TooLarge,
            AppendError::Failed => PublishError::Error,
        }
    }
}
