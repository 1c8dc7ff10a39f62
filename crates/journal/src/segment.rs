//! Segment files and their directory: locking, listing, creating, writing, removing.
//!
//! A file that was created here is there after a power cut, too. No frame is read here.

use std::{
    fs::TryLockError,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{fs::FallocateFlags, io::Errno};

use super::{
    clock::unix_micros,
    disk::{DirBuilder, File, MetadataExt as _, OpenOptions, fallocate, fs, fstatfs, fstatvfs},
    disk_watchdog::DiskWatchdog,
    format::{HEADER, Header, Id, Marker, TEMPORARY},
    options::OpenError,
};

/// The file that holds the directory for one process.
const LOCK: &str = "lock";

/// `statfs` magic numbers of file systems that live in memory: tmpfs and ramfs.
const MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

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

/// [`list`] without the lock: a directory that changes while it is read may show a new segment and hide the one before
/// it, so it is read until two answers agree.
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

/// A journal's directory, open and locked.
#[derive(Debug)]
pub(super) struct Directory {
    /// Where it is, absolute: a relative path is another place for each reader of a message.
    pub(super) path: PathBuf,
    handle: File,
    /// Holds the lock until it is dropped.
    lock: File,
    /// The disk call that runs now.
    pub(super) watchdog: Arc<DiskWatchdog>,
}

impl Drop for Directory {
    /// Closing the file is not enough: a child that another thread starts now holds a copy of it until it runs its own program.
    fn drop(&mut self) {
        // What cannot be unlocked is unlocked with the last copy.
        let _unlocked = self.lock.unlock();
    }
}

impl Directory {
    /// Takes the directory for this process, and makes it first (mode 0700, with its parents) where it is missing.
    ///
    /// # Errors
    /// It cannot be made or opened, or another journal has it.
    pub(super) fn open(path: &Path) -> Result<Directory, OpenError> {
        let refused = |source| OpenError::Directory { directory: path.to_owned(), source };
        make(path).map_err(refused)?;
        let handle = File::open(path).map_err(refused)?;
        let path = std::path::absolute(path).map_err(refused)?;
        let lock = lock(&path)?;
        Ok(Directory { watchdog: Arc::new(DiskWatchdog::new(path.clone())), path, handle, lock })
    }

    /// The wall clock, in Unix microseconds; tests set it.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests keep their clock here"))]
    pub(super) fn wall(&self) -> u64 {
        #[cfg(test)]
        return unix_micros() + self.watchdog.faults.ahead.load(std::sync::atomic::Ordering::SeqCst);
        #[cfg(not(test))]
        unix_micros()
    }

    /// Bytes that this process may still fill; `None` where the file system does not know: see [`free`].
    ///
    /// # Errors
    /// The file system does not answer.
    pub(super) fn free_bytes(&self) -> io::Result<Option<u64>> {
        let _call = self.watchdog.enter("statvfs", None);
        #[cfg(test)]
        if self.watchdog.faults.no_blocks.load(std::sync::atomic::Ordering::SeqCst) {
            return free(&File::open("/proc")?);
        }
        free(&self.handle)
    }

    /// Whether the directory lives in memory, so that a restart of the machine empties it.
    pub(super) fn in_memory(&self) -> bool {
        in_memory(&self.handle)
    }

    /// Makes the file's bytes durable.
    ///
    /// # Errors
    /// They may not be durable. A second try on the same file proves nothing: the kernel forgets the lost pages.
    pub(super) fn sync_data(&self, id: Id, file: &File) -> io::Result<()> {
        let _call = self.watchdog.enter("fdatasync", Some(id));
        #[cfg(test)]
        {
            use std::sync::atomic::Ordering::SeqCst;
            std::thread::sleep(std::time::Duration::from_millis(self.watchdog.faults.slow.load(SeqCst)));
            if self.watchdog.faults.syncs.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
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
        let _call = self.watchdog.enter("write", Some(id));
        file.write_all_at(bytes, at)
    }

    /// The first of the directory and its lock file that is not the one that was opened: another process may have it
    /// by now.
    pub(super) fn displaced(&self) -> Option<PathBuf> {
        let _call = self.watchdog.enter("stat", None);
        let opened = [(&self.handle, self.path.clone()), (&self.lock, self.path.join(LOCK))];
        opened.into_iter().find(|(file, path)| !is_at(file, path)).map(|(_, path)| path)
    }

    /// Whether the path of a segment still leads to this open file.
    pub(super) fn holds(&self, id: Id, file: &File) -> bool {
        let _call = self.watchdog.enter("stat", Some(id));
        is_at(file, &id.path(&self.path))
    }

    /// Makes names durable: files made, renamed and removed.
    ///
    /// # Errors
    /// They may not be durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Makes a segment of `size` bytes, whose header says that `before` was answered last. It gets its name only when it is whole, so that no half-made one is ever seen.
    ///
    /// # Errors
    /// No room, or the disk refused. Nothing is left behind.
    pub(super) fn create(&self, first: u64, before: u64, size: u64) -> io::Result<(Id, File)> {
        let id = Id { first, marker: Marker::random() };
        let _call = self.watchdog.enter("creation", Some(id));
        let temporary = id.temporary_path(&self.path);
        let made = self.write_new(&temporary, id, before, size).and_then(|file| {
            fs::rename(&temporary, id.path(&self.path))?;
            self.sync()?;
            Ok(file)
        });
        if made.is_err() {
            // Whatever is there by now holds no record.
            fs::remove_file(&temporary).or_else(|_| fs::remove_file(id.path(&self.path))).ok();
        }
        made.map(|file| (id, file))
    }

    fn write_new(&self, path: &Path, id: Id, before: u64, size: u64) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, size) {
            Ok(()) => {}
            // A file system that cannot reserve: a full disk then shows at a write, which poisons the segment. So it may on one that
            // copies on write, whatever is reserved.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(size)?,
            Err(errno) => return Err(errno.into()),
        }
        file.write_all_at(&Header::encode(id.first, id.marker, before), 0)?;
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
        let _call = self.watchdog.enter("deletion", Some(id));
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

/// Bytes that are free where a directory lies. A file system in user space may say that it has no blocks at all: that is
/// no full disk, it has nothing to count.
fn free(directory: &File) -> io::Result<Option<u64>> {
    let answer = fstatvfs(directory)?;
    Ok((answer.f_blocks > 0).then(|| answer.f_bavail.saturating_mul(answer.f_frsize)))
}

/// Makes a directory with its missing parents.
fn make(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|p| !p.as_os_str().is_empty() && fs::metadata(p).is_err()).collect();
    for made in missing.iter().rev() {
        DirBuilder::new().mode(0o700).create(made)?;
        // A directory is durable only when the one that names it is.
        let parent = made.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Opens, or makes with mode 0600, a file that is read and written in place.
///
/// # Errors
/// The file cannot be opened.
pub(super) fn file(directory: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(directory.join(name))
}

/// Takes the lock of a directory, and writes this process's number into it.
fn lock(directory: &Path) -> Result<File, OpenError> {
    let refused = |source| OpenError::Directory { directory: directory.to_owned(), source };
    let mut lock = file(directory, LOCK).map_err(refused)?;
    match lock.try_lock() {
        Ok(()) => {
            lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id())).map_err(refused)?;
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => {
            let pid = io::read_to_string(&lock).unwrap_or_default().trim().parse().ok();
            Err(OpenError::Locked { directory: directory.to_owned(), pid })
        }
        Err(TryLockError::Error(source)) => Err(refused(source)),
    }
}

fn in_memory(directory: &File) -> bool {
    let kind = fstatfs(directory).ok().and_then(|answer| u64::try_from(answer.f_type).ok());
    kind.is_some_and(|kind| MEMORY.contains(&kind))
}

/// Whether an error means that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT))
}

/// Whether a file has a name left.
pub(super) fn is_linked(file: &File) -> bool {
    // A file system that does not answer is no proof of a deletion.
    file.metadata().map_or(true, |data| data.nlink() > 0)
}

/// Whether a path leads to this open file.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(theirs)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino(), true) == (theirs.dev(), theirs.ino(), ours.nlink() > 0)
}

