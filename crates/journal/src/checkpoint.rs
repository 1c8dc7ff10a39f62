//! The small file that keeps, over a restart, which sequences are done with: acknowledged, dropped, found lost, or never
//! the number of a record.
//!
//! Losing it costs duplicates and no record, so it never stops a start. Everything in it has two slots, in blocks of
//! their own, that are written in turn: a torn write spoils the older one.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 and 4096 | 24 | the low-water mark as version 1 wrote it, which is all that an older program reads |
//! | 8192 and 8192 + [`PART`] | up to [`PART`] | magic, number of ranges, turn, highest and next sequence, ranges (first, last), CRC32C |

use std::{io, os::unix::fs::FileExt as _, path::Path};

use rustix::fs::FallocateFlags;

use super::{
    disk::{File, fallocate},
    format::{u32_at, u64_at},
    ranges::Ranges,
    segment,
};

/// Name of the file.
pub(super) const NAME: &str = "acknowledged";
/// What a store is called while the disk works.
pub(super) const STORE: &str = "fdatasync of the acknowledged ranges";
/// Most ranges that are stored; 128 KiB.
pub(super) const MOST_RANGES: usize = if cfg!(test) { 64 } else { 8192 };

const MAGIC: u32 = u32::from_le_bytes(*b"ACK1");
const SLOT: usize = 24;
const SLOTS: [u64; 2] = [0, 4096];

const MAGIC_RANGES: u32 = u32::from_le_bytes(*b"ACK2");
const HEAD: usize = 32;
const RANGE: usize = 16;
/// Room of one part with ranges, in bytes: whole blocks.
const PART: u64 = ((HEAD + MOST_RANGES * RANGE + 4) as u64).next_multiple_of(4096);
const PARTS: [u64; 2] = [8192, 8192 + PART];

/// What is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// The sequences that are done with. The first range, if it begins at 1, ends at the low-water mark.
    pub(super) done: Ranges,
    /// The highest sequence that was answered.
    pub(super) highest: u64,
    /// Every sequence from here on was never given out; 0 when unknown.
    pub(super) next: u64,
}

/// The file, open.
#[derive(Debug)]
pub(super) struct Checkpoint {
    file: File,
    turn: u64,
    /// What is on the disk.
    pub(super) stored: Marks,
    /// Whether ranges were found, or written since. Without them, a hole between segments may be one or not.
    pub(super) has_ranges: bool,
}

impl Checkpoint {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// It cannot be opened. Wrong bytes in it are no error.
    pub(super) fn open(directory: &Path) -> io::Result<Checkpoint> {
        let file = segment::file(directory, NAME)?;
        // On a full disk, these marks are what makes room again. A disk that reserves nothing is as good until then.
        fallocate(&file, FallocateFlags::empty(), 0, PARTS[1] + PART).ok();
        let slot = SLOTS.iter().filter_map(|at| read_low_water(&file, *at)).max();
        let (slot_turn, low_water) = slot.unwrap_or_default();
        let part = PARTS.iter().filter_map(|at| read_marks(&file, *at)).max_by_key(|(turn, _)| *turn);
        let has_ranges = part.is_some();
        let (turn, mut stored) = part.unwrap_or_default();
        if slot_turn > turn {
            // An older program stored a mark, or the ranges beside it were torn: the older ones still hold.
            let front = (low_water > 0).then_some((1, low_water));
            let behind = stored.done.iter().filter(|range| range.1 > low_water);
            stored.done = Ranges::rising(front.into_iter().chain(behind));
            stored.highest = stored.highest.max(low_water);
        }
        Ok(Checkpoint { file, turn: turn.max(slot_turn), stored, has_ranges })
    }

    /// From now on each store fails.
    #[cfg(test)]
    pub(super) fn refuse(&mut self, directory: &Path) {
        self.file = File::open(directory.join(NAME)).unwrap();
    }

