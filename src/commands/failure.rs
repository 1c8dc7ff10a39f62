//! Why a command failed.

use std::{error::Error, fmt::Display, io};

use crate::{config::Problems, vendor_api::ClientError};

/// In words for the person who called it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The call's words are off.
    #[error("{0}")]
    Usage(String),
    /// The configuration is off.
    #[error(transparent)]
    Configuration(#[from] Problems),
    /// It was right and did not work.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
    /// It was right and did not work with one thing.
    #[error("{thing}: {source}")]
    At {
        /// The thing: a file, a stream.
        thing: String,
        /// What is wrong there.
        source: Box<dyn Error + Send + Sync>,
    },
    /// `explain` has said why the gateway refuses a request.
    #[error("refused")]
    Refused,
    /// `endpoints plan` has said what is to be done, `endpoints rotate` what it waits for, or `reconcile --once` what it has
    /// found.
    #[error("not as wanted")]
    Pending,
    /// The reader of standard output has gone, as `head` does: not a failure.
    #[error("output closed")]
    OutputClosed,
}

impl Failure {
    /// For `map_err` and for words.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Failure::Failed(error.into())
    }

    /// For `map_err`: the error, and what it is about.
    pub fn at<E: Into<Box<dyn Error + Send + Sync>>>(thing: impl Display) -> impl Fn(E) -> Self {
        move |error| Failure::At { thing: thing.to_string(), source: error.into() }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Failure::Usage(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Failure::OutputClosed } else { Failure::failed(error) }
    }
}
