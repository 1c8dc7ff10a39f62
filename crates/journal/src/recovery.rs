//! The start: what is still good in the directory.
//!
//! In: whatever a crash, a full disk, a bad block or an operator left behind. Out: a [`Store`] that is ready to append, and
//! a word about each record that is missing. It reads each
//! segment once, in a stream; it never refuses to start because of data, and never deletes a file that may hold a
//! record or that a newer program wrote.

use std::{collections::VecDeque, io, mem, path::Path, sync::Arc};

use super::{
    census::{Census, Lost},
    checkpoint::{Checkpoint, Marks},
    clock::unix_micros,
    disk::fs,
    format::{FRAME, Frame, HEADER, Header, Id, VERSION},
    ledger::Ledger,
    observer::Observer,
    options::{Keep, OpenError, Options},
    queue::Health,
    ranges::Ranges,
    scan::{Resync, Scanner},
    segment::{self, Directory},
    shared::Shared,
    store::{Found, Segment, Store},
};

/// Opens a directory: takes the lock, reads what is there, begins a new segment, and only then cuts and removes.
///
/// The order matters. The new segment's name records which sequences were ever given out; the preallocated tails, which
/// record it until then, are cut only after it.
///
/// # Errors
/// See [`OpenError`]; none of them is about the state of the records.
pub(super) fn open(options: Options, observer: Arc<dyn Observer>) -> Result<Store, OpenError> {
    let refused = |source| OpenError::Directory { directory: options.directory.clone(), source };
    let directory = Directory::open(&options.directory)?;
    let ids = segment::list(&directory.path).map_err(refused)?;
    if matches!(directory.free_bytes(), Ok(None)) {
        let directory = directory.path.display();
        tracing::warn!(%directory, "journal: its file system does not say how much is free, journal.reserve is not kept");
    }
    let segments = read_headers(&directory, &ids)?;
    directory.sweep().map_err(refused)?;
    let checkpoint = Checkpoint::open(&directory.path).map_err(refused)?;
    if directory.in_memory() {
        tracing::warn!(directory = %directory.path.display(), "journal: lies in memory, a restart of the machine loses it");
    }

    let judged = may_judge(&checkpoint, &segments);
    let finds = read_all(&directory, &segments, &options, &checkpoint.stored, judged);
    let shared = Arc::new(Shared::new(&options, observer, finds.ledger, finds.found.next, &directory));
    shared.damaged(finds.damage);
    finds.lost.iter().for_each(|lost| shared.lost(lost.first, lost.last, lost.records));
    let mut store = Store::new(options, shared, directory, checkpoint, finds.found);
    let mut health = store.tick(true);
    for (id, end) in finds.cuts {
        if let Err(error) = store.directory.cut(id, end) {
            tracing::warn!(segment = id.first, %error, "journal: a tail is not cut");
        }
    }
    for id in finds.useless {
        store.remove(id);
    }
    if health == Health::Full {
        health = store.tick(true);
    }
    store.shared.queue.set_health(health);
    Ok(store)
}

/// What the segments of a directory add up to.
#[derive(Debug)]
struct Finds {
    found: Found,
    ledger: Ledger,
    /// Files without a record, or only with acknowledged ones.
    useless: Vec<Id>,
    /// Files with a tail behind their last good frame, and where that begins.
    cuts: Vec<(Id, u64)>,
    damage: u64,
    /// Acknowledged: such a record is not held.
    acknowledged: Ranges,
    lost: Vec<Lost>,
}

/// A segment's name and, where it could be read, its header.
type Headed = (Id, Option<Header>);

