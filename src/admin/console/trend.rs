//! What was counted minute by minute in the last hour. In: the figures of a moment, once a minute. Out: the bars of a source,
//! and what was counted since a moment ago.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::facts::Facts;
use crate::{
    endpoint::metrics::Outcome,
    metrics::{Distribution, Figures, Label as _},
    reply::Reply,
    verify::Refusal,
};

/// Time between two moments, and what a bar stands for.
pub(super) const STEP: Duration = Duration::from_mins(1);
/// Bars shown: an hour.
pub(super) const BARS: usize = 60;

/// What was counted up to a moment.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    at: Instant,
    /// In the order of [`Facts::sources`].
    pub(super) sources: Vec<Counts>,
    /// Of publications: seconds.
    pub(super) publish: Distribution,
}

/// What was counted of one source.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) answers: Answers,
    /// Signature checks by result, in the order of the results.
    pub(super) checks: Vec<(&'static str, u64)>,
    /// Clock minus signed timestamp, seconds.
    pub(super) skew: Distribution,
    /// Requests that each secret has verified.
    pub(super) secrets: Vec<(String, u64)>,
}

/// Answers by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) failed: u64,
}

/// The samples of the last hour.
#[derive(Debug)]
pub(super) struct Trend(Mutex<VecDeque<Sample>>);

impl Sample {
    pub(super) fn of(figures: &Figures, facts: &Facts) -> Self {
        let sources = facts.sources.iter().map(|source| Counts::of(figures, &source.name, &source.secrets)).collect();
        Sample { at: Instant::now(), sources, publish: figures.distribution("bus_publish_duration_seconds", &[]) }
    }

    /// What was counted since an earlier one, and the time between.
    pub(super) fn since(&self, before: &Sample) -> (Sample, Duration) {
        let sources = self.sources.iter().zip(&before.sources).map(|(now, then)| now.since(then)).collect();
        let counted = Sample { at: self.at, sources, publish: self.publish.since(&before.publish) };
        (counted, self.at.saturating_duration_since(before.at))
    }
}

impl Counts {
    fn of(figures: &Figures, source: &str, secrets: &[String]) -> Self {
        let checks = <Result<(), Refusal>>::all().into_iter().map(|(_, result)| {
            (result, figures.count("signature_checks_total", &[("source", source), ("result", result)]))
        });
        let secrets = secrets.iter().map(|secret| {
            (secret.clone(), figures.count("secret_matches_total", &[("source", source), ("secret", secret)]))
        });
        Counts {
            answers: Answers::of(figures, source),
            checks: checks.collect(),
            skew: figures.distribution("signature_skew_seconds", &[("source", source)]),
            secrets: secrets.collect(),
        }
    }

    fn since(&self, before: &Counts) -> Counts {
        let checks = self.checks.iter().zip(&before.checks);
        let secrets = self.secrets.iter().zip(&before.secrets);
        Counts {
            answers: self.answers.since(before.answers),
            checks: checks.map(|(now, then)| (now.0, now.1.saturating_sub(then.1))).collect(),
            skew: self.skew.since(&before.skew),
            secrets: secrets.map(|(now, then)| (now.0.clone(), now.1.saturating_sub(then.1))).collect(),
        }
    }

    /// Checks that held, and all others.
    pub(super) fn held(&self) -> (u64, u64) {
        let of =
            |is_ok: bool| self.checks.iter().filter(|(result, _)| (*result == "ok") == is_ok).map(|(_, n)| n).sum();
        (of(true), of(false))
    }
}

impl Answers {
    fn of(figures: &Figures, source: &str) -> Self {
        let mut answers = Answers::default();
        // Several replies may share a status, and with it a series.
        let mut seen = Vec::new();
        for reply in Reply::ALL {
            if seen.contains(&reply.code()) {
                continue;
            }
            seen.push(reply.code());
            let count = figures.count("http_requests_total", &[("source", source), ("status", reply.code())]);
            match Outcome::from(reply) {
                Outcome::Accepted => answers.accepted += count,
                Outcome::Rejected => answers.rejected += count,
                Outcome::Failed => answers.failed += count,
            }
        }
        answers
    }

    fn since(self, before: Answers) -> Answers {
        Answers {
            accepted: self.accepted.saturating_sub(before.accepted),
            rejected: self.rejected.saturating_sub(before.rejected),
            failed: self.failed.saturating_sub(before.failed),
        }
    }

    pub(super) fn all(self) -> u64 {
        self.accepted + self.rejected + self.failed
    }
}

impl Trend {
    /// Begins with a first sample.
    pub(super) fn new(first: Sample) -> Self {
        Trend(Mutex::new(VecDeque::from([first])))
    }

    /// Keeps a sample; to be called once a [`STEP`].
    pub(super) fn push(&self, sample: Sample) {
        let mut samples = self.lock();
        if samples.len() >= BARS {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// What was counted in the last `window`, or since the first sample kept, and in which time.
    pub(super) fn since(&self, window: Duration, now: &Sample) -> (Sample, Duration) {
        let samples = self.lock();
        let old_enough = |sample: &&Sample| now.at.saturating_duration_since(sample.at) >= window;
        let before = samples.iter().rev().find(old_enough).or_else(|| samples.front());
        before.map_or_else(|| (now.clone(), Duration::ZERO), |before| now.since(before))
    }

    /// One source's answers in each minute, oldest first; the last minute is not yet over.
    pub(super) fn bars(&self, source: usize, now: &Sample) -> Vec<Answers> {
        let samples = self.lock();
        let answers: Vec<_> = samples
            .iter()
            .chain([now])
            .filter_map(|sample| sample.sources.get(source).map(|counts| counts.answers))
            .collect();
        answers.windows(2).filter_map(|pair| Some(pair.last()?.since(*pair.first()?))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(accepted: u64) -> Sample {
        let answers = Answers { accepted, ..Answers::default() };
        let secrets = vec![("a".to_owned(), accepted)];
        let counts = Counts { answers, checks: vec![("ok", accepted), ("mismatch", 2)], secrets, ..Counts::default() };
        Sample { at: Instant::now(), sources: vec![counts], publish: Distribution::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_of_bars_and_what_was_counted_lately() {
        let trend = Trend::new(sample(0));
        let mut all = 0;
        for minute in 1..=100 {
            tokio::time::advance(STEP).await;
            all += minute;
            trend.push(sample(all));
        }
        tokio::time::advance(STEP / 2).await;
        let now = sample(all + 7);
        let bars = trend.bars(0, &now);
        assert_eq!(bars.len(), BARS);
        assert_eq!(bars.first().map(|bar| bar.accepted), Some(42), "the oldest minute kept");
        assert_eq!(bars.iter().rev().take(2).map(|bar| bar.all()).collect::<Vec<_>>(), [7, 100]);
        let (lately, time) = trend.since(STEP * 5, &now);
        assert_eq!((lately.sources[0].answers.accepted, time), (100 + 99 + 98 + 97 + 96 + 7, STEP * 5 + STEP / 2));
        assert_eq!(lately.sources[0].secrets, [("a".to_owned(), lately.sources[0].answers.accepted)]);
        assert_eq!(lately.sources[0].held(), (lately.sources[0].answers.accepted, 0));
        let (hour, time) = trend.since(STEP * 60, &now);
        assert_eq!((hour.sources[0].answers.accepted, time), ((42..=100).sum::<u64>() + 7, STEP * 59 + STEP / 2));
    }
}
