//! Recent events: a bounded memory, by source, id and body, of events that are already durable, so that a sender's repeat
//! is answered and not published again. An event enters only after its first copy is durable: to suppress earlier could lose
//! it. (What an operator has sent again is another memory, by place in a journal: [`journal::replay_log`].)
//!
//! Two generations, each half the bound: when the young one is full the old one is forgotten. That keeps the newest
//! half at least, in constant time and without links.
//!
//! What is remembered is true of one incarnation of the bus. The first event of another one clears the memory, and what an
//! older one has acknowledged does not enter any more.

use std::{
    collections::{HashMap, HashSet},
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

/// An event's name in one memory, made once by [`Recent::name`].
#[derive(Debug, Clone, Copy)]
pub struct Name {
    key: u64,
    fingerprint: u64,
    /// The bus's incarnation when the event came.
    incarnation: u64,
}

/// The memory, shared by all workers.
#[derive(Debug)]
pub struct Recent {
    /// Keys by a hash that no sender can predict: an id of any length costs eight bytes and cannot be aimed.
    hasher: RandomState,
    half: usize,
    // A std Mutex: held for one look-up, never across an await.
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// The bus's incarnation that has the events.
    incarnation: u64,
    /// The young one and the old one.
    generations: [Generation; 2],
}

impl Memory {
    /// Whether it is that incarnation's. A newer one begins with an empty memory.
    fn turns_to(&mut self, incarnation: u64) -> bool {
        if self.incarnation < incarnation {
            *self = Memory { incarnation, ..Memory::default() };
        }
        self.incarnation == incarnation
    }
}

#[derive(Debug, Default)]
struct Generation {
    /// Hash of source and id, and the fingerprint of the first body that came with it.
    /// (A quick hasher serves: keys come from [`Recent::hasher`], which no sender can predict.)
    bodies: HashMap<u64, u64, foldhash::fast::RandomState>,
    /// The same hashes with the fingerprints of other bodies: as good as always empty.
    others: HashSet<(u64, u64)>,
}

impl Generation {
    fn look(&self, key: u64, fingerprint: u64) -> Seen {
        match self.bodies.get(&key) {
            None => Seen::New,
            Some(first) if *first == fingerprint || self.others.contains(&(key, fingerprint)) => Seen::Repeat,
            Some(_) => Seen::Conflict,
        }
    }

    fn remember(&mut self, key: u64, fingerprint: u64) {
        let first = *self.bodies.entry(key).or_insert(fingerprint);
        if first != fingerprint {
            self.others.insert((key, fingerprint));
        }
    }

    fn len(&self) -> usize {
        self.bodies.len() + self.others.len()
    }

    fn clear(&mut self) {
        self.bodies.clear();
        self.others.clear();
    }
}

impl Recent {
    /// Remembers at most `bound` events, rounded up to an even number.
    pub fn new(bound: usize) -> Self {
        Recent { hasher: RandomState::new(), half: bound.div_ceil(2), memory: Mutex::default() }
    }

    /// What an event is looked up and remembered by. `fingerprint`: of its body. `incarnation`: number of the bus's, before
    /// the event is published.
    pub fn name(&self, source: &str, id: &str, fingerprint: u64, incarnation: u64) -> Name {
        Name { key: self.hasher.hash_one((source, id)), fingerprint, incarnation }
    }

    /// Looks an event up.
    pub fn look(&self, Name { key, fingerprint, incarnation }: Name) -> Seen {
        let mut memory = self.lock();
        if !memory.turns_to(incarnation) {
            return Seen::New;
        }
        match memory.generations.each_ref().map(|generation| generation.look(key, fingerprint)) {
            [Seen::Repeat, _] | [_, Seen::Repeat] => Seen::Repeat,
            [Seen::Conflict, _] | [_, Seen::Conflict] => Seen::Conflict,
            [Seen::New, Seen::New] => Seen::New,
        }
    }

    /// Remembers an event that is durable, unless the bus has lost it since.
    pub fn remember(&self, Name { key, fingerprint, incarnation }: Name) {
        let mut memory = self.lock();
        if !memory.turns_to(incarnation) {
            return;
        }
        let [young, old] = &mut memory.generations;
        young.remember(key, fingerprint);
        if young.len() >= self.half {
            mem::swap(young, old);
            young.clear();
        }
    }

    /// Events remembered now.
    pub fn len(&self) -> usize {
        self.lock().generations.iter().map(Generation::len).sum()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        // The memory is only an optimisation: after a panic elsewhere it is still a valid set.
        self.memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_the_same_source_id_and_body() {
        let recent = Recent::new(10);
        assert_eq!(recent.look(recent.name("a", "1", 7, 0)), Seen::New);
        recent.remember(recent.name("a", "1", 7, 0));
        assert_eq!(recent.look(recent.name("a", "1", 7, 0)), Seen::Repeat);
        assert_eq!(recent.look(recent.name("a", "1", 8, 0)), Seen::Conflict);
        assert_eq!(recent.look(recent.name("b", "1", 7, 0)), Seen::New);
        recent.remember(recent.name("a", "1", 8, 0));
        assert_eq!(recent.look(recent.name("a", "1", 7, 0)), Seen::Repeat, "the other body does not push it out");
    }

    #[test]
    fn the_bound_holds_and_the_newest_half_stays() {
        let recent = Recent::new(100);
        for i in 0..1000 {
            recent.remember(recent.name("a", &i.to_string(), i, 0));
            assert!(recent.len() <= 100);
            for newer in i.saturating_sub(49)..=i {
                assert_eq!(recent.look(recent.name("a", &newer.to_string(), newer, 0)), Seen::Repeat, "{newer} of {i}");
            }
        }
    }

    #[test]
    fn the_smallest_memory_holds_one() {
        let recent = Recent::new(1);
        recent.remember(recent.name("a", "1", 7, 0));
        assert_eq!(recent.look(recent.name("a", "1", 7, 0)), Seen::Repeat);
    }

    #[test]
    fn another_incarnation_begins_with_nothing_and_takes_nothing_of_an_older_one() {
        let recent = Recent::new(10);
        let name = |id: &str, incarnation| recent.name("a", id, 7, incarnation);
        recent.remember(name("1", 0));
        assert_eq!(recent.look(name("1", 0)), Seen::Repeat);
        assert_eq!(recent.look(name("1", 1)), Seen::New);
        recent.remember(name("late", 0));
        assert_eq!(recent.look(name("late", 0)), Seen::New, "the bus has lost it");
        assert_eq!((recent.look(name("late", 1)), recent.len()), (Seen::New, 0));
        recent.remember(name("1", 1));
        assert_eq!(recent.look(name("1", 1)), Seen::Repeat);
    }
}