fn read_all(directory: &Directory, segments: &[Headed], options: &Options, marks: &Marks, judged: bool) -> Finds {
    // The bus keeps what it finds: only a spool's records are ever acknowledged.
    let acknowledged = if options.keep == Keep::UntilAcknowledged { marks.done.clone() } else { Ranges::default() };
    let mut finds = Finds {
        found: Found { closed: VecDeque::new(), next: marks.next.max(marks.highest + 1) },
        ledger: Ledger::new(acknowledged.low_water()),
        useless: Vec::new(),
        cuts: Vec::new(),
        damage: 0,
        acknowledged,
        lost: Vec::new(),
    };
    let mut census = Census::new(marks, judged);
    for (place, (id, header)) in segments.iter().enumerate() {
        // One that could be neither made durable nor removed has the first sequence of the one that was made instead.
        let following = segments[place..].iter().find(|(following, _)| id.first < following.first);
        let bound = following.map_or(u64::MAX, |(following, _)| following.first);
        census.segment(id.first, header.as_ref().and_then(Header::before));
        if bound != u64::MAX && finds.acknowledged.covers(id.first, bound - 1) {
            finds.useless.push(*id);
            census.unknown(bound);
            continue;
        }
        if let Err(error) = finds.survey(directory, *id, bound, &mut census) {
            tracing::error!(segment = id.first, %error, "journal: a segment does not open, it is left alone");
            finds.leave(directory, *id, bound);
            census.unknown(bound);
        }
    }
    finds.ledger.pass(marks.highest);
    finds.lost = census.end();
    finds
}

impl Finds {
    /// Reads one segment; `bound` is the first sequence of the next one.
    fn survey(&mut self, directory: &Directory, id: Id, bound: u64, census: &mut Census<'_>) -> io::Result<()> {
        let path = id.path(&directory.path);
        let (file, header) = segment::open(&directory.path, id)?;
        let mut found = Segment { id, size: file.metadata()?.len(), last: id.first - 1, oldest: u64::MAX, newest: 0 };
        let (marker, mut damage) = match header {
            Header::Valid { marker, .. } => (marker, 0),
            Header::Newer(_) | Header::Damaged => {
                tracing::error!(segment = %path.display(), "journal: a damaged header, its file's name is used");
                (id.marker, HEADER as u64)
            }
        };
        let mut scanner = Scanner::new(file, marker);
        scanner.tolerant = true;
        let (mut records, mut skipped, mut end) = (0, 0, scanner.position);
        let mut holes = Vec::new();
        loop {
            match scanner.peek()? {
                // The next segment has these once more: this one was given up in the middle of a write.
                Some(frame) if frame.sequence >= bound => break,
                Some(frame) => {
                    self.hold(frame);
                    census.found(frame.sequence, frame.recorded);
                    damage += skipped;
                    log_gap(&path, mem::take(&mut skipped), found.last);
                    records += 1;
                    if found.last + 1 < frame.sequence {
                        holes.push((found.last + 1, frame.sequence - 1));
                    }
                    found.last = frame.sequence;
                    found.oldest = found.oldest.min(frame.recorded);
                    found.newest = found.newest.max(frame.recorded);
                    scanner.skip(frame);
                    end = scanner.position;
                }
                None => match scanner.resync()? {
                    Resync::Found { skipped: more } => skipped += more,
                    Resync::Nothing { garbage } => {
                        log_end(&path, garbage, found.last);
                        damage += garbage;
                        break;
                    }
                },
            }
        }
        self.damage += damage;
        holes.push((found.last + 1, u64::MAX));
        let last = self.add(found, records, end, bound, scanner.unreadable);
        if scanner.unreadable {
            let segment = path.display();
            tracing::error!(
                %segment,
                "journal: the disk refuses blocks of a segment, it is kept whole: its records may come back at another start"
            );
            for (first, end) in holes.into_iter().filter(|(first, _)| *first <= last) {
                census.sealed(first, end.min(last));
                self.seal(first, end.min(last));
            }
        }
        Ok(())
    }

    fn hold(&mut self, frame: Frame) {
        if self.acknowledged.contains(frame.sequence) {
            self.ledger.pass(frame.sequence);
        } else {
            self.ledger.insert(frame.sequence, frame.recorded);
        }
    }

