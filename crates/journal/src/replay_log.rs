//! The replay log: a file with the places of the records that `hookbus replay` has sent. (What makes a sender's repeat a
//! repeat is another memory, by source, id and body: the memory of recent events.)
//!
//! In: places that the bus has acknowledged. Out: the same places, to another run of the command, which leaves them out,
//! and to a running gateway, which counts their records as done. The two share no lock: the gateway holds the records'
//! directory, the command this file.
//!
//! One line of text for each range of places, synced before it counts, never changed again. A line that is torn
//! or spoilt counts as absent: its events are sent once more, which is better than never. A place is a number *and* the
//! time of its record, so that numbers which begin anew (in a directory that was emptied) name nothing by mistake.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, lchown},
    path::{Path, PathBuf},
};

/// Name of the file, in the directory of the records.
pub const NAME: &str = "replayed";

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its sequence.
    pub sequence: u64,
    /// When it was written, Unix microseconds.
    pub recorded: u64,
}

/// Places in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Its first sequence.
    pub first: u64,
    /// Its last sequence.
    pub last: u64,
    /// The times of its records lie between these.
    oldest: u64,
    newest: u64,
}

impl Range {
    fn of(Place { sequence, recorded }: Place) -> Self {
        Range { first: sequence, last: sequence, oldest: recorded, newest: recorded }
    }

    /// Whether it has this place.
    pub fn holds(self, place: Place) -> bool {
        (self.first..=self.last).contains(&place.sequence) && (self.oldest..=self.newest).contains(&place.recorded)
    }

    fn line(self) -> String {
        let numbers = format!("{} {} {} {}", self.first, self.last, self.oldest, self.newest);
        format!("{numbers} {:08x}\n", crc32c::crc32c(numbers.as_bytes()))
    }

    fn parse(line: &str) -> Option<Self> {
        let (numbers, sum) = line.rsplit_once(' ')?;
        if u32::from_str_radix(sum, 16).ok()? != crc32c::crc32c(numbers.as_bytes()) {
            return None;
        }
        let numbers: Vec<u64> = numbers.split(' ').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let [first, last, oldest, newest] = numbers[..] else { return None };
        (first <= last).then_some(Range { first, last, oldest, newest })
    }
}

/// Reads the file as it grows.
#[derive(Debug)]
pub struct Follower {
    file: PathBuf,
    /// Behind the last whole line that was read.
    place: u64,
}

impl Follower {
    /// Begins at the first line. `directory`: that of the records.
    pub fn new(directory: &Path) -> Self {
        Follower { file: directory.join(NAME), place: 0 }
    }

    /// The ranges that were written since the last call. No file is none.
    pub fn news(&mut self) -> io::Result<Vec<Range>> {
        let mut file = match File::open(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.place = 0;
                return Ok(Vec::new());
            }
            file => file?,
        };
        if file.metadata()?.len() < self.place {
            // Another file than the one that was read.
            self.place = 0;
        }
        file.seek(SeekFrom::Start(self.place))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.place += u64::try_from(whole).unwrap_or(u64::MAX);
        text.truncate(whole);
        Ok(String::from_utf8_lossy(&text).lines().filter_map(Range::parse).collect())
    }
}

/// What was sent on so far.
#[derive(Debug, Default)]
pub struct Replayed {
    /// By first sequence and, for numbers that began anew, by time.
    ranges: BTreeMap<(u64, u64), Range>,
}

impl Replayed {
    /// Reads the file of a directory; without one, nothing was sent on.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut replayed = Replayed::default();
        Follower::new(directory).news()?.into_iter().for_each(|range| replayed.insert(range));
        Ok(replayed)
    }

    /// Whether the record at this place was sent on.
    pub fn contains(&self, place: Place) -> bool {
        let before = self.ranges.range(..=(place.sequence, u64::MAX)).next_back();
        before.is_some_and(|(_, range)| range.holds(place))
    }

    fn insert(&mut self, range: Range) {
        self.ranges.insert((range.first, range.newest), range);
    }
}

/// Why the file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another replay is at work.
    #[error("{}: another replay is at work", .0.display())]
    Locked(PathBuf),
    /// The system says no.
    #[error("{}: {error}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

/// Gives a new file to the owner of the directory around it: an operator may be root, and the gateway has to be able to
/// write what lies in its own directory. Only root may do that; for other users the owner stays as it is.
pub fn give_to_owner_of(directory: &Path, made: &Path) {
    let Ok(owner) = fs::metadata(directory) else { return };
    if let Err(error) = lchown(made, Some(owner.uid()), Some(owner.gid())) {
        tracing::debug!(%error, file = %made.display(), "it keeps its owner");
    }
}

/// The file, open for one writer.
#[derive(Debug)]
pub struct Writer {
    file: File,
    /// Sent on, and not in the file yet.
    fresh: Vec<Place>,
    /// A write failed, and may have left half a line.
    torn: bool,
}

impl Drop for Writer {
    /// See the lock of a journal's directory: a starting child may hold a copy of the file.
    fn drop(&mut self) {
        let _unlocked = self.file.unlock();
    }
}

