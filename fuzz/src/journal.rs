//! The journal's recovery on a damaged directory. First byte: whether it is a spool. Then eight bytes for each damage: what,
//! to which file, where, how much, with what.
//!
//! Expected: it opens; what it reads was appended, once each, in order, to the byte; every record of a segment that was left
//! alone is there, unless it was acknowledged; it takes new records; a second start finds the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use journal::{Entry, Journal, Keep, Options, Record, Start};

use crate::{fault, scratch};

const RECORDS: u64 = 24;
/// More damages than this only make the directory empty.
const MOST_DAMAGES: usize = 8;

/// What is appended after the damage.
const NEW: Bytes = Bytes::from_static(b"new");

/// A directory as a journal left it.
struct Whole {
    files: Vec<(String, Vec<u8>)>,
    /// Bodies by sequence.
    records: BTreeMap<u64, Bytes>,
    /// Which segment has which records.
    segments: BTreeMap<String, BTreeSet<u64>>,
    acknowledged: BTreeSet<u64>,
}

static WHOLE: LazyLock<[Whole; 2]> = LazyLock::new(|| [Keep::UntilOld, Keep::UntilAcknowledged].map(whole));

fn options(directory: &Path, keep: Keep) -> Options {
    Options {
        directory: directory.to_owned(),
        segment_size: 2048,
        max_size: 1 << 20,
        max_age: None,
        reserve: 0,
        keep,
        queue: 100,
    }
}

fn append(journal: &Journal, body: &Bytes) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("an event loop");
    let record = Record { head: b"head".to_vec().into(), body: body.clone() };
    runtime.block_on(journal.append(record)).expect("room for a record")
}

fn entries(journal: &Journal) -> Vec<Entry> {
    let mut reader = journal.reader(Start::Oldest);
    std::iter::from_fn(|| reader.next().expect("a readable disk")).collect()
}

fn whole(keep: Keep) -> Whole {
    let directory = scratch().join("whole");
    let _none_yet = fs::remove_dir_all(&directory);
    let journal = Journal::open(options(&directory, keep), Arc::new(())).expect("a journal");
    let body =
        |number: u64| Bytes::from(format!("{number}:").repeat(usize::try_from(number * 7 % 90 + 1).unwrap_or(1)));
    let records: BTreeMap<u64, Bytes> =
        (0..RECORDS).map(|number| (append(&journal, &body(number)), body(number))).collect();
    let acknowledged: BTreeSet<u64> = match keep {
        Keep::UntilOld => BTreeSet::new(),
        Keep::UntilAcknowledged => records.keys().copied().filter(|sequence| sequence % 3 == 0).collect(),
    };
    acknowledged.iter().for_each(|sequence| journal.acknowledge(*sequence));
    journal.close();
    drop(journal);
    let names = fs::read_dir(&directory).expect("a folder").map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let mut files: Vec<_> = names.map(|path| (name(&path), fs::read(&path).expect("a file"))).collect();
    files.sort();
    let find = |text: &[u8], body: &[u8]| text.windows(body.len()).any(|window| window == body);
    let segments = files.iter().map(|(name, text)| {
        let held = records.iter().filter(|(_, body)| find(text, &[b"head", &body[..]].concat()));
        (name.clone(), held.map(|(sequence, _)| *sequence).collect())
    });
    Whole { segments: segments.collect(), files, records, acknowledged }
}

/// One damaged directory.
pub fn run(input: &[u8]) {
    let Some((&choice, damages)) = input.split_first() else { return };
    let keep = if choice % 2 == 0 { Keep::UntilOld } else { Keep::UntilAcknowledged };
    let whole = &WHOLE[usize::from(choice % 2)];
    let directory = scratch().join("damaged");
    let (touched, renamed) = write_damaged(whole, damages, &directory);
    let first = start(whole, keep, &directory, &touched);
    let second = start(whole, keep, &directory, &touched);
    let old = |entries: &[Entry]| -> Vec<u64> {
        entries.iter().filter(|entry| entry.body != NEW).map(|entry| entry.sequence).collect()
    };
    // A segment under another one's name is read once, while the name says what is done with it.
    assert!(renamed || old(&first) == old(&second), "a second start finds the same");
}

/// Opens the directory, judges what is in it, and appends one record.
fn start(whole: &Whole, keep: Keep, directory: &Path, touched: &BTreeSet<String>) -> Vec<Entry> {
    let journal = Journal::open(options(directory, keep), Arc::new(())).expect("damage never stops the start");
    let mut entries = entries(&journal);
    if fault() && !touched.is_empty() {
        // The planted fault: where there is damage, the newest record goes with it.
        entries.pop();
    }
    assert!(entries.is_sorted_by(|one, other| one.sequence < other.sequence), "in order, once each");
    for entry in &entries {
        let known = whole.records.get(&entry.sequence);
        let is_new = entry.body == NEW;
        assert!(is_new || known == Some(&entry.body), "{} was never appended so", entry.sequence);
    }
    let there: BTreeSet<u64> = entries.iter().map(|entry| entry.sequence).collect();
    for (name, held) in whole.segments.iter().filter(|(name, _)| !touched.contains(*name)) {
        for sequence in held.difference(&whole.acknowledged) {
            assert!(there.contains(sequence), "{sequence} of {name}, which was left alone: {touched:?}");
        }
    }
    let sequence = append(&journal, &NEW);
    assert!(there.last().is_none_or(|last| *last < sequence), "a sequence stands for one record");
    journal.close();
    entries
}

/// Writes the directory anew, with its damages; gives the names of the files that are not as they were, and whether one has
/// another one's contents.
fn write_damaged(whole: &Whole, damages: &[u8], directory: &Path) -> (BTreeSet<String>, bool) {
    let mut renamed = false;
    let mut files: BTreeMap<String, Vec<u8>> = whole.files.iter().cloned().collect();
    for damage in damages.chunks_exact(8).take(MOST_DAMAGES) {
        let [what, which, high, low, long, other, bits, _] = *damage else { continue };
        let (name, original) = &whole.files[usize::from(which) % whole.files.len()];
        let (_, foreign) = &whole.files[usize::from(other) % whole.files.len()];
        let at = usize::from(u16::from_be_bytes([high, low])) % (original.len() + 1);
        let Some(text) = files.get_mut(name) else { continue };
        let range = at.min(text.len())..(at + usize::from(long) + 1).min(text.len());
        match what % 8 {
            0 | 1 => text.get_mut(at).into_iter().for_each(|byte| *byte ^= bits | 1),
            2 => text.truncate(at),
            3 => text[range].fill(0),
            4 => drop(files.remove(name)),
            5 => {
                renamed = true;
                text.clone_from(foreign);
            }
            6 => text.extend(std::iter::repeat_n(bits, usize::from(long))),
            // A block that was written to the wrong place.
            _ => {
                renamed |= foreign != original;
                let block: Vec<u8> = foreign.iter().skip(at).take(range.len()).copied().collect();
                drop(text.splice(range, block));
            }
        }
    }
    let _none_yet = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).expect("a folder");
    let path = |name: &str| -> PathBuf { directory.join(name) };
    files.iter().for_each(|(name, text)| fs::write(path(name), text).expect("a file"));
    let changed = whole.files.iter().filter(|(name, text)| files.get(name) != Some(text));
    (changed.map(|(name, _)| name.clone()).collect(), renamed)
}
