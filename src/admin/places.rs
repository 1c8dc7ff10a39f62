//! Places for large answers: how many of one kind may be on their way to clients at once.
//!
//! In: an answer. Out: the same, holding its place until the last byte of it is written or its connection has ended. Who reads
//! slowly, or not at all, keeps the next one of his kind away and nobody else: the small answers of the probes need no place. Who is
//! refused hurries those who hold places of his kind.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::Hurry;

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
    console: Kind,
    metrics: Kind,
}

#[derive(Debug)]
struct Kind {
    free: Arc<Semaphore>,
    holders: Mutex<Vec<Weak<Holder>>>,
}

/// Who holds a place.
#[derive(Debug)]
struct Holder {
    hurry: Option<Hurry>,
    _place: OwnedSemaphorePermit,
}

/// One of them, given back when it is dropped.
pub(super) struct Place(Arc<Holder>);

impl Places {
    /// None taken.
    pub(super) fn new() -> Self {
        let [console, metrics] = [CONSOLE, METRICS]
            .map(|most| Kind { free: Arc::new(Semaphore::new(most)), holders: Mutex::new(Vec::with_capacity(most)) });
        Places { console, metrics }
    }

    /// A place, if one is free; else those who hold one are to hurry. `hurry`: what tells the connection that takes it.
    pub(super) fn take(&self, large: Large, hurry: Option<Hurry>) -> Option<Place> {
        let kind = match large {
            Large::Console => &self.console,
            Large::Metrics => &self.metrics,
        };
        let mut holders = kind.holders.lock().unwrap_or_else(PoisonError::into_inner);
        holders.retain(|holder| holder.strong_count() > 0);
        match Arc::clone(&kind.free).try_acquire_owned() {
            Ok(place) => {
                let holder = Arc::new(Holder { hurry, _place: place });
                holders.push(Arc::downgrade(&holder));
                Some(Place(holder))
            }
            Err(_) => {
                let held = holders.iter().filter_map(Weak::upgrade);
                held.for_each(|holder| holder.hurry.iter().for_each(Hurry::up));
                None
            }
        }
    }
}

impl Place {
    /// An answer that holds the place for as long as any of its bytes waits to be written.
    pub(super) fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held { bytes, _holder: self.0 })
    }
}

struct Held {
    bytes: Bytes,
    _holder: Arc<Holder>,
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
        let mut held: Vec<_> = (0..CONSOLE)
            .map(|_| places.take(Large::Console, None).unwrap().hold(Bytes::from_static(b"page")))
            .collect();
        assert!(places.take(Large::Console, None).is_none() && places.take(Large::Metrics, None).is_some());
        let rest = held.pop().unwrap().split_off(3);
        assert!(places.take(Large::Console, None).is_none(), "a part is still to be written");
        drop(rest);
        assert!(places.take(Large::Console, None).is_some());
    }
}
