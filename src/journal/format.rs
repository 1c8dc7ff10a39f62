//! The bytes of a segment: its header and its frames.
//!
//! In: numbers and payloads. Out: bytes, and back. It never touches a file.
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
//! | zero | 32..60 | recorded, Unix microseconds | 28..36 |
//! | CRC32C over bytes 0..60 | 60..64 | head, then body | 36.. |
//!
//! The marker is random and known to nobody outside, so a payload that contains a whole forged frame is never taken for
//! a record while a reader looks for the next good frame behind damage. Magic, version and CRC stand where they stand
//! in every later version too: that is what lets an old program refuse a new file instead of calling it damaged.

use std::hash::{BuildHasher as _, RandomState};

use super::Record;

/// Bytes of a segment's header.
pub(super) const HEADER: usize = 64;
/// Bytes of a frame before its head and body.
pub(super) const FRAME: usize = 36;
/// The format this program writes, and the newest one that it reads.
pub(super) const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"HOOKBUSJ";

/// What begins every frame of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Marker(pub(super) [u8; 8]);

impl Marker {
    /// A new one. `RandomState` is keyed by the operating system; a plain generator could be worked out from numbers
    /// that other rooms show to the outside.
    pub(super) fn random() -> Marker {
        let bits = RandomState::new().hash_one(std::process::id());
        // Zero is what an unwritten tail looks like.
        Marker(bits.max(1).to_be_bytes())
    }
}

/// What the first bytes of a file say about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A segment of this format.
    Valid {
        /// The marker of its frames.
        marker: Marker,
    },
    /// A segment of a format that this program does not know.
    Newer(u32),
    /// Anything else.
    Damaged,
}

impl Header {
    /// Writes a header.
    pub(super) fn encode(first: u64, marker: Marker) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&first.to_le_bytes());
        bytes[24..32].copy_from_slice(&marker.0);
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
            VERSION => Header::Valid { marker: Marker(u64_at(bytes, 24).to_le_bytes()) },
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
    /// Reads the fixed part, if `bytes` begin with the marker. What it says is true only when [`Frame::holds`] agrees.
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
        let header = Header::encode(0x0102_0304_0506_0708, marker);
        assert_eq!(&header[..32], b"HOOKBUSJ\x01\0\0\0\0\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01markmark");
        assert_eq!(header[32..60], [0; 28]);
        assert_eq!(header[60..], crc32c::crc32c(&header[..60]).to_le_bytes());
        assert_eq!(Header::decode(&header), Header::Valid { marker });

        let mut frame = Vec::new();
        encode_frame(&mut frame, marker, 7, 9, &Record { head: b"he".to_vec().into(), body: "body".into() });
        assert_eq!(&frame[..8], b"markmark");
        assert_eq!(frame[8..12], crc32c::crc32c(&frame[12..]).to_le_bytes());
        assert_eq!(&frame[12..], b"\x02\0\0\0\x04\0\0\0\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0hebody");
        let parsed = Frame::parse(&frame, marker).unwrap();
        assert!(parsed.holds(&frame) && !parsed.holds(&frame[..frame.len() - 1]));
        assert_eq!(Frame::parse(&frame, Marker(*b"markmarl")), None);
    }

    #[test]
    fn a_flipped_bit_is_damage_and_never_a_newer_version() {
        let good = Header::encode(1, Marker::random());
        for bit in 0..HEADER * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad), Header::Damaged, "bit {bit}");
        }
        assert_eq!(Header::decode(&good[..63]), Header::Damaged);
    }
}
