//! The gate: which way an event goes, and which spooled record goes to the bus next. A pure state machine: no I/O, no
//! clock, no thread. Its owner ([`super::spool`]) reports what happened and does what it says.
//!
//! In: events that arrive, records on their way into the journal, records the drain has read, how publications ended.
//! Out: a way for each event ([`Way`]), a fate for each record ([`Fate`]), the next record to publish. It never holds a
//! body.
//!
//! # States
//!
//! The gate is *open* while nothing is spooled and nothing is on its way there. That is worked out from the counts below
//! under the owner's lock, not kept beside them: there is no moment at which it is opened, so no event can slip
//! through between the last record and the opening.
//!
//! | state | when | an event that arrives |
//! |---|---|---|
//! | open | no append under way, window empty, the drain has passed the highest appended record | goes direct |
//! | opening | the bus took the drain's last record, and the drain has passed the highest appended one | goes direct |
//! | draining | the bus took the drain's last record | is appended |
//! | closed | otherwise | is appended |
//!
//! *Opening* is there because under steady traffic some append is always under way: without it the gate would stay closed
//! until a lull. In it every record that was answered is in the window with its key, so order is kept all the same; the
//! first hedge or failure of the bus closes it again.
//!
//! An event whose key is in the window while the gate opens or drains *waits* until those records are done with, for as
//! long as a direct one may take, and is appended after that: a sender that waits for its answers and is faster than one
//! round trip of the drain would keep its key in the spool for ever.
//!
//! What the bus refuses while it takes others, one subject or one key, is *parked* ([`parked`]): its records count in none of the
//! above and are in no window, and its events are appended. The others go as if it were not there.
//!
//! | record | when | goes on to |
//! |---|---|---|
//! | appending | [`hedged`](Gate::hedged), [`failed`](Gate::failed), [`refused`](Gate::refused), or [`arrived`](Gate::arrived) at a closed gate | in the journal, or nowhere ([`appended`](Gate::appended)) |
//! | in the journal | [`appended`](Gate::appended) | the window, or parked, when the drain reads it; or acknowledged, when its first publication ended well before that |
//! | in the client | [`read`](Gate::read), its first publication still under way | retired ([`first_acked`](Gate::first_acked)), or ready or waiting ([`first_failed`](Gate::first_failed)) |
//! | waiting | read, an older record of its key not retired | ready |
//! | ready | the oldest of its key | in flight ([`next`](Gate::next)) |
//! | in flight | given to the bus | retired, ready again, or parked with those behind it ([`landed`](Gate::landed)) |
//! | parked | refused, or of a key or subject that is | the window, when a round reads it again ([`read_again`](Gate::read_again)) |
//!
//! # Order (P5)
//!
//! The window keeps it: of one key at most one record is in flight. This is the simplest rule that needs nothing of a
//! bus but an honest acknowledgement: pipelining within a key would need a bus that never stores a later message when
//! an earlier one fails, which neither JetStream nor a partition after a time-out promises. Its price is one round trip
//! per record for a key that comes often.
//!
//! A parked key keeps it, too: while a record of it is parked, all later ones are, and a round puts them into the window in
//! their order.
//!
//! A first publication still in the client does not hold back *older* records of its key: its request overlapped with
//! theirs, or it would have been appended at once, and overlapping requests have no order.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::window::{Limits, Window};

mod appends;
#[cfg(test)]
mod model;
mod parked;
mod terms;

pub(super) use self::terms::{Fate, Landing, Lane, Read, Target, Way};
use self::{appends::Appends, parked::Parked};

/// The state machine.
#[derive(Debug)]
pub(super) struct Gate {
    /// All but those of parked keys.
    appends: Appends,
    /// The bus takes what it is given, as far as it is known: the drain's last publication was not in vain, and no event
    /// was hedged since.
    recovered: bool,
    /// The drain has read everything up to here, or it is lost.
    passed: u64,
    /// Read and not retired.
    window: Window,
    /// What the bus refuses while it takes others.
    parked: Parked,
    /// First publications of hedged events, by ticket: those under way, and those acknowledged before the drain met
    /// their records. As many as were in flight when the gate closed.
    firsts: HashMap<String, First>,
}