    /// Makes new marks durable; at most [`MOST_RANGES`] ranges of them.
    ///
    /// # Errors
    /// The old ones, or none, may be found at the next start.
    pub(super) fn store(&mut self, marks: Marks) -> io::Result<()> {
        if marks == self.stored && self.has_ranges {
            return Ok(());
        }
        let turn = self.turn + 1;
        let place = (turn % 2) as usize;
        self.file.write_all_at(&encode_marks(turn, &marks), PARTS[place])?;
        self.file.write_all_at(&encode_low_water(turn, marks.done.low_water()), SLOTS[place])?;
        self.file.sync_data()?;
        (self.turn, self.stored, self.has_ranges) = (turn, marks, true);
        Ok(())
    }
}

fn encode_low_water(turn: u64, low_water: u64) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    slot[4..12].copy_from_slice(&turn.to_le_bytes());
    slot[12..20].copy_from_slice(&low_water.to_le_bytes());
    let sum = crc32c::crc32c(&slot[..20]);
    slot[20..24].copy_from_slice(&sum.to_le_bytes());
    slot
}

fn encode_marks(turn: u64, marks: &Marks) -> Vec<u8> {
    let ranges = marks.done.iter().take(MOST_RANGES);
    let mut part = Vec::with_capacity(HEAD + ranges.len() * RANGE + 4);
    part.extend_from_slice(&MAGIC_RANGES.to_le_bytes());
    part.extend_from_slice(&(ranges.len() as u32).to_le_bytes());
    part.extend_from_slice(&turn.to_le_bytes());
    part.extend_from_slice(&marks.highest.to_le_bytes());
    part.extend_from_slice(&marks.next.to_le_bytes());
    for (first, last) in ranges {
        part.extend_from_slice(&first.to_le_bytes());
        part.extend_from_slice(&last.to_le_bytes());
    }
    let sum = crc32c::crc32c(&part);
    part.extend_from_slice(&sum.to_le_bytes());
    part
}

/// Turn and mark of a slot whose CRC holds.
fn read_low_water(file: &File, at: u64) -> Option<(u64, u64)> {
    let mut slot = [0; SLOT];
    file.read_exact_at(&mut slot, at).ok()?;
    let holds = u32_at(&slot, 0) == MAGIC && crc32c::crc32c(&slot[..20]) == u32_at(&slot, 20);
    holds.then(|| (u64_at(&slot, 4), u64_at(&slot, 12)))
}

