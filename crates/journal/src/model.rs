//! The model test: random schedules against a plain list.
//!
//! A crash copies the directory and spoils what was never synced; a flip spoils one byte of what was; an operator deletes
//! a segment, or puts those of an older copy back. The list knows what must come back, what may, and what must not, and how
//! many records each start has to call lost: none but those.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::SeqCst},
};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::{
    AppendError, Journal, Keep, Options, Start,
    format::{FRAME, Id, encode_frame},
    scan::{Resync, Scanner},
    segment,
    tests::{Counts, append, counted, crash, eventually, options, read, record, segments, wait},
};

#[derive(Debug, Clone)]
enum Act {
    Append(usize),
    AppendMany(usize),
    Acknowledge(usize),
    Reopen,
    Crash(Tail),
    /// A crash, then a flip of the byte at this share (of 1000) of all good bytes.
    Flip(usize),
    FailSyncs(u32),
    /// After an orderly end, the segment at this share (of 1000) is deleted.
    Delete(usize),
    Save,
    /// After an orderly end, the segments of the saved copy take the place of those that are there.
    Restore,
}

/// What an unfinished write left behind the last good frame.
#[derive(Debug, Clone)]
enum Tail {
    Zeros,
    Nothing,
    Garbage(Vec<u8>),
    Torn(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let tail = prop_oneof![
        Just(Tail::Zeros),
        Just(Tail::Nothing),
        vec(any::<u8>(), 1..200).prop_map(Tail::Garbage),
        (1..90usize).prop_map(Tail::Torn),
    ];
    let act = prop_oneof![
        6 => (0..1500usize).prop_map(Act::Append),
        3 => (2..30usize).prop_map(Act::AppendMany),
        3 => (1..40usize).prop_map(Act::Acknowledge),
        1 => Just(Act::Reopen),
        2 => tail.prop_map(Act::Crash),
        2 => (0..1000usize).prop_map(Act::Flip),
        1 => (1..=2u32).prop_map(Act::FailSyncs),
        1 => (0..1000usize).prop_map(Act::Delete),
        1 => Just(Act::Save),
        1 => Just(Act::Restore),
    ];
    vec(act, 1..40)
}

#[derive(Debug, Clone, PartialEq)]
enum Fate {
    Must,
    /// Its own bytes were spoiled, or it was acknowledged, and the mark may not have been stored.
    May,
}

struct World {
    outer: tempfile::TempDir,
    options: Options,
    journal: Journal,
    counts: Arc<Counts>,
    lives: usize,
    records: BTreeMap<u64, (Bytes, Fate)>,
    written: usize,
    appended: u64,
}

impl World {
    fn new(keep: Keep) -> World {
        let outer = tempfile::tempdir().unwrap();
        let directory = outer.path().join("0");
        let options = Options { keep, max_size: 64 << 10, segment_size: 2048, ..options(&directory) };
        let (journal, counts) = counted(&options);
        World { outer, options, journal, counts, lives: 0, records: BTreeMap::new(), written: 0, appended: 0 }
    }

    fn body(&mut self, length: usize) -> Bytes {
        self.written += 1;
        let mut body = format!("{}:", self.written).into_bytes();
        body.resize(body.len() + length, b'x');
        body.into()
    }

    fn note(&mut self, body: Bytes, answer: Result<u64, AppendError>) {
        match answer {
            Ok(sequence) => {
                assert!(sequence > self.appended, "a sequence was given twice");
                self.appended = sequence;
                self.records.insert(sequence, (body, Fate::Must));
            }
            Err(AppendError::Full) => assert_eq!(self.options.keep, Keep::UntilAcknowledged),
            Err(error) => panic!("{error}"),
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Append(length) => {
                let body = self.body(length);
                let answer = append(&self.journal, body.clone());
                self.note(body, answer);
            }
            Act::AppendMany(count) => {
                let bodies: Vec<_> = (0..count).map(|n| self.body(n)).collect();
                let futures: Vec<_> = bodies.iter().map(|body| self.journal.append(record(body.clone()))).collect();
                for (body, future) in bodies.into_iter().zip(futures) {
                    self.note(body, wait(future));
                }
            }
            Act::Acknowledge(step) => self.acknowledge(step),
            Act::Reopen => self.restart(|_, _| {}),
            Act::Crash(tail) => {
                self.crash(|path| spoil_tail(path, &tail));
                assert_eq!(self.lost(), 0, "a crash loses nothing that was answered");
            }
            Act::Flip(share) => {
                let mut hit = None;
                self.crash(|path| hit = flip(path, share));
                self.note_flip(hit);
            }
            Act::FailSyncs(count) => self.fail(count),
            Act::Delete(share) => self.restart(|_, directory| {
                let paths = segments(directory);
                paths.iter().skip(share * paths.len() / 1000).take(1).for_each(|path| fs::remove_file(path).unwrap());
            }),
            Act::Save => self.restart(|outer, directory| {
                fs::remove_dir_all(outer.join("saved")).ok();
                crash(directory, &outer.join("saved"));
            }),
            Act::Restore if self.outer.path().join("saved").exists() => self.restart(|outer, directory| {
                segments(directory).iter().for_each(|path| fs::remove_file(path).unwrap());
                for path in segments(&outer.join("saved")) {
                    fs::copy(&path, directory.join(path.file_name().unwrap())).unwrap();
                }
            }),
            Act::Restore => {}
        }
    }

