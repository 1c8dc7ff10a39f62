//! The file with the memory of recent events, in front of a broker.
//!
//! In: names of events that the bus has acknowledged, and marks of its incarnation. Out: after a restart, the names, and the last
//! mark. It is never synced: what it lacks costs a duplicate, never an event. What lies behind the last mark, or behind a
//! checksum that is wrong, counts as never written.
//!
//! ```text
//! entry = length of the payload (u16), kind (u8), checksum of kind and payload (u64), payload
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    mem,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::read_back::Names;
use crate::bus::Incarnation;

/// Bytes before a payload.
const HEADER: usize = 11;
const EVENT: u8 = 1;
const MARK: u8 = 2;
/// Tells these checksums, and with them version 1 of the format, from any other.
const SEED: u64 = 0x686f_6f6b_6275_7301;

/// Two files, each with half of the bound: when the young one is full it takes the old one's place. What is written at once
/// stays together, so that the young one may grow beyond its half by that.
#[derive(Debug)]
pub(super) struct MemoryFile {
    young: PathBuf,
    old: PathBuf,
    file: File,
    /// Events in the young one.
    events: usize,
    half: usize,
    /// What is written with the next mark.
    buffer: Vec<u8>,
    waiting: usize,
}

impl MemoryFile {
    /// Opens the file in a directory, and hands what counts of it to `remember`, oldest first; gives the last mark. `bound`:
    /// most events of both files.
    ///
    /// # Errors
    /// The directory, or its disk.
    pub(super) fn open(
        directory: &Path,
        bound: usize,
        mut remember: impl FnMut(Names<'_>),
    ) -> io::Result<(Self, Option<Incarnation>)> {
        let (young, old) = (directory.join("recent"), directory.join("recent.old"));
        let (before, _) = read(&old, None, &mut remember)?;
        let mut events = 0;
        let (mark, end) = read(&young, before, &mut |names| {
            events += 1;
            remember(names);
        })?;
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&young)?;
        file.set_len(end)?;
        let half = bound.div_ceil(2);
        Ok((MemoryFile { young, old, file, events, half, buffer: Vec::new(), waiting: 0 }, mark))
    }

    /// Adds an event, which is written with the next mark.
    pub(super) fn add(&mut self, Names { source, id, fingerprint }: &Names<'_>) {
        // Both names are bounded far below what a length can say.
        let length = u16::try_from(source.len()).unwrap_or_default().to_le_bytes();
        let payload = [&fingerprint.to_le_bytes()[..], &length, source.as_bytes(), id.as_bytes()].concat();
        self.push(EVENT, &payload);
        self.waiting += 1;
    }

    /// Writes the events that were added since, and the mark, which was taken after the bus had acknowledged them.
    ///
    /// # Errors
    /// The disk. Nothing more must be added then.
    pub(super) fn write(&mut self, mark: Incarnation) -> io::Result<()> {
        self.push(MARK, &mark.to_bytes());
        let buffer = mem::take(&mut self.buffer);
        self.file.write_all(&buffer)?;
        self.events += mem::take(&mut self.waiting);
        if self.half <= self.events {
            fs::rename(&self.young, &self.old)?;
            self.file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&self.young)?;
            self.events = 0;
        }
        Ok(())
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// The disk. Nothing more must be added then.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.buffer.clear();
        (self.events, self.waiting) = (0, 0);
        match fs::remove_file(&self.old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file.set_len(0)
    }

    fn push(&mut self, kind: u8, payload: &[u8]) {
        let Ok(length) = u16::try_from(payload.len()) else { return };
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.push(kind);
        self.buffer.extend_from_slice(&checksum(kind, payload).to_le_bytes());
        self.buffer.extend_from_slice(payload);
    }
}

fn checksum(kind: u8, payload: &[u8]) -> u64 {
    xxh3_64_with_seed(payload, SEED ^ (u64::from(kind) << 56))
}