/// Turn and marks of a part whose CRC holds.
fn read_marks(file: &File, at: u64) -> Option<(u64, Marks)> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, at).ok()?;
    let count = u32_at(&head, 4) as usize;
    if u32_at(&head, 0) != MAGIC_RANGES || count > MOST_RANGES {
        return None;
    }
    let mut part = vec![0; HEAD + count * RANGE + 4];
    file.read_exact_at(&mut part, at).ok()?;
    let (part, sum) = part.split_at(HEAD + count * RANGE);
    if crc32c::crc32c(part) != u32_at(sum, 0) {
        return None;
    }
    let ranges = part[HEAD..].chunks_exact(RANGE).map(|range| (u64_at(range, 0), u64_at(range, 8)));
    let (highest, next) = (u64_at(part, 16), u64_at(part, 24));
    Some((u64_at(part, 8), Marks { done: Ranges::rising(ranges), highest, next }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(ranges: &[(u64, u64)], highest: u64) -> Marks {
        Marks { done: Ranges::rising(ranges.iter().copied()), highest, next: 0 }
    }

    fn stored(directory: &Path) -> Marks {
        Checkpoint::open(directory).unwrap().stored
    }

    #[test]
    fn the_newest_whole_marks_count() {
        let outer = tempfile::tempdir().unwrap();
        let mut file = Checkpoint::open(outer.path()).unwrap();
        assert_eq!((&file.stored, file.has_ranges), (&Marks::default(), false));
        let turns = [marks(&[(1, 5)], 9), marks(&[(1, 5), (7, 8)], 9), marks(&[(1, 12), (20, 30)], 31)];
        for marks in &turns {
            file.store(marks.clone()).unwrap();
            assert_eq!(stored(outer.path()), *marks);
        }
        // Turn 3 stands in the second places. With its ranges torn, its low-water mark still counts, and the ranges before it.
        file.file.write_all_at(b"x", PARTS[1] + 30).unwrap();
        assert_eq!(stored(outer.path()), marks(&[(1, 12)], 12));
        file.file.write_all_at(b"x", SLOTS[1] + 13).unwrap();
        assert_eq!(stored(outer.path()), turns[1]);
        file.file.write_all_at(b"x", PARTS[0] + 30).unwrap();
        assert_eq!(stored(outer.path()), marks(&[(1, 5)], 5));
        assert!(!Checkpoint::open(outer.path()).unwrap().has_ranges);
        file.file.set_len(3).unwrap();
        assert_eq!(stored(outer.path()), Marks::default());
    }

    #[test]
    fn each_torn_byte_of_a_store_leaves_the_marks_before_it() {
        let outer = tempfile::tempdir().unwrap();
        let mut file = Checkpoint::open(outer.path()).unwrap();
        let (old, new) = (marks(&[(1, 5), (7, 8)], 9), marks(&[(1, 5), (7, 10)], 12));
        file.store(old.clone()).unwrap();
        file.store(new.clone()).unwrap();
        assert_eq!(file.turn % 2, 0);
        for (at, length) in [(PARTS[0], encode_marks(2, &new).len() as u64), (SLOTS[0], SLOT as u64)] {
            for byte in at..at + length {
                let mut good = [0];
                file.file.read_exact_at(&mut good, byte).unwrap();
                file.file.write_all_at(&[good[0] ^ 1], byte).unwrap();
                assert_eq!(stored(outer.path()), if at == PARTS[0] { old.clone() } else { new.clone() }, "byte {byte}");
                file.file.write_all_at(&good, byte).unwrap();
            }
        }
        assert_eq!(stored(outer.path()), new);
    }

    #[test]
    fn an_older_program_reads_the_low_water_mark_and_its_own_is_read() {
        let outer = tempfile::tempdir().unwrap();
        let mut file = Checkpoint::open(outer.path()).unwrap();
        file.store(marks(&[(1, 5), (8, 9)], 11)).unwrap();
        // Its slots are where they were, with the bytes that they had.
        let mut slot = [0; SLOT];
        file.file.read_exact_at(&mut slot, 4096).unwrap();
        assert_eq!(&slot[..20], b"ACK1\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0");
        assert_eq!(read_low_water(&file.file, SLOTS[1]), Some((1, 5)));
        file.file.write_all_at(&encode_low_water(2, 8), SLOTS[0]).unwrap();
        assert_eq!(stored(outer.path()), marks(&[(1, 9)], 11));
        // A file of version 1 alone.
        std::fs::remove_file(outer.path().join(NAME)).unwrap();
        std::fs::write(outer.path().join(NAME), encode_low_water(1, 7)).unwrap();
        let file = Checkpoint::open(outer.path()).unwrap();
        assert_eq!((file.stored, file.has_ranges), (marks(&[(1, 7)], 7), false));
    }

    #[test]
    fn as_many_ranges_as_fit_are_read_back() {
        let outer = tempfile::tempdir().unwrap();
        let mut file = Checkpoint::open(outer.path()).unwrap();
        let many: Vec<_> = (0..MOST_RANGES as u64).map(|n| (3 * n + 1, 3 * n + 2)).collect();
        for highest in [1000, 1001] {
            file.store(marks(&many, highest)).unwrap();
            assert_eq!(stored(outer.path()), marks(&many, highest));
        }
        assert!(encode_marks(1, &marks(&many, 1)).len() as u64 <= PART);
    }
}
