//! Reading the log in order, beside the writer, from this process or another.
//!
//! In: a directory and a place to start. Out: entries in rising sequence, each once. It takes no lock, never writes,
//! and reads on when segments are deleted meanwhile.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use super::{
    format::{Frame, Header, Id},
    observer::Operation,
    options::Keep,
    record::{Entry, Start},
    scan::{Resync, Scanner},
    segment,
    shared::Shared,
};

/// How long a block that cannot be read is asked for again before it counts as damage.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 60_000 });

/// A cursor. See [`super::Journal::reader`] for the one inside the process.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    /// The last sequence that was given out or passed over.
    last: u64,
    /// First sequence of the segment that was opened last.
    passed: Option<u64>,
    /// Segments were deleted before they were read: what lies behind this sequence may be gone.
    deleted: Option<u64>,
    missed: u64,
    current: Option<Current>,
    /// Place (segment, offset) and time of the first of several errors in a row.
    trouble: Option<(Id, u64, Instant)>,
}

#[derive(Debug)]
enum Source {
    Directory(PathBuf),
    Journal(Arc<Shared>),
}

#[derive(Debug)]
struct Current {
    id: Id,
    scanner: Scanner,
    /// The next segment's first sequence, once there is one: this segment is whole then, and what it holds from there
    /// on counts in the next one.
    bound: Option<u64>,
    /// Bad bytes before the scanner's place that are not reported yet.
    skipped: u64,
}

enum Step {
    Entry(Entry),
    Wait,
    Again,
}

