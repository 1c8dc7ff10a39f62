//! The writing side of the segments: append, begin, give up, drop.
//!
//! In: batches of records, one at a time, from one thread. Out: durable frames. It never acknowledges what is not
//! synced, and never writes to a segment again whose sync failed.

use std::{collections::VecDeque, fs::File, io, sync::Arc, time::Instant};

use super::{
    AppendError, Keep, Operation, Options, Record,
    acknowledged::{self, Acknowledged},
    alarm::Trouble,
    clock::Clock,
    format::{HEADER, encode_frame, frame_length},
    segment::{self, CreateError, Directory, Id},
    shared::{Health, Shared},
    unix_micros,
};

mod retention;

/// The file that holds the directory for this process.
pub(super) const LOCK: &str = "lock";
/// What is written to a segment, before anything else, to see whether a disk that failed is willing again.
const PROBE: [u8; 4096] = [0; 4096];

/// The batch buffer is given back above this, in bytes.
const KEPT_BUFFER: usize = 4 * 1024 * 1024;
/// Segments are never smaller, whatever the options say, in bytes.
const LEAST_SEGMENT: u64 = 256;

/// A segment that is written no more.
#[derive(Debug)]
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

/// The segment that is written.
#[derive(Debug)]
struct Active {
    id: Id,
    file: File,
    /// Preallocated bytes.
    size: u64,
    /// Behind the last durable frame.
    end: u64,
    last: u64,
    oldest: u64,
    newest: u64,
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
    directory: Directory,
    shared: Arc<Shared>,
    acknowledged: Acknowledged,
    closed: VecDeque<Segment>,
    active: Option<Active>,
    next: u64,
    ceiling: u64,
    buffer: Vec<u8>,
    clock: Clock,
    /// Why the last try to begin a segment, or to write, failed.
    trouble: Option<Trouble>,
    /// The disk failed, and has not written and synced anything since.
    suspect: bool,
    /// Released when everything else is done with.
    lock: File,
}

/// What the start found.
#[derive(Debug)]
pub(super) struct Found {
    /// The open directory.
    pub(super) directory: Directory,
    /// Its lock, held.
    pub(super) lock: File,
    /// The low-water mark's file.
    pub(super) acknowledged: Acknowledged,
    /// Segments with records.
    pub(super) closed: VecDeque<Segment>,
    /// The first sequence that was never given out.
    pub(super) next: u64,
    /// The low-water mark that is stored never goes beyond this.
    pub(super) ceiling: u64,
}

impl Store {
    /// A store without a segment to write to: [`Store::tick`] begins one.
    pub(super) fn new(mut options: Options, shared: Arc<Shared>, found: Found) -> Store {
        // A journal of one segment could neither drop nor take anything.
        options.segment_size = options.segment_size.min(options.max_size / 2).max(LEAST_SEGMENT);
        let Found { directory, lock, acknowledged, closed, next, ceiling } = found;
        let newest = closed.iter().map(|segment| segment.newest).max();
        let doubtful = options.keep == Keep::UntilOld
            && newest.is_some_and(|newest| retention::is_old(&options, unix_micros(), newest));
        let clock = Clock::new(unix_micros(), Instant::now(), doubtful);
        let store = Store {
            options,
            directory,
            shared,
            acknowledged,
            closed,
            active: None,
            next,
            ceiling,
            buffer: Vec::new(),
            clock,
            trouble: None,
            suspect: false,
            lock,
        };
        store.publish();
        store
    }

