//! Segment files and their directory: names, listing, making, removing.
//!
//! In: a directory. Out: files that are really there, also after a power cut. It never looks into a frame.
//!
//! A segment is named `<first sequence, 20 digits>-<marker, 16 hex digits>.journal`. The marker stands in the name as
//! well as in the header because a lost first block would otherwise take the marker, and with it the whole segment.
//! No two segments of a directory ever have the same first sequence, and a segment owns the sequences from its first up
//! to the next segment's first: what it holds beyond was written again by the next one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FallocateFlags, fallocate, fstatfs, fstatvfs},
    io::Errno,
};

use super::{
    format::{HEADER, Header, Marker},
    pending::Pending,
};

const SUFFIX: &str = ".journal";
const TEMPORARY: &str = ".tmp";
/// `statfs` magic numbers of file systems that live in memory: tmpfs and ramfs.
const MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// A segment's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    /// No record in it has a lower sequence.
    pub(super) first: u64,
    /// Begins each of its frames.
    pub(super) marker: Marker,
}

impl Id {
    fn parse(name: &str) -> Option<Id> {
        let (first, marker) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        let well_formed = first.len() == 20 && first.bytes().all(|b| b.is_ascii_digit()) && marker.len() == 16;
        let marker = u64::from_str_radix(marker, 16).ok().filter(|_| well_formed)?;
        // No journal ever gets that far, so arithmetic on sequences needs no care elsewhere.
        let first = first.parse().ok().filter(|first| (1..=u64::MAX / 2).contains(first))?;
        Some(Id { first, marker: Marker(marker.to_be_bytes()) })
    }

    /// Where the segment lies.
    pub(super) fn path(&self, directory: &Path) -> PathBuf {
        self.named(directory, SUFFIX)
    }

    fn named(&self, directory: &Path, suffix: &str) -> PathBuf {
        directory.join(format!("{:020}-{:016x}{suffix}", self.first, u64::from_be_bytes(self.marker.0)))
    }
}

/// The segments of a directory, oldest first.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn list(directory: &Path) -> io::Result<Vec<Id>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if let Some(id) = entry.file_name().to_str().and_then(Id::parse)
            && entry.file_type().is_ok_and(|kind| kind.is_file())
        {
            found.push(id);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// [`list`] for one who does not hold the lock: a directory that changes while it is read may show a new segment and
/// hide the one before it, so it is read until two answers agree.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn list_unlocked(directory: &Path) -> io::Result<Vec<Id>> {
    let mut found = list(directory)?;
    for _ in 0..16 {
        let again = list(directory)?;
        if again == found {
            break;
        }
        found = again;
    }
    Ok(found)
}

/// Why a segment could not be made.
#[derive(Debug)]
pub(super) enum CreateError {
    /// There is no room for it.
    Full,
    /// The disk refused.
    Io(io::Error),
}

impl From<io::Error> for CreateError {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::DQUOT) => CreateError::Full,
            _ => CreateError::Io(error),
        }
    }
}

/// A journal's directory, open.
#[derive(Debug)]
pub(super) struct Directory {
    /// Where it is, absolute: messages must name one place, whoever reads them.
    pub(super) path: PathBuf,
    handle: File,
    /// The disk call that runs now.
    pub(super) pending: Arc<Pending>,
    /// Tests only.
    #[cfg(test)]
    pub(super) faults: Arc<Faults>,
}

/// What tests do to a journal's disk and clock.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// How many of the next data syncs fail.
    pub(super) syncs: std::sync::atomic::AtomicU32,
    /// How long each data sync takes at least, in milliseconds.
    pub(super) slow: std::sync::atomic::AtomicU64,
    /// How far the wall clock is ahead, in microseconds.
    pub(super) ahead: std::sync::atomic::AtomicU64,
}

