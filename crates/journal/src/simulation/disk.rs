//! What is on the disk: as it is seen, and as it would be after a power cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use memchr::memmem;

use super::counts::Counts;

/// What the disk writes whole, unless it tears it.
const BLOCK: usize = 512;
/// Bytes of the disk.
const CAPACITY: u64 = 64 << 20;

/// One file.
#[derive(Default)]
pub(super) struct File {
    /// As it is seen.
    pub(super) seen: Vec<u8>,
    /// As it was synced.
    synced: Vec<u8>,
    /// Blocks that were written since.
    dirty: BTreeSet<usize>,
    locked: bool,
}

/// A change of a name.
#[derive(Clone)]
enum Change {
    Set(PathBuf, usize),
    Remove(PathBuf),
}

/// Files and their names. Folders are durable at once.
#[derive(Default)]
pub(super) struct Disk {
    files: Vec<File>,
    folders: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    /// Since the last sync of their folder, in order.
    changes: Vec<Change>,
}

impl Disk {
    pub(super) fn file(&mut self, number: usize) -> &mut File {
        &mut self.files[number]
    }

    pub(super) fn find(&self, path: &Path) -> Option<usize> {
        self.names.get(path).copied()
    }

    pub(super) fn is_folder(&self, path: &Path) -> bool {
        path == Path::new("/") || self.folders.contains(path)
    }

    pub(super) fn make_folder(&mut self, path: &Path) {
        self.folders.insert(path.to_owned());
    }

    /// The files of a folder.
    pub(super) fn list(&self, folder: &Path) -> Vec<PathBuf> {
        self.names.keys().filter(|path| path.parent() == Some(folder)).cloned().collect()
    }

    pub(super) fn links(&self, number: usize) -> u64 {
        self.names.values().filter(|other| **other == number).count() as u64
    }

    pub(super) fn make(&mut self, path: &Path) -> usize {
        self.files.push(File::default());
        self.name(path, self.files.len() - 1);
        self.files.len() - 1
    }

    fn name(&mut self, path: &Path, number: usize) {
        self.names.insert(path.to_owned(), number);
        self.changes.push(Change::Set(path.to_owned(), number));
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        self.changes.push(Change::Remove(path.to_owned()));
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let number = self.find(from).ok_or(io::ErrorKind::NotFound)?;
        self.remove(from)?;
        self.name(to, number);
        Ok(())
    }

    pub(super) fn sync_folder(&mut self, folder: &Path) {
        let (here, elsewhere) = std::mem::take(&mut self.changes).into_iter().partition(|change| {
            let (Change::Set(path, _) | Change::Remove(path)) = change;
            path.parent() == Some(folder)
        });
        self.changes = elsewhere;
        self.make_durable(here);
    }

    fn make_durable(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Set(path, number) => self.synced_names.insert(path, number),
                Change::Remove(path) => self.synced_names.remove(&path),
            };
        }
    }

    pub(super) fn free(&self) -> u64 {
        let taken: usize = self.names.values().map(|number| self.files[*number].seen.len()).sum();
        CAPACITY.saturating_sub(taken as u64)
    }

    pub(super) fn keeps(&self, bytes: &[u8]) -> bool {
        let finder = memmem::Finder::new(bytes);
        self.synced_names.values().any(|number| finder.find(&self.files[*number].synced).is_some())
    }

    pub(super) fn lock(&mut self, number: usize) -> bool {
        !std::mem::replace(&mut self.files[number].locked, true)
    }

    pub(super) fn unlock(&mut self) {
        self.files.iter_mut().for_each(|file| file.locked = false);
    }

    /// Names changed in order, so that some of the first changes are there; blocks in any.
    pub(super) fn lose_power(&mut self, rng: &mut fastrand::Rng, counts: &mut Counts) {
        let kept = rng.usize(..=self.changes.len());
        counts.names_undone += (self.changes.len() - kept) as u64;
        let mut changes = std::mem::take(&mut self.changes);
        changes.truncate(kept);
        self.make_durable(changes);
        self.names = self.synced_names.clone();
        self.files.iter_mut().for_each(|file| file.lose_power(rng, counts));
    }
}

impl File {
    pub(super) fn write(&mut self, bytes: &[u8], at: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
        }
        self.seen[at..end].copy_from_slice(bytes);
        self.dirty.extend(at / BLOCK..=(end - 1) / BLOCK);
    }

    pub(super) fn set_length(&mut self, length: usize) {
        self.seen.resize(length, 0);
        self.dirty.retain(|block| block * BLOCK < length);
    }

    pub(super) fn sync(&mut self) {
        self.synced.resize(self.seen.len(), 0);
        for block in std::mem::take(&mut self.dirty) {
            let range = block * BLOCK..((block + 1) * BLOCK).min(self.seen.len());
            self.synced[range.clone()].copy_from_slice(&self.seen[range]);
        }
    }

    /// A sync failed: what was written may be seen on, and is not going to be durable.
    pub(super) fn forget(&mut self, rng: &mut fastrand::Rng) {
        let evicted = rng.bool();
        for block in std::mem::take(&mut self.dirty) {
            let range = block * BLOCK..((block + 1) * BLOCK).min(self.seen.len());
            self.synced.resize(self.synced.len().max(range.end), 0);
            if evicted {
                self.seen[range.clone()].copy_from_slice(&self.synced[range]);
            }
        }
    }

    fn lose_power(&mut self, rng: &mut fastrand::Rng, counts: &mut Counts) {
        if self.dirty.is_empty() && self.seen.len() == self.synced.len() {
            self.seen.clone_from(&self.synced);
            return;
        }
        let length = if rng.bool() { self.seen.len() } else { self.synced.len() };
        self.synced.resize(length, 0);
        for block in std::mem::take(&mut self.dirty) {
            let (from, end) = (block * BLOCK, ((block + 1) * BLOCK).min(self.seen.len()).min(length));
            if end <= from {
                continue;
            }
            let kept = match rng.u8(..4) {
                0 => 0,
                1 => rng.usize(..end - from),
                _ => end - from,
            };
            counts.dropped += u64::from(kept == 0);
            counts.torn += u64::from((1..end - from).contains(&kept));
            self.synced[from..from + kept].copy_from_slice(&self.seen[from..from + kept]);
        }
        self.seen.clone_from(&self.synced);
    }
}
