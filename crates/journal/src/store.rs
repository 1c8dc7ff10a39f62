//! The writing side of the segments: append, begin, give up, drop.
//!
//! In: batches of records, one at a time, from one thread. Out: durable frames. It never acknowledges what is not
//! synced, and never writes to a segment again whose sync failed.

use std::{collections::VecDeque, io, sync::Arc};

use super::{
    checkpoint::{self, Checkpoint, MOST_RANGES, Marks},
    clock::{self, Clock, unix_micros},
    disk::File,
    format::{HEADER, Id, encode_frame, frame_length},
    observer::Operation,
    options::{Keep, Options},
    outage::Trouble,
    queue::Health,
    record::{AppendError, Record},
    segment::{self, Directory},
    shared::Shared,
};

mod retention;

/// Written to a new segment, before anything else, to see whether a disk that failed works again.
const PROBE: [u8; 4096] = [0; 4096];

/// Zeros that are written behind a batch that goes beyond those of an earlier one, in bytes: see [`Active::zeroed`]. Few in
/// tests, whose segments are small; `simulation` is a feature for tests alone.
pub(super) const ZEROS_AHEAD: u64 = if cfg!(any(test, feature = "simulation")) { 1024 } else { 256 * 1024 };

/// The batch buffer is given back above this, in bytes: it may grow by doubling.
const KEPT_BUFFER: usize = 8 * 1024 * 1024;
/// Segments are never smaller, whatever the options say, in bytes.
const LEAST_SEGMENT: u64 = 256;

/// A segment that is written no more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// Its name.
    pub(super) id: Id,
    /// Bytes on the disk.
    pub(super) size: u64,
    /// The highest sequence in it.
    pub(super) last: u64,
    /// When its oldest record was recorded, in Unix microseconds; 0 when unknown.
    pub(super) oldest: u64,
    /// When its newest record was recorded, in Unix microseconds.
    pub(super) newest: u64,
}

/// The segment that is written: its `size` is what is preallocated.
#[derive(Debug)]
struct Active {
    segment: Segment,
    file: File,
    /// Behind the last durable frame.
    end: u64,
    /// Behind the last zero that a batch wrote ahead. The sync of bytes that were only reserved also waits until the file system
    /// has noted that they are in use; the sync of bytes written over others waits for the bytes alone. So now and then a batch
    /// writes zeros behind itself, and its sync pays for the batches that follow. The tail reads as zeros before and after. (A
    /// file system that copies on write gains nothing, and finds new room for each batch.)
    zeroed: u64,
}

impl Active {
    fn is_empty(&self) -> bool {
        self.end == HEADER as u64
    }
}

/// All segments of a journal, for the one thread that writes.
#[derive(Debug)]
pub(super) struct Store {
    options: Options,
    /// What handles and readers share with this store.
    pub(super) shared: Arc<Shared>,
    pub(super) checkpoint: Checkpoint,
    closed: VecDeque<Segment>,
    active: Option<Active>,
    next: u64,
    /// The ledger's count of changes at the last store.
    stored_changes: Option<u64>,
    buffer: Vec<u8>,
    clock: Clock,
    /// Why no record is taken, when none is.
    pub(super) trouble: Option<Trouble>,
    /// The disk failed, and has not written and synced anything since.
    suspect: bool,
    /// Last, because it holds the lock.
    pub(super) directory: Directory,
}

/// What the start found.
#[derive(Debug)]
pub(super) struct Found {
    /// Segments with records.
    pub(super) closed: VecDeque<Segment>,
    /// The first sequence that was never given out.
    pub(super) next: u64,
}

impl Store {
    /// A store without a segment to write to: [`Store::tick`] begins one.
    pub(super) fn new(
        mut options: Options,
        shared: Arc<Shared>,
        directory: Directory,
        checkpoint: Checkpoint,
        found: Found,
    ) -> Store {
        // A journal of one segment could neither drop nor take anything.
        options.segment_size = options.segment_size.min(options.max_size / 2).max(LEAST_SEGMENT);
        let Found { closed, next } = found;
        let (now, newest) = (unix_micros(), closed.iter().map(|segment| segment.newest).max());
        let doubtful = options.keep == Keep::UntilOld && newest.is_some_and(|newest| options.is_old(now, newest));
        let store = Store {
            options,
            shared,
            checkpoint,
            closed,
            active: None,
            next,
            stored_changes: None,
            buffer: Vec::new(),
            clock: Clock::new(now, clock::now(), doubtful),
            trouble: None,
            suspect: false,
            directory,
        };
        store.publish();
        store
    }

