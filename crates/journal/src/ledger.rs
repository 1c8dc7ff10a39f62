//! Which records the journal still holds.
//!
//! In: sequences as they become durable, and as they are acknowledged, dropped or found lost. Out: their number, the
//! low-water mark, the ranges that are done with, the age of the oldest. It never touches a file.

use std::collections::{BTreeMap, VecDeque};

use super::ranges::Ranges;

/// Microseconds between two remembered times: the answer for the oldest record is off by no more than this.
const MARK_EVERY: u64 = 1_000_000;

/// The held sequences as ranges, so that a million records in a row cost as much as one.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// First sequence of a range to its last.
    ranges: BTreeMap<u64, u64>,
    /// How many records are held.
    pub(super) count: u64,
    /// The highest sequence that is known.
    pub(super) highest: u64,
    /// (sequence, Unix microseconds), a mark about every second.
    marks: VecDeque<(u64, u64)>,
    /// Ranges that the disk does not give at this start: what it holds is neither held here nor done with.
    sealed: Vec<(u64, u64)>,
    /// Rises with each change of what is done with.
    pub(super) changes: u64,
}

impl Ledger {
    /// Nothing is held, and everything up to `low_water` is done with.
    pub(super) fn new(low_water: u64) -> Ledger {
        Ledger { highest: low_water, ..Ledger::default() }
    }

    /// A record became durable. Sequences come in rising order; a lower one is known already.
    pub(super) fn insert(&mut self, sequence: u64, recorded: u64) {
        if sequence <= self.highest {
            return;
        }
        self.pass(sequence);
        self.count += 1;
        match self.ranges.last_entry() {
            Some(mut last) if *last.get() == sequence - 1 => *last.get_mut() = sequence,
            _ => {
                self.ranges.insert(sequence, sequence);
            }
        }
        if self.marks.back().is_none_or(|(_, time)| time.abs_diff(recorded) >= MARK_EVERY) {
            self.marks.push_back((sequence, recorded));
        }
    }

    /// Everything up to this sequence is known; what is not held of it is done with.
    pub(super) fn pass(&mut self, sequence: u64) {
        if sequence > self.highest {
            self.highest = sequence;
            self.changes += 1;
        }
    }

    /// Records `first` to `last` may be in a file, or a block, that the disk does not give.
    pub(super) fn seal(&mut self, first: u64, last: u64) {
        self.sealed.push((first, last));
    }

    /// Whether one of these may be where the disk does not give it.
    pub(super) fn is_sealed(&self, from: u64, to: u64) -> bool {
        self.sealed.iter().any(|(first, last)| *first <= to && from <= *last)
    }

    /// Records `from` to `to`, both included, are done with. Gives how many of them were held.
    pub(super) fn remove(&mut self, from: u64, to: u64) -> u64 {
        let mut removed = 0;
        while from <= to
            && let Some((&start, &end)) = self.ranges.range(..=to).next_back()
            && end >= from
        {
            self.ranges.remove(&start);
            if end > to {
                self.ranges.insert(to + 1, end);
            }
            if start < from {
                self.ranges.insert(start, from - 1);
            }
            removed += end.min(to) - start.max(from) + 1;
        }
        self.count -= removed;
        self.changes += u64::from(removed > 0);
        self.forget_marks();
        removed
    }

    /// Whether the record is held.
    pub(super) fn contains(&self, sequence: u64) -> bool {
        self.ranges.range(..=sequence).next_back().is_some_and(|(_, end)| *end >= sequence)
    }

    /// Whether one of these records is held.
    pub(super) fn holds_any(&self, from: u64, to: u64) -> bool {
        self.ranges.range(..=to).next_back().is_some_and(|(_, end)| *end >= from)
    }

    /// Everything up to the highest known sequence that is done with.
    pub(super) fn done(&self) -> Ranges {
        let mut done = Vec::new();
        let mut next = 1;
        for (&first, &last) in &self.ranges {
            if first > next {
                done.push((next, first - 1));
            }
            next = last + 1;
        }
        if next <= self.highest {
            done.push((next, self.highest));
        }
        Ranges::rising(done).without(&Ranges::rising(self.sealed.iter().copied()))
    }

    /// The highest sequence of which nothing at or below is held.
    pub(super) fn low_water(&self) -> u64 {
        self.ranges.first_key_value().map_or(self.highest, |(first, _)| first - 1)
    }

    /// When the oldest held record was recorded, in Unix microseconds, to a second or so.
    pub(super) fn oldest(&self) -> Option<u64> {
        if self.count == 0 { None } else { self.marks.front().map(|(_, time)| *time) }
    }

    fn forget_marks(&mut self) {
        let low_water = self.low_water();
        while self.marks.get(1).is_some_and(|(sequence, _)| *sequence <= low_water + 1) {
            self.marks.pop_front();
        }
        if self.count == 0 {
            self.marks.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_of_sequences(steps in prop::collection::vec((0..3u8, 0..60u64, 0..8u64), 0..80)) {
            let mut ledger = Ledger::new(2);
            let mut plain = BTreeSet::new();
            let mut highest = 2;
            for (kind, from, extra) in steps {
                if kind < 2 {
                    highest += 1 + extra / 6;
                    ledger.insert(highest, 1);
                    plain.insert(highest);
                } else {
                    let before = plain.len();
                    plain.retain(|n| !(from..=from + extra).contains(n));
                    prop_assert_eq!(ledger.remove(from, from + extra), (before - plain.len()) as u64);
                }
                prop_assert_eq!(ledger.count, plain.len() as u64);
                prop_assert_eq!(ledger.low_water(), plain.first().map_or(highest, |n| n - 1));
                prop_assert!((0..70).all(|n| ledger.contains(n) == plain.contains(&n)));
                prop_assert_eq!(ledger.holds_any(from, from + extra), plain.range(from..=from + extra).next().is_some());
                prop_assert_eq!(ledger.highest, highest);
                let done = ledger.done();
                prop_assert!((1..90).all(|n| done.contains(n) == (n <= highest && !plain.contains(&n))));
            }
        }
    }

    #[test]
    fn what_may_be_in_a_sealed_file_is_not_done_with() {
        let mut ledger = Ledger::new(2);
        ledger.seal(4, 6);
        ledger.insert(9, 1);
        let changes = ledger.changes;
        assert_eq!(ledger.done(), Ranges::rising([(1, 3), (7, 8)]));
        ledger.remove(3, 8);
        assert_eq!(ledger.changes, changes, "nothing of it was held");
        ledger.remove(9, 9);
        assert!(ledger.changes > changes);
    }

    #[test]
    fn the_oldest_time_follows_the_low_water_mark() {
        let mut ledger = Ledger::new(0);
        for n in 1..=10 {
            ledger.insert(n, n * 500_000);
        }
        assert_eq!(ledger.ranges.len(), 1, "a row of records costs as much as one");
        assert_eq!(ledger.oldest(), Some(500_000));
        ledger.remove(2, 5);
        assert_eq!(ledger.oldest(), Some(500_000));
        ledger.remove(1, 1);
        assert_eq!(ledger.oldest(), Some(2_500_000));
        ledger.remove(6, 10);
        assert_eq!(ledger.oldest(), None);
        ledger.insert(11, 9_000_000);
        assert_eq!(ledger.oldest(), Some(9_000_000));
    }
}
