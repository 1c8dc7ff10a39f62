//! What is appended, what a reader gives back, and why an append fails.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;

/// Most bytes of one record, head and body together: the format has 32 bits for each, memory has less.
pub const MAX_RECORD_BYTES: u64 = 1 << 30;

/// What is appended. The journal reads neither part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// A first part, such as headers; the caller may still share it.
    pub head: Arc<Vec<u8>>,
    /// A second part, such as a body; apart from the first so that the caller need not join them.
    pub body: Bytes,
}

/// What a reader gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Place in the log: rises, has gaps, and never stands for two records.
    pub sequence: u64,
    /// When the record was written.
    pub recorded: SystemTime,
    /// The first part.
    pub head: Bytes,
    /// The second part.
    pub body: Bytes,
}

/// Where a reader starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is held; with [`super::Keep::UntilAcknowledged`], the oldest unacknowledged one.
    Oldest,
    /// Behind everything that is there.
    Newest,
    /// Behind this sequence.
    After(u64),
}

/// Why a record was not made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too many records wait. Nothing was written.
    #[error("the journal's queue is full")]
    Busy,
    /// No room: the maximum size is reached, or the disk is down to its reserve.
    #[error("the journal is full")]
    Full,
    /// The disk refused. The record may, or may not, be found by a reader later.
    #[error("the journal's disk failed")]
    Failed,
    /// The record could never be stored. Nothing was written.
    #[error("the record is too large for the journal")]
    TooLarge,
    /// The journal is closed. Nothing was written.
    #[error("the journal is closed")]
    Closed,
}
