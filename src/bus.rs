//! The bus: where a message becomes durable. A closed set, so that no caller knows which one it is.

pub mod kafka;
pub mod nats;

use std::{future::Future, pin::Pin};

use crate::{
    config::{Config, Encoding, units::show_size},
    envelope::{Attributes, Message},
    journal::{AppendError, Journal, Record},
};

/// Bytes of headers, and again of attributes in a structured message, at most.
const ENVELOPE: u64 = 4 << 10;

/// Bytes of the message of the largest body: one that is not JSON becomes base64 in a structured message.
fn largest_message(config: &Config) -> u64 {
    let body = config.sources.iter().map(|source| source.max_body).max().unwrap_or(config.listener.max_body);
    let body = u64::try_from(body).unwrap_or(u64::MAX);
    match config.bus.encoding {
        Encoding::Structured => body.div_ceil(3).saturating_mul(4).saturating_add(2 * ENVELOPE),
        Encoding::Binary => body.saturating_add(ENVELOPE),
    }
}

/// What to say of a limit of the bus, bytes, that is below the largest message; `whose`: its name.
pub fn too_low(whose: &str, limit: u64, config: &Config) -> Option<String> {
    let largest = largest_message(config);
    let fate =
        if config.journal.spool { "go to the dead letters" } else { "are answered 503 until their sender gives up" };
    (limit < largest).then(|| {
        format!(
            "{whose}, {}, is below {}, the largest message that max_body allows: larger events {fate}",
            show_size(limit),
            show_size(largest)
        )
    })
}

/// The configured bus.
#[derive(Debug, Clone)]
pub enum Bus {
    /// The embedded bus: the journal itself.
    Journal(Journal),
    /// Apache Kafka.
    Kafka(kafka::Kafka),
    /// A JetStream stream.
    Nats(nats::Nats),
    /// One that does as a test says.
    #[cfg(test)]
    Scripted(std::sync::Arc<crate::delivery::scripted::Scripted>),
}

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
    /// No stream takes it yet. It may be made, so this is not for good.
    #[error("no stream")]
    Unprovisioned,
    /// The bus does not let us.
    #[error("unauthorized")]
    Unauthorized,
    /// It failed in another way.
    #[error("failed")]
    Error,
}

/// A publication under way. It was handed over when it was made, so that calls keep their order; dropping it takes
/// nothing back. On an event loop that is attached ([`Bus::attach`]) it goes on only while it is polled.
pub type Publication = Pin<Box<dyn Future<Output = Result<Ack, PublishError>> + Send>>;

impl Bus {
    /// Publishes one message. It is handed over when this returns, so calls keep their order; the future resolves when
    /// the message is durable. What dropping it means: see [`Publication`].
    ///
    /// # Errors
    /// See [`PublishError`].
    pub fn publish(&self, message: Message) -> Publication {
        match self {
            Bus::Kafka(kafka) => kafka.publish(&message),
            Bus::Journal(journal) => {
                let durable = journal.append(Record { head: message.attributes.into_encoded(), body: message.body });
                Box::pin(async move { durable.await.map(|_sequence| Ack::Stored).map_err(PublishError::from) })
            }
            Bus::Nats(nats) => nats.publish(message),
            #[cfg(test)]
            Bus::Scripted(script) => script.publish(&message),
        }
    }

    /// To be called by an event loop that is going to publish much, on its thread, before it does. Its publications then
    /// go on only while it polls them.
    pub async fn attach(&self) {
        if let Bus::Nats(nats) = self {
            nats.attach().await;
        }
    }

    /// To be called by the same event loop before it ends.
    pub async fn detach(&self) {
        if let Bus::Nats(nats) = self {
            nats.detach().await;
        }
    }

    /// Writes out what was handed over and closes the bus; blocks, at most ten seconds.
    pub fn close(&self) {
        match self {
            Bus::Journal(journal) => journal.close(),
            Bus::Kafka(kafka) => kafka.close(),
            Bus::Nats(nats) => nats.close(),
            #[cfg(test)]
            Bus::Scripted(_) => {}
        }
    }

    /// Whether it could take a message now, as far as it knows without trying.
    pub fn up(&self) -> bool {
        match self {
            Bus::Journal(journal) => journal.stats().up,
            Bus::Kafka(kafka) => kafka.up(),
            Bus::Nats(nats) => nats.up(),
            #[cfg(test)]
            Bus::Scripted(script) => script.up(),
        }
    }
}

impl From<AppendError> for PublishError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Busy | AppendError::Full | AppendError::Closed => PublishError::Refused,
            AppendError::TooLarge => PublishError::TooLarge,
            AppendError::Failed => PublishError::Error,
        }
    }
}

/// The message of a journal entry; `None` when a record is none that this version can read.
pub fn message(head: bytes::Bytes, body: bytes::Bytes) -> Option<Message> {
    Attributes::decode(head.into()).map(|attributes| Message { attributes, body })
}
