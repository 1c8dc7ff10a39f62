//! What delivery counts. The counters of one source and one type are looked up once, before an event comes here.

use std::{collections::HashMap, sync::Arc};

use prometheus::{Histogram, IntCounter, IntGauge};

use super::outcome::{Cause, Reason};
use crate::{
    bus::{Ack, PublishError},
    metrics::{Counted, Families, Label, Made, metrics},
};

metrics! {
    /// Of all publications and their ways out.
    pub struct DeliveryMetrics {
        /// Publications, by result.
        pub published: Counted<Result<Ack, PublishError>> = "bus_publish_total" ["result"];
        /// From hand-over to the bus to its acknowledgement.
        pub publish_duration: Histogram = "bus_publish_duration_seconds";
        /// Publications without an answer yet.
        pub bus_inflight: IntGauge = "bus_inflight";
        /// Events answered from the spool, by cause (gate: older ones were in it).
        pub spooled: Counted<Cause> = "spool_events_total" ["cause"];
        /// Events that the bus refused for good, by reason.
        pub dead_letters: Counted<Reason> = "dead_letters_total" ["reason"];
    }
}

metrics! {
    /// Of one source's events.
    struct SourceRows {
        /// Unix time of the last durable event, of the start before the first.
        last_event: IntGauge = "last_event_timestamp_seconds";
        /// Events with a known id and another body; they are published.
        id_conflicts: IntCounter = "id_conflicts_total";
        /// Repeats answered and not published again.
        dedup_hits: IntCounter = "dedup_hits_total";
    }
}

metrics! {
    /// Of one source's events of one type with one result.
    struct ResultRow {
        /// Verified events, by type and result.
        events: IntCounter = "events_total";
    }
}

/// Counters of the events of one source and one type.
#[derive(Debug, Clone)]
pub struct EventCounters {
    /// Durable.
    pub accepted: IntCounter,
    /// Repeats of one that is durable.
    pub duplicate: IntCounter,
    /// Not durable; answered `503`.
    pub failed: IntCounter,
    /// Unix time of the source's last durable event, seconds.
    pub last_event: IntGauge,
    /// One id with two bodies, of the source.
    pub id_conflicts: IntCounter,
    /// Repeats answered from memory, of the source.
    pub dedup_hits: IntCounter,
}

/// The counters of one source's events.
#[derive(Debug)]
pub struct EventMetrics {
    by_type: HashMap<&'static str, Arc<EventCounters>>,
    unknown: Arc<EventCounters>,
}

impl EventMetrics {
    /// `families`: with the source's label. `types`: its types beside `unknown`.
    ///
    /// # Errors
    /// See [`Made`].
    pub fn register(families: &Families, types: impl Iterator<Item = &'static str>) -> Made<Self> {
        let source = SourceRows::register(families)?;
        // An alert on silence must not ring at every start.
        source.last_event.set(jiff::Timestamp::now().as_second());
        let of_type = |name| EventCounters::register(&families.with("type", name), &source).map(Arc::new);
        let by_type = types.map(|name| Ok((name, of_type(name)?))).collect::<Made<_>>()?;
        Ok(EventMetrics { by_type, unknown: of_type("unknown")? })
    }

    /// Those of a type of the catalogue, of `quarantine`, or of `unknown`.
    pub fn of(&self, label: &str) -> &Arc<EventCounters> {
        self.by_type.get(label).unwrap_or(&self.unknown)
    }
}

impl EventCounters {
    fn register(families: &Families, source: &SourceRows) -> Made<Self> {
        let counter = |result| ResultRow::register(&families.with("result", result)).map(|row| row.events);
        let SourceRows { last_event, id_conflicts, dedup_hits } = source.clone();
        let (accepted, duplicate, failed) = (counter("accepted")?, counter("duplicate")?, counter("failed")?);
        Ok(EventCounters { accepted, duplicate, failed, last_event, id_conflicts, dedup_hits })
    }
}

impl Label for Result<Ack, PublishError> {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [
            (Ok(Ack::Stored), "ok"),
            (Ok(Ack::Duplicate), "duplicate"),
            (Err(PublishError::Timeout), "timeout"),
            (Err(PublishError::Refused), "refused"),
            (Err(PublishError::TooLarge), "too_large"),
            (Err(PublishError::Unroutable), "unroutable"),
            (Err(PublishError::Unprovisioned), "unroutable"),
            (Err(PublishError::Uncovered), "unroutable"),
            (Err(PublishError::SubjectFull), "refused"),
            (Err(PublishError::Unsafe), "refused"),
            (Err(PublishError::Unauthorized), "unauthorized"),
            (Err(PublishError::Rejected), "error"),
            (Err(PublishError::Error), "error"),
        ]
    }
}