impl Reader {
    /// Opens a directory that another process may be writing. Such a reader may see a record a moment before it is
    /// durable, and stops at damage in the newest segment until there is a newer one.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn open(directory: &Path, from: Start) -> io::Result<Reader> {
        let ids = segment::list_unlocked(directory)?;
        let mut reader = Reader::new(Source::Directory(directory.to_owned()), 0);
        match from {
            Start::Oldest => {}
            Start::After(sequence) => reader.last = sequence,
            Start::Newest => {
                if let Some(newest) = ids.last() {
                    reader.last = newest.first.saturating_sub(1);
                    reader.enter(*newest)?;
                }
                while let Some(current) = &mut reader.current
                    && let Some(frame) = current.scanner.peek()?
                {
                    current.scanner.skip(frame);
                    reader.last = frame.sequence;
                }
            }
        }
        Ok(reader)
    }

    pub(super) fn within(shared: Arc<Shared>, from: Start) -> Reader {
        let last = match (from, shared.keep) {
            (Start::Oldest, Keep::UntilAcknowledged) => shared.ledger().low_water(),
            (Start::Oldest, Keep::UntilOld) => 0,
            (Start::Newest, _) => *shared.durable.borrow(),
            (Start::After(sequence), _) => sequence,
        };
        Reader::new(Source::Journal(shared), last)
    }

    fn new(source: Source, last: u64) -> Reader {
        Reader { source, last, passed: None, deleted: None, missed: 0, current: None, trouble: None }
    }

    /// The next entry; `None` when there is nothing more yet. Blocks for the time of a few reads, mostly from the page
    /// cache.
    ///
    /// # Errors
    /// The disk, or the supply of file descriptors, does not answer. The place is kept: call again later. A block that
    /// stays unreadable for a minute counts as damage and is passed over.
    #[expect(clippy::should_implement_trait, reason = "an iterator ends at `None`; this goes on")]
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        let limit = self.source.durable();
        while self.last < limit {
            match self.step(limit) {
                Ok(Step::Entry(entry)) => {
                    self.trouble = None;
                    return Ok(Some(entry));
                }
                Ok(Step::Wait) => break,
                Ok(Step::Again) => {}
                Err(error) => {
                    self.source.failed();
                    self.pass_over_unreadable();
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// How many sequences were passed over since the last call because their segments were deleted before they were
    /// read. Sequences that never stood for a record count too, so it may be a few too many after a crash.
    pub fn missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// The last sequence that was given out or passed over; for a reader that has just begun at [`Start::Newest`], the
    /// end of what there is.
    pub fn position(&self) -> u64 {
        self.last
    }

    fn step(&mut self, limit: u64) -> io::Result<Step> {
        let Some(current) = &mut self.current else { return self.advance(limit) };
        let Some(frame) = current.scanner.peek()? else { return self.stalled(limit) };
        if current.bound.is_some_and(|bound| frame.sequence >= bound) {
            // The bad bytes before it were the writer's own failed try.
            current.skipped = 0;
            return self.advance(limit);
        }
        if frame.sequence > limit {
            return Ok(Step::Wait);
        }
        if frame.sequence <= self.last {
            current.skipped = 0;
            current.scanner.skip(frame);
            return Ok(Step::Again);
        }
        self.pass(frame)
    }

    /// Gives out a frame, unless it was acknowledged before its turn.
    fn pass(&mut self, frame: Frame) -> io::Result<Step> {
        let Some(current) = &mut self.current else { return Ok(Step::Again) };
        let wanted = self.source.wants(frame.sequence);
        let step = if wanted {
            let (head, body) = current.scanner.take(frame)?;
            let recorded = UNIX_EPOCH + Duration::from_micros(frame.recorded);
            Step::Entry(Entry { sequence: frame.sequence, recorded, head, body })
        } else {
            current.scanner.skip(frame);
            Step::Again
        };
        let skipped = std::mem::take(&mut current.skipped);
        self.source.lost(current.id.first, skipped, self.last, frame.sequence - 1);
        self.count_missed(frame.sequence - 1);
        self.last = frame.sequence;
        Ok(step)
    }

    /// Everything from the last sequence to this one is passed over.
    fn count_missed(&mut self, until: u64) {
        if let Some(behind) = self.deleted.take() {
            self.missed += until.saturating_sub(behind.max(self.last));
        }
    }

    /// No good frame at this place: nothing yet, the end of the segment, or damage.
    fn stalled(&mut self, limit: u64) -> io::Result<Step> {
        let Some(current) = &mut self.current else { return Ok(Step::Again) };
        if let Some(instead) = self.source.instead_of(current.id)? {
            self.enter(instead)?;
            return Ok(Step::Again);
        }
        if current.bound.is_none() {
            current.bound = self.source.following(current.id.first)?.map(|id| id.first);
            match (&self.source, current.bound) {
                // Only now it is sure that nothing more is written here: one more look.
                (_, Some(_)) => return Ok(Step::Again),
                (Source::Directory(_), None) => return Ok(Step::Wait),
                // What is durable, and in no newer segment, must be here: this is damage in the live segment.
                (Source::Journal(_), None) => {}
            }
        }
        match current.scanner.resync()? {
            Resync::Found { skipped } => {
                current.skipped += skipped;
                Ok(Step::Again)
            }
            Resync::Nothing { garbage } => {
                current.skipped += garbage;
                self.advance(limit)
            }
        }
    }

    /// Goes to the next segment.
    fn advance(&mut self, limit: u64) -> io::Result<Step> {
        let following = match self.passed {
            Some(passed) => {
                // Dropped from the list, and others perhaps with it.
                if !self.source.lists(passed)? {
                    self.deleted.get_or_insert(passed - 1);
                }
                self.source.following(passed)?
            }
            None => {
                let oldest = self.source.holding(self.last + 1)?;
                // A place that was asked for, and is not there any more.
                if self.last > 0 && oldest.is_some_and(|id| id.first > self.last + 1) {
                    self.deleted = Some(self.last);
                }
                oldest
            }
        };
        if let Some(left) = &mut self.current {
            let skipped = std::mem::take(&mut left.skipped);
            self.source.lost(left.id.first, skipped, 0, 0);
        }
        let Some(id) = following else {
            if let (Source::Journal(_), Some(passed)) = (&self.source, self.passed) {
                // Durable once, and nowhere any more.
                self.source.lost(passed, 0, self.last, limit);
                self.count_missed(limit);
                self.last = limit;
            }
            return Ok(Step::Wait);
        };
        self.enter(id)?;
        Ok(Step::Again)
    }

    fn enter(&mut self, id: Id) -> io::Result<()> {
        let (file, header) = match segment::open(self.source.directory(), id) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Deleted meanwhile: the one behind it is the oldest now.
                self.deleted.get_or_insert(id.first - 1);
                self.passed = Some(id.first);
                self.current = None;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let marker = match header {
            Header::Valid { marker, .. } => marker,
            Header::Damaged => id.marker,
            Header::Newer(version) => {
                let message = format!("journal format {version} is newer than this program");
                return Err(io::Error::new(io::ErrorKind::Unsupported, message));
            }
        };
        self.passed = Some(id.first);
        self.current = Some(Current { id, scanner: Scanner::new(file, marker), bound: None, skipped: 0 });
        Ok(())
    }

    fn pass_over_unreadable(&mut self) {
        let Some(current) = &mut self.current else { return };
        let here = (current.id, current.scanner.position);
        match self.trouble {
            Some((id, position, since)) if (id, position) == here => {
                if since.elapsed() >= PATIENCE {
                    tracing::error!(segment = id.first, position, "journal: unreadable, passed over");
                    current.scanner.tolerant = true;
                }
            }
            _ => self.trouble = Some((here.0, here.1, Instant::now())),
        }
    }
}

impl Source {
    fn directory(&self) -> &Path {
        match self {
            Source::Directory(path) => path,
            Source::Journal(shared) => &shared.directory,
        }
    }

    /// The highest sequence that may be given out.
    fn durable(&self) -> u64 {
        match self {
            Source::Directory(_) => u64::MAX,
            Source::Journal(shared) => *shared.durable.borrow(),
        }
    }

    fn segments(&self) -> io::Result<Vec<Id>> {
        match self {
            Source::Directory(path) => segment::list_unlocked(path),
            // Not the directory: a listing beside a rename may hide a segment, and what a spool's reader passes over
            // counts as lost.
            Source::Journal(shared) => Ok(shared.facts().segments.clone()),
        }
    }

    /// Whether the segment that begins with `first` is still there.
    fn lists(&self, first: u64) -> io::Result<bool> {
        Ok(self.segments()?.iter().any(|id| id.first == first))
    }

    /// The segment with the same first sequence that was made after this one had failed, empty.
    fn instead_of(&self, id: Id) -> io::Result<Option<Id>> {
        let ids = self.segments()?;
        let is_here = ids.contains(&id);
        Ok(ids.into_iter().find(|other| !is_here && other.first == id.first))
    }

    /// The segment behind the one that begins with `first`.
    fn following(&self, first: u64) -> io::Result<Option<Id>> {
        Ok(self.segments()?.into_iter().find(|id| id.first > first))
    }

    /// The segment that a sequence would be in, or the oldest.
    fn holding(&self, sequence: u64) -> io::Result<Option<Id>> {
        let ids = self.segments()?;
        let at = ids.partition_point(|id| id.first <= sequence);
        Ok(ids.get(at.saturating_sub(1)).copied())
    }

    /// Whether a record is still to be read: one acknowledged early is not.
    fn wants(&self, sequence: u64) -> bool {
        match self {
            Source::Journal(shared) if shared.keep == Keep::UntilAcknowledged => shared.ledger().contains(sequence),
            _ => true,
        }
    }

    /// Damaged bytes were passed over, and the records between `after` and `until`, which includes its end, are not to
    /// be had: they would never be acknowledged, and a spool that waited for them would never be empty. The bus, where no
    /// reader waits for another, counts them at its next start.
    fn lost(&self, segment: u64, bytes: u64, after: u64, until: u64) {
        let Source::Journal(shared) = self else {
            if bytes > 0 {
                tracing::error!(segment, bytes, "journal: damage passed over");
            }
            return;
        };
        let mut records = 0;
        if shared.keep == Keep::UntilAcknowledged && after < until {
            records = shared.ledger().remove(after + 1, until);
            shared.lost(after + 1, until, records);
        }
        // Older damage was counted at the start.
        if records > 0 || segment >= shared.session {
            shared.damaged(bytes);
        }
        if bytes > 0 {
            tracing::error!(segment, bytes, "journal: damage passed over");
        }
    }

    fn failed(&self) {
        if let Source::Journal(shared) = self {
            shared.observer.error(Operation::Read);
        }
    }
}