    fn lost(&self) -> u64 {
        self.counts.lost.load(SeqCst)
    }

    fn held(&self) -> BTreeSet<u64> {
        read(self.journal.reader(Start::Oldest)).into_iter().map(|record| record.0).collect()
    }

    /// An orderly end, what an operator does meanwhile to the directory (the second path), and another start: it counts
    /// what was held and is gone.
    fn restart(&mut self, meanwhile: impl FnOnce(&Path, &Path)) {
        let before = self.held();
        self.journal.close();
        meanwhile(self.outer.path(), &self.options.directory);
        (self.journal, self.counts) = counted(&self.options);
        let after = self.held();
        let gone: Vec<u64> = before.difference(&after).copied().collect();
        // More acknowledged ranges than fit may have been forgotten.
        let acknowledged = self.records.values().filter(|(_, fate)| *fate == Fate::May).count() as u64;
        let most = gone.len() as u64 + acknowledged;
        assert!((gone.len() as u64..=most).contains(&self.lost()), "{} said, gone {gone:?}", self.lost());
        for sequence in gone {
            self.records.insert(sequence, (self.records[&sequence].0.clone(), Fate::May));
        }
    }

    /// One record at most is lost by a flip, and it is said when it was sure to be answered: a segment followed.
    fn note_flip(&mut self, hit: Option<(u64, bool)>) {
        assert!(self.lost() <= u64::from(hit.is_some()), "{} lost", self.lost());
        if let Some((sequence, is_followed)) = hit
            && let Some((_, fate)) = self.records.get_mut(&sequence)
        {
            let is_gone = *fate == Fate::Must && is_followed;
            *fate = Fate::May;
            assert!(!is_gone || self.lost() == 1, "record {sequence} went without a word");
        }
    }

    /// Acknowledges every `step`-th record that a reader gives.
    fn acknowledge(&mut self, step: usize) {
        for (sequence, _) in read(self.journal.reader(Start::Oldest)).into_iter().step_by(step).rev() {
            self.journal.acknowledge(sequence);
            if self.options.keep == Keep::UntilAcknowledged
                && let Some((_, fate)) = self.records.get_mut(&sequence)
            {
                *fate = Fate::May;
            }
        }
    }

    fn crash(&mut self, spoil: impl FnOnce(&Path)) {
        let before = self.options.directory.clone();
        self.lives += 1;
        self.options.directory = self.outer.path().join(self.lives.to_string());
        // The copy may catch a beat half-way; a segment that goes meanwhile is one that may go.
        eventually("a copy", || std::panic::catch_unwind(|| crash(&before, &self.options.directory)).is_ok());
        spoil(&self.options.directory);
        (self.journal, self.counts) = counted(&self.options);
        fs::remove_dir_all(before).unwrap();
    }

    fn fail(&mut self, count: u32) {
        if !self.journal.stats().up {
            return;
        }
        self.journal.open.0.watchdog.faults.syncs.store(count, SeqCst);
        let body = self.body(0);
        let answer = append(&self.journal, body.clone());
        self.journal.open.0.watchdog.faults.syncs.store(0, SeqCst);
        if answer != Err(AppendError::Failed) {
            self.note(body, answer);
            return;
        }
        assert_eq!(count, 2, "one failure is made up for");
        eventually("up again", || self.journal.stats().up);
    }

