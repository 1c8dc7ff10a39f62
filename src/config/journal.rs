//! `[journal]`: the durable log on local disk.

use std::{path::PathBuf, time::Duration};

use super::{
    findings::Findings,
    key::{GIB, HOUR, KIB, MIB, TEN_YEARS, TIB, WEEK, duration, path, size, text, word},
    listener::LATEST_ANSWER,
    section::section,
};

/// Bytes of the smallest useful segment: each one costs a file and a sync of its directory.
const LEAST_SEGMENT: u64 = 64 * KIB;

section! {
    /// `[journal]`.
    pub struct JournalConfig {
        /// Made at the start, readable by its owner only. Mount a volume here, or a new container starts empty.
        directory: PathBuf = text("hookbus-data", path("directory")),
        /// Bytes of all segments together, at least twice segment_size. Beyond it the embedded bus lets its oldest segment
        /// go; a spool lets nothing go, and answers 503.
        max_size: u64 = size(10 * GIB, LEAST_SEGMENT..=1024 * TIB),
        /// Age at which a segment of the embedded bus goes; "off" keeps by size alone. A spool keeps what the bus has not.
        max_age: Option<Duration> = duration(WEEK, Duration::from_secs(1)..=TEN_YEARS).or_off(),
        /// Bytes of one segment, allocated ahead; at least twice the largest max_body, so that it holds any event.
        segment_size: u64 = size(64 * MIB, LEAST_SEGMENT..=4 * GIB),
        /// Bytes that stay free on the file system; below, the answer is 503.
        reserve: u64 = size(512 * MIB, 0..=1024 * TIB),
        /// For a bus that is not the journal: "on" keeps here what it does not take now and sends it on later, in order;
        /// "off" leaves an outage to the senders' retries.
        spool: bool = word(true, &[("on", true), ("off", false)]),
        /// An event that the bus has not acknowledged after this is spooled and answered; below listener.answer_timeout.
        hedge_after: Duration = duration(Duration::from_millis(1500), Duration::from_millis(10)..=LATEST_ANSWER),
        /// An event that is this old, and that the bus has refused for a minute while it takes others, goes to the dead
        /// letters; "off" keeps it in the spool. While the bus takes nothing at all, nothing goes there.
        dead_letter_after: Option<Duration> = duration(HOUR, Duration::from_secs(1)..=TEN_YEARS).or_off(),
    }
}

/// Rules over several keys.
pub(super) fn rules(journal: &JournalConfig, findings: &mut Findings) {
    findings.rule(
        &["journal.max_size", "journal.segment_size"],
        journal.segment_size <= journal.max_size / 2,
        "must be at least twice journal.segment_size: one segment to keep and one to write",
    );
}
