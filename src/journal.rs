//! The journal: a durable, segmented, append-only log of records that it does not understand.
//!
//! In: records. Out: a sequence for each, once it is on the disk; and the records again, in order, through a
//! [`Reader`]. It knows no vendor, no broker and no envelope.
//!
//! One thing, two uses ([`Keep`]): the embedded bus keeps records until they are old, the outage spool until they are
//! acknowledged.
//!
//! What holds, and the tests that guard it (`journal/tests.rs`, `journal/model.rs`):
//! - An append is answered only after `fdatasync` (P1), and appends are written in the order of the calls.
//! - Whatever stands in the directory, the start goes on (P7). Damage costs the records whose own bytes it hit.
//! - No payload is ever taken for a frame (P6), and a reader sees no sequence twice.
//! - A failed write or sync gives the segment up; the batch is written once more, elsewhere. If that fails too, the
//!   journal refuses at once, and tries the disk again by itself after 1 to 30 seconds.
//! - A deleted segment acknowledges nothing, and nothing is made in a directory whose lock is not held any more.
//! - A jump of the wall clock erases nothing.
//!
//! ```text
//! append -> queue -> committer (thread) -> store -> segment files <- scan <- reader
//!                                            |                        ^
//!                                          ledger  <----------------  recovery (at the start)
//! ```

use std::{
    fmt, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::sync::watch;

use crate::wake;

mod acknowledged;
mod alarm;
mod clock;
mod committer;
mod format;
mod ledger;
mod pending;
mod reader;
mod recovery;
mod scan;
mod segment;
mod shared;
mod store;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trials;

pub use reader::Reader;

/// Most bytes of one record, head and body together: the format has 32 bits for each, memory has less.
pub const MAX_RECORD_BYTES: u64 = 1 << 30;

/// A disk call that takes longer than this makes the journal count as down.
const DISK_PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 2000 });

/// How long [`Journal::close`] waits for the disk.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

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
    /// When records go.
    pub keep: Keep,
    /// Most records that wait for the committer. Their bytes are for the caller to bound.
    pub queue: usize,
}

/// When records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The embedded bus: the oldest segments go when there is too much, or when they are too old.
    UntilOld,
    /// The spool: segments go when all their records are acknowledged; a full journal refuses.
    UntilAcknowledged,
}

/// What is appended. The journal looks into neither part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// A first part, such as headers; shared with whoever still reads it.
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
    /// At the oldest record that is held; with [`Keep::UntilAcknowledged`], the oldest unacknowledged one.
    Oldest,
    /// Behind everything that is there.
    Newest,
    /// Behind this sequence.
    After(u64),
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
        /// What the system said.
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

/// What went wrong, for an [`Observer`].
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

/// Who counts. Called from the committer's thread and from readers; must not block.
pub trait Observer: fmt::Debug + Send + Sync {
    /// So many records became durable.
    fn appended(&self, records: u64) {
        let _ = records;
    }
    /// A sync took so long.
    fn fsynced(&self, duration: Duration) {
        let _ = duration;
    }
    /// An operation failed.
    fn error(&self, operation: Operation) {
        let _ = operation;
    }
    /// So many records went, unread or not, because they were too old or too many ([`Keep::UntilOld`]).
    fn dropped(&self, records: u64) {
        let _ = records;
    }
    /// So many bytes were found that are no record any more: at the start, or by a reader.
    fn damage(&self, bytes: u64) {
        let _ = bytes;
    }
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
    /// Bytes that the file system has left.
    pub free_bytes: u64,
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
    /// Bytes found damaged since the start, torn ends of unfinished writes included: they cannot be told apart.
    pub damage_bytes: u64,
    /// The directory lies in memory: a restart of the machine loses it.
    pub in_memory: bool,
}

