//! The bytes of a segment, and its name. No file is touched here.
//!
//! A segment is named `<first sequence, 20 digits>-<marker, 16 hex digits>.journal`. The marker stands in the name as
//! well as in the header because a lost first block would otherwise take the marker, and with it the whole segment.
//! No two segments of a directory ever have the same first sequence, and a segment owns the sequences from its first up
//! to the next segment's first: what it holds beyond was written again by the next one.
//!
//! A segment is one header of 64 bytes, then frames without gaps, then zeros up to the preallocated size. All numbers
//! are little endian.
//!
//! | header | bytes | frame | bytes |
//! |---|---|---|---|
//! | magic `HOOKBUSJ` | 0..8 | marker of the segment | 0..8 |
//! | format version | 8..12 | CRC32C over bytes 12.. of the frame | 8..12 |
//! | zero | 12..16 | length of the head | 12..16 |
//! | first sequence | 16..24 | length of the body | 16..20 |
//! | marker | 24..32 | sequence | 20..28 |
//! | last answered sequence before it, plus 1 | 32..40 | recorded, Unix microseconds | 28..36 |
//! | zero | 40..60 | head, then body | 36.. |
//! | CRC32C over bytes 0..60 | 60..64 | | |
//!
//! The numbers between the last answered sequence and the first one are of no record: no disk took them, or a start passed
//! over them. 0 stands there in files of a program that did not write it, and is not looked at by one.
//!
//! The marker is random and never shown outside, so a payload that contains a whole forged frame is never taken for
//! a record while a reader looks for the next good frame behind damage. Magic, version and CRC stand where they stand
//! in every later version too: that is what lets an old program refuse a new file instead of calling it damaged.

use std::{
    hash::{BuildHasher as _, RandomState},
    path::{Path, PathBuf},
};

use super::record::Record;

/// Bytes of a segment's header.
pub(super) const HEADER: usize = 64;
/// Bytes of a frame before its head and body.
pub(super) const FRAME: usize = 36;
/// The format this program writes, and the newest one that it reads.
pub(super) const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"HOOKBUSJ";
const SUFFIX: &str = ".journal";
/// Ends the name of a segment that is not whole yet.
pub(super) const TEMPORARY: &str = ".tmp";

/// What begins every frame of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Marker(pub(super) [u8; 8]);

impl Marker {
    /// A new one. `RandomState` is keyed by the operating system; a plain generator could be worked out from numbers
    /// that other rooms show to the outside.
    pub(super) fn random() -> Marker {
        let bits = RandomState::new().hash_one(std::process::id());
        #[cfg(feature = "simulation")]
        let bits = crate::simulation::Machine::here().map_or(bits, |machine| machine.random());
        // Zero is what an unwritten tail looks like.
        Marker(bits.max(1).to_be_bytes())
    }
}

/// A segment's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    /// No record in it has a lower sequence.
    pub(super) first: u64,
    /// Begins each of its frames.
    pub(super) marker: Marker,
}

impl Id {
    /// Reads a file name; `None` for other files.
    pub(super) fn parse(name: &str) -> Option<Id> {
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

    /// Where it lies until it is whole.
    pub(super) fn temporary_path(&self, directory: &Path) -> PathBuf {
        self.named(directory, TEMPORARY)
    }

    fn named(&self, directory: &Path, suffix: &str) -> PathBuf {
        directory.join(format!("{:020}-{:016x}{suffix}", self.first, u64::from_be_bytes(self.marker.0)))
    }
}

/// What the first bytes of a file mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A segment of this format.
    Valid {
        /// The marker of its frames.
        marker: Marker,
        /// The last sequence that was answered before it; `None` in the files of older programs.
        before: Option<u64>,
    },
    /// A segment of a format that this program does not know.
    Newer(u32),
    /// Anything else.
    Damaged,
}

impl Header {
    /// The last sequence that was answered before this segment, if its header says so.
    pub(super) fn before(&self) -> Option<u64> {
        match self {
            Header::Valid { before, .. } => *before,
            Header::Newer(_) | Header::Damaged => None,
        }
    }

    /// Writes a header; `before` was answered last.
    pub(super) fn encode(first: u64, marker: Marker, before: u64) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&first.to_le_bytes());
        bytes[24..32].copy_from_slice(&marker.0);
        bytes[32..40].copy_from_slice(&(before + 1).to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header. The CRC is looked at before the version: a flipped bit must not read as a newer format.
    pub(super) fn decode(bytes: &[u8]) -> Header {
        let Some(bytes) = bytes.first_chunk::<HEADER>() else { return Header::Damaged };
        if bytes[0..8] != MAGIC || crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return Header::Damaged;
        }
        match u32_at(bytes, 8) {
            VERSION => Header::Valid {
                marker: Marker(u64_at(bytes, 24).to_le_bytes()),
                before: u64_at(bytes, 32).checked_sub(1),
            },
            version if version > VERSION => Header::Newer(version),
            _ => Header::Damaged,
        }
    }
}

