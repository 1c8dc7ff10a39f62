//! Metrics, as a struct that is handed down: no globals, labels only from configuration and closed lists, and every
//! series present from the start, so that `rate()` and alerts see the first increment.
//!
//! The doc comment of a field and its HELP text say the same thing in one place each: names and labels are the contract
//! with dashboards, so they change only with a CHANGELOG entry.

mod bus;
mod families;
mod source;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus::{Encoder as _, Histogram, IntCounter, IntGauge, Registry, TextEncoder};

pub use self::bus::{BusMetrics, DurabilityClass, KafkaMetrics};
use self::families::Families;
pub use self::source::{EventResult, Outcome, SourceMetrics};
use crate::{
    bus::{Ack, PublishError},
    config::{BusKind, Config},
    delivery::{dead_letters::Reason, spool::Cause},
    journal::{self, Stats},
    observe::health::Stage,
};

/// Every metric that is not one source's.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    stages: Vec<(Stage, IntGauge)>,
    /// Open connections.
    pub connections: IntGauge,
    /// Requests between head and answer.
    pub inflight_requests: IntGauge,
    inflight_bytes: IntGauge,
    /// Requests that belong to no source.
    pub no_source: source::Requests,
    closed: Vec<(Closed, IntCounter)>,
    published: Vec<(Result<Ack, PublishError>, IntCounter)>,
    /// From hand-over to the bus to its acknowledgement, seconds.
    pub publish_duration: Histogram,
    /// Publications without an answer yet.
    pub bus_inflight: IntGauge,
    bus_up: IntGauge,
    /// For the bus itself.
    pub bus: BusMetrics,
    journal: JournalMetrics,
    spooled: Vec<(Cause, IntCounter)>,
    dead_letters_by_reason: Vec<(Reason, IntCounter)>,
    dead_letters: IntGauge,
    dedup_entries: IntGauge,
    log_lines_dropped: IntCounter,
}

/// Why hookbus closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// More than `max_connections`.
    Limit,
    /// A head that took longer than `head_timeout`.
    HeadTimeout,
    /// A body that stalled longer than `body_timeout`.
    BodyTimeout,
    /// A request not complete within `request_timeout`.
    RequestTimeout,
    /// No request for `idle_timeout`.
    Idle,
    /// Not HTTP.
    Malformed,
    /// Still busy at the drain deadline.
    Drain,
}

impl Closed {
    const ALL: [(Closed, &'static str); 7] = [
        (Closed::Limit, "limit"),
        (Closed::HeadTimeout, "head_timeout"),
        (Closed::BodyTimeout, "body_timeout"),
        (Closed::RequestTimeout, "request_timeout"),
        (Closed::Idle, "idle"),
        (Closed::Malformed, "malformed"),
        (Closed::Drain, "drain"),
    ];
}

#[derive(Debug)]
struct JournalMetrics {
    records: IntGauge,
    bytes: IntGauge,
    free_bytes: IntGauge,
    oldest: IntGauge,
    up: IntGauge,
    appends: IntCounter,
    fsync_duration: Histogram,
    dropped: IntCounter,
    damage_bytes: IntCounter,
    errors: Vec<(journal::Operation, IntCounter)>,
}

impl Metrics {
    /// All families, each series at zero.
    ///
    /// # Errors
    /// Two families with one name: a mistake in this module that the first start shows.
    pub fn new(config: &Config) -> Result<(Arc<Self>, Vec<Arc<SourceMetrics>>), prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let families = Families { registry: &registry };
        let requests = families.counters(
            "http_requests_total",
            "Requests answered, by source (none: no source has the path) and status.",
            &["source", "status"],
        )?;
        let sources = source::register(&families, &requests, &config.sources)?;
        families.build_info()?;
        let metrics = Metrics {
            stages: families.stages()?,
            connections: families.gauge("http_connections", "Open connections.")?,
            inflight_requests: families.gauge("http_inflight_requests", "Requests between head and answer.")?,
            inflight_bytes: families.gauge("http_inflight_bytes", "Bytes of request bodies held now.")?,
            no_source: source::Requests::new(&requests, "none"),
            closed: families.closed()?,
            published: families.published()?,
            publish_duration: families
                .durations("bus_publish_duration_seconds", "From hand-over to the bus to its acknowledgement.")?,
            bus_inflight: families.gauge("bus_inflight", "Publications without an answer yet.")?,
            bus_up: families.gauge("bus_up", "1 while the bus can be reached.")?,
            bus: BusMetrics::new(&families, config.bus.kind)?,
            journal: families.journal(journal_limits(config))?,
            spooled: families.spooled()?,
            dead_letters_by_reason: families.dead_letters()?,
            dead_letters: families.gauge("dead_letters", "Events in the dead letters now.")?,
            dedup_entries: families.gauge("dedup_entries", "Events remembered as durable.")?,
            log_lines_dropped: families.counter(
                "log_lines_dropped_total",
                "Log lines dropped: standard error was blocked, or too many requests without an event.",
            )?,
            registry: registry.clone(),
        };
        Ok((Arc::new(metrics), sources))
    }