    /// Bytes that the active segment still takes; 0 without one.
    pub(super) fn room(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.segment.size - active.end)
    }

    /// Makes a batch durable, and gives the first of its sequences, which have no gaps. The caller has seen to it that
    /// the batch fits into [`Store::room`].
    ///
    /// # Errors
    /// The batch may not be durable; its sequences are used up.
    pub(super) fn commit(&mut self, batch: &[Record]) -> Result<u64, AppendError> {
        let first = self.next;
        self.next += batch.len() as u64;
        if let Err(error) = self.write(batch, first) {
            let segment = self.active.as_ref().map(|active| active.segment.id.path(&self.directory.path));
            let segment = segment.unwrap_or_default();
            tracing::error!(segment = %segment.display(), %error, "journal: a write failed, the records go to a new segment");
            self.rewrite(batch, first)?;
        }
        let last = self.next - 1;
        let recorded = self.active.as_ref().map_or(0, |active| active.segment.newest);
        let mut ledger = self.shared.ledger();
        for sequence in first..=last {
            ledger.insert(sequence, recorded);
        }
        drop(ledger);
        self.shared.appended(batch.len() as u64);
        self.shared.durable.send_replace(last);
        Ok(first)
    }

    fn write(&mut self, batch: &[Record], first: u64) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Err(io::ErrorKind::NotFound.into()) };
        let now = self.directory.wall();
        self.buffer.clear();
        for (sequence, record) in (first..).zip(batch) {
            encode_frame(&mut self.buffer, active.segment.id.marker, sequence, now, record);
        }
        let (length, mut zeroed) = (self.buffer.len() as u64, active.zeroed);
        let end = active.end + length;
        if end > zeroed {
            // A batch that is as long pays for itself.
            let ahead = if length < ZEROS_AHEAD { ZEROS_AHEAD } else { 0 };
            zeroed = (end + ahead).min(active.segment.size).max(end);
            self.buffer.resize((zeroed - active.end) as usize, 0);
        }
        let observer = &self.shared.observer;
        let written = self.directory.write(active.segment.id, &active.file, &self.buffer, active.end);
        written.inspect_err(|_| observer.error(Operation::Append))?;
        let started = clock::now();
        self.directory.sync_data(active.segment.id, &active.file).inspect_err(|_| observer.error(Operation::Fsync))?;
        observer.fsynced(started.elapsed());
        if !segment::is_linked(&active.file) {
            observer.error(Operation::Append);
            return Err(io::Error::new(io::ErrorKind::NotFound, "the segment was deleted under us"));
        }
        if active.is_empty() {
            active.segment.oldest = now;
        }
        active.segment.newest = now;
        active.segment.last = first + batch.len() as u64 - 1;
        (active.end, active.zeroed) = (end, zeroed);
        if self.buffer.capacity() > KEPT_BUFFER {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// The one second try, into a new segment and from memory: after a failed sync the kernel may call the same pages
    /// clean.
    fn rewrite(&mut self, batch: &[Record], first: u64) -> Result<(), AppendError> {
        if !self.give_up() {
            // Two segments with one first sequence would leave open which of them counts.
            return Err(AppendError::Failed);
        }
        let length = batch.iter().map(frame_length).sum();
        self.begin(first, length)?;
        self.write(batch, first).map_err(|error| self.failed("write", error))
    }

    /// Ends the active segment and begins another with room for a frame of `needed` bytes.
    ///
    /// # Errors
    /// There is none now.
    pub(super) fn roll(&mut self, needed: u64) -> Result<(), AppendError> {
        if !self.give_up() {
            // The empty segment stays, so its first sequence is taken.
            self.next += 1;
        }
        self.begin(self.next, needed)
    }

    /// Writes no more to the active segment, and cuts it behind its last durable frame; removes an empty one. Whether its
    /// first sequence is free for another segment.
    fn give_up(&mut self) -> bool {
        let Some(active) = self.active.take() else { return true };
        if self.displaced() {
            // Nothing is touched there; the process may still have readers of what is deleted.
            self.retire(&active, 0);
            return true;
        }
        if active.is_empty() {
            let removed = self.remove(active.segment.id);
            self.publish();
            return removed;
        }
        // A tail that cannot be cut is skipped by every reader.
        let cut = active.file.set_len(active.end).is_ok();
        let size = match segment::is_linked(&active.file) {
            false => 0,
            true if cut => active.end,
            true => active.segment.size,
        };
        self.retire(&active, size);
        true
    }

    fn begin(&mut self, first: u64, needed: u64) -> Result<(), AppendError> {
        if self.displaced() {
            return Err(AppendError::Failed);
        }
        let size = self.options.segment_size.max(HEADER as u64 + needed);
        self.make_room(size)?;
        let before = self.shared.ledger().highest;
        match self.directory.create(first, before, size) {
            Ok((id, file)) => {
                let segment = Segment { id, size, last: first, oldest: 0, newest: 0 };
                self.active = Some(Active { segment, file, end: HEADER as u64, zeroed: HEADER as u64 });
                self.publish();
                self.probe()
            }
            Err(error) if segment::is_full(&error) => {
                let free = self.directory.free_bytes().ok().flatten().unwrap_or(0);
                self.trouble = Some(Trouble::Space { free, coming: size, reserve: self.options.reserve });
                Err(AppendError::Full)
            }
            Err(error) => {
                self.shared.observer.error(Operation::Append);
                Err(self.failed("creation", error))
            }
        }
    }

    /// After a failure, writes and syncs as a commit does: a disk that makes files may still refuse every sync. The
    /// zeros read as the clean tail that they overwrite.
    fn probe(&mut self) -> Result<(), AppendError> {
        let Some(active) = self.active.as_ref().filter(|_| self.suspect) else {
            self.trouble = None;
            return Ok(());
        };
        let length = PROBE.len().min((active.segment.size - active.end) as usize);
        let written = self.directory.write(active.segment.id, &active.file, &PROBE[..length], active.end);
        let synced = written.and_then(|()| self.directory.sync_data(active.segment.id, &active.file));
        match synced {
            Ok(()) => {
                (self.suspect, self.trouble) = (false, None);
                Ok(())
            }
            Err(error) => {
                self.shared.observer.error(Operation::Fsync);
                Err(self.failed("probe", error))
            }
        }
    }

    /// The disk failed: the active segment, if there is one, is given up.
    fn failed(&mut self, call: &'static str, error: io::Error) -> AppendError {
        let active = self.active.as_ref().map(|active| active.segment.id.path(&self.directory.path));
        let path = active.unwrap_or_else(|| self.directory.path.clone());
        self.suspect = true;
        self.trouble = Some(Trouble::Disk { call, path, error });
        if !self.give_up() {
            self.next += 1;
        }
        AppendError::Failed
    }

    /// Whether the directory or its lock is gone or replaced. Then nothing may be made there: another process may have
    /// it.
    fn displaced(&mut self) -> bool {
        let Some(path) = self.directory.displaced() else { return false };
        if !matches!(self.trouble, Some(Trouble::Displaced(_))) {
            self.shared.observer.error(Operation::Append);
        }
        self.suspect = true;
        self.trouble = Some(Trouble::Displaced(path));
        true
    }

    /// The active segment is one of the others now.
    fn retire(&mut self, active: &Active, size: u64) {
        if !active.is_empty() {
            self.closed.push_back(Segment { size, ..active.segment });
        }
        self.publish();
    }

    /// What is due without an append: what is done with is stored, retention, free space, and a new try where there is no
    /// segment to write to, if it is time for one.
    pub(super) fn tick(&mut self, may_try: bool) -> Health {
        if self.displaced() {
            self.give_up();
            return Health::Failed;
        }
        self.store_marks();
        let now = self.clock.now(self.directory.wall(), clock::now());
        self.drop_done(0, now);
        if let Ok(free) = self.directory.free_bytes() {
            self.shared.facts().free_bytes = free;
        }
        if let Some(active) = &self.active {
            if !self.directory.holds(active.segment.id, &active.file) {
                let segment = active.segment.id.path(&self.directory.path);
                tracing::error!(segment = %segment.display(), "journal: a segment was deleted or replaced under us");
                self.shared.observer.error(Operation::Append);
            } else if active.is_empty() || !self.is_past(active.segment.oldest, now) {
                return Health::Up;
            }
        } else if !may_try {
            return self.trouble.as_ref().map_or(Health::Failed, Trouble::health);
        }
        match self.roll(0) {
            Ok(()) => Health::Up,
            Err(AppendError::Full) => Health::Full,
            Err(_) => Health::Failed,
        }
    }

    /// Stores what is done with, if that changed. Whether it is on the disk.
    fn store_marks(&mut self) -> bool {
        let (changes, highest, done) = {
            let ledger = self.shared.ledger();
            if self.stored_changes == Some(ledger.changes) && self.checkpoint.stored.next == self.next {
                return true;
            }
            (ledger.changes, ledger.highest, ledger.done())
        };
        let owned = self.owned();
        let done = done.most(MOST_RANGES, |first, last| owned.count(first, last) <= last - first);
        let _call = self.directory.watchdog.enter(checkpoint::STORE, None);
        let stored = self.checkpoint.store(Marks { done, highest, next: self.next });
        self.stored_changes = stored.is_ok().then_some(changes);
        // The next beat tries again; until then a restart would publish some records twice.
        stored.inspect_err(|error| tracing::warn!(%error, "journal: what is acknowledged is not stored")).is_ok()
    }

    /// The orderly end: cuts the preallocated tail, so that the next start finds no torn end.
    pub(super) fn finish(&mut self) {
        self.store_marks();
        if let Some(active) = self.active.take() {
            let cut = active.file.set_len(active.end).and_then(|()| active.file.sync_all());
            if let Err(error) = cut {
                tracing::warn!(%error, "journal: the last segment is not cut");
            }
        }
    }
}
