//! What is missing: the sequences that were answered, are not done with, and stand nowhere on the disk.
//!
//! In: what the segments of a directory hold, in order, and the stored marks. Out: the stretches that are lost. It never
//! touches a file.
//!
//! Not each sequence was a record. A torn write at the end of a crash, a batch that no disk took, and the numbers that a
//! start passes over were never answered. So a missing sequence is lost only with a proof that it was answered: the
//! stored highest one, a later batch in the same segment, or the header of the next segment, which says where the records
//! before it end.

use super::{checkpoint::Marks, ranges::Ranges};

/// Sequences that are missing in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    /// The first.
    pub(super) first: u64,
    /// The last.
    pub(super) last: u64,
    /// How many of them were not done with.
    pub(super) records: u64,
}

/// Counts as it goes through the segments.
#[derive(Debug)]
pub(super) struct Census<'a> {
    marks: &'a Marks,
    /// Whether the marks say which segments may be absent. Without, only what is missing inside a segment is judged.
    judged: bool,
    /// Everything up to here is accounted for.
    last: u64,
    /// When the last record was recorded, in this segment: the records of one batch have one time.
    batch: Option<u64>,
    /// Everything up to here that was a record was answered.
    answered: u64,
    /// Missing, and not known yet whether lost.
    missing: Vec<(u64, u64)>,
    /// May come back at another start: not lost.
    sealed: Vec<(u64, u64)>,
    lost: Vec<Lost>,
}

