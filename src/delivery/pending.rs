//! Events without an answer: what is counted and remembered of each when it has one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{metrics::EventCounters, outcome::Undeliverable};
use crate::recent::{Name, Recent};

/// All events of the process: which are durable, and how many have no answer.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) recent: Recent,
    pending: AtomicUsize,
}

impl Events {
    /// `recent`: bound of the memory.
    pub(super) fn new(recent: usize) -> Arc<Self> {
        Arc::new(Events { recent: Recent::new(recent), pending: AtomicUsize::new(0) })
    }

    /// How many have no answer, also those whose sender has gone.
    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }
}

/// An event without an answer.
pub(super) struct Pending {
    events: Arc<Events>,
    counters: Arc<EventCounters>,
    name: Name,
}

/// What the sender gets.
pub(super) type Answer = Result<(), Undeliverable>;

impl Pending {
    /// `name`: what it is remembered by.
    pub(super) fn new(events: &Arc<Events>, counters: Arc<EventCounters>, name: Name) -> Self {
        events.pending.fetch_add(1, Ordering::AcqRel);
        Pending { events: Arc::clone(events), counters, name }
    }

    /// It is durable: remembers it, counts it.
    pub(super) fn durable(self) -> Answer {
        self.events.recent.remember(self.name);
        self.counters.accepted.inc();
        self.counters.last_event.set(jiff::Timestamp::now().as_second());
        Ok(())
    }

    pub(super) fn failed(self, error: Undeliverable) -> Answer {
        self.counters.failed.inc();
        Err(error)
    }

    pub(super) fn settle<T, E: Into<Undeliverable>>(self, result: Result<T, E>) -> Answer {
        match result {
            Ok(_) => self.durable(),
            Err(error) => self.failed(error.into()),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.events.pending.fetch_sub(1, Ordering::AcqRel);
    }
}
