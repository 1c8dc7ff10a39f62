//! The window: records that were read and are not done with, and which of them is published next. A pure state machine, for
//! the drain of the spool (`delivery::gate`) and for `hookbus replay`. It never holds a body.
//!
//! Of one key at most one record is in flight, and the next is ready only when that one is done with. Records of
//! different keys have no order among them, so they fly together. After a failure one flies at a time, since a bus may refuse
//! many together of which it would take each; every success lets one more fly.

use std::collections::{BTreeMap, HashMap, VecDeque};

/// How much a window holds and how many records fly at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most records.
    pub records: usize,
    /// Most bytes of them; one record always fits.
    pub bytes: usize,
    /// Most records in flight.
    pub flying: usize,
}

/// The records by number. Numbers rise.
#[derive(Debug)]
pub struct Window {
    limits: Limits,
    slots: BTreeMap<u64, Slot>,
    bytes: usize,
    /// The numbers of each key, in order.
    keys: HashMap<u64, VecDeque<u64>>,
    ready: VecDeque<u64>,
    flying: usize,
    /// How many may fly now.
    width: usize,
}

#[derive(Debug)]
struct Slot {
    key: u64,
    bytes: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not to be published yet, whatever its place.
    Held,
    /// An older record of its key is not done with.
    Waiting,
    /// The oldest of its key.
    Ready,
    /// Given to the bus.
    Flying,
}

impl Window {
    /// An empty one.
    pub fn new(limits: Limits) -> Self {
        Window {
            limits,
            slots: BTreeMap::new(),
            bytes: 0,
            keys: HashMap::new(),
            ready: VecDeque::new(),
            flying: 0,
            width: limits.flying,
        }
    }

    /// Records in it.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether a record is in it.
    pub fn holds(&self, number: u64) -> bool {
        self.slots.contains_key(&number)
    }

    /// Whether a record of a key is in it.
    pub fn holds_key(&self, key: u64) -> bool {
        self.keys.contains_key(&key)
    }

    /// Whether one more record may be read.
    pub fn has_room(&self) -> bool {
        self.is_empty() || (self.len() < self.limits.records && self.bytes < self.limits.bytes)
    }

    /// Adds a record. `key`: of its order, hashed: a collision only makes two keys wait for each other. `held`: it is not to
    /// be published before [`Window::release`].
    pub fn push(&mut self, number: u64, key: u64, bytes: usize, held: bool) {
        let state = if held { State::Held } else { State::Waiting };
        self.bytes += bytes;
        self.slots.insert(number, Slot { key, bytes, state });
        self.keys.entry(key).or_default().push_back(number);
        #[cfg(test)]
        if super::planted::Planted::WrongOrder.is_here() {
            self.overtake(number);
        }
        self.advance(key);
    }

    /// The mistake that the simulation must see: this record does not wait for the older ones of its key.
    #[cfg(test)]
    fn overtake(&mut self, number: u64) {
        if let Some(slot) = self.slots.get_mut(&number).filter(|slot| slot.state == State::Waiting) {
            slot.state = State::Ready;
            self.ready.push_front(number);
        }
    }

    /// Lets a held record be published in its turn.
    pub fn release(&mut self, number: u64) {
        let Some(slot) = self.slots.get_mut(&number) else { return };
        if slot.state == State::Held {
            slot.state = State::Waiting;
            let key = slot.key;
            self.advance(key);
        }
    }

    /// The next record to publish, if one may fly.
    pub fn take_next(&mut self) -> Option<u64> {
        if self.flying >= self.width {
            return None;
        }
        let number = self.ready.pop_front()?;
        if let Some(slot) = self.slots.get_mut(&number) {
            slot.state = State::Flying;
            self.flying += 1;
        }
        Some(number)
    }

    /// The publication of a record has ended: it is `done` with, or must be published again. Gives its key if no other
    /// record of it is here.
    pub fn published(&mut self, number: u64, done: bool) -> Option<u64> {
        self.flying = self.flying.saturating_sub(1);
        if done {
            self.width = (self.width + 1).min(self.limits.flying);
            return self.retire(number);
        }
        if let Some(slot) = self.slots.get_mut(&number) {
            // Behind the other keys, so that one record that always fails delays only its own key.
            self.width = 1;
            slot.state = State::Ready;
            self.ready.push_back(number);
        }
        None
    }

    /// Removes a record that is done with. Gives its key if no other record of it is here.
    pub fn retire(&mut self, number: u64) -> Option<u64> {
        let slot = self.slots.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(slot.bytes);
        if let Some(line) = self.keys.get_mut(&slot.key) {
            line.retain(|other| *other != number);
            if line.is_empty() {
                self.keys.remove(&slot.key);
                return Some(slot.key);
            }
        }
        self.advance(slot.key);
        None
    }

    /// The key of a record.
    pub fn key(&self, number: u64) -> Option<u64> {
        self.slots.get(&number).map(|slot| slot.key)
    }

    /// The publication of a key's oldest record has ended, and the whole key leaves, to be read again some time. Gives
    /// the numbers of its records: none of them is done with.
    pub fn leave(&mut self, key: u64) -> VecDeque<u64> {
        self.flying = self.flying.saturating_sub(1);
        let line = self.keys.remove(&key).unwrap_or_default();
        // None of them is ready: the oldest was in flight.
        for number in &line {
            let slot = self.slots.remove(number);
            self.bytes = self.bytes.saturating_sub(slot.map_or(0, |slot| slot.bytes));
        }
        line
    }

    /// Makes the oldest record of a key ready, if it waits for that.
    fn advance(&mut self, key: u64) {
        let Some(oldest) = self.keys.get(&key).and_then(VecDeque::front) else { return };
        let Some(slot) = self.slots.get_mut(oldest) else { return };
        if slot.state == State::Waiting {
            slot.state = State::Ready;
            self.ready.push_back(*oldest);
        }
    }

    // Bytes, records in flight, and whether nothing is left behind.
    #[cfg(test)]
    pub(crate) fn rest(&self) -> (usize, usize, bool) {
        (self.bytes, self.flying, self.keys.is_empty() && self.ready.is_empty())
    }
}