/// The open file of a segment, and its header.
///
/// # Errors
/// The file cannot be opened. A header that cannot be read counts as damaged.
pub(super) fn open(directory: &Path, id: Id) -> io::Result<(File, Header)> {
    #[cfg(test)]
    if UNOPENABLE.get() == id.first {
        return Err(io::Error::from_raw_os_error(5));
    }
    let file = File::open(id.path(directory))?;
    let mut bytes = [0; HEADER];
    let header = file.read_exact_at(&mut bytes, 0).map_or(Header::Damaged, |()| Header::decode(&bytes));
    Ok((file, header))
}

#[cfg(test)]
thread_local! {
    /// The first sequence of a segment that does not open; 0 for none.
    pub(super) static UNOPENABLE: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_and_its_segments_are_private_and_their_names_read_back() {
        let outer = tempfile::tempdir().unwrap();
        let directory = Directory::open(&outer.path().join("a/b")).unwrap();
        let (id, file) = directory.create(42, 40, 4096).unwrap();
        assert_eq!(list(&directory.path).unwrap(), [id]);
        assert_eq!(file.metadata().unwrap().len(), 4096);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(outer.path().join("a")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(open(&directory.path, id).unwrap().1, Header::Valid { marker: id.marker, before: Some(40) });
        directory.remove(id).unwrap();
        directory.remove(id).unwrap();
        fs::create_dir(id.path(&directory.path)).unwrap();
        assert!(directory.remove(id).is_err());
        assert_eq!(list(&directory.path).unwrap(), []);
    }

    #[test]
    fn a_full_disk_and_a_file_system_in_memory_are_known() {
        assert_eq!([28, 122, 5].map(|code| is_full(&io::Error::from_raw_os_error(code))), [true, true, false]);
        assert_eq!(["/dev/shm", "/proc"].map(|path| in_memory(&File::open(path).unwrap())), [true, false]);
    }

    #[test]
    fn a_file_system_without_blocks_is_unknown_and_not_full() {
        let outer = tempfile::tempdir().unwrap();
        assert!(free(&File::open(outer.path()).unwrap()).unwrap().is_some_and(|bytes| bytes > 0));
        assert_eq!(free(&File::open("/proc").unwrap()).unwrap(), None);
    }

    #[test]
    fn half_made_segments_are_swept() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("00000000000000000001-00000000000000ff.tmp"), "x").unwrap();
        Directory::open(outer.path()).unwrap().sweep().unwrap();
        let left: Vec<_> = fs::read_dir(outer.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [LOCK]);
    }

    #[cfg(not(feature = "simulation"))]
    #[test]
    fn a_closed_directory_is_free_though_a_starting_child_has_a_copy_of_its_lock() {
        let outer = tempfile::tempdir().unwrap();
        let directory = Directory::open(outer.path()).unwrap();
        let copy = directory.lock.try_clone().unwrap();
        assert!(matches!(Directory::open(outer.path()), Err(OpenError::Locked { .. })));
        drop(directory);
        Directory::open(outer.path()).unwrap();
        drop(copy);
    }
}
