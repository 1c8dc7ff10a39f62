//! What a journal reports, for metrics: its state, and its work as it happens.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

/// An operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A write, or a new segment.
    Append,
    /// A sync.
    Fsync,
    /// A read.
    Read,
    /// A deletion.
    Delete,
}

/// Counts. Called from the committer's thread and from readers; must not block.
pub trait Observer: fmt::Debug + Send + Sync {
    /// So many records became durable.
    fn appended(&self, _records: u64) {}
    /// A sync took so long.
    fn fsynced(&self, _duration: Duration) {}
    /// An operation failed.
    fn error(&self, _operation: Operation) {}
    /// So many records were dropped, read or not, because they were too old or too many ([`super::Keep::UntilOld`]).
    fn dropped(&self, _records: u64) {}
    /// So many bytes were found that are no record any more: at the start, or by a reader.
    fn damage(&self, _bytes: u64) {}
    /// So many records that were answered, and not done with, are nowhere on the disk: at the start, or for a reader. Each is
    /// counted once, and done with from then on.
    fn lost(&self, _records: u64) {}
}

/// Counts nothing.
impl Observer for () {}

/// The state of a journal.
#[derive(Debug, Clone, Copy)]
pub struct Stats {
    /// Records held: not dropped yet, or not acknowledged yet.
    pub records: u64,
    /// Bytes of all segments on the disk, preallocated ones included.
    pub bytes: u64,
    /// Bytes that the file system has left; `None` when it does not know.
    pub free_bytes: Option<u64>,
    /// When the oldest held record was written, to a second or so.
    pub oldest: Option<SystemTime>,
    /// Whether appends are taken, and the disk answers: false also when `sync_pending` is above two seconds.
    pub up: bool,
    /// When the committer last went round: at least each second. Inside a disk call it is always now, because a restart
    /// mends no disk: a hung one shows in `sync_pending` and `up`, and only a dead committer in `beat`.
    pub beat: Instant,
    /// How long the committer has been in the disk call that it is in now.
    pub sync_pending: Option<Duration>,
    /// Records that became durable since the start.
    pub appends: u64,
    /// Bytes found damaged since the start, torn ends of unfinished writes included: the two look alike.
    pub damage_bytes: u64,
    /// Records found lost since the start.
    pub lost_records: u64,
    /// The directory lies in memory: a restart of the machine loses it.
    pub in_memory: bool,
}
