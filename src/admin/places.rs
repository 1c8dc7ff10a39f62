//! Places for large answers: how many of one kind may be on their way to clients at once.
//!
//! In: an answer. Out: the same, holding its place until the last byte of it is written or its connection has ended. Who reads
//! slowly, or not at all, keeps the next one of his kind away and nobody else: the small answers of the probes need no place.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Answers of the console at once, each up to some hundred KB: two people with a page, which asks for one thing after another.
const CONSOLE: usize = 4;
/// Answers of `/metrics` at once: a scraper, its replica and a person need three.
const METRICS: usize = 8;

/// Who needs a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Large {
    /// The console, for people.
    Console,
    /// A scrape.
    Metrics,
}

/// The places.
#[derive(Debug)]
pub(super) struct Places {
    console: Arc<Semaphore>,
    metrics: Arc<Semaphore>,
}

/// One of them, given back when it is dropped.
pub(super) struct Place(OwnedSemaphorePermit);

impl Places {
    /// None taken.
    pub(super) fn new() -> Self {
        let [console, metrics] = [CONSOLE, METRICS].map(|most| Arc::new(Semaphore::new(most)));
        Places { console, metrics }
    }

    /// A place, if one is free.
    pub(super) fn take(&self, large: Large) -> Option<Place> {
        let places = match large {
            Large::Console => &self.console,
            Large::Metrics => &self.metrics,
        };
        Arc::clone(places).try_acquire_owned().ok().map(Place)
    }
}

impl Place {
    /// An answer that holds the place for as long as any of its bytes waits to be written.
    pub(super) fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held { bytes, _place: self.0 })
    }
}

struct Held {
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_keeps_no_other_away_and_its_bytes_hold_the_place() {
        let places = Places::new();
        let mut held: Vec<_> =
            (0..CONSOLE).map(|_| places.take(Large::Console).unwrap().hold(Bytes::from_static(b"page"))).collect();
        assert!(places.take(Large::Console).is_none() && places.take(Large::Metrics).is_some());
        let rest = held.pop().unwrap().split_off(3);
        assert!(places.take(Large::Console).is_none(), "a part is still to be written");
        drop(rest);
        assert!(places.take(Large::Console).is_some());
    }
}
