//! The names of `std::fs` and `rustix::fs` that a journal uses: they lead to the machine of this thread, if it has one.

#![expect(missing_docs, reason = "each means what its namesake means")]

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FallocateFlags, StatFs, StatVfs},
    io::Errno,
};

pub use super::file::{File, Metadata};
use super::{
    Leave, Machine, State,
    file::{Kind, Open, What},
};

pub trait MetadataExt {
    fn dev(&self) -> u64;
    fn ino(&self) -> u64;
    fn nlink(&self) -> u64;
}

impl MetadataExt for Metadata {
    fn dev(&self) -> u64 {
        self.device
    }

    fn ino(&self) -> u64 {
        self.number
    }

    fn nlink(&self) -> u64 {
        self.links
    }
}

impl Metadata {
    pub(super) fn of(data: &fs::Metadata) -> Metadata {
        use std::os::unix::fs::MetadataExt as _;
        Metadata { length: data.len(), device: data.dev(), number: data.ino(), links: data.nlink() }
    }
}

impl File {
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }
}

impl State {
    pub(super) fn metadata(&mut self, number: usize) -> Metadata {
        let length = self.disk.file(number).seen.len() as u64;
        Metadata { length, device: 0, number: number as u64, links: self.disk.links(number) }
    }

    /// Folders are never removed, so that any number will do.
    pub(super) fn folder_metadata(path: &Path) -> Metadata {
        let number = u64::from(crc32c::crc32c(path.as_os_str().as_encoded_bytes())) | 1 << 40;
        Metadata { length: 0, device: 0, number, links: 1 }
    }

    /// A change of names begins: it fails, or is to be made.
    fn change(&mut self) -> io::Result<()> {
        let (boot, fault) = (self.boot, self.faults.names);
        match self.begin(boot, fault, |counts| &mut counts.stopped_in_names)? {
            Leave::Whole => Ok(()),
            Leave::Part => Err(self.failed_names()),
        }
    }
}

pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref();
    let Some(machine) = Machine::here() else { return fs::metadata(path).map(|data| Metadata::of(&data)) };
    let mut state = machine.state();
    state.alive(state.boot)?;
    if state.disk.is_folder(path) {
        return Ok(State::folder_metadata(path));
    }
    let number = state.disk.find(path).ok_or(io::ErrorKind::NotFound)?;
    Ok(state.metadata(number))
}

pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let Some(machine) = Machine::here() else { return fs::rename(from, to) };
    let mut state = machine.state();
    state.change()?;
    state.disk.rename(from.as_ref(), to.as_ref())
}

pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let Some(machine) = Machine::here() else { return fs::remove_file(path) };
    let mut state = machine.state();
    state.change()?;
    state.disk.remove(path.as_ref())
}

/// A name in a folder.
#[derive(Debug)]
pub struct DirEntry {
    path: PathBuf,
    is_file: bool,
}

/// Whether it is a file.
#[derive(Debug, Clone, Copy)]
pub struct FileType(bool);

impl DirEntry {
    pub fn file_name(&self) -> OsString {
        self.path.file_name().unwrap_or_default().to_owned()
    }

    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    pub fn file_type(&self) -> io::Result<FileType> {
        Ok(FileType(self.is_file))
    }
}

impl FileType {
    pub fn is_file(self) -> bool {
        self.0
    }
}

pub fn read_dir(folder: impl AsRef<Path>) -> io::Result<impl Iterator<Item = io::Result<DirEntry>>> {
    let folder = folder.as_ref();
    let entries: Vec<io::Result<DirEntry>> = match Machine::here() {
        None => fs::read_dir(folder)?
            .map(|entry| {
                entry.and_then(|entry| Ok(DirEntry { path: entry.path(), is_file: entry.file_type()?.is_file() }))
            })
            .collect(),
        Some(machine) => {
            let state = machine.state();
            state.alive(state.boot)?;
            state.disk.list(folder).into_iter().map(|path| Ok(DirEntry { path, is_file: true })).collect()
        }
    };
    Ok(entries.into_iter())
}

