//! The gate: which way an event goes, and which spooled record goes to the bus next. A pure state machine: no I/O, no
//! time, no thread. Whoever owns it ([`super::spool`]) tells it what happened and does what it says.
//!
//! In: events that arrive, records on their way into the journal, records the drain has read, how publications ended.
//! Out: a way for each event ([`Way`]), a fate for each record ([`Fate`]), the next record to publish. It never holds a
//! body.
//!
//! # States
//!
//! The gate is *open* while nothing is spooled and nothing is on its way there. That is worked out from the counts below
//! under the owner's lock, not kept beside them: there is no moment at which somebody opens it, so no event can slip
//! through between the last record and the opening.
//!
//! | state | when | an event that arrives |
//! |---|---|---|
//! | open | no append under way, window empty, the drain has passed the highest appended record | goes direct |
//! | opening | the drain has passed the highest appended record and the bus took its last one | goes direct, unless a record of its key is in the window: then it is appended |
//! | closed | otherwise | is appended |
//!
//! *Opening* is there because under steady traffic some append is always under way: without it the gate would stay closed
//! until a lull. In it every record that was answered is in the window with its key, so order is kept all the same; the first hedge or
//! refusal closes it again.
//!
//! | record | when | goes on to |
//! |---|---|---|
//! | appending | [`hedged`](Gate::hedged), [`refused`](Gate::refused), or [`arrived`](Gate::arrived) at a closed gate | in the journal, or nowhere ([`not_appended`](Gate::not_appended)) |
//! | in the journal | [`appended`](Gate::appended) | the window, when the drain reads it; or acknowledged, when its first publication ended well before that |
//! | in the client | [`read`](Gate::read), its first publication still under way | retired ([`first_acked`](Gate::first_acked)), or ready or waiting ([`first_failed`](Gate::first_failed)) |
//! | waiting | read, an older record of its key not retired | ready |
//! | ready | the oldest of its key | in flight ([`next`](Gate::next)) |
//! | in flight | given to the bus | retired, or ready again ([`published`](Gate::published)) |
//!
//! # Order (P5)
//!
//! Of one key at most one record is in flight, and the next is ready only when that one is retired. Records of
//! different keys have no order among them, so they fly together. This is the simplest rule that needs nothing of a
//! bus but an honest acknowledgement: pipelining within a key would need a bus that never stores a later message when
//! an earlier one fails, which neither JetStream nor a partition after a time-out promises. Its price is one round trip
//! per record for a key that comes often.
//!
//! A first publication still in the client does not hold back *older* records of its key: its request overlapped with
//! theirs, or it would have been appended at once, and overlapping requests have no order.

use std::collections::{BTreeMap, HashMap, VecDeque};

#[cfg(test)]
mod model;

/// The way of an event that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To the bus.
    Direct,
    /// Into the journal. The gate counts it as on its way there.
    Spool,
}

/// What becomes of a record that the drain has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has a place in the window; keep it until it is retired.
    Kept,
    /// Its first publication ended well after all: acknowledge it, and forget it.
    Done,
}

/// How much the window holds and how many records fly at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most records read and not retired.
    pub(super) records: usize,
    /// Most bytes of them; one record always fits.
    pub(super) bytes: usize,
    /// Most records in flight.
    pub(super) flying: usize,
}

/// A record as the drain read it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read<'a> {
    /// Its place in the journal.
    pub(super) sequence: u64,
    /// What keeps its order, hashed: a collision only makes two keys wait for each other.
    pub(super) key: u64,
    /// What tells it from every other event of every run.
    pub(super) ticket: &'a str,
    /// Its size.
    pub(super) bytes: usize,
}

/// The state machine.
#[derive(Debug)]
pub(super) struct Gate {
    limits: Limits,
    /// Records on their way into the journal.
    appending: usize,
    /// The last word of the bus to the drain was an acknowledgement, and nobody had to hedge since.
    recovered: bool,
    /// The highest sequence that is known to be in the journal.
    appended: u64,
    /// The drain has read everything up to here, or it is lost.
    passed: u64,
    /// Read and not retired.
    window: BTreeMap<u64, Slot>,
    bytes: usize,
    /// The window by key, each in order.
    keys: HashMap<u64, VecDeque<u64>>,
    ready: VecDeque<u64>,
    flying: usize,
    /// How many may fly now: one after a failure, one more for each success.
    width: usize,
    /// First publications of hedged events, by ticket: those under way, and those acknowledged before the drain met
    /// their records. As many as were in flight when the gate closed.
    firsts: HashMap<String, First>,
}

#[derive(Debug)]
struct Slot {
    key: u64,
    bytes: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InClient,
    Waiting,
    Ready,
    Flying,
}

#[derive(Debug, Default)]
struct First {
    acked: bool,
    /// Where its record is, once its append or the drain has said so.
    place: Option<u64>,
}

impl Gate {
    /// A gate before a journal whose highest record is `appended`; 0 when it holds none, and the gate is open.
    pub(super) fn new(limits: Limits, appended: u64) -> Self {
        Gate {
            limits,
            appending: 0,
            recovered: false,
            appended,
            passed: 0,
            window: BTreeMap::new(),
            bytes: 0,
            keys: HashMap::new(),
            ready: VecDeque::new(),
            flying: 0,
            width: limits.flying,
            firsts: HashMap::new(),
        }
    }

    /// Whether nothing is held back: all events go direct.
    pub(super) fn open(&self) -> bool {
        self.appending == 0 && self.window.is_empty() && self.caught_up()
    }

    /// An event arrives.
    pub(super) fn arrived(&mut self, key: u64) -> Way {
        // What is still being appended has not been answered, so this event overlaps with it.
        let opening = || self.recovered && self.caught_up() && !self.keys.contains_key(&key);
        if self.open() || opening() {
            return Way::Direct;
        }
        self.appending += 1;
        Way::Spool
    }