    /// No record that must be there is missing, none is false, none comes twice.
    fn check(&self) {
        let found: BTreeMap<u64, Bytes> = read(self.journal.reader(Start::Oldest)).into_iter().collect();
        for (sequence, body) in &found {
            let known = self.records.get(sequence).map(|(body, _)| body);
            assert_eq!(known, Some(body), "record {sequence} was never written like this");
        }
        let first = found.keys().next().copied().unwrap_or(u64::MAX);
        let missing = self.records.iter().filter(|(n, (_, fate))| *fate == Fate::Must && !found.contains_key(n));
        let missing: Vec<u64> = missing.map(|(n, _)| *n).collect();
        match self.options.keep {
            Keep::UntilAcknowledged => assert!(missing.is_empty(), "lost {missing:?}"),
            Keep::UntilOld => {
                assert!(missing.iter().all(|n| *n < first), "lost in the middle: {missing:?}");
                let written: usize = self.records.values().map(|(body, _)| body.len() + 200).sum();
                assert!(missing.is_empty() || written + 4096 * self.lives > 32 << 10, "dropped too early");
            }
        }
        // A second reader after all this agrees, from any place.
        if let Some(middle) = found.keys().nth(found.len() / 2) {
            let rest = read(self.journal.reader(Start::After(*middle)));
            assert!(rest.iter().map(|r| r.0).eq(found.keys().copied().filter(|n| n > middle)));
        }
    }

    /// Whatever happened, acknowledging what can be read leaves an empty spool.
    fn drain(&self) {
        if self.options.keep == Keep::UntilAcknowledged {
            for (sequence, _) in read(self.journal.reader(Start::Oldest)) {
                self.journal.acknowledge(sequence);
            }
            assert_eq!(self.journal.stats().records, 0);
            eventually("a spool that takes records", || append(&self.journal, "last").is_ok());
        }
    }
}

/// The good frames of a segment: (start, end, sequence).
fn frames(path: &Path, marker: Id) -> Vec<(u64, u64, u64)> {
    let mut scanner = Scanner::new(fs::File::open(path).unwrap(), marker.marker);
    let mut found = Vec::new();
    loop {
        match scanner.peek().unwrap() {
            Some(frame) => {
                found.push((scanner.position, scanner.position + frame.length(), frame.sequence));
                scanner.skip(frame);
            }
            None if matches!(scanner.resync().unwrap(), Resync::Found { .. }) => {}
            None => return found,
        }
    }
}

fn spoil_tail(directory: &Path, tail: &Tail) {
    let Some(id) = segment::list(directory).unwrap().pop() else { return };
    let path: PathBuf = id.path(directory);
    let end = frames(&path, id).last().map_or(64, |frame| frame.1);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    match tail {
        Tail::Zeros => {}
        Tail::Nothing => file.set_len(end).unwrap(),
        Tail::Garbage(bytes) => file.write_all_at(bytes, end).unwrap(),
        Tail::Torn(length) => {
            let mut frame = Vec::new();
            encode_frame(&mut frame, id.marker, u64::MAX / 4, 1, &record(vec![1; 80]));
            file.write_all_at(&frame[..(*length).min(FRAME + 80)], end).unwrap();
        }
    }
}

/// Flips one good byte; gives the record that it belongs to, and whether a segment follows.
fn flip(directory: &Path, share: usize) -> Option<(u64, bool)> {
    let ids = segment::list(directory).unwrap();
    let id = ids.get(share * ids.len() / 1000)?;
    let path = id.path(directory);
    let found = frames(&path, *id);
    let end = found.last().map_or(64, |frame| frame.1);
    let at = (share as u64 * 7919) % end;
    let mut bytes = fs::read(&path).unwrap();
    bytes[at as usize] ^= 1 << (share % 8);
    fs::write(&path, bytes).unwrap();
    let hit = found.iter().find(|(start, end, _)| (*start..*end).contains(&at))?;
    Some((hit.2, ids.last() != Some(id)))
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_spool_is_a_list_of_what_is_not_acknowledged(acts in acts()) {
        run(Keep::UntilAcknowledged, acts);
    }

    #[test]
    fn the_bus_is_a_list_that_loses_only_its_oldest(acts in acts()) {
        run(Keep::UntilOld, acts);
    }
}

fn run(keep: Keep, acts: Vec<Act>) {
    let mut world = World::new(keep);
    for act in acts {
        world.act(act);
        world.check();
    }
    world.drain();
}