#[derive(Debug, Default)]
struct First {
    acked: bool,
    /// Where its record is, once its append or the drain has said so.
    place: Option<u64>,
    /// Its append has said so: the owner acknowledges the record from here on.
    is_durable: bool,
}

impl Gate {
    /// A gate before a journal whose highest record is `appended`; 0 when it holds none, and the gate is open.
    /// `dead_letter_after`: how old a record becomes that the bus refuses while it takes others.
    /// `most_keys`, not 0: refused keys with a place of their own.
    pub(super) fn new(limits: Limits, appended: u64, dead_letter_after: Option<Duration>, most_keys: usize) -> Self {
        Gate {
            appends: Appends::up_to(appended),
            recovered: false,
            passed: 0,
            window: Window::new(limits),
            parked: Parked::new(dead_letter_after, most_keys),
            firsts: HashMap::new(),
        }
    }

    /// Whether nothing is held back but what the bus refuses: all other events go direct.
    pub(super) fn open(&self) -> bool {
        self.appends.are_over(self.passed) && self.window.is_empty()
    }

    /// Keys of which the bus refuses an event while it takes others.
    pub(super) fn refused_keys(&self) -> usize {
        self.parked.keys()
    }

    /// An event arrives. `route`: its subject or topic, hashed.
    pub(super) fn arrived(&mut self, key: u64, route: u64) -> Way {
        if let Some(place) = self.parked.takes(key, route, self.passed) {
            return Way::Spool(Lane::Own(place));
        }
        // Nothing that has failed is left.
        self.recovered |= self.open();
        match (self.recovered, self.window.holds_key(key)) {
            (true, true) => Way::Wait,
            // What is still being appended has not been answered, so this event overlaps with it.
            (true, false) if self.appends.are_read(self.passed) => Way::Direct,
            _ => Way::Spool(self.spool()),
        }
    }

    /// An event has waited for long enough: it is appended.
    pub(super) fn waited(&mut self, key: u64, route: u64) -> Lane {
        self.parked.takes(key, route, self.passed).map_or_else(|| self.spool(), Lane::Own)
    }

    /// A direct event is not acknowledged yet and is going to be appended; its publication goes on.
    pub(super) fn hedged(&mut self, ticket: &str) -> Lane {
        self.firsts.insert(ticket.to_owned(), First::default());
        self.failed()
    }

    /// The bus does not take a direct event now, which is going to be appended; the client has nothing of it any more.
    pub(super) fn failed(&mut self) -> Lane {
        self.recovered = false;
        self.spool()
    }

    /// The bus refuses a direct event, and may take others; it is going to be appended as after [`Gate::failed`].
    pub(super) fn refused(&mut self, key: u64, target: Target, now: Instant) -> Lane {
        Lane::Own(self.parked.refused(key, target, now))
    }

    fn spool(&mut self) -> Lane {
        self.appends.begin();
        Lane::Common
    }

    /// A record is durable, or (without a sequence) not in the journal, as far as this run knows: should it turn up all the
    /// same, it is drained. `ticket`: of a hedged event.
    pub(super) fn appended(&mut self, lane: Lane, ticket: Option<&str>, sequence: Option<u64>) {
        match lane {
            Lane::Common => self.appends.end(sequence),
            Lane::Own(place) => self.parked.appended(place, sequence, self.passed),
        }
        let Some(ticket) = ticket else { return };
        let Some(sequence) = sequence else {
            self.firsts.remove(ticket);
            return;
        };
        if let Some(first) = self.firsts.get_mut(ticket) {
            first.place = Some(sequence);
            first.is_durable = true;
            // Passed over: it was acknowledged, or is lost.
            if first.acked && sequence <= self.passed {
                self.firsts.remove(ticket);
            }
        }
    }

    /// A hedged event's first publication ended well. Its record is retired: the owner acknowledges it in the journal as
    /// soon as it knows its place. Gives its key, if that waits for nothing more.
    pub(super) fn first_acked(&mut self, ticket: &str) -> Option<u64> {
        let first = self.firsts.get_mut(ticket)?;
        match first.place {
            Some(place) if place <= self.passed => {
                // A round may read it again before its owner has acknowledged it.
                first.acked = true;
                if first.is_durable {
                    self.firsts.remove(ticket);
                }
                self.parked.done(place);
                self.window.retire(place)
            }
            // The drain has not met it: it may be in the reader's hands just now.
            _ => {
                first.acked = true;
                None
            }
        }
    }

