//! Walking through one segment, frame by frame, also past damage.
//!
//! In: an open segment that may grow while it is read. Out: frames whose CRC holds, in order. At most one frame, or one
//! read-ahead, is held in memory.

use std::{io, os::unix::fs::FileExt as _};

use bytes::Bytes;
use memchr::memmem;

use super::{
    disk::File,
    format::{FRAME, Frame, HEADER, Marker},
};

/// Read-ahead right after a miss: the live end of a log has nothing more to give.
const LEAST_READ: usize = 4 * 1024;
/// Read-ahead in full flow.
const MOST_READ: usize = 256 * 1024;
/// Buffers above this are given back after the record that needed them.
const KEPT_BUFFER: usize = 1024 * 1024;
const PAGE: u64 = 4096;
static ZEROS: [u8; MOST_READ] = [0; MOST_READ];

/// What [`Scanner::resync`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resync {
    /// The scanner stands at a good frame, behind this many bad bytes.
    Found {
        /// Bytes between the old place and the new one.
        skipped: u64,
    },
    /// No good frame follows.
    Nothing {
        /// Bytes up to the last one that is not zero: 0 for the clean tail of a preallocated file.
        garbage: u64,
    },
}

/// A place in a segment.
#[derive(Debug)]
pub(super) struct Scanner {
    file: File,
    marker: Marker,
    /// Where the next frame should begin, in bytes from the start of the file.
    pub(super) position: u64,
    previous: u64,
    buffer: Vec<u8>,
    start: u64,
    ahead: usize,
    /// Blocks that the disk refuses to read count as zeros, that is as damage.
    pub(super) tolerant: bool,
    /// Whether a block was refused and taken for zeros.
    pub(super) unreadable: bool,
}

impl Scanner {
    /// Stands before the first frame.
    pub(super) fn new(file: File, marker: Marker) -> Scanner {
        Scanner {
            file,
            marker,
            position: HEADER as u64,
            previous: 0,
            buffer: Vec::new(),
            start: 0,
            ahead: LEAST_READ,
            tolerant: false,
            unreadable: false,
        }
    }

    /// The frame at this place, if a whole and good one is there. `None` may change when the file grows.
    ///
    /// # Errors
    /// The disk does not give the bytes.
    pub(super) fn peek(&mut self) -> io::Result<Option<Frame>> {
        if !self.buffer.is_empty()
            && let Some(frame) = self.frame_at(self.position)?
        {
            return Ok(Some(frame));
        }
        // The buffer may be older than the frame: only fresh bytes prove that nothing is there.
        self.forget();
        let found = self.frame_at(self.position)?;
        if found.is_none() {
            self.forget();
        }
        Ok(found)
    }

    /// Goes behind a frame that [`Scanner::peek`] gave.
    pub(super) fn skip(&mut self, frame: Frame) {
        self.position += frame.length();
        self.previous = frame.sequence;
    }

    /// Head and body of a frame that [`Scanner::peek`] gave; goes behind it.
    ///
    /// # Errors
    /// The disk does not give the bytes.
    pub(super) fn take(&mut self, frame: Frame) -> io::Result<(Bytes, Bytes)> {
        let payload = frame.head as usize + frame.body as usize;
        let at = self.position + frame.length() - payload as u64;
        let mut head = Bytes::copy_from_slice(self.load(at, payload)?);
        let body = head.split_off(frame.head as usize);
        self.skip(frame);
        Ok((head, body))
    }

    /// Looks behind this place for the next good frame, and goes there.
    ///
    /// # Errors
    /// The disk does not give the bytes.
    pub(super) fn resync(&mut self) -> io::Result<Resync> {
        let from = self.position;
        let mut garbage = 0;
        let mut at = from;
        let marker = self.marker;
        let finder = memmem::Finder::new(&marker.0);
        loop {
            let bytes = self.load(at, MOST_READ)?;
            let length = bytes.len();
            if *bytes != ZEROS[..length] {
                let last = bytes.iter().rposition(|b| *b != 0).unwrap_or(0);
                garbage = at + last as u64 + 1 - from;
            }
            // The place itself is known to be bad; from the second round on, every byte may begin a frame.
            let lead = usize::from(at == from).min(length);
            if let Some(hit) = finder.find(&bytes[lead..]) {
                let candidate = at + (lead + hit) as u64;
                if self.frame_at(candidate)?.is_some() {
                    self.position = candidate;
                    return Ok(Resync::Found { skipped: candidate - from });
                }
                at = candidate + 1;
            } else if length < MOST_READ {
                return Ok(Resync::Nothing { garbage });
            } else {
                // A marker may lie across two rounds.
                at += (length - 7) as u64;
            }
        }
    }

    fn frame_at(&mut self, at: u64) -> io::Result<Option<Frame>> {
        let (marker, previous) = (self.marker, self.previous);
        let Some(frame) = Frame::parse(self.load(at, FRAME)?, marker) else { return Ok(None) };
        let end = at.saturating_add(frame.length());
        // A damaged length must not make this read, or allocate, more than the file has.
        let buffered = self.start + self.buffer.len() as u64;
        if frame.sequence <= previous || (end > buffered && end > self.file.metadata()?.len()) {
            return Ok(None);
        }
        let bytes = self.load(at, frame.length() as usize)?;
        Ok(frame.holds(bytes).then_some(frame))
    }

