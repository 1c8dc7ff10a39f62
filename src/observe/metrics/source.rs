//! One source's metrics, resolved at the start: a request touches counters, and looks up one name, its type.

use std::{collections::HashMap, sync::Arc};

use http::StatusCode;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::families::Families;
use crate::{config::Source, reply::Reply, vendor, verify::Refusal};

/// How a request ended, as seen by the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered 2xx.
    Accepted,
    /// The sender's fault.
    Rejected,
    /// Our fault.
    Failed,
}

impl Outcome {
    const ALL: [Outcome; 3] = [Outcome::Accepted, Outcome::Rejected, Outcome::Failed];

    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Rejected => "rejected",
            Outcome::Failed => "failed",
        }
    }

    /// The outcome that a reply tells.
    pub fn of(reply: Reply) -> Self {
        match reply.status() {
            status if status.is_success() => Outcome::Accepted,
            status if status.is_client_error() => Outcome::Rejected,
            _ => Outcome::Failed,
        }
    }
}

/// What became of a verified event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventResult {
    /// Durable.
    Accepted,
    /// A repeat of one that is durable.
    Duplicate,
    /// Not durable; answered `503`.
    Failed,
}

/// Requests answered for one source, by status.
#[derive(Debug)]
pub struct Requests(Vec<(StatusCode, IntCounter)>);

impl Requests {
    pub(super) fn new(family: &IntCounterVec, source: &str) -> Self {
        let mut statuses: Vec<_> = Reply::ALL.map(Reply::status).into();
        statuses.push(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        statuses.sort();
        statuses.dedup();
        let counter = |status: StatusCode| (status, family.with_label_values(&[source, status.as_str()]));
        Requests(statuses.into_iter().map(counter).collect())
    }

    /// Counts one answer.
    pub fn count(&self, status: StatusCode) {
        super::add(&self.0, status);
    }
}

/// Handles for one source.
#[derive(Debug)]
pub struct SourceMetrics {
    /// Answers by status.
    pub requests: Requests,
    durations: Vec<(Outcome, Histogram)>,
    /// Bytes of each body that was read.
    pub body_bytes: Histogram,
    signature_ok: IntCounter,
    refusals: Vec<(Refusal, IntCounter)>,
    secret_matches: Vec<IntCounter>,
    /// Clock minus signed timestamp, seconds.
    pub skew: Histogram,
    /// Reloads: loaded.
    pub reloads_ok: IntCounter,
    /// Reloads: refused.
    pub reloads_refused: IntCounter,
    /// 1 while the secret files are those in use.
    pub reload_success: IntGauge,
    events: HashMap<&'static str, Vec<(EventResult, IntCounter)>>,
    /// Arrival minus the vendor's time, seconds.
    pub event_age: Histogram,
    /// Unix time of the last durable event, seconds.
    pub last_event: IntGauge,
    /// Unsigned event header that differs from the body.
    pub type_mismatch: IntCounter,
    /// One id with two bodies.
    pub id_conflicts: IntCounter,
    /// Repeats answered from memory.
    pub dedup_hits: IntCounter,
}

impl SourceMetrics {
    /// Observes a finished request.
    pub fn finished(&self, reply: Reply, seconds: f64) {
        self.requests.count(reply.status());
        let outcome = Outcome::of(reply);
        if let Some((_, histogram)) = self.durations.iter().find(|(label, _)| *label == outcome) {
            histogram.observe(seconds);
        }
    }

    /// Counts a signature check.
    pub fn checked(&self, result: Result<usize, Refusal>) {
        match result {
            Ok(secret) => {
                self.signature_ok.inc();
                if let Some(counter) = self.secret_matches.get(secret) {
                    counter.inc();
                }
            }
            Err(refusal) => super::add(&self.refusals, refusal),
        }
    }

