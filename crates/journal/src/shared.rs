//! What the handles, the readers and the committer of one open journal share.
//!
//! No lock here is held while a disk works.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;

use super::{
    clock,
    disk_watchdog::DiskWatchdog,
    format::Id,
    ledger::Ledger,
    observer::Observer,
    options::{Keep, Options},
    queue::Queue,
    segment::Directory,
};

/// What the committer and the readers have found, for [`super::Stats`] and for readers.
#[derive(Debug)]
pub(super) struct Facts {
    /// The segments, oldest first.
    pub(super) segments: Vec<Id>,
    /// Bytes of all segments on the disk.
    pub(super) bytes: u64,
    /// Bytes that the file system still has; `None` when it does not know.
    pub(super) free_bytes: Option<u64>,
    /// When the committer last went round.
    pub(super) beat: Instant,
    /// Records that became durable since the start.
    pub(super) appends: u64,
    /// Damaged bytes found since the start.
    pub(super) damage: u64,
    /// Lost records found since the start.
    pub(super) lost: u64,
}

/// The shared state of one open journal.
#[derive(Debug)]
pub(super) struct Shared {
    /// Where the segments lie.
    pub(super) directory: PathBuf,
    /// When records are dropped.
    pub(super) keep: Keep,
    /// Sequences from here on were written by this run.
    pub(super) session: u64,
    /// A restart of the machine empties the directory.
    pub(super) in_memory: bool,
    /// Counts.
    pub(super) observer: Arc<dyn Observer>,
    /// Records on their way to the committer.
    pub(super) queue: Queue,
    /// The highest sequence that is durable.
    pub(super) durable: watch::Sender<u64>,
    /// The disk call that the committer is in.
    pub(super) watchdog: Arc<DiskWatchdog>,
    ledger: Mutex<Ledger>,
    facts: Mutex<Facts>,
}

impl Shared {
    /// The state of a journal that is about to start.
    pub(super) fn new(
        options: &Options,
        observer: Arc<dyn Observer>,
        ledger: Ledger,
        session: u64,
        directory: &Directory,
    ) -> Shared {
        let beat = clock::now();
        Shared {
            directory: directory.path.clone(),
            keep: options.keep,
            session,
            in_memory: directory.in_memory(),
            observer,
            queue: Queue::new(options),
            durable: watch::Sender::new(ledger.highest),
            watchdog: Arc::clone(&directory.watchdog),
            ledger: Mutex::new(ledger),
            facts: Mutex::new(Facts {
                segments: Vec::new(),
                bytes: 0,
                free_bytes: None,
                beat,
                appends: 0,
                damage: 0,
                lost: 0,
            }),
        }
    }

    /// The records that are held. Hold the guard for a short computation only; with the facts', take this one first.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic elsewhere leaves plain values usable, so a poisoned lock is taken all the same.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The facts, under the same rule.
    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records became durable.
    pub(super) fn appended(&self, records: u64) {
        self.facts().appends += records;
        self.observer.appended(records);
    }

    /// Records are missing that were to be kept.
    pub(super) fn lost(&self, first: u64, last: u64, records: u64) {
        if records > 0 {
            let directory = self.directory.display();
            tracing::error!(%directory, first, last, records, "journal: records are lost");
            self.facts().lost += records;
            self.observer.lost(records);
        }
    }

    /// Bytes were found that are no record any more.
    pub(super) fn damaged(&self, bytes: u64) {
        if bytes > 0 {
            self.facts().damage += bytes;
            self.observer.damage(bytes);
        }
    }
}
