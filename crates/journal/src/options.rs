//! How a journal is opened, and why it is not.

use std::{io, path::PathBuf, time::Duration};

/// How a journal is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it lies; made when missing, with mode 0700.
    pub directory: PathBuf,
    /// Preallocated bytes of one segment, at most half of `max_size`. A larger record gets a larger segment.
    pub segment_size: u64,
    /// Most bytes of all segments, preallocated ones included.
    pub max_size: u64,
    /// Greatest age of a segment's newest record, with [`Keep::UntilOld`].
    pub max_age: Option<Duration>,
    /// Bytes of the file system that are left to others.
    pub reserve: u64,
    /// When records are dropped.
    pub keep: Keep,
    /// Most records that wait for the committer. Their bytes are for the caller to bound.
    pub queue: usize,
}

impl Options {
    /// Whether a record of this time is past the maximum age; both in Unix microseconds.
    pub(super) fn is_old(&self, now: u64, recorded: u64) -> bool {
        self.max_age.is_some_and(|age| u128::from(now.saturating_sub(recorded)) > age.as_micros())
    }
}

/// When records are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The embedded bus: the oldest segments are dropped when there is too much, or when they are too old.
    UntilOld,
    /// The spool: segments are dropped when all their records are acknowledged; a full journal refuses.
    UntilAcknowledged,
}

/// Why a journal does not open. It is never the state of the records.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another journal of this one, has the directory.
    #[error("{}: in use by {}", directory.display(), pid.map_or("another process".into(), |pid| format!("process {pid}")))]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// The process that has it, if it could be read.
        pid: Option<u32>,
    },
    /// The directory cannot be made, listed or written.
    #[error("{}: {source}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A newer program wrote here. Nothing was changed.
    #[error("{}: format {version} is newer than {known}, the newest this program knows", file.display())]
    NewerFormat {
        /// The segment.
        file: PathBuf,
        /// Its version.
        version: u32,
        /// The newest version this program reads.
        known: u32,
    },
    /// The operating system gives no thread.
    #[error("no thread for the journal: {0}")]
    Thread(io::Error),
}
