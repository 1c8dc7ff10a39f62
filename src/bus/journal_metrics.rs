//! What the journal counts.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use journal::{Observer, Operation, Stats};
use prometheus::{Histogram, IntCounter, IntGauge};

use crate::metrics::{Counted, Label, metrics, signed};

metrics! {
    /// Of the journal that is the bus or the spool.
    pub struct JournalMetrics {
        /// The configured largest size, at which a spool is full; 0 without a journal.
        pub max_bytes: IntGauge = "journal_max_bytes";
        /// journal.reserve: free bytes at which the journal stops; 0 without one.
        pub reserve_bytes: IntGauge = "journal_reserve_bytes";
        /// Records in the journal.
        records: IntGauge = "journal_records";
        /// Bytes of the journal's segments on disk.
        bytes: IntGauge = "journal_bytes";
        /// Bytes free on the journal's file system; -1 where it does not know, and the reserve is not kept.
        free_bytes: IntGauge = "journal_free_bytes";
        /// Unix time of the journal's oldest record; 0 without one.
        oldest: IntGauge = "journal_oldest_timestamp_seconds";
        /// 1 while the journal can take events.
        up: IntGauge = "journal_up";
        /// Records appended and fsynced.
        appends: IntCounter = "journal_appends_total";
        /// One group commit's fdatasync.
        fsync_duration: Histogram = "journal_fsync_duration_seconds";
        /// Records that retention dropped.
        dropped: IntCounter = "journal_dropped_records_total";
        /// Damaged bytes that recovery passed over.
        damage_bytes: IntCounter = "journal_damage_bytes_total";
        /// Records that were answered and are missing from the disk, of the journal and of the dead letters.
        lost_records: IntCounter = "journal_lost_records_total";
        /// Operations on the journal's files that failed, by operation.
        errors: Counted<Operation> = "journal_errors_total" ["operation"];
    }
}

impl Label for Operation {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [
            (Operation::Append, "append"),
            (Operation::Fsync, "fsync"),
            (Operation::Read, "read"),
            (Operation::Delete, "delete"),
        ]
    }
}

impl JournalMetrics {
    /// Sets the gauges, for a scrape.
    pub fn read(&self, stats: &Stats) {
        self.records.set(signed(stats.records));
        self.bytes.set(signed(stats.bytes));
        self.free_bytes.set(stats.free_bytes.map_or(-1, signed));
        self.up.set(i64::from(stats.up));
        let since = stats.oldest.and_then(|oldest: SystemTime| oldest.duration_since(UNIX_EPOCH).ok());
        self.oldest.set(since.map_or(0, |since| signed(since.as_secs())));
    }
}

/// The journal reports its own work as it happens.
impl Observer for JournalMetrics {
    fn appended(&self, records: u64) {
        self.appends.inc_by(records);
    }

    fn fsynced(&self, took: Duration) {
        self.fsync_duration.observe(took.as_secs_f64());
    }

    fn error(&self, operation: Operation) {
        self.errors.inc(operation);
    }

    fn dropped(&self, records: u64) {
        self.dropped.inc_by(records);
    }

    fn damage(&self, bytes: u64) {
        self.damage_bytes.inc_by(bytes);
    }

    fn lost(&self, records: u64) {
        self.lost_records.inc_by(records);
    }
}

/// The log of dead letters has gauges of its own; what is missing or damaged in it counts here.
#[derive(Debug)]
pub struct DeadLetterLosses(pub Arc<JournalMetrics>);

impl Observer for DeadLetterLosses {
    fn damage(&self, bytes: u64) {
        self.0.damage(bytes);
    }

    fn lost(&self, records: u64) {
        self.0.lost(records);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Families;

    #[test]
    fn what_the_dead_letters_lose_counts_and_their_appends_do_not() {
        let metrics = Arc::new(JournalMetrics::register(&Families::new().unwrap()).unwrap());
        let dead_letters = DeadLetterLosses(Arc::clone(&metrics));
        dead_letters.lost(3);
        dead_letters.damage(7);
        dead_letters.appended(9);
        metrics.lost(1);
        assert_eq!((metrics.lost_records.get(), metrics.damage_bytes.get(), metrics.appends.get()), (4, 7, 0));
    }
}