#[derive(Debug)]
pub struct DirBuilder(fs::DirBuilder);

impl DirBuilder {
    #[expect(clippy::new_without_default, reason = "as the other")]
    pub fn new() -> DirBuilder {
        DirBuilder(fs::DirBuilder::new())
    }

    pub fn create(&self, path: &Path) -> io::Result<()> {
        let Some(machine) = Machine::here() else { return self.0.create(path) };
        machine.state().disk.make_folder(path);
        Ok(())
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.0.mode(mode);
        self
    }
}

#[derive(Debug)]
pub struct OpenOptions {
    system: fs::OpenOptions,
    create: bool,
    create_new: bool,
}

impl OpenOptions {
    #[expect(clippy::new_without_default, reason = "as the other")]
    pub fn new() -> OpenOptions {
        OpenOptions { system: fs::OpenOptions::new(), create: false, create_new: false }
    }

    pub fn read(&mut self, read: bool) -> &mut Self {
        self.system.read(read);
        self
    }

    pub fn write(&mut self, write: bool) -> &mut Self {
        self.system.write(write);
        self
    }

    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.system.truncate(truncate);
        self
    }

    pub fn create(&mut self, create: bool) -> &mut Self {
        self.system.create(create);
        self.create = create;
        self
    }

    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.system.create_new(create_new);
        self.create_new = create_new;
        self
    }

    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        let Some(machine) = Machine::here() else { return self.system.open(path).map(|file| File(Kind::System(file))) };
        let mut state = machine.state();
        state.alive(state.boot)?;
        let what = match state.disk.find(path) {
            _ if state.disk.is_folder(path) => What::Folder(path.to_owned()),
            Some(_) if self.create_new => return Err(io::ErrorKind::AlreadyExists.into()),
            Some(number) => What::File(number),
            None if self.create_new || self.create => {
                state.change()?;
                What::File(state.disk.make(path))
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let boot = state.boot;
        drop(state);
        Ok(File(Kind::Simulated(Open { machine, boot, what })))
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.system.mode(mode);
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.system.custom_flags(flags);
        self
    }
}

pub fn fallocate(file: &File, flags: FallocateFlags, from: u64, size: u64) -> rustix::io::Result<()> {
    match &file.0 {
        Kind::System(file) => rustix::fs::fallocate(file, flags, from, size),
        Kind::Simulated(Open { machine, boot, what }) => {
            let What::File(number) = what else { return Err(Errno::ISDIR) };
            let mut state = machine.state();
            state.alive(*boot).map_err(|_| Errno::IO)?;
            if state.faults.full || state.disk.free() < size {
                return Err(Errno::NOSPC);
            }
            let file = state.disk.file(*number);
            let length = file.seen.len().max((from + size) as usize);
            file.set_length(length);
            Ok(())
        }
    }
}

pub fn fstatvfs(file: &File) -> rustix::io::Result<StatVfs> {
    let Open { machine, boot, .. } = match &file.0 {
        Kind::System(file) => return rustix::fs::fstatvfs(file),
        Kind::Simulated(open) => open,
    };
    let mut answer = rustix::fs::statvfs("/")?;
    let mut state = machine.state();
    state.alive(*boot).map_err(|_| Errno::IO)?;
    state.counts.full += u64::from(state.faults.full);
    let free = if state.faults.full { 0 } else { state.disk.free() };
    (answer.f_frsize, answer.f_blocks, answer.f_bfree, answer.f_bavail) = (1, 1 << 30, free, free);
    Ok(answer)
}

pub fn fstatfs(file: &File) -> rustix::io::Result<StatFs> {
    match &file.0 {
        Kind::System(file) => rustix::fs::fstatfs(file),
        Kind::Simulated(_) => Err(Errno::NOSYS),
    }
}
