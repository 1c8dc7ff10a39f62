//! A set of sequences as ranges. It never touches a file.

/// Ranges (first, last), rising, with a gap between any two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Takes ranges that rise; those that touch become one.
    pub(super) fn rising(ranges: impl IntoIterator<Item = (u64, u64)>) -> Ranges {
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        Ranges(joined)
    }

    /// The ranges, rising.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// The range that has `sequence`.
    fn at(&self, sequence: u64) -> Option<(u64, u64)> {
        let behind = self.0.partition_point(|(first, _)| *first <= sequence);
        let range = *self.0.get(behind.checked_sub(1)?)?;
        (range.1 >= sequence).then_some(range)
    }

    /// Whether `sequence` is in the set.
    pub(super) fn contains(&self, sequence: u64) -> bool {
        self.at(sequence).is_some()
    }

    /// Whether all of `first` to `last` is in the set.
    pub(super) fn covers(&self, first: u64, last: u64) -> bool {
        self.at(first).is_some_and(|range| range.1 >= last)
    }

    /// How many of `first` to `last` are in the set.
    pub(super) fn count(&self, first: u64, last: u64) -> u64 {
        let from = self.0.partition_point(|range| range.1 < first);
        let within = self.0.iter().skip(from).take_while(|range| range.0 <= last);
        within.map(|range| range.1.min(last) - range.0.max(first) + 1).sum()
    }

    /// The highest sequence up to which all are in the set; 0 when the first is not.
    pub(super) fn low_water(&self) -> u64 {
        self.at(1).map_or(0, |range| range.1)
    }

    /// The set without `other`.
    pub(super) fn without(&self, other: &Ranges) -> Ranges {
        let mut left = Vec::new();
        for (mut first, last) in self.iter() {
            let from = other.0.partition_point(|range| range.1 < first);
            for hole in other.0.iter().skip(from).take_while(|range| range.0 <= last) {
                if hole.0 > first {
                    left.push((first, hole.0 - 1));
                }
                first = hole.1.saturating_add(1);
            }
            if first <= last {
                left.push((first, last));
            }
        }
        Ranges(left)
    }

    /// At most `limit` ranges: first the first one and those that must stay, then those that have the most sequences.
    pub(super) fn most(self, limit: usize, must_stay: impl Fn(u64, u64) -> bool) -> Ranges {
        if self.0.len() <= limit {
            return self;
        }
        let mut ranked: Vec<_> =
            self.iter().map(|(first, last)| (first == 1, must_stay(first, last), last - first, first)).collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        ranked.truncate(limit);
        let mut kept: Vec<_> = ranked.into_iter().map(|(.., more, first)| (first, first + more)).collect();
        kept.sort_unstable();
        Ranges(kept)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn ranges() -> impl Strategy<Value = Ranges> {
        vec((1..6u64, 0..5u64), 0..8).prop_map(|steps| {
            let mut last = 0;
            Ranges::rising(steps.into_iter().map(|(gap, more)| {
                let first = last + gap;
                last = first + more;
                (first, last)
            }))
        })
    }

    fn plain(ranges: &Ranges) -> BTreeSet<u64> {
        ranges.iter().flat_map(|(first, last)| first..=last).collect()
    }

    proptest! {
        #[test]
        fn they_are_a_set(one in ranges(), other in ranges(), first in 1..60u64, more in 0..9u64, limit in 1..5usize) {
            let (set, last) = (plain(&one), first + more);
            prop_assert!(one.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            prop_assert!((0..70).all(|n| one.contains(n) == set.contains(&n)));
            prop_assert_eq!(one.covers(first, last), (first..=last).all(|n| set.contains(&n)));
            prop_assert_eq!(one.count(first, last), set.range(first..=last).count() as u64);
            prop_assert_eq!(one.low_water(), (1..).take_while(|n| set.contains(n)).last().unwrap_or(0));
            prop_assert_eq!(plain(&one.without(&other)), &set - &plain(&other));
            let kept = one.clone().most(limit, |_, _| false);
            prop_assert_eq!(kept.0.len(), limit.min(one.0.len()));
            let least = kept.iter().filter(|range| range.0 != 1).map(|range| range.1 - range.0).min();
            let lost = one.iter().filter(|range| !kept.0.contains(range)).map(|range| range.1 - range.0).max();
            prop_assert!(least.zip(lost).is_none_or(|(kept, lost)| kept >= lost));
        }
    }

    #[test]
    fn what_must_stay_stays() {
        let ranges = Ranges::rising([(1, 1), (3, 3), (5, 90), (92, 192)]);
        let kept = ranges.most(3, |first, _| first == 3);
        assert_eq!(kept, Ranges::rising([(1, 1), (3, 3), (92, 192)]));
    }
}