impl<'a> Census<'a> {
    /// Before the first segment.
    pub(super) fn new(marks: &'a Marks, judged: bool) -> Census<'a> {
        let (last, answered) = if judged { (marks.done.low_water(), marks.highest) } else { (0, 0) };
        Census { marks, judged, last, batch: None, answered, missing: Vec::new(), sealed: Vec::new(), lost: Vec::new() }
    }

    /// A segment begins at `first`; before it, the last record that was answered is `before`, where its header says so.
    pub(super) fn segment(&mut self, first: u64, before: Option<u64>) {
        let answered = before.unwrap_or(self.answered).min(first - 1);
        if self.judged {
            self.miss(self.last + 1, answered);
        }
        self.settle(answered);
        self.last = self.last.max(first - 1);
        self.batch = None;
    }

    /// A record stands in this segment.
    pub(super) fn found(&mut self, sequence: u64, recorded: u64) {
        if self.batch.is_some_and(|batch| batch != recorded) {
            // A batch is written only after the one before it was synced.
            self.answered = self.answered.max(self.last);
        }
        self.batch = Some(recorded);
        self.miss(self.last + 1, sequence - 1);
        self.last = self.last.max(sequence);
    }

    /// Nothing is known of this segment, which ends before `bound`.
    pub(super) fn unknown(&mut self, bound: u64) {
        self.last = self.last.max(bound - 1);
    }

    /// The disk does not give these at this start.
    pub(super) fn sealed(&mut self, first: u64, last: u64) {
        self.sealed.push((first, last));
    }

    /// No segment follows.
    pub(super) fn end(mut self) -> Vec<Lost> {
        if self.judged {
            self.miss(self.last + 1, self.answered);
        }
        self.settle(self.answered);
        self.lost
    }

    fn miss(&mut self, first: u64, last: u64) {
        match self.missing.last_mut() {
            _ if first > last => {}
            Some(before) if before.1 + 1 == first => before.1 = last,
            _ => self.missing.push((first, last)),
        }
    }

    fn settle(&mut self, answered: u64) {
        let missing = Ranges::rising(self.missing.drain(..)).without(&Ranges::rising(self.sealed.iter().copied()));
        for (first, last) in missing.iter() {
            let last = last.min(answered);
            if first > last {
                continue;
            }
            let records = last - first + 1 - self.marks.done.count(first, last);
            if records > 0 {
                self.lost.push(Lost { first, last, records });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment: its first sequence, what its header says, and its records (sequence, time).
    type Segment<'a> = (u64, Option<u64>, &'a [(u64, u64)]);

    fn lost(done: &[(u64, u64)], highest: u64, judged: bool, segments: &[Segment<'_>]) -> Vec<(u64, u64, u64)> {
        let marks = Marks { done: Ranges::rising(done.iter().copied()), highest, next: 0 };
        let mut census = Census::new(&marks, judged);
        for (first, before, records) in segments {
            census.segment(*first, *before);
            records.iter().for_each(|(sequence, recorded)| census.found(*sequence, *recorded));
        }
        census.end().into_iter().map(|lost| (lost.first, lost.last, lost.records)).collect()
    }

    const ONE: Segment<'_> = (1, Some(0), &[(1, 1), (2, 2), (3, 3)]);

    #[test]
    fn nothing_is_missing() {
        assert_eq!(lost(&[], 0, true, &[]), []);
        assert_eq!(lost(&[], 3, true, &[ONE, (4, Some(3), &[(4, 4)])]), []);
        assert_eq!(lost(&[(1, 3)], 4, true, &[(4, Some(3), &[(4, 4)])]), [], "acknowledged in front");
        assert_eq!(lost(&[(4, 6)], 7, true, &[ONE, (7, Some(6), &[(7, 7)])]), [], "acknowledged in the middle");
        assert_eq!(lost(&[(1, 9)], 9, true, &[]), [], "all is acknowledged");
    }

    #[test]
    fn what_was_never_answered_is_not_lost() {
        // A crash: the start goes on at 60, and says that 3 was the last.
        assert_eq!(lost(&[], 3, true, &[ONE, (60, Some(3), &[(60, 9)])]), []);
        // The last batch, of 4 to 6, is torn in the middle.
        let torn: Segment<'_> = (1, Some(0), &[(1, 1), (2, 2), (3, 3), (4, 4), (6, 4)]);
        assert_eq!(lost(&[], 3, true, &[torn]), []);
        assert_eq!(lost(&[], 3, true, &[torn, (9, Some(3), &[])]), []);
        let later: Segment<'_> = (1, Some(0), &[(1, 1), (2, 2), (3, 3), (5, 4), (6, 4), (7, 4)]);
        assert_eq!(lost(&[], 3, true, &[later]), [], "5 to 7 are of the batch of 4");
    }

    #[test]
    fn what_was_answered_and_is_nowhere_is_lost() {
        assert_eq!(lost(&[], 9, true, &[(4, Some(3), &[(4, 4)]), (5, Some(4), &[])]), [(1, 3, 3), (5, 9, 5)]);
        assert_eq!(lost(&[], 3, true, &[]), [(1, 3, 3)]);
        assert_eq!(lost(&[(4, 5)], 7, true, &[ONE, (7, Some(6), &[(7, 7)])]), [(4, 6, 1)], "only 6 was to be kept");
        assert_eq!(lost(&[], 3, true, &[(1, Some(0), &[(1, 1)]), (60, Some(3), &[])]), [(2, 3, 2)], "a cut segment");
        // No mark says so, but the next segment does.
        assert_eq!(lost(&[], 0, true, &[ONE, (7, Some(6), &[(7, 7)])]), [(4, 6, 3)]);
        // Nor does that, but 5 was written after 3 was answered.
        assert_eq!(lost(&[], 0, true, &[(1, Some(0), &[(1, 1), (3, 3), (4, 4)])]), [(2, 2, 1)]);
    }

    #[test]
    fn without_marks_only_a_gap_inside_a_segment_is_lost() {
        let gap: Segment<'_> = (4, None, &[(4, 4), (6, 6), (7, 7)]);
        assert_eq!(lost(&[], 0, false, &[gap, (60, None, &[(60, 1)])]), [(5, 5, 1)]);
        assert_eq!(lost(&[], 0, false, &[ONE, (60, Some(9), &[(60, 1)])]), []);
    }

    #[test]
    fn a_segment_that_does_not_open_is_not_judged() {
        let marks = Marks { done: Ranges::default(), highest: 9, next: 0 };
        let mut census = Census::new(&marks, true);
        census.segment(1, None);
        census.unknown(7);
        census.segment(7, Some(6));
        census.found(8, 1);
        census.found(9, 2);
        assert_eq!(census.end(), [Lost { first: 7, last: 7, records: 1 }]);
    }
}
