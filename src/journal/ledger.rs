//! Which records the journal still holds.
//!
//! In: sequences as they become durable, and as they are acknowledged, dropped or found lost. Out: their number, the
//! low-water mark, the age of the oldest. It never touches a file.

use std::collections::{BTreeMap, VecDeque};

/// Microseconds between two remembered times: the answer for the oldest record is off by no more than this.
const MARK_EVERY: u64 = 1_000_000;

/// The held sequences as ranges, so that a million records in a row cost as much as one.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// First sequence of a range to its last.
    ranges: BTreeMap<u64, u64>,
    count: u64,
    highest: u64,
    /// (sequence, Unix microseconds), a mark about every second.
    marks: VecDeque<(u64, u64)>,
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
        self.highest = sequence;
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
        self.forget_marks();
        removed
    }

    /// Whether the record is held.
    pub(super) fn contains(&self, sequence: u64) -> bool {
        self.ranges.range(..=sequence).next_back().is_some_and(|(_, end)| *end >= sequence)
    }

    /// How many records are held.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The highest sequence that is known.
    pub(super) fn highest(&self) -> u64 {
        self.highest
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
                prop_assert_eq!(ledger.count(), plain.len() as u64);
                prop_assert_eq!(ledger.low_water(), plain.first().map_or(highest, |n| n - 1));
                prop_assert!((0..70).all(|n| ledger.contains(n) == plain.contains(&n)));
            }
        }
    }

    #[test]
    fn the_oldest_time_follows_the_low_water_mark() {
        let mut ledger = Ledger::new(0);
        for n in 1..=10 {
            ledger.insert(n, n * 500_000);
        }
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
