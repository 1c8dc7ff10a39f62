//! How far a log is done with, when its records are done with in any order.

use std::collections::BTreeMap;

/// Of one log, or of one partition.
#[derive(Debug, Default)]
pub(in crate::bus) struct Marks {
    /// Places that are out, and how often: after a rebalance one may come again while it is out.
    out: BTreeMap<u64, u32>,
    /// Behind the place that was taken last.
    end: Option<u64>,
}

impl Marks {
    /// A record was taken. Places rise, until the log is read again from an earlier one.
    pub(in crate::bus) fn taken(&mut self, place: u64) {
        self.end = Some(place.saturating_add(1));
        *self.out.entry(place).or_default() += 1;
    }

    /// A record is done with.
    pub(in crate::bus) fn done(&mut self, place: u64) {
        if let Some(times) = self.out.get_mut(&place) {
            *times -= 1;
            if *times == 0 {
                self.out.remove(&place);
            }
        }
    }

    /// The first place that is not done with; `None` before anything was taken.
    pub(in crate::bus) fn next(&self) -> Option<u64> {
        let out = self.out.keys().next().copied();
        self.end.map(|end| out.map_or(end, |out| out.min(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_out_is_passed() {
        let mut marks = Marks::default();
        assert_eq!(marks.next(), None);
        for place in [5, 6, 9] {
            marks.taken(place);
        }
        marks.done(6);
        assert_eq!(marks.next(), Some(5));
        marks.done(5);
        assert_eq!(marks.next(), Some(9));
        marks.done(9);
        assert_eq!(marks.next(), Some(10));
        // Read again from an earlier place, as after a rebalance or in a log that was made anew.
        marks.taken(5);
        assert_eq!(marks.next(), Some(5));
        marks.done(5);
        assert_eq!(marks.next(), Some(6));
    }

    #[test]
    fn what_is_out_twice_is_done_twice() {
        let mut marks = Marks::default();
        marks.taken(5);
        marks.taken(5);
        marks.done(5);
        assert_eq!(marks.next(), Some(5));
        marks.done(5);
        marks.done(5);
        assert_eq!(marks.next(), Some(6));
    }
}