/// Hands the events before the last mark to `remember`; gives that mark, or `before` without one, and where it ends.
fn read(
    path: &Path,
    before: Option<Incarnation>,
    remember: &mut dyn FnMut(Names<'_>),
) -> io::Result<(Option<Incarnation>, u64)> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((before, 0)),
        Err(error) => return Err(error),
    };
    let (mut rest, mut waiting, mut mark, mut end) = (bytes.as_slice(), Vec::new(), before, 0);
    while let Some((kind, payload, tail)) = split(rest) {
        rest = tail;
        match kind {
            EVENT => waiting.extend(names(payload)),
            MARK => {
                let Ok(payload) = payload.try_into() else { break };
                mark = Some(Incarnation::from_bytes(payload));
                waiting.drain(..).for_each(&mut *remember);
                end = bytes.len() - rest.len();
            }
            _ => break,
        }
    }
    Ok((mark, u64::try_from(end).unwrap_or_default()))
}

/// The first entry, and what follows it; `None` at the end, and at what is no entry.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let [l0, l1, kind, sum @ ..] = *header;
    let (payload, tail) = rest.split_at_checked(usize::from(u16::from_le_bytes([l0, l1])))?;
    (checksum(kind, payload) == u64::from_le_bytes(sum)).then_some((kind, payload, tail))
}

fn names(payload: &[u8]) -> Option<Names<'_>> {
    let (fingerprint, rest) = payload.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (source, id) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let text = |bytes| std::str::from_utf8(bytes).ok();
    Some(Names { source: text(source)?, id: text(id)?, fingerprint: u64::from_le_bytes(*fingerprint) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(position: u8) -> Incarnation {
        Incarnation::from_bytes([position; Incarnation::BYTES])
    }

    fn open(directory: &Path) -> (MemoryFile, Vec<String>, Option<Incarnation>) {
        let mut read = Vec::new();
        let (file, mark) = MemoryFile::open(directory, 8, |Names { source, id, fingerprint }| {
            read.push(format!("{source}/{id}/{fingerprint}"));
        })
        .unwrap();
        (file, read, mark)
    }

    fn add(file: &mut MemoryFile, events: std::ops::Range<u64>) {
        for fingerprint in events {
            file.add(&Names { source: "acme", id: "a/é", fingerprint });
        }
    }

    fn texts(events: std::ops::Range<u64>) -> Vec<String> {
        events.map(|event| format!("acme/a/é/{event}")).collect()
    }

    #[test]
    fn what_a_mark_follows_is_read_back_and_the_rest_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, read, last) = open(folder.path());
        assert_eq!((read, last), (vec![], None));
        add(&mut file, 0..2);
        file.write(mark(1)).unwrap();
        add(&mut file, 2..3);
        drop(file);
        let (mut file, read, last) = open(folder.path());
        assert_eq!((read, last), (texts(0..2), Some(mark(1))));
        add(&mut file, 3..4);
        file.write(mark(2)).unwrap();
        assert_eq!(open(folder.path()).1, [texts(0..2), texts(3..4)].concat());
        file.clear().unwrap();
        assert_eq!(open(folder.path()).1, texts(0..0));
    }

    #[test]
    fn torn_and_flipped_bytes_end_what_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, ..) = open(folder.path());
        add(&mut file, 0..1);
        file.write(mark(1)).unwrap();
        add(&mut file, 1..2);
        file.write(mark(2)).unwrap();
        let path = folder.path().join("recent");
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let expected = if cut < whole.len() / 2 { texts(0..0) } else { texts(0..1) };
            assert_eq!(open(folder.path()).1, expected, "{cut}");
            let mut flipped = whole.clone();
            flipped[cut] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(open(folder.path()).1, expected, "{cut}");
        }
    }

    #[test]
    fn the_bound_holds_over_restarts_and_the_newest_half_stays() {
        let folder = tempfile::tempdir().unwrap();
        for event in 0..40_u64 {
            let (mut file, read, _) = open(folder.path());
            assert!(
                read.len() <= 8 && read.ends_with(&texts(event.saturating_sub(4)..event)),
                "{read:?} before {event}"
            );
            add(&mut file, event..event + 1);
            file.write(mark(1)).unwrap();
        }
    }
}