    /// A hedged event's first publication failed: its record is like any other now.
    pub(super) fn first_failed(&mut self, ticket: &str) {
        if let Some(place) = self.firsts.remove(ticket).and_then(|first| first.place) {
            self.window.release(place);
        }
    }

    /// What is read and not retired.
    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// The drain has read a record for the first time. Sequences rise.
    pub(super) fn read(&mut self, record: Read<'_>) -> Fate {
        self.passed = self.passed.max(record.sequence);
        if self.first_was_acked(record.ticket) {
            return Fate::Done;
        }
        let fate = if self.parked.leaves(&record) { Fate::Left } else { Fate::Kept };
        self.keep(record, fate)
    }

    /// The drain has found nothing more up to `durable`, which was durable before it looked.
    pub(super) fn passed(&mut self, durable: u64) {
        self.passed = self.passed.max(durable);
        let passed = self.passed;
        self.firsts
            .retain(|_, first| !(first.acked && first.is_durable && first.place.is_some_and(|place| place <= passed)));
    }

    /// Begins a round: the drain reads once more, from the sequence that this gives, what is not acknowledged.
    pub(super) fn begin_round(&mut self, now: Instant) -> Option<u64> {
        self.parked.begin_round(self.passed, now)
    }

    /// When the next round may begin; `None` while nothing is refused.
    pub(super) fn next_round(&self, now: Instant) -> Option<Instant> {
        self.parked.next_round(now)
    }

    /// The round has read a record. Sequences rise. `None`: that was all, and the round is over.
    pub(super) fn read_again(&mut self, record: Read<'_>, age: Duration, now: Instant) -> Option<Fate> {
        if self.passed < record.sequence {
            self.parked.end_round(true, self.passed, now);
            return None;
        }
        if self.window.holds(record.sequence) {
            return Some(Fate::Left);
        }
        if self.first_was_acked(record.ticket) {
            return Some(Fate::Done);
        }
        let fate = self.parked.meets(&record, age, now);
        if fate == Fate::Left && !self.parked.goes_on() {
            self.parked.end_round(false, self.passed, now);
            return None;
        }
        Some(self.keep(record, fate))
    }

    /// The round has found nothing more up to where it began to look.
    pub(super) fn end_round(&mut self, now: Instant) {
        self.parked.end_round(true, self.passed, now);
    }

    fn first_was_acked(&mut self, ticket: &str) -> bool {
        let was = self.firsts.get(ticket).is_some_and(|first| first.acked);
        if was {
            self.firsts.remove(ticket);
        }
        was
    }

    fn keep(&mut self, record: Read<'_>, fate: Fate) -> Fate {
        let Read { sequence, key, ticket, bytes, .. } = record;
        let first = self.firsts.get_mut(ticket);
        if fate != Fate::Left {
            self.window.push(sequence, key, bytes, first.is_some());
        }
        if let Some(first) = first {
            first.place = Some(sequence);
        }
        fate
    }

    /// The next record to publish, if one may fly.
    pub(super) fn next(&mut self) -> Option<u64> {
        self.window.take_next()
    }

    /// The publication of a record has ended. Gives its key, if that waits for nothing more.
    pub(super) fn landed(&mut self, sequence: u64, landing: Landing, now: Instant) -> Option<u64> {
        match (landing, self.window.key(sequence)) {
            (Landing::Stored | Landing::DeadLetter, _) => {
                self.recovered |= landing == Landing::Stored;
                self.parked.done(sequence);
                self.window.published(sequence, true)
            }
            (Landing::Refused(target), Some(key)) => {
                let line = self.window.leave(key);
                self.parked.leave(key, sequence, &line, target, now);
                Some(key)
            }
            (Landing::Failed | Landing::Refused(_), _) => {
                self.recovered = false;
                self.window.published(sequence, false)
            }
        }
    }
}