/// A handle to an open journal; clones are the same journal. Dropping the last one closes it.
#[derive(Debug, Clone)]
pub struct Journal {
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open {
    shared: Arc<shared::Shared>,
    #[cfg(test)]
    faults: Arc<segment::Faults>,
}

impl Journal {
    /// Opens a directory, repairs what is in it and starts the committer. Reads every record once: expect seconds for
    /// gigabytes.
    ///
    /// # Errors
    /// See [`OpenError`]. A full or failing disk is none: the journal opens, refuses, and tries again by itself.
    pub fn open(options: Options, observer: Arc<dyn Observer>) -> Result<Journal, OpenError> {
        let store = recovery::open(options, observer)?;
        let shared = Arc::clone(store.shared());
        #[cfg(test)]
        let faults = Arc::clone(&store.directory().faults);
        let builder = std::thread::Builder::new().name("journal".into());
        builder.spawn(move || committer::run(store)).map_err(OpenError::Thread)?;
        let open = Open {
            shared,
            #[cfg(test)]
            faults,
        };
        Ok(Journal { open: Arc::new(open) })
    }

    /// Appends a record, and gives its sequence when it is durable. The place in the log is taken by the call, not by
    /// the first poll; a future that is dropped leaves the record to be written all the same.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append(&self, record: Record) -> impl Future<Output = Result<u64, AppendError>> + Send + 'static + use<> {
        let queued = self.open.shared.enqueue(record);
        // A committer that died answers nobody, and what it had in hand is not known to be durable.
        async move { wake::gather(queued?).await.unwrap_or(Err(AppendError::Failed)) }
    }

    /// A cursor inside this process. It gives only what is durable; with [`Keep::UntilAcknowledged`], it leaves out what
    /// is acknowledged before its turn, and takes records that damage made unreadable for acknowledged.
    pub fn reader(&self, from: Start) -> Reader {
        Reader::within(Arc::clone(&self.open.shared), from)
    }

    /// With [`Keep::UntilAcknowledged`]: nothing is held up to this sequence.
    pub fn low_water(&self) -> u64 {
        self.open.shared.ledger().low_water()
    }

    /// The highest durable sequence, to wait for news: a reader that gave `None` has more when it changes.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.open.shared.durable.subscribe()
    }

    /// Says that a record is not needed any more, in any order. It survives a crash only a second or so later: until
    /// then the record may come once more. Without effect with [`Keep::UntilOld`].
    pub fn acknowledge(&self, sequence: u64) {
        if self.open.shared.keep == Keep::UntilAcknowledged {
            self.open.shared.ledger().remove(sequence, sequence);
        }
    }

    /// The state now.
    pub fn stats(&self) -> Stats {
        let shared = &self.open.shared;
        let (health, open) = shared.health();
        let gauges = shared.gauges();
        shared.pending.notice();
        let sync_pending = shared.pending.age();
        let answers = sync_pending.is_none_or(|age| age <= DISK_PATIENCE);
        let ledger = shared.ledger();
        Stats {
            records: ledger.count(),
            bytes: gauges.bytes,
            free_bytes: gauges.free_bytes,
            oldest: ledger.oldest().map(|micros| UNIX_EPOCH + Duration::from_micros(micros)),
            up: open && answers && health == shared::Health::Up,
            beat: if sync_pending.is_some() { Instant::now() } else { gauges.beat },
            sync_pending,
            appends: shared.appends(),
            damage_bytes: shared.damage(),
            in_memory: shared.in_memory,
        }
    }

    /// Writes what is queued, stores the low-water mark, and releases the lock. Blocks for as long as that takes, at
    /// most ten seconds. Appends answer [`AppendError::Closed`] from here on; readers go on.
    pub fn close(&self) {
        self.open.close();
    }
}

impl Open {
    fn close(&self) {
        self.shared.close();
        if !self.shared.wait_finished(CLOSE_PATIENCE) {
            tracing::error!("journal: the disk does not answer, closed without it");
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close();
    }
}

/// The wall clock in Unix microseconds; 0 before 1970.
fn unix_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
