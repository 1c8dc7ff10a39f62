//! Which segments are dropped, and whether there is room for more.
//!
//! In: the segments, the acknowledgements, and a time that is believed or none. Out: fewer segments, and a log line for
//! each that was dropped. The segment that is written is never dropped.

use std::{
    mem,
    time::{Duration, UNIX_EPOCH},
};

use super::{Segment, Store};
use crate::{format::Id, observer::Operation, options::Keep, outage::Trouble, ranges::Ranges, record::AppendError};

/// Why a segment is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Acknowledged,
    Size,
    Age,
}

impl Store {
    /// Makes room for a segment of `size` bytes.
    pub(super) fn make_room(&mut self, size: u64) -> Result<(), AppendError> {
        self.drop_done(size, None);
        let (total, max_size) = (self.total(), self.options.max_size);
        if self.options.keep == Keep::UntilAcknowledged && total > 0 && total + size > max_size {
            self.trouble = Some(Trouble::Size { total, coming: size, max_size });
            return Err(AppendError::Full);
        }
        let free = match self.directory.free_bytes() {
            Ok(free) => free,
            Err(error) => return Err(self.failed("statvfs", error)),
        };
        self.shared.facts().free_bytes = free;
        let reserve = self.options.reserve;
        if let Some(free) = free
            && free < reserve.saturating_add(size)
        {
            self.trouble = Some(Trouble::Space { free, coming: size, reserve });
            return Err(AppendError::Full);
        }
        Ok(())
    }

    /// Removes segments whose records are done with; `coming` bytes are about to be added. What is dropped is stored first:
    /// a start that finds a segment absent must know that it may be.
    pub(super) fn drop_done(&mut self, coming: u64, now: Option<u64>) {
        match self.options.keep {
            Keep::UntilAcknowledged => self.drop_acknowledged(),
            Keep::UntilOld => self.drop_old(coming, now),
        }
        self.publish();
    }

    /// A segment without a held record goes wherever it stands. One that holds a single record stays whole.
    fn drop_acknowledged(&mut self) {
        let (low_water, is_done) = {
            let ledger = self.shared.ledger();
            let done = |segment: &Segment| {
                let (first, last) = (segment.id.first, segment.last);
                !ledger.holds_any(first, last) && !ledger.is_sealed(first, last)
            };
            (ledger.low_water(), self.closed.iter().map(done).collect::<Vec<_>>())
        };
        if !is_done.contains(&true) {
            return;
        }
        let is_stored = self.store_marks();
        let mut going = Vec::new();
        for (segment, is_done) in mem::take(&mut self.closed).into_iter().zip(is_done) {
            // Marks that no disk takes must not fill the journal; in the middle, the next start would count a loss.
            let may_go = self.checkpoint.stored.done.covers(segment.id.first, segment.last)
                || !is_stored && segment.last <= low_water;
            if is_done && may_go { going.push(segment) } else { self.closed.push_back(segment) }
        }
        // Readers must not look for them any more.
        self.publish();
        let mut removes = true;
        for segment in going {
            removes = removes && self.drop_segment(&segment, Reason::Acknowledged, 0);
            if !removes {
                self.closed.push_back(segment);
            }
        }
        self.closed.make_contiguous().sort_unstable_by_key(|segment| segment.id);
    }

    /// Oldest first. By age, one at most is dropped, and none without a time that is believed: a wrong clock must not cost
    /// much.
    fn drop_old(&mut self, coming: u64, mut now: Option<u64>) {
        while let Some(oldest) = self.closed.front()
            && let Some(reason) = self.reason(oldest, coming, now)
            && let Some(segment) = self.closed.pop_front()
        {
            // Readers must not look for it any more.
            self.publish();
            let records = self.shared.ledger().remove(0, segment.last);
            self.shared.observer.dropped(records);
            self.store_marks();
            if !self.drop_segment(&segment, reason, records) {
                self.closed.push_front(segment);
                break;
            }
            if reason == Reason::Age {
                now = None;
            }
        }
    }

    fn drop_segment(&self, segment: &Segment, reason: Reason, records: u64) -> bool {
        let removed = self.remove(segment.id);
        if removed {
            self.log_dropped(segment, reason, records);
        }
        removed
    }

    fn reason(&self, segment: &Segment, coming: u64, now: Option<u64>) -> Option<Reason> {
        if self.total() + coming > self.options.max_size {
            return Some(Reason::Size);
        }
        self.is_past(segment.newest, now).then_some(Reason::Age)
    }

    /// What the segments own. A range that is done with and goes beyond it spans segments that were dropped: if that were
    /// forgotten, their records would count as lost.
    pub(super) fn owned(&self) -> Ranges {
        let closed = self.closed.iter().map(|segment| (segment.id.first, segment.last));
        Ranges::rising(closed.chain(self.active.as_ref().map(|active| (active.segment.id.first, u64::MAX))))
    }

    fn log_dropped(&self, segment: &Segment, reason: Reason, records: u64) {
        let (first, last) = (segment.id.first, segment.last);
        if reason == Reason::Acknowledged {
            tracing::debug!(first, last, "journal: a segment is acknowledged and goes");
            return;
        }
        let oldest = jiff::Timestamp::try_from(UNIX_EPOCH + Duration::from_micros(segment.oldest)).unwrap_or_default();
        let young = !self.options.is_old(self.directory.wall(), segment.newest);
        match reason {
            Reason::Size if young && self.options.max_age.is_some() => tracing::warn!(
                first, last, records, %oldest, reason = "size",
                "journal: a segment goes before its maximum age: raise journal.max_size to keep records that long"
            ),
            Reason::Size => tracing::info!(first, last, records, %oldest, reason = "size", "journal: a segment goes"),
            _ => tracing::info!(first, last, records, %oldest, reason = "age", "journal: a segment goes"),
        }
    }

    /// Whether a record of this time is past the maximum age at a time that is believed.
    pub(super) fn is_past(&self, recorded: u64, now: Option<u64>) -> bool {
        self.options.keep == Keep::UntilOld && now.is_some_and(|now| self.options.is_old(now, recorded))
    }

    pub(super) fn total(&self) -> u64 {
        self.closed.iter().map(|segment| segment.size).sum::<u64>()
            + self.active.as_ref().map_or(0, |active| active.segment.size)
    }

    /// Publishes to the readers which segments there are.
    pub(super) fn publish(&self) {
        let ids =
            self.closed.iter().map(|segment| segment.id).chain(self.active.as_ref().map(|active| active.segment.id));
        let mut facts = self.shared.facts();
        (facts.segments, facts.bytes) = (ids.collect(), self.total());
    }

    /// Removes a segment's file. Whether it is gone.
    pub(in super::super) fn remove(&self, id: Id) -> bool {
        let removed = self.directory.remove(id);
        removed
            .inspect_err(|error| {
                let segment = id.path(&self.directory.path);
                tracing::error!(segment = %segment.display(), %error, "journal: a segment cannot be deleted");
                self.shared.observer.error(Operation::Delete);
            })
            .is_ok()
    }
}
