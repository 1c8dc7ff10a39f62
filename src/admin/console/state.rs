//! What the gateway is doing, as the page shows it. In: the figures of now and the trend. Out: one value per thing shown.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    facts::Facts,
    trend::{Answers, BARS, Counts, STEP, Sample, Trend},
};
use crate::{
    health::Stage,
    metrics::{Distribution, Figures},
};

/// What counts as lately.
const LATELY: Duration = Duration::from_mins(5);

/// What the gateway is doing.
#[derive(Debug)]
pub(super) struct State {
    pub(super) at: Timestamp,
    pub(super) stage: Stage,
    /// Whether an event could be taken now.
    pub(super) is_ready: bool,
    pub(super) sources: Vec<SourceState>,
    pub(super) bus: BusState,
    /// The spool, or the embedded bus; `None` without either.
    pub(super) journal: Option<JournalState>,
    pub(super) dead_letters: u64,
    /// Dead letters since the start, by reason.
    pub(super) dead_letter_reasons: Vec<(String, u64)>,
    /// Quarantined events since the start, by reason.
    pub(super) quarantine_reasons: Vec<(String, u64)>,
    /// Keys of which the bus refuses an event.
    pub(super) refused_keys: u64,
    /// How long what is counted as lately was counted.
    pub(super) lately: Duration,
    /// How long what the bars show was counted.
    pub(super) hour: Duration,
}

/// One source.
#[derive(Debug)]
pub(super) struct SourceState {
    pub(super) name: String,
    pub(super) about: String,
    /// Seconds since its last durable event; `None` without one since the start.
    pub(super) last_event: Option<u64>,
    /// Whether its secret files are in use as they are.
    pub(super) is_secret_fresh: bool,
    /// Answers in each minute of the last hour.
    pub(super) bars: Vec<Answers>,
    pub(super) lately: Counts,
    pub(super) hour: Counts,
}

/// The bus.
#[derive(Debug)]
pub(super) struct BusState {
    pub(super) kind: &'static str,
    pub(super) is_embedded: bool,
    pub(super) is_up: bool,
    /// What an acknowledgement is worth, as the metric has it.
    pub(super) durability: String,
    /// Publications without an answer.
    pub(super) inflight: u64,
    pub(super) missing_topics: u64,
    pub(super) unsafe_topics: u64,
    /// Publications of lately: seconds.
    pub(super) published: Distribution,
}

/// The journal.
#[derive(Debug)]
pub(super) struct JournalState {
    pub(super) is_up: bool,
    pub(super) records: u64,
    /// Seconds since its oldest record came.
    pub(super) oldest: Option<u64>,
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
    /// `None` where the file system does not say.
    pub(super) free_bytes: Option<u64>,
    pub(super) reserve_bytes: u64,
    pub(super) lost_records: u64,
}

impl State {
    pub(super) fn of(figures: &Figures, facts: &Facts, trend: &Trend, (stage, is_ready): (Stage, bool)) -> Self {
        let (at, now) = (Timestamp::now(), Sample::of(figures, facts));
        let ((counted, lately), (of_hour, hour)) = (trend.since(LATELY, &now), trend.since(STEP * 60, &now));
        let mut counts = counted.sources.into_iter().zip(of_hour.sources);
        let sources = facts.sources.iter().enumerate().map(|(index, source)| {
            let (lately, hour) = counts.next().unwrap_or_default();
            let of_source = [("source", source.name.as_str())];
            let accepted = figures.count("events_total", &[of_source[0], ("result", "accepted")]);
            let last = figures.count("last_event_timestamp_seconds", &of_source);
            SourceState {
                name: source.name.clone(),
                about: source.about.clone(),
                last_event: (accepted > 0).then(|| seconds_since(last, at)),
                is_secret_fresh: source.secrets.is_empty() || figures.count("secret_reload_success", &of_source) == 1,
                bars: trend.bars(index, &now),
                lately,
                hour,
            }
        });
        State {
            at,
            stage,
            is_ready,
            sources: sources.collect(),
            bus: BusState::of(figures, facts, counted.publish),
            journal: (facts.has_spool || facts.is_embedded).then(|| JournalState::of(figures, at)),
            dead_letters: figures.count("dead_letters", &[]),
            dead_letter_reasons: figures.by("dead_letters_total", "reason"),
            quarantine_reasons: figures.by("quarantined_events_total", "reason"),
            refused_keys: figures.count("spool_refused_keys", &[]),
            lately,
            hour,
        }
    }

    /// The most answers that a source had in one minute, at least 1.
    pub(super) fn tallest(source: &SourceState) -> u64 {
        source.bars.iter().rev().take(BARS).map(|bar| bar.all()).max().unwrap_or_default().max(1)
    }
}

impl BusState {
    fn of(figures: &Figures, facts: &Facts, published: Distribution) -> Self {
        let classes = figures.by("bus_durability_info", "class");
        BusState {
            kind: facts.bus,
            is_embedded: facts.is_embedded,
            is_up: figures.count("bus_up", &[]) == 1,
            durability: classes.into_iter().next().map_or_else(|| "unknown".into(), |(class, _)| class),
            inflight: figures.count("bus_inflight", &[]),
            missing_topics: figures.count("bus_missing_topics", &[]),
            unsafe_topics: figures.count("bus_unsafe_topics", &[]),
            published,
        }
    }
}

impl JournalState {
    fn of(figures: &Figures, at: Timestamp) -> Self {
        let oldest = figures.count("journal_oldest_timestamp_seconds", &[]);
        JournalState {
            is_up: figures.count("journal_up", &[]) == 1,
            records: figures.count("journal_records", &[]),
            oldest: (oldest > 0).then(|| seconds_since(oldest, at)),
            bytes: figures.count("journal_bytes", &[]),
            max_bytes: figures.count("journal_max_bytes", &[]),
            // -1 where it is not known.
            free_bytes: (figures.sum("journal_free_bytes", &[]) >= 0.0)
                .then(|| figures.count("journal_free_bytes", &[])),
            reserve_bytes: figures.count("journal_reserve_bytes", &[]),
            lost_records: figures.count("journal_lost_records_total", &[]),
        }
    }
}

/// A clock that was set back makes none negative.
fn seconds_since(unix_seconds: u64, at: Timestamp) -> u64 {
    u64::try_from(at.as_second()).unwrap_or_default().saturating_sub(unix_seconds)
}