    /// Adds a segment that was read; its last good frame ends at `end`. Gives the last sequence that it may have.
    fn add(&mut self, mut found: Segment, records: u64, end: u64, bound: u64, unreadable: bool) -> u64 {
        let tail = found.size.saturating_sub(end);
        found.last = found.last.max(found.id.first);
        let last = self.used_up_to(found.last, bound, tail);
        // Bytes that could not be read may be good: then nothing is removed or cut.
        if !unreadable && records == 0 {
            self.useless.push(found.id);
            return last;
        }
        if !unreadable && tail > 0 {
            self.cuts.push((found.id, end));
            found.size = end;
        }
        if records == 0 {
            // Nothing of it could be read: it ages from now on.
            found.newest = unix_micros();
        }
        if unreadable {
            // Retention must see all of it.
            found.last = found.last.max(last);
        }
        found.oldest = found.oldest.min(found.newest);
        self.found.closed.push_back(found);
        last
    }

    /// A file that does not open may open at the next start: it is neither dropped, nor are its records done with.
    fn leave(&mut self, directory: &Directory, id: Id, bound: u64) {
        let size = fs::metadata(id.path(&directory.path)).map_or(0, |data| data.len());
        let last = self.used_up_to(id.first, bound, size);
        self.seal(id.first, last);
    }

    /// What was acknowledged before stays so.
    fn seal(&mut self, first: u64, last: u64) {
        let range = Ranges::rising([(first, last)]).without(&self.acknowledged);
        range.iter().for_each(|(first, last)| self.ledger.seal(first, last));
    }

    /// Sequences up to `last` were given out; if no segment follows, so may have been those of a lost tail. Gives the last
    /// one that may be in the segment: never one that is given out from now on.
    fn used_up_to(&mut self, last: u64, bound: u64, tail: u64) -> u64 {
        self.found.next = self.found.next.max(last + 1);
        if bound != u64::MAX {
            return bound - 1;
        }
        self.found.next += tail.div_ceil(FRAME as u64);
        self.found.next - 1
    }
}

/// Runs before anything is changed: a newer program must find its files as it left them.
fn read_headers(directory: &Directory, ids: &[Id]) -> Result<Vec<Headed>, OpenError> {
    let header = |id: &Id| match segment::open(&directory.path, *id) {
        Ok((_, Header::Newer(version))) => {
            Err(OpenError::NewerFormat { file: id.path(&directory.path), version, known: VERSION })
        }
        opened => Ok((*id, opened.ok().map(|(_, header)| header))),
    };
    ids.iter().map(header).collect()
}

/// Whether a segment that is absent can be told from one that was freed.
fn may_judge(checkpoint: &Checkpoint, segments: &[Headed]) -> bool {
    let valid = |(id, header): &Headed| match header {
        Some(Header::Valid { before, .. }) => Some((id.first, *before)),
        _ => None,
    };
    // An older program, which stores no ranges, wrote here since.
    let older = |first, before: Option<u64>| before.is_none() && first > checkpoint.stored.highest;
    let mut headers = segments.iter().filter_map(valid);
    if checkpoint.has_ranges {
        return !headers.any(|(first, before)| older(first, before));
    }
    if headers.any(|(_, before)| before.is_some()) {
        tracing::warn!(
            "journal: the acknowledged ranges are lost: records come again, and missing segments are not noticed"
        );
    }
    false
}

/// Good frames follow: these bytes were good once.
fn log_gap(path: &Path, skipped: u64, after: u64) {
    if skipped > 0 {
        tracing::error!(segment = %path.display(), bytes = skipped, after, "journal: damage behind a record is passed over");
    }
}

/// Nothing good follows.
fn log_end(path: &Path, garbage: u64, after: u64) {
    if garbage > 0 {
        let segment = path.display();
        tracing::info!(%segment, bytes = garbage, after, "journal: the torn end of an unfinished write, or damage");
    }
}
