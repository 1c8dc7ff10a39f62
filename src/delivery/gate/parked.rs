//! Keys that the bus refuses while it takes others: their records lie in the journal only, and are read again in rounds.
//! A part of the gate, and as pure: the time comes in as an argument.
//!
//! A *refusal* stands against a subject or topic ([`Target::Route`]), or against one key whose oldest record is refused
//! for itself ([`Target::Key`]). While it stands, what it meets is parked without asking the bus again, but for one trial
//! after each pause. A trial that is taken lifts the refusal; the next round reads on.
//!
//! A *round* reads all parked records again, in the order of the journal, up to where the drain has come. It costs disk
//! reads and no memory: a key takes the same few bytes here however many records it has.
//!
//! Memory is bound: beyond a number of keys, more of them share *places*, and the keys of a place wait for each other.
//! Below, a key is its own place.
//!
//! | place | when | an event of it | its records, in a round |
//! |---|---|---|---|
//! | waits | a round has not met it | is appended | goes on, is tried, or is left |
//! | passing | what the round met of it is in the window | is appended | go on, until one is left |
//! | left | a refusal stands against its oldest record | is appended | are left to the next round |
//! | back | a round has met all of it | goes direct once all of it is read and retired, and it is forgotten here | |

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    appends::Appends,
    terms::{Fate, Read, Target},
};

/// Pauses before a trial: after the first refusal, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// After an outage records are old that the bus has refused only now: what is refused gets this long all the same.
const GRACE: Duration = Duration::from_secs(60);

/// The keys and the refusals.
#[derive(Debug)]
pub(super) struct Parked {
    /// By place.
    keys: HashMap<u64, Key>,
    refusals: HashMap<Target, Refusal>,
    /// Trials under way, by sequence.
    trials: HashMap<u64, Target>,
    /// A refusal was lifted since the last round began.
    lifted: bool,
    /// When the next trial is due.
    next: Option<Instant>,
    round: Option<Round>,
    dead_letter_after: Option<Duration>,
    /// Most keys with a place of their own; as many places are shared by the others.
    most_keys: usize,
}

#[derive(Debug)]
struct Key {
    appends: Appends,
    /// No record of it that is not done with, and not in the window, lies before this one.
    first: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waits,
    Passing,
    Left,
    Back,
}

#[derive(Debug)]
struct Refusal {
    since: Instant,
    /// In a row.
    failures: u32,
    /// When the next trial is due; none while one is under way.
    again: Option<Instant>,
    /// The record that was refused last.
    last: Option<u64>,
}

/// A round under way.
#[derive(Debug)]
struct Round {
    /// It has to meet every record: a refusal was lifted before it, or a key is passing.
    whole: bool,
    /// Trials that are due and have no record yet.
    due: usize,
    began: Instant,
}

impl Parked {
    /// `dead_letter_after`: how old a refused record becomes before it is given up.
    pub(super) fn new(dead_letter_after: Option<Duration>, most_keys: usize) -> Self {
        Parked {
            keys: HashMap::new(),
            refusals: HashMap::new(),
            trials: HashMap::new(),
            lifted: false,
            next: None,
            round: None,
            dead_letter_after,
            most_keys,
        }
    }

    /// Counts an event that arrives as on its way into the journal, if its key or its route is refused. Gives its place.
    pub(super) fn takes(&mut self, key: u64, route: u64, passed: u64) -> Option<u64> {
        let is_out = |known: &Key| known.state == State::Back && known.appends.are_read(passed);
        let place = self.place(key);
        let is_here = self.keys.get(&place).is_some_and(|known| !is_out(known));
        if !is_here && !self.refusals.contains_key(&Target::Route(route)) {
            return None;
        }
        self.park(place, u64::MAX, is_here).appends.begin();
        Some(place)
    }

    /// Counts an event that was refused the same way.
    pub(super) fn refused(&mut self, key: u64, target: Target, now: Instant) -> u64 {
        let place = self.place(key);
        self.park(place, u64::MAX, false).appends.begin();
        self.refuse(self.against(target, place), None, false, now);
        place
    }

