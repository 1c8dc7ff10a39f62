//! The start: what is still good in the directory.
//!
//! In: whatever a crash, a full disk or a bad block left behind. Out: a [`Store`] that is ready to append. It reads each
//! segment once, in a stream; it never refuses to start because of data, and never deletes a file that may hold a
//! record or that a newer program wrote.

use std::{
    collections::VecDeque,
    fs::{File, TryLockError},
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use super::{
    Keep, Observer, OpenError, Options,
    acknowledged::Acknowledged,
    format::{FRAME, HEADER, Header, VERSION},
    ledger::Ledger,
    scan::{Resync, Scanner},
    segment::{self, Directory, Id},
    shared::{Health, Shared},
    store::{Found, LOCK, Segment, Store},
    unix_micros,
};

/// What one segment holds.
#[derive(Debug)]
struct Survey {
    records: u64,
    last: u64,
    oldest: u64,
    newest: u64,
    /// Behind the last good frame, in bytes from the start of the file.
    end: u64,
    size: u64,
    damage: u64,
    unreadable: bool,
}

/// Opens a directory: takes the lock, reads what is there, begins a new segment, and only then cuts and removes.
///
/// The order matters. The new segment's name says which sequences were ever given out; the preallocated tails that say
/// so until then may go only after it.
///
/// # Errors
/// See [`OpenError`]; none of them is about the state of the records.
pub(super) fn open(options: Options, observer: Arc<dyn Observer>) -> Result<Store, OpenError> {
    let refused = |source| OpenError::Directory { directory: options.directory.clone(), source };
    let directory = Directory::open(&options.directory).map_err(refused)?;
    let lock = lock(&directory)?;
    let ids = segment::list(&directory.path).map_err(refused)?;
    refuse_newer(&directory, &ids)?;
    directory.sweep().map_err(refused)?;
    let acknowledged = Acknowledged::open(&directory).map_err(refused)?;
    if directory.in_memory() {
        tracing::warn!(directory = %directory.path.display(), "journal: lies in memory, a restart of the machine loses it");
    }

    let finds = read_all(&directory, &ids, &options, acknowledged.low_water());
    let shared = Arc::new(Shared::new(&options, observer, finds.ledger, finds.next, &directory));
    shared.damaged(finds.damage);
    let found = Found { directory, lock, acknowledged, closed: finds.closed, next: finds.next, ceiling: finds.ceiling };
    let mut store = Store::new(options, shared, found);
    let mut health = store.tick(true);
    for (id, end) in finds.cuts {
        if let Err(error) = store.directory().cut(id, end) {
            tracing::warn!(segment = id.first, %error, "journal: a tail is not cut");
        }
    }
    for id in finds.useless {
        store.remove(id);
    }
    if health == Health::Full {
        health = store.tick(true);
    }
    store.shared().set_health(health);
    Ok(store)
}

/// What the segments of a directory add up to.
#[derive(Debug)]
struct Finds {
    ledger: Ledger,
    closed: VecDeque<Segment>,
    /// Files without a record, or only with acknowledged ones.
    useless: Vec<Id>,
    /// Files with a tail behind their last good frame, and where that begins.
    cuts: Vec<(Id, u64)>,
    damage: u64,
    next: u64,
    ceiling: u64,
}

fn read_all(directory: &Directory, ids: &[Id], options: &Options, stored: u64) -> Finds {
    let low_water = if options.keep == Keep::UntilAcknowledged { stored } else { 0 };
    let mut finds = Finds {
        ledger: Ledger::new(low_water),
        closed: VecDeque::new(),
        useless: Vec::new(),
        cuts: Vec::new(),
        damage: 0,
        next: stored + 1,
        ceiling: u64::MAX,
    };
    for (place, id) in ids.iter().enumerate() {
        let bound = ids.get(place + 1).map_or(u64::MAX, |following| following.first);
        if bound <= low_water + 1 {
            finds.useless.push(*id);
            continue;
        }
        match survey(directory, *id, bound, &mut finds.ledger) {
            Ok(found) => finds.add(*id, bound, &found),
            Err(error) => {
                tracing::error!(segment = id.first, %error, "journal: a segment does not open, it is left alone");
                finds.leave(directory, *id, bound);
            }
        }
    }
    finds
}

impl Finds {
    fn add(&mut self, id: Id, bound: u64, found: &Survey) {
        let last = found.last.max(id.first);
        let tail = found.size.saturating_sub(found.end);
        self.damage += found.damage;
        self.used_up_to(last, bound, tail);
        if found.records == 0 && !found.unreadable {
            self.useless.push(id);
            return;
        }
        // Bytes that could not be read may be good: then nothing is cut.
        let cut = tail > 0 && !found.unreadable;
        if cut {
            self.cuts.push((id, found.end));
        }
        let size = if cut { found.end } else { found.size };
        self.closed.push_back(Segment { id, size, last, oldest: found.oldest, newest: found.newest });
    }

    /// A file that does not open may open at the next start: it is neither dropped, nor may the low-water mark pass
    /// its records.
    fn leave(&mut self, directory: &Directory, id: Id, bound: u64) {
        self.ceiling = self.ceiling.min(id.first - 1);
        let size = std::fs::metadata(id.path(&directory.path)).map_or(0, |data| data.len());
        self.used_up_to(id.first, bound, size);
    }

    /// Sequences up to `last` were given out; if no segment follows, so may have been those of a lost tail.
    fn used_up_to(&mut self, last: u64, bound: u64, tail: u64) {
        self.next = self.next.max(last + 1);
        if bound == u64::MAX {
            self.next += tail.div_ceil(FRAME as u64);
        }
    }
}

/// Takes the directory for this process.
fn lock(directory: &Directory) -> Result<File, OpenError> {
    let refused = |source| OpenError::Directory { directory: directory.path.clone(), source };
    let mut file = directory.file(LOCK).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(refused)?;
            write!(file, "{}", std::process::id()).map_err(refused)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let pid = io::read_to_string(&file).unwrap_or_default();
            Err(OpenError::Locked { directory: directory.path.clone(), pid: pid.trim().parse().ok() })
        }
        Err(TryLockError::Error(source)) => Err(refused(source)),
    }
}

