//! The signal between the watcher and the rest of the room.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use super::causes::Causes;

/// Wakes the watcher, and keeps whether brokers answer.
#[derive(Debug, Default)]
pub(super) struct Signal {
    /// Whether a broker answered the last time it was asked, and it is known which topics there are.
    pub(super) up: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    answered: bool,
    looked: bool,
    look: bool,
    stop: bool,
    /// Why topics are not published to.
    refusals: Vec<String>,
    /// librdkafka's last errors of connections since a broker answered.
    causes: Causes,
}

impl Signal {
    /// Asks for a look before the next one is due.
    pub(super) fn look_again(&self) {
        let mut state = self.state();
        if !state.look {
            state.look = true;
            self.changed.notify_all();
        }
    }

    /// Why connections have failed since a broker answered.
    pub(super) fn causes(&self) -> Causes {
        self.state().causes.clone()
    }

    /// Takes note of why one has.
    pub(super) fn failed(&self, reason: &str) {
        self.state().causes.note(reason);
    }

    /// Ends the watcher.
    pub(super) fn stop(&self) {
        self.state().stop = true;
        self.changed.notify_all();
    }

    /// Waits until it is known which topics there are and what they are set to, or that no broker answers. `limit`: for the
    /// first answer; `more`: for the rest.
    pub(super) fn wait_for_first_look(&self, limit: Duration, more: Duration) {
        let waiting = self.changed.wait_timeout_while(self.state(), limit, |state| !state.looked);
        let (state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        if state.answered {
            let waiting = self.changed.wait_timeout_while(state, more, |state| !state.looked);
            drop(waiting.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// A broker has answered.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.answered = true;
        state.causes.forget();
    }

    /// Why topics are not published to.
    pub(super) fn refusals(&self) -> Vec<String> {
        self.state().refusals.clone()
    }

    /// Takes note of that.
    pub(super) fn refuse(&self, refusals: Vec<String>) {
        self.state().refusals = refusals;
    }

    /// It is known now.
    pub(super) fn looked(&self) {
        self.state().looked = true;
        self.changed.notify_all();
    }

    /// Waits for `least`, and then until a look is asked for or `most` is over. `false` = stop.
    pub(super) fn pause(&self, least: Duration, most: Duration) -> bool {
        let state = self.changed.wait_timeout_while(self.state(), least, |state| !state.stop);
        let (state, _) = state.unwrap_or_else(PoisonError::into_inner);
        let rest = most.saturating_sub(least);
        let state = self.changed.wait_timeout_while(state, rest, |state| !state.stop && !state.look);
        let (mut state, _) = state.unwrap_or_else(PoisonError::into_inner);
        state.look = false;
        !state.stop
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
