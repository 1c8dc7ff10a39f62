//! Why the server did not start.

use std::{io, net::SocketAddr};

use crate::{
    bus::{kafka, nats},
    secrets::SecretError,
};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No secret, no start.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The journal cannot be opened.
    #[error("journal: {0}")]
    Journal(#[from] journal::OpenError),
    /// The Kafka client cannot be made from the configuration.
    #[error(transparent)]
    Kafka(#[from] kafka::OpenError),
    /// The bus cannot be used as it is configured.
    #[error("bus.nats: {0}")]
    Nats(#[from] nats::StartError),
    /// An address cannot be bound.
    #[error("{key} {address}: {error}")]
    Bind {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// The system's answer.
        error: io::Error,
    },
    /// A thread or an event loop cannot be made.
    #[error("starting threads: {0}")]
    Thread(#[from] io::Error),
    /// Two metrics of one name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl StartError {
    /// Whether the configuration is not for this bus: to start again changes nothing.
    pub fn is_refusal(&self) -> bool {
        match self {
            StartError::Nats(error) => matches!(error, nats::StartError::Stream(_)),
            StartError::Kafka(error) => matches!(error, kafka::OpenError::Topics(_)),
            _ => false,
        }
    }
}
