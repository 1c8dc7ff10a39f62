//! How families are made: one prefix, one place for buckets, and each closed list of labels turned into series at once.

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};

use super::{Closed, JournalMetrics, signed};
use crate::{
    bus::{Ack, PublishError},
    delivery::{dead_letters::Reason, spool::Cause},
    journal::Operation,
    observe::health::Stage,
};

pub(super) type Made<T> = Result<T, prometheus::Error>;

/// Seconds. 1.5 s is where a broker counts as slow, 5 s the promised answer, 8 s its limit, 10 s Audit1's patience.
const DURATION_BUCKETS: [f64; 15] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 5.0, 8.0, 10.0];

pub(super) struct Families<'a> {
    pub(super) registry: &'a Registry,
}

impl Families<'_> {
    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> Made<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Made<IntGauge> {
        self.register(IntGauge::with_opts(opts(name, help))?)
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntGaugeVec> {
        self.register(IntGaugeVec::new(opts(name, help), labels)?)
    }

    pub(super) fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> Made<GaugeVec> {
        self.register(GaugeVec::new(opts(name, help), labels)?)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Made<IntCounter> {
        self.register(IntCounter::with_opts(opts(name, help))?)
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntCounterVec> {
        self.register(IntCounterVec::new(opts(name, help), labels)?)
    }

    pub(super) fn durations(&self, name: &str, help: &str) -> Made<Histogram> {
        let opts = HistogramOpts::from(opts(name, help)).buckets(DURATION_BUCKETS.to_vec());
        self.register(Histogram::with_opts(opts)?)
    }

    pub(super) fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Made<HistogramVec> {
        let buckets = if buckets.is_empty() { DURATION_BUCKETS.to_vec() } else { buckets.to_vec() };
        self.register(HistogramVec::new(HistogramOpts::from(opts(name, help)).buckets(buckets), labels)?)
    }

    pub(super) fn closed(&self) -> Made<Vec<(Closed, IntCounter)>> {
        let family = self.counters(
            "http_connections_closed_total",
            "Connections that hookbus closed, by reason; a client's own close is not counted.",
            &["reason"],
        )?;
        Ok(Closed::ALL.map(|(reason, label)| (reason, family.with_label_values(&[label]))).into())
    }

    pub(super) fn published(&self) -> Made<Vec<(Result<Ack, PublishError>, IntCounter)>> {
        let family = self.counters("bus_publish_total", "Publications, by result.", &["result"])?;
        let results = [
            (Ok(Ack::Stored), "ok"),
            (Ok(Ack::Duplicate), "duplicate"),
            (Err(PublishError::Timeout), "timeout"),
            (Err(PublishError::Refused), "refused"),
            (Err(PublishError::TooLarge), "too_large"),
            (Err(PublishError::Unroutable), "unroutable"),
            (Err(PublishError::Unprovisioned), "unroutable"),
            (Err(PublishError::Unauthorized), "unauthorized"),
            (Err(PublishError::Error), "error"),
        ];
        Ok(results.map(|(result, label)| (result, family.with_label_values(&[label]))).into())
    }

    pub(super) fn spooled(&self) -> Made<Vec<(Cause, IntCounter)>> {
        let family = self.counters(
            "spool_events_total",
            "Events answered from the spool, by cause (gate: older ones were in it).",
            &["cause"],
        )?;
        Ok(Cause::ALL.map(|(cause, label)| (cause, family.with_label_values(&[label]))).into())
    }

    pub(super) fn dead_letters(&self) -> Made<Vec<(Reason, IntCounter)>> {
        let family =
            self.counters("dead_letters_total", "Events that the bus refused for good, by reason.", &["reason"])?;
        Ok(Reason::ALL.map(|(reason, label)| (reason, family.with_label_values(&[label]))).into())
    }

    pub(super) fn stages(&self) -> Made<Vec<(Stage, IntGauge)>> {
        let family = self.gauges("stage", "1 for the stage in which the process is.", &["stage"])?;
        Ok(Stage::ALL.map(|(stage, label)| (stage, family.with_label_values(&[label]))).into())
    }

    /// `limits`: where the journal stops; they do not change while the process runs.
    pub(super) fn journal(&self, limits: (u64, u64)) -> Made<JournalMetrics> {
        self.gauge("journal_max_bytes", "journal.max_size: where a spool is full; 0 without a journal.")?
            .set(signed(limits.0));
        self.gauge("journal_reserve_bytes", "journal.reserve: free bytes at which the journal stops; 0 without one.")?
            .set(signed(limits.1));
        let errors = self.counters(
            "journal_errors_total",
            "Operations on the journal's files that failed, by operation.",
            &["operation"],
        )?;
        Ok(JournalMetrics {
            records: self.gauge("journal_records", "Records in the journal.")?,
            bytes: self.gauge("journal_bytes", "Bytes of the journal's segments on disk.")?,
            free_bytes: self.gauge("journal_free_bytes", "Bytes free on the journal's file system.")?,
            oldest: self.gauge(
                "journal_oldest_timestamp_seconds",
                "Unix time of the journal's oldest record; 0 without one.",
            )?,
            up: self.gauge("journal_up", "1 while the journal can take events.")?,
            appends: self.counter("journal_appends_total", "Records appended and fsynced.")?,
            fsync_duration: self.durations("journal_fsync_duration_seconds", "One group commit's fdatasync.")?,
            dropped: self.counter("journal_dropped_records_total", "Records that retention dropped.")?,
            damage_bytes: self.counter("journal_damage_bytes_total", "Damaged bytes that recovery passed over.")?,
            errors: [
                (Operation::Append, "append"),
                (Operation::Fsync, "fsync"),
                (Operation::Read, "read"),
                (Operation::Delete, "delete"),
            ]
            .map(|(operation, label)| (operation, errors.with_label_values(&[label])))
            .into(),
        })
    }

    pub(super) fn build_info(&self) -> Made<()> {
        self.gauges("build_info", "The running build; always 1.", &["version", "revision", "rustc"])?
            .with_label_values(&[env!("CARGO_PKG_VERSION"), env!("HOOKBUS_REVISION"), env!("HOOKBUS_RUSTC")])
            .set(1);
        Ok(())
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("hookbus")
}