    /// `length` bytes of the file from `at` on, or fewer where it ends.
    fn load(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        if at < self.start || at + length as u64 > self.start + self.buffer.len() as u64 {
            self.fill(at, length.max(self.ahead))?;
            self.ahead = (self.ahead * 2).min(MOST_READ);
        }
        let offset = ((at - self.start) as usize).min(self.buffer.len());
        let end = (offset + length).min(self.buffer.len());
        Ok(&self.buffer[offset..end])
    }

    fn fill(&mut self, at: u64, wanted: usize) -> io::Result<()> {
        if self.buffer.capacity() > KEPT_BUFFER.max(wanted) {
            self.buffer = Vec::new();
        }
        self.start = at;
        self.buffer.resize(wanted, 0);
        let mut filled = 0;
        while filled < wanted {
            match read(&self.file, &mut self.buffer[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if self.tolerant => match self.blank_page(at, filled)? {
                    0 => break,
                    blanked => filled += blanked,
                },
                Err(error) => {
                    self.forget();
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(filled);
        Ok(())
    }

    /// Puts zeros where the disk refuses to read, up to the end of the page or of the file.
    fn blank_page(&mut self, at: u64, filled: usize) -> io::Result<usize> {
        self.unreadable = true;
        let here = at + filled as u64;
        let end = ((here / PAGE + 1) * PAGE).min(self.file.metadata()?.len());
        let blanked = (end.saturating_sub(here) as usize).min(self.buffer.len() - filled);
        self.buffer[filled..filled + blanked].fill(0);
        Ok(blanked)
    }

    fn forget(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.ahead = LEAST_READ;
    }
}

/// One read. In tests, `REFUSED` bytes are an error.
fn read(file: &File, into: &mut [u8], at: u64) -> io::Result<usize> {
    #[cfg(test)]
    let into = match REFUSED.get() {
        (from, to) if (from..to).contains(&at) => return Err(io::Error::from_raw_os_error(5)),
        (from, to) if at < from && from < to => {
            let room = into.len().min((from - at) as usize);
            &mut into[..room]
        }
        _ => into,
    };
    file.read_at(into, at)
}

#[cfg(test)]
thread_local! {
    /// The first byte, and the one behind the last, that the disk refuses to give of any segment.
    pub(super) static REFUSED: std::cell::Cell<(u64, u64)> = const { std::cell::Cell::new((0, 0)) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{format::encode_frame, record::Record};

    fn segment(bytes: &[u8]) -> Scanner {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, HEADER as u64).unwrap();
        Scanner::new(file, Marker(*b"markmark"))
    }

    fn frame(into: &mut Vec<u8>, sequence: u64, body: Vec<u8>) {
        encode_frame(into, Marker(*b"markmark"), sequence, 1, &Record { head: vec![].into(), body: body.into() });
    }

    #[test]
    fn a_marker_across_two_reads_is_found() {
        for shift in 0..20 {
            let mut bytes = vec![1; MOST_READ - 10 + shift];
            frame(&mut bytes, 5, vec![2; 100]);
            let mut scanner = segment(&bytes);
            assert_eq!(scanner.peek().unwrap(), None);
            assert_eq!(scanner.resync().unwrap(), Resync::Found { skipped: (MOST_READ - 10 + shift) as u64 });
            assert_eq!(scanner.peek().unwrap().unwrap().sequence, 5);
        }
    }

    #[test]
    fn a_tail_is_garbage_up_to_its_last_byte_that_is_not_zero() {
        let mut bytes = vec![0; 3 * MOST_READ];
        assert_eq!(segment(&bytes).resync().unwrap(), Resync::Nothing { garbage: 0 });
        assert_eq!(segment(&[]).resync().unwrap(), Resync::Nothing { garbage: 0 });
        bytes[MOST_READ + 4] = 1;
        assert_eq!(segment(&bytes).resync().unwrap(), Resync::Nothing { garbage: MOST_READ as u64 + 5 });
    }

    #[test]
    fn a_sequence_that_does_not_rise_is_no_frame() {
        let mut bytes = Vec::new();
        for sequence in [3, 3, 2, 4] {
            frame(&mut bytes, sequence, vec![]);
        }
        let mut scanner = segment(&bytes);
        let first = scanner.peek().unwrap().unwrap();
        scanner.skip(first);
        assert_eq!(scanner.peek().unwrap(), None);
        assert_eq!(scanner.resync().unwrap(), Resync::Found { skipped: 2 * 36 });
        assert_eq!(scanner.peek().unwrap().unwrap().sequence, 4);
    }

    #[test]
    fn a_frame_that_arrives_after_a_look_is_seen() {
        let mut bytes = Vec::new();
        frame(&mut bytes, 1, vec![7; 300]);
        let mut scanner = segment(&[0; 600]);
        for written in 0..bytes.len() {
            assert_eq!(scanner.peek().unwrap(), None);
            scanner.file.write_all_at(&bytes[..=written], HEADER as u64).unwrap();
        }
        let found = scanner.peek().unwrap().unwrap();
        assert_eq!(scanner.take(found).unwrap().1, vec![7; 300]);
    }
}