    /// Counts an event. `label`: a catalogue type, `unknown` or `quarantine`.
    pub fn event(&self, label: &str, result: EventResult) {
        if let Some(results) = self.events.get(label) {
            super::add(results, result);
        }
    }
}

pub(super) fn register(
    families: &Families<'_>,
    requests: &IntCounterVec,
    sources: &[Source],
) -> Result<Vec<Arc<SourceMetrics>>, prometheus::Error> {
    let f = SourceFamilies::new(families)?;
    Ok(sources.iter().map(|source| Arc::new(f.resolve(requests, source))).collect())
}

/// The families that all sources share.
struct SourceFamilies {
    durations: prometheus::HistogramVec,
    body_bytes: prometheus::HistogramVec,
    checks: IntCounterVec,
    matches: IntCounterVec,
    skew: prometheus::HistogramVec,
    reloads: IntCounterVec,
    reload_success: prometheus::IntGaugeVec,
    events: IntCounterVec,
    age: prometheus::HistogramVec,
    last_event: prometheus::IntGaugeVec,
    type_mismatch: IntCounterVec,
    id_conflicts: IntCounterVec,
    dedup_hits: IntCounterVec,
}

/// Bytes: the documented payloads are below 1 KiB, the default limit is 5 MiB.
const BODY_BUCKETS: [f64; 8] = [256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 5_242_880.0];
/// Seconds: clocks that disagree, up to the default tolerance on either side.
const SKEW_BUCKETS: [f64; 11] = [-300.0, -60.0, -10.0, -5.0, -1.0, 0.0, 1.0, 5.0, 10.0, 60.0, 300.0];
/// Seconds: from a first attempt to the last documented retry (8 h 36 min) and a re-send by hand days later.
const AGE_BUCKETS: [f64; 10] = [1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 31_000.0, 86_400.0, 604_800.0];

impl SourceFamilies {
    fn new(f: &Families<'_>) -> Result<Self, prometheus::Error> {
        Ok(SourceFamilies {
            durations: f.histograms(
                "http_request_duration_seconds",
                "From a request's head to its answer, by source and outcome.",
                &["source", "outcome"],
                &[],
            )?,
            body_bytes: f.histograms(
                "http_request_body_bytes",
                "Size of request bodies.",
                &["source"],
                &BODY_BUCKETS,
            )?,
            checks: f.counters("signature_checks_total", "Signature checks, by result.", &["source", "result"])?,
            matches: f.counters(
                "secret_matches_total",
                "Requests verified, by the secret file that did: shows when a rotation is done.",
                &["source", "secret"],
            )?,
            skew: f.histograms(
                "signature_skew_seconds",
                "Clock minus the signed timestamp.",
                &["source"],
                &SKEW_BUCKETS,
            )?,
            reloads: f.counters("secret_reloads_total", "Reloads of changed secret files.", &["source", "result"])?,
            reload_success: f.gauges(
                "secret_reload_success",
                "1 while the secrets in use are those of the files, 0 while a bad file keeps the old ones alive.",
                &["source"],
            )?,
            events: f.counters(
                "events_total",
                "Verified events, by type and result.",
                &["source", "type", "result"],
            )?,
            age: f.histograms(
                "event_age_seconds",
                "Arrival minus the vendor's event time.",
                &["source"],
                &AGE_BUCKETS,
            )?,
            last_event: f.gauges(
                "last_event_timestamp_seconds",
                "Unix time of the last durable event, of the start before the first.",
                &["source"],
            )?,
            type_mismatch: f.counters(
                "type_mismatch_total",
                "Events whose unsigned type header differs from the body.",
                &["source"],
            )?,
            id_conflicts: f.counters(
                "id_conflicts_total",
                "Events with a known id and another body; they are published.",
                &["source"],
            )?,
            dedup_hits: f.counters("dedup_hits_total", "Repeats answered and not published again.", &["source"])?,
        })
    }

    fn resolve(&self, requests: &IntCounterVec, source: &Source) -> SourceMetrics {
        let name = source.name.as_str();
        let check = |result: &str| self.checks.with_label_values(&[name, result]);
        let refusals = [Refusal::Missing, Refusal::Malformed, Refusal::Mismatch, Refusal::Stale];
        let results = [
            (EventResult::Accepted, "accepted"),
            (EventResult::Duplicate, "duplicate"),
            (EventResult::Failed, "failed"),
        ];
        let types = vendor::catalogue::event_types(source.vendor).chain(["unknown", "quarantine"]);
        let secrets = source.secret_files.iter().map(|file| file.file_name().unwrap_or_default().to_string_lossy());
        let metrics = SourceMetrics {
            requests: Requests::new(requests, name),
            durations: Outcome::ALL
                .map(|outcome| (outcome, self.durations.with_label_values(&[name, outcome.as_str()])))
                .into(),
            body_bytes: self.body_bytes.with_label_values(&[name]),
            signature_ok: check("ok"),
            refusals: refusals.map(|refusal| (refusal, check(&refusal.to_string()))).into(),
            secret_matches: secrets.map(|file| self.matches.with_label_values(&[name, &file])).collect(),
            skew: self.skew.with_label_values(&[name]),
            reloads_ok: self.reloads.with_label_values(&[name, "ok"]),
            reloads_refused: self.reloads.with_label_values(&[name, "refused"]),
            reload_success: self.reload_success.with_label_values(&[name]),
            events: types
                .map(|event| {
                    let counter = |(result, label)| (result, self.events.with_label_values(&[name, event, label]));
                    (event, results.map(counter).into())
                })
                .collect(),
            event_age: self.age.with_label_values(&[name]),
            last_event: self.last_event.with_label_values(&[name]),
            type_mismatch: self.type_mismatch.with_label_values(&[name]),
            id_conflicts: self.id_conflicts.with_label_values(&[name]),
            dedup_hits: self.dedup_hits.with_label_values(&[name]),
        };
        metrics.reload_success.set(1);
        // An alert on silence must not ring at every start.
        metrics.last_event.set(jiff::Timestamp::now().as_second());
        metrics
    }
}