impl Directory {
    /// Opens the directory, and makes it first (mode 0700, with its parents) where it is missing.
    ///
    /// # Errors
    /// It cannot be made or opened.
    pub(super) fn open(path: &Path) -> io::Result<Directory> {
        let missing: Vec<&Path> = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).collect();
        for made in missing.iter().rev() {
            DirBuilder::new().mode(0o700).create(made)?;
            // A directory is durable only when the one that names it is.
            let parent = made.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(parent)?.sync_all()?;
        }
        let handle = File::open(path)?;
        let path = std::path::absolute(path)?;
        Ok(Directory {
            pending: Arc::new(Pending::new(path.clone())),
            path,
            handle,
            #[cfg(test)]
            faults: Arc::default(),
        })
    }

    /// Opens, or makes with mode 0600, a file that is read and written in place.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn file(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(self.path.join(name))
    }

    /// The wall clock, in Unix microseconds; tests set it.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests keep their clock here"))]
    pub(super) fn wall(&self) -> u64 {
        #[cfg(test)]
        return super::unix_micros() + self.faults.ahead.load(std::sync::atomic::Ordering::SeqCst);
        #[cfg(not(test))]
        super::unix_micros()
    }

    /// Bytes that this process may still fill.
    ///
    /// # Errors
    /// The file system does not answer.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let _call = self.pending.enter("statvfs", None);
        let answer = fstatvfs(&self.handle)?;
        Ok(answer.f_bavail.saturating_mul(answer.f_frsize))
    }

    /// Whether the directory lives in memory, so that a restart of the machine empties it.
    pub(super) fn in_memory(&self) -> bool {
        let kind = fstatfs(&self.handle).ok().and_then(|answer| u64::try_from(answer.f_type).ok());
        kind.is_some_and(|kind| MEMORY.contains(&kind))
    }

    /// Makes the file's bytes durable.
    ///
    /// # Errors
    /// They may not be durable. A second try on the same file would tell nothing: the kernel forgets the lost pages.
    pub(super) fn sync_data(&self, id: Id, file: &File) -> io::Result<()> {
        let _call = self.pending.enter("fdatasync", Some(id));
        #[cfg(test)]
        {
            use std::sync::atomic::Ordering::SeqCst;
            std::thread::sleep(std::time::Duration::from_millis(self.faults.slow.load(SeqCst)));
            if self.faults.syncs.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
                return Err(io::Error::from_raw_os_error(5));
            }
        }
        file.sync_data()
    }

    /// Writes into a segment.
    ///
    /// # Errors
    /// The disk refused.
    pub(super) fn write(&self, id: Id, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let _call = self.pending.enter("write", Some(id));
        file.write_all_at(bytes, at)
    }

    /// The first of the directory and its lock file that is not the one that was opened: another process may have it
    /// by now.
    pub(super) fn displaced(&self, lock: &File, name: &str) -> Option<PathBuf> {
        let _call = self.pending.enter("stat", None);
        let lock_path = self.path.join(name);
        if !is_at(&self.handle, &self.path) {
            Some(self.path.clone())
        } else if !is_at(lock, &lock_path) {
            Some(lock_path)
        } else {
            None
        }
    }

    /// Whether the path of a segment still leads to this open file.
    pub(super) fn holds(&self, id: Id, file: &File) -> bool {
        let _call = self.pending.enter("stat", Some(id));
        is_at(file, &id.path(&self.path))
    }

    /// Makes names durable: files made, renamed and removed.
    ///
    /// # Errors
    /// They may not be durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Makes a segment of `size` bytes. It gets its name only when it is whole, so that no half-made one is ever seen.
    ///
    /// # Errors
    /// No room, or the disk refused. Nothing is left behind.
    pub(super) fn create(&self, first: u64, size: u64) -> Result<(Id, File), CreateError> {
        let id = Id { first, marker: Marker::random() };
        let _call = self.pending.enter("creation", Some(id));
        let temporary = id.named(&self.path, TEMPORARY);
        let made = self.write_new(&temporary, id, size).and_then(|file| {
            fs::rename(&temporary, id.path(&self.path))?;
            self.sync()?;
            Ok(file)
        });
        if made.is_err() {
            // Whatever is there by now holds no record.
            fs::remove_file(&temporary).or_else(|_| fs::remove_file(id.path(&self.path))).ok();
        }
        Ok((id, made?))
    }

    fn write_new(&self, path: &Path, id: Id, size: u64) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, size) {
            Ok(()) => {}
            // A file system that cannot reserve: a full disk then shows at a write, which poisons the segment.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(size)?,
            Err(errno) => return Err(errno.into()),
        }
        file.write_all_at(&Header::encode(id.first, id.marker), 0)?;
        file.sync_all()?;
        Ok(file)
    }

    /// Cuts a segment behind `end` bytes.
    ///
    /// # Errors
    /// It is as long as it was.
    pub(super) fn cut(&self, id: Id, end: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(id.path(&self.path))?.set_len(end)
    }

    /// Removes a segment. One that is gone already is no error.
    ///
    /// # Errors
    /// It is still there.
    pub(super) fn remove(&self, id: Id) -> io::Result<()> {
        let _call = self.pending.enter("deletion", Some(id));
        match fs::remove_file(id.path(&self.path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what an interrupted [`Directory::create`] left behind.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(super) fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.ends_with(TEMPORARY)) {
                // One that stays costs room and nothing else.
                fs::remove_file(entry.path()).ok();
            }
        }
        Ok(())
    }
}

/// Whether a file has a name left.
pub(super) fn is_linked(file: &File) -> bool {
    // A file system that does not tell is no proof of a deletion.
    file.metadata().map_or(true, |data| data.nlink() > 0)
}

/// Whether a path leads to this open file.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(theirs)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino(), true) == (theirs.dev(), theirs.ino(), ours.nlink() > 0)
}

/// What the header of a segment says, and the open file.
///
/// # Errors
/// The file cannot be opened. A header that cannot be read counts as damaged.
pub(super) fn open(directory: &Path, id: Id) -> io::Result<(File, Header)> {
    let file = File::open(id.path(directory))?;
    let mut bytes = [0; HEADER];
    let header = file.read_exact_at(&mut bytes, 0).map_or(Header::Damaged, |()| Header::decode(&bytes));
    Ok((file, header))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_and_its_segments_are_private_and_their_names_read_back() {
        let outer = tempfile::tempdir().unwrap();
        let directory = Directory::open(&outer.path().join("a/b")).unwrap();
        let (id, file) = directory.create(42, 4096).unwrap();
        assert_eq!(list(&directory.path).unwrap(), [id]);
        assert_eq!(file.metadata().unwrap().len(), 4096);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(outer.path().join("a")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(open(&directory.path, id).unwrap().1, Header::Valid { marker: id.marker });
        directory.remove(id).unwrap();
        directory.remove(id).unwrap();
        assert_eq!(list(&directory.path).unwrap(), []);
    }

    #[test]
    fn other_files_are_not_segments() {
        for name in ["", ".journal", "1-2.journal", "lock", "00000000000000000001.journal", "x-y.journal.bak"] {
            assert_eq!(Id::parse(name), None, "{name}");
        }
        assert!(Id::parse("00000000000000000001-00000000000000ff.journal").is_some());
        for name in ["+0000000000000000001-00000000000000ff.journal", "18446744073709551615-00000000000000ff.journal"] {
            assert_eq!(Id::parse(name), None, "{name}");
        }
    }

    #[test]
    fn half_made_segments_are_swept() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("00000000000000000001-00000000000000ff.tmp"), "x").unwrap();
        Directory::open(outer.path()).unwrap().sweep().unwrap();
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 0);
    }
}