impl Writer {
    /// Takes the file of a directory for this process; makes it when it is missing.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(NAME);
        let refused = |error| OpenError::File { file: path.clone(), error };
        // Readable for all: it holds numbers, and the gateway may run as another user than the operator.
        let file = OpenOptions::new().create(true).read(true).append(true).mode(0o644).open(&path).map_err(refused)?;
        give_to_owner_of(directory, &path);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(path)),
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        let mut writer = Writer { file, fresh: Vec::new(), torn: false };
        writer.end_torn_line().map_err(refused)?;
        // The name must be there after a power cut, too.
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(refused)?;
        Ok(writer)
    }

    /// A crash in the middle of a line must not spoil the next one.
    fn end_torn_line(&mut self) -> io::Result<()> {
        if self.file.seek(SeekFrom::End(0))? == 0 {
            return Ok(());
        }
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        if last == *b"\n" { Ok(()) } else { self.file.write_all(b"\n") }
    }

    /// Takes note of a place; it is in no file before [`Writer::flush`].
    pub fn note(&mut self, place: Place) {
        self.fresh.push(place);
    }

    /// Places noted and not written.
    pub fn waiting(&self) -> usize {
        self.fresh.len()
    }

    /// Makes everything noted so far durable.
    ///
    /// # Errors
    /// The disk does not take it: what was noted is kept for another try.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        if std::mem::replace(&mut self.torn, true) {
            self.end_torn_line()?;
        }
        self.fresh.sort_unstable();
        let lines: String = joined(&self.fresh).into_iter().map(Range::line).collect();
        self.file.write_all(lines.as_bytes())?;
        self.file.sync_data()?;
        self.fresh.clear();
        self.torn = false;
        Ok(())
    }
}

/// Sorted places as ranges.
fn joined(places: &[Place]) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for place in places {
        match ranges.last_mut() {
            Some(range) if place.sequence.checked_sub(1) == Some(range.last) => {
                range.last = place.sequence;
                range.oldest = range.oldest.min(place.recorded);
                range.newest = range.newest.max(place.recorded);
            }
            _ => ranges.push(Range::of(*place)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: u64, recorded: u64) -> Place {
        Place { sequence, recorded }
    }

    #[test]
    fn what_is_noted_is_found_again_and_nothing_else() {
        let outer = tempfile::tempdir().unwrap();
        assert!(!Replayed::read(outer.path()).unwrap().contains(place(1, 1)));
        let mut follower = Follower::new(outer.path());
        assert_eq!(follower.news().unwrap(), []);
        let mut writer = Writer::open(outer.path()).unwrap();
        for number in [3, 1, 2, 7] {
            writer.note(place(number, 100 * number));
        }
        assert!(!Replayed::read(outer.path()).unwrap().contains(place(1, 100)), "not before it is synced");
        writer.flush().unwrap();
        assert_eq!(writer.waiting(), 0);
        let replayed = Replayed::read(outer.path()).unwrap();
        let found: Vec<u64> = (0..10).filter(|number| replayed.contains(place(*number, 100 * number))).collect();
        assert_eq!(found, [1, 2, 3, 7]);
        assert!(!replayed.contains(place(7, 701)), "another record with a number that began anew");
        assert_eq!(fs::read_to_string(outer.path().join(NAME)).unwrap().lines().count(), 2, "a range is one line");

        assert_eq!(follower.news().unwrap().len(), 2);
        writer.note(place(8, 5));
        writer.flush().unwrap();
        assert_eq!(follower.news().unwrap(), [Range::of(place(8, 5))]);
        assert_eq!(follower.news().unwrap(), []);
    }

    #[test]
    fn a_torn_or_spoilt_line_counts_as_absent_and_spoils_no_other() {
        let outer = tempfile::tempdir().unwrap();
        let good = Range::of(place(5, 50)).line();
        for torn in ["5 5 50", "5 5 50 50 00000000", "6 5 50 50 1", "x", ""] {
            fs::write(outer.path().join(NAME), format!("{good}{torn}")).unwrap();
            let mut writer = Writer::open(outer.path()).unwrap();
            writer.note(place(9, 90));
            writer.flush().unwrap();
            let replayed = Replayed::read(outer.path()).unwrap();
            assert!(replayed.contains(place(5, 50)) && replayed.contains(place(9, 90)), "{torn}");
            assert_eq!(replayed.ranges.len(), 2, "{torn}");
        }
    }

    /// As root, who may give files away, and as another user, who owns both.
    #[test]
    fn the_file_belongs_to_whom_the_directory_belongs() {
        let outer = tempfile::tempdir().unwrap();
        let _only_as_root = std::os::unix::fs::chown(outer.path(), Some(4321), Some(4322));
        drop(Writer::open(outer.path()).unwrap());
        let owner = |path: &Path| fs::metadata(path).map(|data| (data.uid(), data.gid())).unwrap();
        assert_eq!(owner(&outer.path().join(NAME)), owner(outer.path()));
    }

    #[test]
    fn one_writer_at_a_time() {
        let outer = tempfile::tempdir().unwrap();
        let first = Writer::open(outer.path()).unwrap();
        assert!(matches!(Writer::open(outer.path()), Err(OpenError::Locked(_))));
        drop(first);
        Writer::open(outer.path()).unwrap();
        assert!(matches!(Writer::open(&outer.path().join("nowhere")), Err(OpenError::File { .. })));
    }
}