/// The fixed part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    crc: u32,
    /// Length of the head in bytes.
    pub(super) head: u32,
    /// Length of the body in bytes.
    pub(super) body: u32,
    /// The record's sequence.
    pub(super) sequence: u64,
    /// When it was recorded, in Unix microseconds.
    pub(super) recorded: u64,
}

impl Frame {
    /// Reads the fixed part, if `bytes` begin with the marker. It is to be trusted only when [`Frame::holds`] agrees.
    pub(super) fn parse(bytes: &[u8], marker: Marker) -> Option<Frame> {
        let bytes = bytes.first_chunk::<FRAME>()?;
        (bytes[0..8] == marker.0).then(|| Frame {
            crc: u32_at(bytes, 8),
            head: u32_at(bytes, 12),
            body: u32_at(bytes, 16),
            sequence: u64_at(bytes, 20),
            recorded: u64_at(bytes, 28),
        })
    }

    /// Length of the whole frame in bytes.
    pub(super) fn length(&self) -> u64 {
        FRAME as u64 + u64::from(self.head) + u64::from(self.body)
    }

    /// Whether `bytes`, the whole frame, are those that were written.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.length() && crc32c::crc32c(&bytes[12..]) == self.crc
    }
}

/// Length in bytes of the frame that a record becomes.
pub(super) fn frame_length(record: &Record) -> u64 {
    FRAME as u64 + record.head.len() as u64 + record.body.len() as u64
}

/// Appends a record's frame to `into`. The caller has checked that both lengths fit into 32 bits.
pub(super) fn encode_frame(into: &mut Vec<u8>, marker: Marker, sequence: u64, recorded: u64, record: &Record) {
    let start = into.len();
    into.extend_from_slice(&marker.0);
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&(record.head.len() as u32).to_le_bytes());
    into.extend_from_slice(&(record.body.len() as u32).to_le_bytes());
    into.extend_from_slice(&sequence.to_le_bytes());
    into.extend_from_slice(&recorded.to_le_bytes());
    into.extend_from_slice(&record.head);
    into.extend_from_slice(&record.body);
    let sum = crc32c::crc32c(&into[start + 12..]);
    into[start + 8..start + 12].copy_from_slice(&sum.to_le_bytes());
}

/// The number at `at`; 0 behind the end.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_le_bytes(*four))
}

/// The number at `at`; 0 behind the end.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |eight| u64::from_le_bytes(*eight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_version_1_does_not_change() {
        let marker = Marker(*b"markmark");
        let header = Header::encode(0x0102_0304_0506_0708, marker, 0x00ff);
        assert_eq!(&header[..32], b"HOOKBUSJ\x01\0\0\0\0\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01markmark");
        assert_eq!(header[32..40], 0x0100_u64.to_le_bytes());
        assert_eq!(header[40..60], [0; 20]);
        assert_eq!(header[60..], crc32c::crc32c(&header[..60]).to_le_bytes());
        assert_eq!(Header::decode(&header), Header::Valid { marker, before: Some(0x00ff) });
        let mut older = header;
        older[32..40].fill(0);
        let sum = crc32c::crc32c(&older[..60]);
        older[60..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(Header::decode(&older), Header::Valid { marker, before: None });

        let mut frame = Vec::new();
        encode_frame(&mut frame, marker, 7, 9, &Record { head: b"he".to_vec().into(), body: "body".into() });
        assert_eq!(frame_length(&Record { head: b"he".to_vec().into(), body: "body".into() }), frame.len() as u64);
        assert_eq!(&frame[..8], b"markmark");
        assert_eq!(frame[8..12], crc32c::crc32c(&frame[12..]).to_le_bytes());
        assert_eq!(&frame[12..], b"\x02\0\0\0\x04\0\0\0\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0hebody");
        let parsed = Frame::parse(&frame, marker).unwrap();
        assert!(parsed.holds(&frame) && !parsed.holds(&frame[..frame.len() - 1]));
        assert_eq!(Frame::parse(&frame, Marker(*b"markmarl")), None);
    }

    #[test]
    fn a_flipped_bit_is_damage_and_never_a_newer_version() {
        let good = Header::encode(1, Marker::random(), 0);
        for bit in 0..HEADER * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad), Header::Damaged, "bit {bit}");
        }
        assert_eq!(Header::decode(&good[..63]), Header::Damaged);
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
}
