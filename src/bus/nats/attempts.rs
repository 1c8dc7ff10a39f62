//! Attempts to connect: when, to which server, and why it failed.
//!
//! In: what the client knows of its servers before each attempt, and its word for a failure. Out: one log line for each change of
//! server or cause, and again each minute. The client's own word for most causes is "IO error".

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::Server;
use log_once::LogOnce;

/// How soon a cause that stays is said again.
const SAY_AGAIN: Duration = Duration::from_mins(1);
/// Longest pause between two attempts to connect, before jitter takes off up to half of it.
const MOST_PAUSE: Duration = Duration::from_secs(4);

/// At once after a loss, then longer and longer; jitter, so that gateways do not come back all together.
pub(super) fn pause(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let exponent = u32::try_from(attempts).unwrap_or(u32::MAX).min(10);
    let most = MOST_PAUSE.min(Duration::from_millis(25) * 2_u32.pow(exponent));
    most.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// What was last said, by whichever connection.
#[derive(Debug, Clone)]
pub(super) struct Said(Arc<Mutex<LogOnce<String>>>);

impl Default for Said {
    fn default() -> Self {
        Said(Arc::new(Mutex::new(LogOnce::repeated(SAY_AGAIN))))
    }
}

/// What the attempts of one connection have come to.
#[derive(Debug)]
pub(super) struct Attempts {
    /// The client's word for the last failure, until it is said.
    word: Mutex<Option<String>>,
    said: Said,
}

impl Attempts {
    pub(super) fn new(said: Said) -> Self {
        Attempts { word: Mutex::default(), said }
    }

    /// An attempt has failed at all servers.
    pub(super) fn failed(&self, word: String) {
        *self.word.lock().unwrap_or_else(PoisonError::into_inner) = Some(word);
    }

    /// Another attempt is about to begin: says what the last one met.
    pub(super) fn begin(&self, servers: &[Server]) {
        let Some(word) = self.word.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let mut causes: Vec<_> = servers
            .iter()
            .map(|Server { addr, last_error, .. }| {
                // A name that leads nowhere was never tried.
                let cause = last_error.as_deref().unwrap_or(&word);
                format!("{}:{}: {cause}", addr.host(), addr.port())
            })
            .collect();
        causes.sort_unstable();
        let error = causes.join("; ");
        if self.said.0.lock().unwrap_or_else(PoisonError::into_inner).is_new(error.clone()) {
            tracing::error!(%error, "NATS: not connected, trying for ever");
        }
    }

    /// A connection stands: the next failure is new.
    pub(super) fn forget(&self) {
        self.said.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound() {
        assert_eq!(pause(1), Duration::ZERO);
        for attempts in 2..100 {
            assert!(pause(attempts) <= MOST_PAUSE && !pause(attempts).is_zero());
        }
        assert!(pause(usize::MAX) >= MOST_PAUSE / 2);
    }
}