    /// What handles and readers share with this store.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Why no record is taken, when none is.
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Bytes that the active segment still takes; 0 without one.
    pub(super) fn room(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.size - active.end)
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
            let segment = self.active.as_ref().map(|active| active.id.path(&self.directory.path));
            let segment = segment.unwrap_or_default();
            tracing::error!(segment = %segment.display(), %error, "journal: a write failed, the records go to a new segment");
            self.rewrite(batch, first)?;
        }
        let last = self.next - 1;
        let recorded = self.active.as_ref().map_or(0, |active| active.newest);
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
            encode_frame(&mut self.buffer, active.id.marker, sequence, now, record);
        }
        let observer = &self.shared.observer;
        let written = self.directory.write(active.id, &active.file, &self.buffer, active.end);
        written.inspect_err(|_| observer.error(Operation::Append))?;
        let started = Instant::now();
        self.directory.sync_data(active.id, &active.file).inspect_err(|_| observer.error(Operation::Fsync))?;
        observer.fsynced(started.elapsed());
        if !segment::is_linked(&active.file) {
            observer.error(Operation::Append);
            return Err(io::Error::new(io::ErrorKind::NotFound, "the segment was deleted under us"));
        }
        if active.is_empty() {
            active.oldest = now;
        }
        active.newest = now;
        active.last = first + batch.len() as u64 - 1;
        active.end += self.buffer.len() as u64;
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

    /// Writes no more to the active segment, and cuts it behind its last durable frame; removes an empty one. Tells
    /// whether its first sequence is free for another segment.
    fn give_up(&mut self) -> bool {
        let Some(active) = self.active.take() else { return true };
        if self.displaced() {
            // Nothing is touched there; the process may still have readers of what is deleted.
            self.retire(&active, 0);
            return true;
        }
        if active.is_empty() {
            let removed = self.remove(active.id);
            self.publish();
            return removed;
        }
        // A tail that cannot be cut is skipped by every reader.
        let cut = active.file.set_len(active.end).is_ok();
        let size = if !segment::is_linked(&active.file) {
            0
        } else if cut {
            active.end
        } else {
            active.size
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
        match self.directory.create(first, size) {
            Ok((id, file)) => {
                let (end, last) = (HEADER as u64, first);
                self.active = Some(Active { id, file, size, end, last, oldest: 0, newest: 0 });
                self.publish();
                self.probe()
            }
            Err(CreateError::Full) => {
                let free = self.directory.free_bytes().unwrap_or(0);
                self.trouble = Some(Trouble::Space { free, coming: size, reserve: self.options.reserve });
                Err(AppendError::Full)
            }
            Err(CreateError::Io(error)) => {
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
        let length = PROBE.len().min((active.size - active.end) as usize);
        let written = self.directory.write(active.id, &active.file, &PROBE[..length], active.end);
        let synced = written.and_then(|()| self.directory.sync_data(active.id, &active.file));
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
        let active = self.active.as_ref().map(|active| active.id.path(&self.directory.path));
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
        let Some(path) = self.directory.displaced(&self.lock, LOCK) else { return false };
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
            let &Active { id, last, oldest, newest, .. } = active;
            self.closed.push_back(Segment { id, size, last, oldest, newest });
        }
        self.publish();
    }

    /// What is due without an append: the low-water mark, retention, free space, and a new try where there is no
    /// segment to write to, if it is time for one.
    pub(super) fn tick(&mut self, may_try: bool) -> Health {
        if self.displaced() {
            self.give_up();
            return Health::Failed;
        }
        self.store_low_water();
        let now = self.clock.now(self.directory.wall(), Instant::now());
        self.drop_done(0, now);
        if let Ok(free) = self.directory.free_bytes() {
            self.shared.set_free_bytes(free);
        }
        if let Some(active) = &self.active {
            if !self.directory.holds(active.id, &active.file) {
                let segment = active.id.path(&self.directory.path);
                tracing::error!(segment = %segment.display(), "journal: a segment was deleted or replaced under us");
                self.shared.observer.error(Operation::Append);
            } else if active.is_empty() || !self.is_past(active.oldest, now) {
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

    fn store_low_water(&mut self) {
        if self.options.keep == Keep::UntilAcknowledged {
            let low_water = self.shared.ledger().low_water().min(self.ceiling);
            let _call = self.directory.pending.enter(acknowledged::STORE, None);
            if let Err(error) = self.acknowledged.store(low_water) {
                // The next beat tries again; until then a restart would publish some records twice.
                tracing::warn!(%error, "journal: the low-water mark is not stored");
            }
        }
    }

    /// The orderly end: cuts the preallocated tail, so that the next start finds nothing to wonder about.
    pub(super) fn finish(&mut self) {
        self.store_low_water();
        if let Some(active) = self.active.take() {
            let cut = active.file.set_len(active.end).and_then(|()| active.file.sync_all());
            if let Err(error) = cut {
                tracing::warn!(%error, "journal: the last segment is not cut");
            }
        }
    }
}
