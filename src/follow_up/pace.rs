//! When a vendor may be asked.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::vendor_api::jittered;

/// Longest `Retry-After` that is waited for in one go; then it is asked again.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);
/// Calls that wait for one moment are made about this long after it.
const SPREAD: Duration = Duration::from_millis(250);

/// When an account may be asked: a vendor that asks for a pause asks it of all calls.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Times>);

#[derive(Debug, Default, Clone, Copy)]
struct Times {
    not_before: Option<Instant>,
    answered: Option<Instant>,
}

impl Pace {
    fn change(&self, change: impl FnOnce(&mut Times)) -> Times {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut times);
        *times
    }

    /// Waits until it may be asked.
    pub(super) async fn wait(&self) {
        while let Some(until) = self.change(|_| ()).not_before.filter(|until| Instant::now() < *until) {
            // Not all of them at once.
            sleep_until(until + jittered(SPREAD)).await;
        }
    }

    /// It is to be left alone for this long.
    pub(super) fn not_for(&self, pause: Duration) {
        let until = Instant::now() + pause.min(LONGEST_RETRY_AFTER);
        self.change(|times| times.not_before = times.not_before.max(Some(until)));
    }

    /// It has answered for some certificate.
    pub(super) fn answered_now(&self) {
        self.change(|times| times.answered = Some(Instant::now()));
    }

    /// When it last did.
    pub(super) fn answered(&self) -> Option<Instant> {
        self.change(|_| ()).answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_that_of_the_whole_account_and_bounded() {
        let pace = Pace::default();
        let begin = Instant::now();
        pace.wait().await;
        assert_eq!(Instant::now(), begin);
        pace.not_for(Duration::from_secs(7));
        pace.not_for(Duration::from_secs(2));
        pace.wait().await;
        let waited = Instant::now() - begin;
        assert!(Duration::from_secs(7) <= waited && waited < Duration::from_secs(8), "{waited:?}");
        pace.not_for(Duration::from_hours(700));
        pace.wait().await;
        assert!(Instant::now() - begin < Duration::from_mins(62));
    }
}
