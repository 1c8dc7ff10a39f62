//! The bus: where a message becomes durable. A closed set, so that no caller knows which one it is.

use std::future::Future;

use crate::{
    envelope::{Attributes, Message},
    journal::{AppendError, Journal, Record},
};

/// The configured bus.
#[derive(Debug, Clone)]
pub enum Bus {
    /// The embedded bus: the journal itself.
    Journal(Journal),
}

/// Why a message did not become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Not now: full, or more at once than it takes. A retry may succeed.
    #[error("refused for now")]
    Refused,
    /// It failed, or nobody knows.
    #[error("failed")]
    Failed,
}

impl Bus {
    /// Publishes one message. It is handed over when this returns, so calls keep their order; the future resolves when
    /// the message is durable, and dropping it takes nothing back.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub fn publish(
        &self,
        attributes: Attributes,
        body: bytes::Bytes,
    ) -> impl Future<Output = Result<(), PublishError>> + Send + use<> {
        match self {
            Bus::Journal(journal) => {
                let durable = journal.append(Record { head: attributes.into_encoded(), body });
                async move {
                    durable.await.map(|_sequence| ()).map_err(|error| match error {
                        AppendError::Busy | AppendError::Full | AppendError::Closed => PublishError::Refused,
                        AppendError::Failed | AppendError::TooLarge => PublishError::Failed,
                    })
                }
            }
        }
    }

    /// Writes out what was handed over and closes the bus; blocks, at most ten seconds.
    pub fn close(&self) {
        match self {
            Bus::Journal(journal) => journal.close(),
        }
    }
}

/// The message of a journal entry; `None` when a record is none that this version can read.
pub fn message(head: bytes::Bytes, body: bytes::Bytes) -> Option<Message> {
    Attributes::decode(head.into()).map(|attributes| Message { attributes, body })
}
