//! One source's metrics, looked up at the start: a request touches counters, and looks up one name, its type.

use prometheus::{Histogram, IntCounter};

use crate::{
    config::SourceConfig,
    delivery::metrics::EventMetrics,
    drift::metrics::SourceDrift,
    metrics::{Counted, Each, Families, Label, Made, metrics},
    reply::Reply,
    verify::metrics::{SecretMetrics, SignatureMetrics},
};

/// Bytes: the documented payloads are below 1 KiB, the default limit is 5 MiB.
const BODY: &[f64] = &[256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 5_242_880.0];
/// Seconds: from a first attempt to the last documented retry (8 h 36 min) and a re-send by hand days later.
const AGE: &[f64] = &[1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 31_000.0, 86_400.0, 604_800.0];
/// An older event counts as this old: the last bucket ends long before.
const MAX_AGE_MS: i64 = 30 * 86_400_000;

metrics! {
    /// Of the answers to one source, or to requests of no source.
    pub struct AnswerMetrics {
        /// Requests answered, by source (none: no source has the path) and status.
        pub requests: Counted<Reply> = "http_requests_total" ["status"];
    }
}

metrics! {
    /// Of one source's requests.
    pub struct RequestMetrics {
        /// From a request's head to its answer, by source and outcome.
        durations: Each<Outcome, Histogram> = "http_request_duration_seconds" ["outcome"];
        /// Size of request bodies.
        body_bytes: Histogram = "http_request_body_bytes" in BODY;
        /// Arrival minus the vendor's event time.
        event_age: Histogram = "event_age_seconds" in AGE;
        /// Events whose unsigned type header differs from the body.
        pub type_mismatch: IntCounter = "type_mismatch_total";
    }
}

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

impl Label for Outcome {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [(Outcome::Accepted, "accepted"), (Outcome::Rejected, "rejected"), (Outcome::Failed, "failed")]
    }
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        match reply.status() {
            status if status.is_success() => Outcome::Accepted,
            status if status.is_client_error() => Outcome::Rejected,
            _ => Outcome::Failed,
        }
    }
}

impl Label for Reply {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        Reply::ALL.map(|reply| (reply, reply.code()))
    }
}

/// Handles for one source.
#[derive(Debug)]
pub struct SourceMetrics {
    answers: AnswerMetrics,
    /// Of its requests.
    pub requests: RequestMetrics,
    /// Of their signatures.
    pub signatures: SignatureMetrics,
    /// Of each secret.
    pub secrets: Vec<SecretMetrics>,
    /// Of its events, by type.
    pub events: EventMetrics,
    /// How they differ from what its vendor documents, by type.
    pub drift: SourceDrift,
}

impl SourceMetrics {
    /// All series of a source.
    ///
    /// # Errors
    /// See [`Made`].
    pub fn register(families: &Families, source: &SourceConfig) -> Made<Self> {
        let families = families.with("source", &source.name);
        let metrics = SourceMetrics {
            answers: AnswerMetrics::register(&families)?,
            requests: RequestMetrics::register(&families)?,
            signatures: SignatureMetrics::register(&families)?,
            secrets: SecretMetrics::of(&families, &source.secret_files)?,
            drift: SourceDrift::register(&families, source.vendor)?,
            events: EventMetrics::register(&families, source.vendor.profile().event_types().chain(["quarantine"]))?,
        };
        metrics.signatures.reload_success.set(1);
        Ok(metrics)
    }

    /// Counts an answer. `seconds`: since the request's head.
    pub fn answered(&self, reply: Reply, seconds: f64) {
        self.answers.requests.inc(reply);
        self.requests.durations.get(reply.into()).inspect(|histogram| histogram.observe(seconds));
    }
}

impl RequestMetrics {
    /// Observes a body's length.
    #[expect(clippy::cast_precision_loss, reason = "bodies are far smaller than 2^52 bytes")]
    pub fn body(&self, bytes: usize) {
        self.body_bytes.observe(bytes as f64);
    }

    /// Observes how old an event was when it arrived. Both in Unix time, milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a few days")]
    pub fn age(&self, arrival_ms: i64, event_ms: i64) {
        // A vendor's clock ahead of ours, or a date of another century, must not spoil the sum.
        let age_ms = arrival_ms.saturating_sub(event_ms).clamp(0, MAX_AGE_MS);
        self.event_age.observe(age_ms as f64 / 1000.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_arrival_minus_event_in_seconds_and_never_negative() {
        let metrics = RequestMetrics::register(&Families::default()).unwrap();
        metrics.age(10_000, 2_500);
        assert_eq!(metrics.event_age.get_sample_sum(), 7.5);
        metrics.age(1_000, 5_000);
        assert_eq!((metrics.event_age.get_sample_sum(), metrics.event_age.get_sample_count()), (7.5, 2));
        metrics.age(i64::MAX, i64::MIN);
        assert_eq!(metrics.event_age.get_sample_sum(), 7.5 + 30.0 * 86_400.0);
    }

    #[test]
    fn a_reply_is_counted_by_its_status_and_its_outcome() {
        let outcome = |reply| Outcome::from(reply);
        assert_eq!(outcome(Reply::Pong), Outcome::Accepted);
        assert_eq!(outcome(Reply::HeadTooLarge), Outcome::Rejected);
        assert_eq!(outcome(Reply::Unavailable), Outcome::Failed);
        let families = Families::default();
        let answers = AnswerMetrics::register(&families).unwrap();
        [Reply::Pong, Reply::Received].into_iter().for_each(|reply| answers.requests.inc(reply));
        assert!(families.render().contains("hookbus_http_requests_total{status=\"200\"} 2\n"));
    }
}
