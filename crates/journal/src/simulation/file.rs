//! An open file, or an open folder: of the operating system, or of a simulated machine.

#![expect(missing_docs, reason = "each means what its namesake means")]

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use super::{Leave, Machine, State, failed};

/// As `std::fs::File`, where a journal uses it.
#[derive(Debug)]
pub struct File(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    System(fs::File),
    Simulated(Open),
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) machine: Machine,
    pub(super) boot: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    File(usize),
    Folder(PathBuf),
}

/// As `std::fs::Metadata`.
#[derive(Debug)]
pub struct Metadata {
    pub(super) length: u64,
    pub(super) device: u64,
    pub(super) number: u64,
    pub(super) links: u64,
}

impl Metadata {
    #[expect(clippy::len_without_is_empty, reason = "the other has none")]
    pub fn len(&self) -> u64 {
        self.length
    }
}

impl Open {
    fn number(&self) -> io::Result<usize> {
        match &self.what {
            What::File(number) => Ok(*number),
            What::Folder(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn metadata(&self) -> io::Result<Metadata> {
        let mut state = self.machine.state();
        state.alive(self.boot)?;
        Ok(match &self.what {
            What::File(number) => state.metadata(*number),
            What::Folder(path) => State::folder_metadata(path),
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let number = self.number()?;
        let mut state = self.machine.state();
        match state.begin(self.boot, 0.0, |counts| &mut counts.stopped_in_names)? {
            Leave::Whole => state.disk.file(number).set_length(length as usize),
            Leave::Part => return Err(failed()),
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.machine.state();
        let State { faults, lies, .. } = *state;
        match &self.what {
            What::Folder(path) => {
                match state.begin(self.boot, faults.names, |counts| &mut counts.stopped_in_names)? {
                    Leave::Whole if lies => {}
                    Leave::Whole => state.disk.sync_folder(path),
                    Leave::Part => return Err(state.failed_names()),
                }
                Ok(())
            }
            What::File(number) => {
                match state.begin(self.boot, faults.sync, |counts| &mut counts.stopped_in_sync)? {
                    Leave::Whole if lies => {}
                    Leave::Whole => state.disk.file(*number).sync(),
                    Leave::Part => {
                        state.fail_sync(*number);
                        return Err(failed());
                    }
                }
                Ok(())
            }
        }
    }

    fn read(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let number = self.number()?;
        let mut state = self.machine.state();
        state.alive(self.boot)?;
        let bytes = &state.disk.file(number).seen;
        let from = (at as usize).min(bytes.len());
        let length = into.len().min(bytes.len() - from);
        into[..length].copy_from_slice(&bytes[from..from + length]);
        Ok(length)
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let number = self.number()?;
        let mut state = self.machine.state();
        let fault = state.faults.write;
        match state.begin(self.boot, fault, |counts| &mut counts.stopped_in_write)? {
            Leave::Whole => {
                state.disk.file(number).write(bytes, at as usize);
                Ok(bytes.len())
            }
            Leave::Part => {
                let part = state.rng.usize(..=bytes.len());
                state.disk.file(number).write(&bytes[..part], at as usize);
                state.counts.failed_writes += u64::from(!state.stopped);
                Err(failed())
            }
        }
    }
}

impl State {
    pub(super) fn failed_names(&mut self) -> io::Error {
        self.counts.failed_names += u64::from(!self.stopped);
        failed()
    }

    /// A sync that the machine stops in may have done all of its work, or what a power cut leaves of it.
    fn fail_sync(&mut self, number: usize) {
        let State { disk, rng, .. } = self;
        if !self.stopped {
            self.counts.failed_syncs += 1;
            disk.file(number).forget(rng);
        } else if rng.bool() {
            disk.file(number).sync();
        }
    }
}

impl File {
    pub fn metadata(&self) -> io::Result<Metadata> {
        match &self.0 {
            Kind::System(file) => file.metadata().map(|data| Metadata::of(&data)),
            Kind::Simulated(open) => open.metadata(),
        }
    }

    pub fn set_len(&self, length: u64) -> io::Result<()> {
        match &self.0 {
            Kind::System(file) => file.set_len(length),
            Kind::Simulated(open) => open.set_len(length),
        }
    }

    pub fn sync_data(&self) -> io::Result<()> {
        match &self.0 {
            Kind::System(file) => file.sync_data(),
            Kind::Simulated(open) => open.sync(),
        }
    }

    pub fn sync_all(&self) -> io::Result<()> {
        match &self.0 {
            Kind::System(file) => file.sync_all(),
            Kind::Simulated(open) => open.sync(),
        }
    }

    pub fn try_lock(&self) -> Result<(), fs::TryLockError> {
        match &self.0 {
            Kind::System(file) => file.try_lock(),
            Kind::Simulated(open) => {
                let number = open.number().map_err(fs::TryLockError::Error)?;
                let locked = open.machine.state().disk.lock(number);
                if locked { Ok(()) } else { Err(fs::TryLockError::WouldBlock) }
            }
        }
    }

    // The simulated machine unlocks what its process held when that ends.
    pub fn unlock(&self) -> io::Result<()> {
        match &self.0 {
            Kind::System(file) => file.unlock(),
            Kind::Simulated(_) => Ok(()),
        }
    }
}

impl FileExt for File {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        match &self.0 {
            Kind::System(file) => file.read_at(into, at),
            Kind::Simulated(open) => open.read(into, at),
        }
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        match &self.0 {
            Kind::System(file) => file.write_at(bytes, at),
            Kind::Simulated(open) => open.write(bytes, at),
        }
    }
}

/// Of the lock file alone: a simulated one always begins at its start.
impl Read for &File {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Kind::System(file) => (&mut &*file).read(into),
            Kind::Simulated(_) => Ok(0),
        }
    }
}

/// As above.
impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::System(file) => file.write(bytes),
            Kind::Simulated(open) => open.write(bytes, 0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