/// Runs before anything is changed: the newer program must find its files as it left them.
fn refuse_newer(directory: &Directory, ids: &[Id]) -> Result<(), OpenError> {
    for id in ids {
        if let Ok((_, Header::Newer(version))) = segment::open(&directory.path, *id) {
            return Err(OpenError::NewerFormat { file: id.path(&directory.path), version, known: VERSION });
        }
    }
    Ok(())
}

fn survey(directory: &Directory, id: Id, bound: u64, ledger: &mut Ledger) -> io::Result<Survey> {
    let path = id.path(&directory.path);
    let (file, header) = segment::open(&directory.path, id)?;
    let size = file.metadata()?.len();
    let (marker, mut damage) = match header {
        Header::Valid { marker } => (marker, 0),
        Header::Newer(_) | Header::Damaged => {
            tracing::error!(segment = %path.display(), "journal: a damaged header, its file's name is used");
            (id.marker, HEADER as u64)
        }
    };
    let mut scanner = Scanner::new(file, marker);
    scanner.tolerate();
    let (mut records, mut last, mut oldest, mut newest) = (0, id.first - 1, u64::MAX, 0);
    let mut end = scanner.position();
    let mut skipped = 0;
    loop {
        match scanner.peek()? {
            // The next segment has these once more: this one was given up in the middle of a write.
            Some(frame) if frame.sequence >= bound => break,
            Some(frame) => {
                ledger.insert(frame.sequence, frame.recorded);
                tell_gap(&path, std::mem::take(&mut skipped), last, frame.sequence, &mut damage);
                records += 1;
                last = frame.sequence;
                oldest = oldest.min(frame.recorded);
                newest = newest.max(frame.recorded);
                scanner.skip(frame);
                end = scanner.position();
            }
            None => match scanner.resync()? {
                Resync::Found { skipped: more } => skipped += more,
                Resync::Nothing { garbage } => {
                    tell_end(&path, garbage, last, bound);
                    damage += garbage;
                    break;
                }
            },
        }
    }
    let unreadable = scanner.unreadable();
    if records == 0 {
        // Only for a file that could not be read: it ages from now on.
        newest = unix_micros();
    }
    if unreadable {
        tracing::error!(segment = %path.display(), "journal: the disk refuses blocks of a segment, it is kept whole");
    }
    Ok(Survey { records, last, oldest: oldest.min(newest), newest, end, size, damage, unreadable })
}

/// Good frames follow: these bytes were good once.
fn tell_gap(path: &Path, skipped: u64, last: u64, next: u64, damage: &mut u64) {
    *damage += skipped;
    if skipped > 0 {
        let (segment, first, last) = (path.display(), last + 1, next - 1);
        tracing::error!(%segment, bytes = skipped, first, last, "journal: damage, the records first to last are lost");
    }
}

/// Nothing good follows. An unfinished write leaves that at the end of the last segment, and acknowledged nothing.
fn tell_end(path: &Path, garbage: u64, last: u64, bound: u64) {
    let (segment, first) = (path.display(), last + 1);
    if garbage > 0 && bound != u64::MAX && first < bound {
        let last = bound - 1;
        tracing::error!(%segment, bytes = garbage, first, last, "journal: damage, the records first to last are lost");
    } else if garbage > 0 {
        tracing::info!(%segment, bytes = garbage, first, "journal: the torn end of an unfinished write");
    }
}