    /// An append that was counted here has ended.
    pub(super) fn appended(&mut self, place: u64, sequence: Option<u64>, passed: u64) {
        if let Some(known) = self.keys.get_mut(&place) {
            known.first = known.first.min(sequence.unwrap_or(u64::MAX));
            known.appends.end(sequence);
        }
        self.forget(place, passed);
    }

    /// Whether a record that the drain meets for the first time is parked.
    pub(super) fn leaves(&mut self, record: &Read<'_>) -> bool {
        let Read { key, route, sequence, .. } = *record;
        let place = self.place(key);
        let is_here = self.keys.get(&place).is_some_and(|known| known.state != State::Back);
        let leaves = is_here || self.refusals.contains_key(&Target::Route(route));
        if leaves {
            self.park(place, sequence, is_here);
        } else {
            self.forget(place, sequence);
        }
        leaves
    }

    /// How many places have a parked key.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// A record was refused. `line`: it and those of its key behind it, which are not in the window any more.
    pub(super) fn leave(&mut self, key: u64, sequence: u64, line: &VecDeque<u64>, target: Target, now: Instant) {
        let place = self.place(key);
        let target = self.against(target, place);
        let tried = self.trials.remove(&sequence);
        for number in line {
            // It did not come to its trial.
            if let Some(target) = self.trials.remove(number) {
                self.try_at(target, now);
            }
        }
        if let Some(tried) = tried.filter(|tried| *tried != target) {
            self.lift(tried);
        }
        self.park(place, sequence, false);
        self.refuse(target, Some(sequence), tried == Some(target), now);
    }

    /// A record is done with: if it was a trial, the bus takes more.
    pub(super) fn done(&mut self, sequence: u64) {
        if let Some(target) = self.trials.remove(&sequence) {
            self.lift(target);
        }
    }

    /// Begins a round if one is due. Gives the sequence to read from.
    pub(super) fn begin_round(&mut self, passed: u64, now: Instant) -> Option<u64> {
        if !self.lifted && self.next.is_none_or(|next| now < next) {
            return None;
        }
        let due = self.refusals.values().filter(|refusal| refusal.is_due(now)).count();
        self.round = Some(Round { whole: std::mem::take(&mut self.lifted), due, began: now });
        let mut first = passed + 1;
        for known in self.keys.values_mut().filter(|known| known.state != State::Back) {
            known.state = State::Waits;
            first = first.min(known.first);
        }
        Some(first)
    }

    /// When the next round begins; a time that has passed: at once.
    pub(super) fn next_round(&self, now: Instant) -> Option<Instant> {
        if self.lifted { Some(now) } else { self.next }
    }

    /// What becomes of a record that a round meets. `age`: since it arrived.
    pub(super) fn meets(&mut self, record: &Read<'_>, age: Duration, now: Instant) -> Fate {
        let Read { key, route, sequence, .. } = *record;
        let place = self.place(key);
        let Some(known) = self.keys.get_mut(&place) else { return Fate::Left };
        if !matches!(known.state, State::Waits | State::Passing) {
            return Fate::Left;
        }
        known.first = sequence;
        known.state = State::Left;
        let against = [Target::Route(route), Target::Key(place)].into_iter().find(|t| self.refusals.contains_key(t));
        let refusal = against.and_then(|target| Some((target, self.refusals.get_mut(&target)?)));
        let Some(round) = &mut self.round else { return Fate::Left };
        let fate = match refusal {
            None => Fate::Kept,
            Some((target, refusal))
                if (target != Target::Key(place) || place == key || refusal.last == Some(sequence))
                    && refusal.gives_up(age, now, self.dead_letter_after) =>
            {
                // Of those that share a place, only what was itself refused is given up.
                // Dead letters that do not take it are tried again after a pause, too.
                if refusal.is_due(now) {
                    refusal.again = Some(now + PAUSES.0);
                }
                Fate::Doomed
            }
            Some((target, refusal)) if refusal.is_due(now) => {
                refusal.again = None;
                round.due = round.due.saturating_sub(1);
                self.trials.insert(sequence, target);
                return Fate::Kept;
            }
            Some(_) => return Fate::Left,
        };
        known.state = State::Passing;
        round.whole = true;
        fate
    }

