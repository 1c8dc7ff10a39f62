//! The writing side of the segments: append, begin, give up, drop.
//!
//! In: batches of records, one at a time, from one thread. Out: durable frames. It never acknowledges what is not
//! synced, and never writes to a segment again whose sync failed.

use std::{collections::VecDeque, fs::File, io, os::unix::fs::FileExt as _, sync::Arc, time::Instant};

use super::{
    AppendError, Keep, Operation, Options, Record,
    acknowledged::Acknowledged,
    format::{HEADER, encode_frame, frame_length},
    segment::{CreateError, Directory, Id},
    shared::{Health, Shared},
    unix_micros,
};

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
    /// Released when everything else is done with.
    _lock: File,
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
            _lock: lock,
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
            tracing::error!(%error, "journal: a write failed, the records go to a new segment");
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
        let now = unix_micros();
        self.buffer.clear();
        for (sequence, record) in (first..).zip(batch) {
            encode_frame(&mut self.buffer, active.id.marker, sequence, now, record);
        }
        let observer = &self.shared.observer;
        let written = active.file.write_all_at(&self.buffer, active.end);
        written.inspect_err(|_| observer.error(Operation::Append))?;
        let started = Instant::now();
        self.directory.sync_data(&active.file).inspect_err(|_| observer.error(Operation::Fsync))?;
        observer.fsynced(started.elapsed());
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
        self.write(batch, first).map_err(|error| {
            tracing::error!(%error, "journal: the new segment failed too");
            self.give_up();
            AppendError::Failed
        })
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
        if active.is_empty() {
            let removed = self.remove(active.id);
            self.publish();
            return removed;
        }
        // A tail that cannot be cut is skipped by every reader.
        let size = if active.file.set_len(active.end).is_ok() { active.end } else { active.size };
        self.closed.push_back(Segment { id: active.id, size, last: active.last, newest: active.newest });
        self.publish();
        true
    }

    fn begin(&mut self, first: u64, needed: u64) -> Result<(), AppendError> {
        let size = self.options.segment_size.max(HEADER as u64 + needed);
        self.make_room(size)?;
        match self.directory.create(first, size) {
            Ok((id, file)) => {
                let (end, last) = (HEADER as u64, first);
                self.active = Some(Active { id, file, size, end, last, oldest: 0, newest: 0 });
                self.publish();
                Ok(())
            }
            Err(CreateError::Full) => Err(AppendError::Full),
            Err(CreateError::Io(error)) => {
                tracing::error!(%error, "journal: no new segment");
                self.shared.observer.error(Operation::Append);
                Err(AppendError::Failed)
            }
        }
    }

    /// Sees to it that a segment of `size` bytes may be made.
    fn make_room(&mut self, size: u64) -> Result<(), AppendError> {
        self.drop_done(size);
        let total = self.total();
        if self.options.keep == Keep::UntilAcknowledged && total > 0 && total + size > self.options.max_size {
            return Err(AppendError::Full);
        }
        let free = self.directory.free_bytes().map_err(|error| {
            tracing::error!(%error, "journal: the file system does not tell its free space");
            AppendError::Failed
        })?;
        self.shared.set_free_bytes(free);
        if free < self.options.reserve.saturating_add(size) { Err(AppendError::Full) } else { Ok(()) }
    }

    /// Removes segments, oldest first, whose records are done with; `coming` bytes are about to be added.
    fn drop_done(&mut self, coming: u64) {
        let before = self.closed.len();
        while let Some(oldest) = self.closed.front()
            && self.is_done(oldest, coming)
            && let Some(segment) = self.closed.pop_front()
        {
            // Readers must not look for it any more, and the ledger must not wait for it.
            self.publish();
            if !self.remove(segment.id) {
                self.closed.push_front(segment);
                break;
            }
            self.shared.ledger().remove(0, segment.last);
        }
        if before != self.closed.len() {
            tracing::debug!(segments = before - self.closed.len(), "journal: segments dropped");
        }
        self.publish();
    }

    fn is_done(&self, segment: &Segment, coming: u64) -> bool {
        match self.options.keep {
            Keep::UntilAcknowledged => segment.last <= self.shared.ledger().low_water(),
            Keep::UntilOld => self.total() + coming > self.options.max_size || self.options.is_old(segment.newest),
        }
    }

    fn total(&self) -> u64 {
        self.closed.iter().map(|segment| segment.size).sum::<u64>() + self.active.as_ref().map_or(0, |a| a.size)
    }

    /// Tells the readers which segments there are.
    fn publish(&self) {
        let ids = self.closed.iter().map(|segment| segment.id).chain(self.active.as_ref().map(|active| active.id));
        self.shared.set_segments(ids.collect(), self.total());
    }

    /// Removes a segment's file; tells whether it is gone.
    pub(super) fn remove(&self, id: Id) -> bool {
        let removed = self.directory.remove(id);
        removed
            .inspect_err(|error| {
                tracing::error!(segment = id.first, %error, "journal: a segment cannot be deleted");
                self.shared.observer.error(Operation::Delete);
            })
            .is_ok()
    }

    /// What is due without an append: the low-water mark, retention, free space, and a new try where there is no
    /// segment to write to.
    pub(super) fn tick(&mut self) -> Health {
        self.store_low_water();
        self.drop_done(0);
        if let Ok(free) = self.directory.free_bytes() {
            self.shared.set_free_bytes(free);
        }
        let active_is_old = self.options.keep == Keep::UntilOld
            && self.active.as_ref().is_some_and(|active| !active.is_empty() && self.options.is_old(active.oldest));
        if self.active.is_some() && !active_is_old {
            return Health::Up;
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

impl Options {
    /// Whether a record of this time, in Unix microseconds, is past the maximum age.
    fn is_old(&self, recorded: u64) -> bool {
        self.max_age.is_some_and(|age| u128::from(unix_micros().saturating_sub(recorded)) > age.as_micros())
    }
}
