//! Recent events: a bounded memory of events that are already durable, so that a repeat is answered and not published
//! again. An event enters only after its first copy is durable: to suppress earlier could lose it.
//!
//! Two generations, each half the bound: when the young one is full the old one is forgotten. That keeps the newest
//! half at least, in constant time and without links.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    mem,
    sync::Mutex,
};

/// What the memory says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Not known.
    New,
    /// The same source, id and body are durable already.
    Repeat,
    /// The id is known with another body: published all the same, counted and logged.
    Conflict,
}

/// The memory, shared by all workers.
#[derive(Debug)]
pub struct Recent {
    /// Keys by a hash that no sender can predict: an id of any length costs eight bytes and cannot be aimed.
    hasher: RandomState,
    half: usize,
    // A std Mutex: held for one look-up, never across an await.
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
}

impl Recent {
    /// Remembers at most `bound` events; 0 remembers none.
    pub fn new(bound: usize) -> Self {
        Recent { hasher: RandomState::new(), half: bound / 2, generations: Mutex::default() }
    }

    /// Looks an event up.
    pub fn look(&self, source: &str, id: &str, fingerprint: u64) -> Seen {
        let key = self.hasher.hash_one((source, id));
        let generations = self.lock();
        match generations.young.get(&key).or_else(|| generations.old.get(&key)) {
            None => Seen::New,
            Some(known) if *known == fingerprint => Seen::Repeat,
            Some(_) => Seen::Conflict,
        }
    }

    /// Remembers an event that is durable.
    pub fn remember(&self, source: &str, id: &str, fingerprint: u64) {
        if self.half == 0 {
            return;
        }
        let key = self.hasher.hash_one((source, id));
        let mut generations = self.lock();
        generations.young.insert(key, fingerprint);
        if generations.young.len() >= self.half {
            generations.old = mem::take(&mut generations.young);
        }
    }

    /// Events remembered now.
    pub fn len(&self) -> usize {
        let generations = self.lock();
        generations.young.len() + generations.old.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        // The memory is only an optimisation: after a panic elsewhere it is still a valid map.
        self.generations.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_the_same_source_id_and_body() {
        let recent = Recent::new(10);
        assert_eq!(recent.look("a", "1", 7), Seen::New);
        recent.remember("a", "1", 7);
        assert_eq!(recent.look("a", "1", 7), Seen::Repeat);
        assert_eq!(recent.look("a", "1", 8), Seen::Conflict);
        assert_eq!(recent.look("b", "1", 7), Seen::New);
    }

    #[test]
    fn the_bound_holds_and_the_newest_half_stays() {
        let recent = Recent::new(100);
        for i in 0..1000 {
            recent.remember("a", &i.to_string(), i);
            assert!(recent.len() <= 100);
            for newer in i.saturating_sub(49)..=i {
                assert_eq!(recent.look("a", &newer.to_string(), newer), Seen::Repeat, "{newer} of {i}");
            }
        }
    }

    #[test]
    fn a_bound_of_zero_remembers_nothing() {
        let recent = Recent::new(0);
        recent.remember("a", "1", 7);
        assert!(recent.is_empty());
    }
}