    /// Counts a connection that hookbus closed.
    pub fn closed(&self, reason: Closed) {
        add(&self.closed, reason);
    }

    /// Counts a publication.
    pub fn published(&self, result: Result<Ack, PublishError>) {
        add(&self.published, result);
    }

    /// Counts an event that went into the spool.
    pub fn spooled(&self, cause: Cause) {
        add(&self.spooled, cause);
    }

    /// Counts an event that went into the dead letters.
    pub fn dead_letter(&self, reason: Reason) {
        add(&self.dead_letters_by_reason, reason);
    }

    /// The text exposition format, with the gauges that are read off their owners at scrape time.
    pub fn render(&self, readings: &Readings) -> String {
        self.stages.iter().for_each(|(stage, gauge)| gauge.set(i64::from(*stage == readings.stage)));
        self.inflight_bytes.set(signed(readings.inflight_bytes));
        self.dedup_entries.set(signed(readings.dedup_entries));
        self.log_lines_dropped.inc_by(readings.log_lines_dropped.saturating_sub(self.log_lines_dropped.get()));
        self.dead_letters.set(signed(readings.dead_letters));
        self.bus_up.set(i64::from(readings.bus_up));
        if let Some(stats) = &readings.journal {
            self.read_journal(stats);
        }
        let mut text = Vec::new();
        // Encoding into memory fails only for families without a name, which registration has refused.
        let _encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    fn read_journal(&self, stats: &Stats) {
        self.journal.records.set(signed(stats.records));
        self.journal.bytes.set(signed(stats.bytes));
        self.journal.free_bytes.set(signed(stats.free_bytes));
        self.journal.up.set(i64::from(stats.up));
        self.journal.oldest.set(stats.oldest.map_or(0, unix_seconds));
    }
}

/// What is read off its owner at each scrape.
#[derive(Debug)]
pub struct Readings {
    /// Where the process is between start and stop.
    pub stage: Stage,
    /// Bytes of the in-flight budget in use.
    pub inflight_bytes: usize,
    /// Whether the bus can be reached.
    pub bus_up: bool,
    /// Events in the recent memory.
    pub dedup_entries: usize,
    /// Events in the dead letters.
    pub dead_letters: u64,
    /// Log lines dropped so far.
    pub log_lines_dropped: u64,
    /// The journal's own account; `None` before it is open, or without one.
    pub journal: Option<Stats>,
}

/// Where the journal stops taking events, `max_size` and `reserve`; nowhere without one.
fn journal_limits(config: &Config) -> (u64, u64) {
    let wanted = config.bus.kind == BusKind::Journal || config.journal.spool;
    if wanted { (config.journal.max_size, config.journal.reserve) } else { (0, 0) }
}

fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| signed(since.as_secs()))
}

fn signed<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn add<T: Copy + PartialEq>(counters: &[(T, IntCounter)], wanted: T) {
    if let Some((_, counter)) = counters.iter().find(|(label, _)| *label == wanted) {
        counter.inc();
    }
}

/// The journal reports its own work as it happens.
impl journal::Observer for Metrics {
    fn appended(&self, records: u64) {
        self.journal.appends.inc_by(records);
    }

    fn fsynced(&self, took: Duration) {
        self.journal.fsync_duration.observe(took.as_secs_f64());
    }

    fn error(&self, operation: journal::Operation) {
        add(&self.journal.errors, operation);
    }

    fn dropped(&self, records: u64) {
        self.journal.dropped.inc_by(records);
    }

    fn damage(&self, bytes: u64) {
        self.journal.damage_bytes.inc_by(bytes);
    }
}
