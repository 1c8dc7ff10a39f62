//! What goes, and whether there is room for more.
//!
//! In: the segments, the acknowledgements, and a time that is believed or none. Out: fewer segments, and a line for each
//! that went. It never touches the segment that is written.

use std::time::{Duration, UNIX_EPOCH};

use super::{super::alarm::Trouble, AppendError, Id, Keep, Operation, Options, Segment, Store};

/// Why a segment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Acknowledged,
    Size,
    Age,
}

impl Store {
    /// Sees to it that a segment of `size` bytes may be made.
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
        self.shared.set_free_bytes(free);
        let reserve = self.options.reserve;
        if free < reserve.saturating_add(size) {
            self.trouble = Some(Trouble::Space { free, coming: size, reserve });
            return Err(AppendError::Full);
        }
        Ok(())
    }

    /// Removes segments, oldest first, whose records are done with; `coming` bytes are about to be added. By age goes
    /// one at most, and none without a time that is believed: a clock that lies must not have much to lie about.
    pub(super) fn drop_done(&mut self, coming: u64, mut now: Option<u64>) {
        while let Some(oldest) = self.closed.front()
            && let Some(reason) = self.reason(oldest, coming, now)
            && let Some(segment) = self.closed.pop_front()
        {
            // Readers must not look for it any more, and the ledger must not wait for it.
            self.publish();
            if !self.remove(segment.id) {
                self.closed.push_front(segment);
                break;
            }
            let records = self.shared.ledger().remove(0, segment.last);
            self.tell_dropped(&segment, reason, records);
            if reason == Reason::Age {
                now = None;
            }
        }
        self.publish();
    }

    fn reason(&self, segment: &Segment, coming: u64, now: Option<u64>) -> Option<Reason> {
        match self.options.keep {
            Keep::UntilAcknowledged => {
                (segment.last <= self.shared.ledger().low_water()).then_some(Reason::Acknowledged)
            }
            Keep::UntilOld if self.total() + coming > self.options.max_size => Some(Reason::Size),
            Keep::UntilOld => self.is_past(segment.newest, now).then_some(Reason::Age),
        }
    }

    fn tell_dropped(&self, segment: &Segment, reason: Reason, records: u64) {
        let (first, last) = (segment.id.first, segment.last);
        if reason == Reason::Acknowledged {
            tracing::debug!(first, last, "journal: a segment is acknowledged and goes");
            return;
        }
        self.shared.observer.dropped(records);
        let oldest = jiff::Timestamp::try_from(UNIX_EPOCH + Duration::from_micros(segment.oldest)).unwrap_or_default();
        let young = !is_old(&self.options, self.directory.wall(), segment.newest);
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
        self.options.keep == Keep::UntilOld && now.is_some_and(|now| is_old(&self.options, now, recorded))
    }

    pub(super) fn total(&self) -> u64 {
        self.closed.iter().map(|segment| segment.size).sum::<u64>() + self.active.as_ref().map_or(0, |a| a.size)
    }

    /// Tells the readers which segments there are.
    pub(super) fn publish(&self) {
        let ids = self.closed.iter().map(|segment| segment.id).chain(self.active.as_ref().map(|active| active.id));
        self.shared.set_segments(ids.collect(), self.total());
    }

    /// Removes a segment's file; tells whether it is gone.
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

/// Whether a record of this time is past the maximum age; both in Unix microseconds.
pub(super) fn is_old(options: &Options, now: u64, recorded: u64) -> bool {
    options.max_age.is_some_and(|age| u128::from(now.saturating_sub(recorded)) > age.as_micros())
}