    /// Whether the round has more to do.
    pub(super) fn goes_on(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.whole || 0 < round.due)
    }

    /// The round is over. `whole`: it has met every record up to where the drain has come.
    pub(super) fn end_round(&mut self, whole: bool, passed: u64, now: Instant) {
        let began = self.round.take().map_or(now, |round| round.began);
        for known in self.keys.values_mut() {
            known.state = match known.state {
                State::Left => State::Waits,
                State::Waits if !whole => State::Waits,
                // A key that it has not met has nothing left.
                State::Waits | State::Passing | State::Back => State::Back,
            };
        }
        if whole {
            // What was due when it began and found no record stands against nothing.
            let before = self.refusals.len();
            self.refusals.retain(|_, refusal| !refusal.is_due(began));
            self.lifted |= self.refusals.len() < before;
        }
        self.keys.retain(|_, known| known.state != State::Back || !known.appends.are_over(passed));
        self.lifted &= !self.keys.is_empty();
        self.next = self.refusals.values().filter_map(|refusal| refusal.again).min();
    }

    /// Where a key is parked, or would be. A shared place that is in use may hold any key that has none of its own.
    fn place(&self, key: u64) -> u64 {
        let shared = !(key % self.most_keys as u64);
        let is_shared = self.keys.contains_key(&shared) || self.most_keys <= self.keys.len();
        if is_shared && !self.keys.contains_key(&key) { shared } else { key }
    }

    /// What a refusal is kept as. Beyond a number of them, one of a route is as many as it has places.
    fn against(&self, target: Target, place: u64) -> Target {
        let has_room = self.refusals.len() < self.most_keys || self.refusals.contains_key(&target);
        if matches!(target, Target::Route(_)) && has_room { target } else { Target::Key(place) }
    }

    /// A place, made if need be: its records from this one on are left to the next round.
    fn park(&mut self, place: u64, sequence: u64, as_it_is: bool) -> &mut Key {
        let new = Key { appends: Appends::default(), first: sequence, state: State::Left };
        let known = self.keys.entry(place).or_insert(new);
        if !as_it_is {
            // What was there before is in the window, or done with.
            known.first = if known.state == State::Back { sequence } else { known.first };
            known.state = State::Left;
        }
        known.first = known.first.min(sequence);
        known
    }

    fn refuse(&mut self, target: Target, sequence: Option<u64>, tried: bool, now: Instant) {
        let is_new = !self.refusals.contains_key(&target);
        let refusal =
            self.refusals.entry(target).or_insert(Refusal { since: now, failures: 0, again: None, last: None });
        refusal.last = sequence;
        if is_new || tried {
            let pause = PAUSES.0.saturating_mul(1 << refusal.failures.min(16)).min(PAUSES.1);
            refusal.failures += 1;
            self.try_at(target, now + pause);
        }
    }

    fn try_at(&mut self, target: Target, again: Instant) {
        if let Some(refusal) = self.refusals.get_mut(&target) {
            refusal.again = Some(again);
            self.next = Some(self.next.map_or(again, |next| next.min(again)));
        }
    }

    fn lift(&mut self, target: Target) {
        self.refusals.remove(&target);
        self.lifted = true;
    }

    /// Forgets a place that is back and of which nothing is on its way.
    fn forget(&mut self, place: u64, passed: u64) {
        if self.keys.get(&place).is_some_and(|known| known.state == State::Back && known.appends.are_over(passed)) {
            self.keys.remove(&place);
        }
    }

    /// Whether nothing is left behind.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.trials.is_empty()
    }
}

impl Refusal {
    fn is_due(&self, now: Instant) -> bool {
        self.again.is_some_and(|again| again <= now)
    }

    fn gives_up(&self, age: Duration, now: Instant, after: Option<Duration>) -> bool {
        after.is_some_and(|after| after <= age && after.min(GRACE) <= now.duration_since(self.since))
    }
}
