//! The small file that remembers the low-water mark over a restart.
//!
//! In: the mark. Out: the mark. Losing it costs duplicates and no record, so it never stops a start.
//!
//! Two slots, in blocks of their own, are written in turn: a torn write spoils the older one.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use super::{
    format::{u32_at, u64_at},
    segment::Directory,
};

/// Name of the file.
pub(super) const NAME: &str = "acknowledged";
/// What a store is called while the disk works.
pub(super) const STORE: &str = "fdatasync of the low-water mark";
const MAGIC: u32 = u32::from_le_bytes(*b"ACK1");
const SLOT: usize = 24;
const SLOTS: [u64; 2] = [0, 4096];

/// The file, open.
#[derive(Debug)]
pub(super) struct Acknowledged {
    file: File,
    turn: u64,
    low_water: u64,
}

impl Acknowledged {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// It cannot be opened. What stands in it is no error.
    pub(super) fn open(directory: &Directory) -> io::Result<Acknowledged> {
        let file = directory.file(NAME)?;
        let (turn, low_water) = SLOTS.iter().filter_map(|at| read(&file, *at)).max().unwrap_or_default();
        Ok(Acknowledged { file, turn, low_water })
    }

    /// The mark that is on the disk; 0 without one.
    pub(super) fn low_water(&self) -> u64 {
        self.low_water
    }

    /// Makes a new mark durable.
    ///
    /// # Errors
    /// The old one, or none, may be found at the next start.
    pub(super) fn store(&mut self, low_water: u64) -> io::Result<()> {
        if low_water == self.low_water {
            return Ok(());
        }
        let turn = self.turn + 1;
        let mut slot = [0; SLOT];
        slot[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        slot[4..12].copy_from_slice(&turn.to_le_bytes());
        slot[12..20].copy_from_slice(&low_water.to_le_bytes());
        let sum = crc32c::crc32c(&slot[..20]);
        slot[20..24].copy_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(&slot, SLOTS[(turn % 2) as usize])?;
        self.file.sync_data()?;
        (self.turn, self.low_water) = (turn, low_water);
        Ok(())
    }
}

/// Turn and mark of a slot whose CRC holds.
fn read(file: &File, at: u64) -> Option<(u64, u64)> {
    let mut slot = [0; SLOT];
    file.read_exact_at(&mut slot, at).ok()?;
    let holds = u32_at(&slot, 0) == MAGIC && crc32c::crc32c(&slot[..20]) == u32_at(&slot, 20);
    holds.then(|| (u64_at(&slot, 4), u64_at(&slot, 12)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_slot_counts() {
        let outer = tempfile::tempdir().unwrap();
        let directory = Directory::open(outer.path()).unwrap();
        let mut file = Acknowledged::open(&directory).unwrap();
        assert_eq!(file.low_water(), 0);
        for mark in [5, 9, 12] {
            file.store(mark).unwrap();
            assert_eq!(Acknowledged::open(&directory).unwrap().low_water(), mark);
        }
        // Turn 3 stands in the second slot: with it torn, the mark before it counts; with both torn, none does.
        file.file.write_all_at(b"x", SLOTS[1] + 13).unwrap();
        assert_eq!(Acknowledged::open(&directory).unwrap().low_water(), 9);
        file.file.set_len(3).unwrap();
        assert_eq!(Acknowledged::open(&directory).unwrap().low_water(), 0);
    }
}
