//! The journal: a durable, segmented, append-only log of records that it does not understand.
//!
//! In: records. Out: a sequence for each, once it is on the disk; and the records again, in order, through a
//! [`Reader`]. It knows no vendor, no broker and no envelope.
//!
//! One thing, two uses ([`Keep`]): the embedded bus keeps records until they are old, the outage spool until they are
//! acknowledged.
//!
//! What holds, and the tests that guard it (`tests.rs`, `fault_tests.rs`, `model.rs`):
//! - An append is answered only after `fdatasync` (P1), and appends are written in the order of the calls.
//! - The start goes on whatever is in the directory (P7). Damage costs the records whose own bytes it hit.
//! - No payload is ever taken for a frame (P6), and a reader sees no sequence twice.
//! - A failed write or sync gives the segment up; the batch is written once more, elsewhere. If that fails too, the
//!   journal refuses at once, and tries the disk again by itself after 1 to 30 seconds.
//! - No record goes without a word: what was answered, is not done with and is nowhere on the disk is counted and logged, once.
//! - A spool's segment goes when all its records are acknowledged, wherever it stands: one held record costs one segment.
//! - A deleted segment acknowledges nothing, and nothing is made in a directory whose lock is not held any more.
//! - A jump of the wall clock erases nothing.
//!
//! ```text
//! append -> queue -> committer (thread) -> store -> segment files <- scan <- reader
//!                                            |                        ^
//!                                          ledger  <----------------  recovery (at the start)
//! ```

use std::{
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use tokio::sync::watch;

mod append;
mod bell;
mod census;
mod checkpoint;
mod clock;
mod committer;
mod disk;
mod disk_watchdog;
mod format;
mod ledger;
mod observer;
mod options;
mod outage;
mod queue;
mod ranges;
mod reader;
mod record;
mod recovery;
pub mod replay_log;
mod scan;
mod segment;
mod shared;
#[cfg(feature = "simulation")]
pub mod simulation;
mod store;

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use append::Append;
use disk_watchdog::DISK_PATIENCE;
pub use observer::{Observer, Operation, Stats};
pub use options::{Keep, OpenError, Options};
use queue::Health;
pub use reader::Reader;
pub use record::{AppendError, Entry, MAX_RECORD_BYTES, Record, Start};
use shared::Shared;

/// How long [`Journal::close`] waits for the disk.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// A handle to an open journal; clones are the same journal. Dropping the last one closes it.
#[derive(Debug, Clone)]
pub struct Journal {
    open: Arc<Open>,
}

#[derive(Debug)]
struct Open(Arc<Shared>);

impl Journal {
    /// Opens a directory, repairs what is in it and starts the committer. Reads every record once: expect seconds for
    /// gigabytes.
    ///
    /// # Errors
    /// See [`OpenError`]. A full or failing disk is none: the journal opens, refuses, and tries again by itself.
    pub fn open(options: Options, observer: Arc<dyn Observer>) -> Result<Journal, OpenError> {
        let store = recovery::open(options, observer)?;
        let shared = Arc::clone(&store.shared);
        #[cfg(feature = "simulation")]
        if let Some(machine) = simulation::Machine::here() {
            tokio::spawn(committer::simulate(store, machine));
            return Ok(Journal { open: Arc::new(Open(shared)) });
        }
        let builder = std::thread::Builder::new().name("journal".into());
        builder.spawn(move || committer::run(store)).map_err(OpenError::Thread)?;
        Ok(Journal { open: Arc::new(Open(shared)) })
    }

    /// Appends a record, and gives its sequence when it is durable. The place in the log is taken by the call, not by
    /// the first poll; a future that is dropped leaves the record to be written all the same.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append(&self, record: Record) -> Append {
        self.open.0.watchdog.warn();
        Append(self.open.0.queue.push(record))
    }

    /// A cursor inside this process. It gives only what is durable; with [`Keep::UntilAcknowledged`], it leaves out what
    /// is acknowledged before its turn, and takes records that damage made unreadable for acknowledged.
    pub fn reader(&self, from: Start) -> Reader {
        Reader::within(Arc::clone(&self.open.0), from)
    }

    /// With [`Keep::UntilAcknowledged`]: nothing is held up to this sequence.
    pub fn low_water(&self) -> u64 {
        self.open.0.ledger().low_water()
    }

    /// The highest durable sequence, to wait for news: a reader that gave `None` has more when it changes.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.open.0.durable.subscribe()
    }

    /// Marks a record as not needed any more, in any order. It survives a crash only a second or so later, and an orderly
    /// end at once: until then the record may come once more. Without effect with [`Keep::UntilOld`].
    pub fn acknowledge(&self, sequence: u64) {
        if self.open.0.keep == Keep::UntilAcknowledged {
            self.open.0.ledger().remove(sequence, sequence);
        }
    }

    /// The state now.
    pub fn stats(&self) -> Stats {
        let shared = &self.open.0;
        let (health, open) = shared.queue.health();
        shared.watchdog.warn();
        let sync_pending = shared.watchdog.age();
        let answers = sync_pending.is_none_or(|age| age <= DISK_PATIENCE);
        let ledger = shared.ledger();
        let facts = shared.facts();
        Stats {
            records: ledger.count,
            bytes: facts.bytes,
            free_bytes: facts.free_bytes,
            oldest: ledger.oldest().map(|micros| UNIX_EPOCH + Duration::from_micros(micros)),
            up: open && answers && health == Health::Up,
            beat: if sync_pending.is_some() { Instant::now() } else { facts.beat },
            sync_pending,
            appends: facts.appends,
            damage_bytes: facts.damage,
            lost_records: facts.lost,
            in_memory: shared.in_memory,
        }
    }

    /// Writes what is queued, stores what is acknowledged, and releases the lock. Blocks for as long as that takes, at
    /// most ten seconds. Appends answer [`AppendError::Closed`] from here on; readers go on.
    pub fn close(&self) {
        self.open.close();
    }
}

impl Open {
    fn close(&self) {
        self.0.queue.close();
        if !self.0.queue.wait_finished(CLOSE_PATIENCE) {
            tracing::error!("journal: the disk does not answer, closed without it");
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close();
    }
}