    /// A direct event is not acknowledged yet and is going to be appended; its publication goes on.
    pub(super) fn hedged(&mut self, ticket: &str) {
        self.recovered = false;
        self.appending += 1;
        self.firsts.insert(ticket.to_owned(), First::default());
    }

    /// A direct event was refused for now and is going to be appended; the client has nothing of it any more.
    pub(super) fn refused(&mut self) {
        self.recovered = false;
        self.appending += 1;
    }

    /// A record is durable. `ticket`: of a hedged event.
    pub(super) fn appended(&mut self, ticket: Option<&str>, sequence: u64) {
        self.appending = self.appending.saturating_sub(1);
        self.appended = self.appended.max(sequence);
        let Some(ticket) = ticket else { return };
        if let Some(first) = self.firsts.get_mut(ticket) {
            first.place = Some(sequence);
            // Passed over: it was acknowledged, or is lost.
            if first.acked && sequence <= self.passed {
                self.firsts.remove(ticket);
            }
        }
    }

    /// A record is not in the journal, as far as this run knows; should it turn up all the same, it is drained.
    pub(super) fn not_appended(&mut self, ticket: Option<&str>) {
        self.appending = self.appending.saturating_sub(1);
        if let Some(ticket) = ticket {
            self.firsts.remove(ticket);
        }
    }

    /// A hedged event's first publication ended well. Its record is retired: the owner acknowledges it in the journal as
    /// soon as it knows its place.
    pub(super) fn first_acked(&mut self, ticket: &str) {
        let Some(first) = self.firsts.get_mut(ticket) else { return };
        match first.place {
            Some(place) if place <= self.passed => {
                self.firsts.remove(ticket);
                self.retire(place);
            }
            // The drain has not met it: it may be in the reader's hands just now.
            _ => first.acked = true,
        }
    }

    /// A hedged event's first publication failed: its record is like any other now.
    pub(super) fn first_failed(&mut self, ticket: &str) {
        let place = self.firsts.remove(ticket).and_then(|first| first.place);
        let Some(slot) = place.and_then(|place| self.window.get_mut(&place)) else { return };
        if slot.state == State::InClient {
            slot.state = State::Waiting;
            let key = slot.key;
            self.advance(key);
        }
    }

    /// Whether the drain may read one more record.
    pub(super) fn has_room(&self) -> bool {
        self.window.is_empty() || (self.window.len() < self.limits.records && self.bytes < self.limits.bytes)
    }

    /// The drain has read a record. Sequences rise.
    pub(super) fn read(&mut self, record: Read<'_>) -> Fate {
        let Read { sequence, key, ticket, bytes } = record;
        self.passed = self.passed.max(sequence);
        let state = match self.firsts.get_mut(ticket) {
            None => State::Waiting,
            Some(First { acked: true, .. }) => {
                self.firsts.remove(ticket);
                return Fate::Done;
            }
            Some(first) => {
                first.place = Some(sequence);
                State::InClient
            }
        };
        self.window.insert(sequence, Slot { key, bytes, state });
        self.bytes += bytes;
        self.keys.entry(key).or_default().push_back(sequence);
        self.advance(key);
        Fate::Kept
    }

    /// The drain has found nothing more up to `durable`, which was durable before it looked.
    pub(super) fn passed(&mut self, durable: u64) {
        self.passed = self.passed.max(durable);
        let passed = self.passed;
        self.firsts.retain(|_, first| !(first.acked && first.place.is_some_and(|place| place <= passed)));
    }

    /// The next record to publish, if one may fly.
    pub(super) fn next(&mut self) -> Option<u64> {
        if self.flying >= self.width {
            return None;
        }
        let sequence = self.ready.pop_front()?;
        if let Some(slot) = self.window.get_mut(&sequence) {
            slot.state = State::Flying;
            self.flying += 1;
        }
        Some(sequence)
    }

    /// A record that flew has landed: it is `done` with (acknowledged, or in the dead letters), or it must fly again.
    pub(super) fn published(&mut self, sequence: u64, done: bool) {
        self.flying = self.flying.saturating_sub(1);
        self.recovered = done;
        if done {
            self.width = (self.width + 1).min(self.limits.flying);
            self.retire(sequence);
        } else if let Some(slot) = self.window.get_mut(&sequence) {
            // Behind the other keys, so that one record that always fails holds nobody up but its own key.
            self.width = 1;
            slot.state = State::Ready;
            self.ready.push_back(sequence);
        }
    }

    /// Whether a record is read and not retired.
    pub(super) fn holds(&self, sequence: u64) -> bool {
        self.window.contains_key(&sequence)
    }

    /// Records read and not retired.
    pub(super) fn held(&self) -> usize {
        self.window.len()
    }

    /// Every record that is known to be in the journal is in the window, or done with.
    fn caught_up(&self) -> bool {
        self.appended <= self.passed
    }

    fn retire(&mut self, sequence: u64) {
        let Some(slot) = self.window.remove(&sequence) else { return };
        self.bytes = self.bytes.saturating_sub(slot.bytes);
        if let Some(line) = self.keys.get_mut(&slot.key) {
            line.retain(|other| *other != sequence);
            if line.is_empty() {
                self.keys.remove(&slot.key);
            }
        }
        self.advance(slot.key);
    }

    /// Makes the oldest record of a key ready, if it waits for that.
    fn advance(&mut self, key: u64) {
        let Some(oldest) = self.keys.get(&key).and_then(VecDeque::front) else { return };
        let Some(slot) = self.window.get_mut(oldest) else { return };
        if slot.state == State::Waiting {
            slot.state = State::Ready;
            self.ready.push_back(*oldest);
        }
    }
}
