//! Publications in flight, each a task, and the pause after a failure. For the drain of the spool and `hookbus replay`.

use std::{collections::HashMap, time::Duration};

use tokio::{
    task::{Id, JoinSet},
    time::{Instant, sleep_until},
};

/// Publications by the numbers of their records.
#[derive(Debug)]
pub struct Flights<T> {
    tasks: JoinSet<T>,
    numbers: HashMap<Id, u64>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Flights { tasks: JoinSet::new(), numbers: HashMap::new() }
    }
}

impl<T: Send + 'static> Flights<T> {
    /// Begins one.
    pub fn begin(&mut self, number: u64, publication: impl Future<Output = T> + Send + 'static) {
        self.numbers.insert(self.tasks.spawn(publication).id(), number);
    }

    /// The next that ends, with its result or, when it has panicked, none; `None` when nothing is in flight.
    pub async fn landed(&mut self) -> Option<(u64, Option<T>)> {
        let (id, result) = match self.tasks.join_next_with_id().await? {
            Ok((id, result)) => (id, Some(result)),
            Err(panicked) => (panicked.id(), None),
        };
        Some((self.numbers.remove(&id)?, result))
    }

    /// How many are in flight.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// Pauses after failures: the longer the more failed in a row.
#[derive(Debug)]
pub struct Backoff {
    /// Longest pause after the first failure and after many; jitter takes off up to half of it.
    pauses: (Duration, Duration),
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// `first`, `longest`: longest pause after the first failure and after many.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Backoff { pauses: (first, longest), failures: 0, until: None }
    }

    /// Begins a pause; failures during a pause count as one.
    pub fn failed(&mut self) {
        if self.is_pause() {
            return;
        }
        let (first, longest) = self.pauses;
        let pause = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(Instant::now() + pause.mul_f64(0.5 + fastrand::f64() / 2.0));
    }

    /// The next pause is a short one again.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Whether a pause is not over.
    pub fn is_pause(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// The end of the pause.
    pub async fn over(&self) {
        if let Some(until) = self.until {
            sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_with_failures_in_a_row_and_begin_anew_after_a_success() {
        let (first, longest) = (Duration::from_millis(50), Duration::from_secs(5));
        let mut backoff = Backoff::new(first, longest);
        let pause = |backoff: &mut Backoff| {
            let began = Instant::now();
            backoff.failed();
            let until = backoff.until;
            backoff.failed();
            assert!(backoff.is_pause() && backoff.until == until, "those that fail together count as one");
            let pause = until.unwrap() - began;
            backoff.until = None;
            pause
        };
        for doubled in 0..20 {
            let most = (first * (1 << doubled.min(10))).min(longest);
            let pause = pause(&mut backoff);
            assert!(most / 2 <= pause && pause <= most, "{pause:?} after {doubled}");
        }
        backoff.succeeded();
        assert!(pause(&mut backoff) <= first);
        backoff.failed();
        backoff.over().await;
        assert!(!backoff.is_pause());
    }
}
