//! The model test: random schedules of the whole dance (senders, client, bus, journal, drain, crashes) around the gate.
//!
//! The world here is a sequence of small steps in any order that the real one could take. It checks P3 (what was answered
//! reaches the bus), P5 (order), the bound on duplicates, that nothing dead-locks, and that the gate opens at the end.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use tokio::time::Instant;

use super::{Fate, Gate, Landing, Lane, Limits, Read, Target, Way};

const LIMITS: Limits = Limits { records: 4, bytes: 30, flying: 3 };
const DEAD_LETTER_AFTER: Duration = Duration::from_secs(40);

/// What to do next; numbers choose among what there is.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// An event of a key, on a route.
    Arrive(u64, u64),
    /// The bus stores a message that the client holds.
    Store(usize),
    /// The bus answers a publication: truly if it stored it, else with a refusal or a time-out.
    Answer(usize, bool),
    /// The hedge's time is up for a direct event.
    Hedge(usize),
    Commit,
    FailAppend,
    /// The appender hears of its commit only now.
    Hear(usize),
    /// The drain takes one record into its hands, or finds nothing.
    Look,
    /// And shows it to the gate.
    Show,
    Publish,
    /// The round begins, reads one record, or ends.
    Round,
    /// The bus refuses this from now on, or takes it again.
    Ban(Target),
    Lift,
    /// An event that waits for its turn looks again, or gives up.
    Wake(usize),
    GiveUp(usize),
    Tick(u64),
    /// A time-out's message is stored in the end.
    Ghost(usize),
    /// All goes well for a while.
    Calm,
    Crash(bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let n = 0..16usize;
    let act = prop_oneof![
        12 => (0..3u64, 0..2u64).prop_map(|(key, route)| Act::Arrive(key, route)),
        12 => n.clone().prop_map(Act::Store),
        12 => (n.clone(), prop::bool::weighted(0.3)).prop_map(|(n, unknown)| Act::Answer(n, unknown)),
        6 => n.clone().prop_map(Act::Hedge),
        12 => Just(Act::Commit),
        2 => Just(Act::FailAppend),
        10 => n.clone().prop_map(Act::Hear),
        12 => Just(Act::Look),
        12 => Just(Act::Show),
        12 => Just(Act::Publish),
        12 => Just(Act::Round),
        1 => target().prop_map(Act::Ban),
        1 => Just(Act::Lift),
        6 => n.clone().prop_map(Act::Wake),
        2 => n.clone().prop_map(Act::GiveUp),
        3 => (0..20u64).prop_map(Act::Tick),
        2 => n.prop_map(Act::Ghost),
        2 => Just(Act::Calm),
        1 => any::<bool>().prop_map(Act::Crash),
    ];
    vec(act, 1..300)
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![(0..2u64).prop_map(Target::Route), (0..3u64).prop_map(Target::Key)]
}

type Event = usize;

#[derive(Debug)]
struct Flight {
    event: Event,
    /// The record, when the drain published it.
    sequence: Option<u64>,
    stored: bool,
    /// To the dead letters.
    doomed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Append {
    Queued,
    Durable(u64),
    /// Durable, and its task knows.
    Heard(u64),
    Failed,
}

/// A sender's request at the gateway.
#[derive(Debug)]
struct Task {
    hedged: bool,
    direct: bool,
    append: Option<Append>,
    lane: Lane,
    acked: bool,
}

struct World {
    gate: Gate,
    most_keys: usize,
    now: Instant,
    keys: Vec<u64>,
    routes: Vec<u64>,
    born: Vec<Instant>,
    waiting: Vec<Event>,
    banned: Vec<Target>,
    dead: BTreeSet<Event>,
    /// For each event, those of its key that were answered before it came.
    before: Vec<Vec<Event>>,
    answered: BTreeSet<Event>,
    tasks: BTreeMap<Event, Task>,
    flights: Vec<Flight>,
    ghosts: Vec<Event>,
    bus: Vec<Event>,
    /// How often an event may be on the bus.
    allowance: HashMap<Event, usize>,
    queue: VecDeque<Event>,
    journal: BTreeMap<u64, Event>,
    /// Acknowledged, and perhaps forgotten in a crash.
    retired: BTreeMap<u64, Event>,
    durable: u64,
    cursor: u64,
    hand: Option<u64>,
    /// Where the round has come.
    round: Option<u64>,
    doomed: BTreeSet<u64>,
    seen: Seen,
}

/// What happened, so that the test cannot pass by seeing nothing.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    direct: usize,
    direct_while_opening: usize,
    spooled: usize,
    late_acks: usize,
    late_failures: usize,
    done_at_read: usize,
    failed_appends: usize,
    duplicates: usize,
    crashes: usize,
    parked: usize,
    refusals: usize,
    direct_beside_parked: usize,
    dead: usize,
    waits: usize,
    direct_after_waits: usize,
}

fn ticket(event: Event) -> String {
    format!("boot-{event}")
}

impl World {
    fn new(most_keys: usize) -> Self {
        World {
            gate: Gate::new(LIMITS, 0, Some(DEAD_LETTER_AFTER), most_keys),
            most_keys,
            now: Instant::now(),
            keys: Vec::new(),
            routes: Vec::new(),
            born: Vec::new(),
            waiting: Vec::new(),
            banned: Vec::new(),
            dead: BTreeSet::new(),
            before: Vec::new(),
            answered: BTreeSet::new(),
            tasks: BTreeMap::new(),
            flights: Vec::new(),
            ghosts: Vec::new(),
            bus: Vec::new(),
            allowance: HashMap::new(),
            queue: VecDeque::new(),
            journal: BTreeMap::new(),
            retired: BTreeMap::new(),
            durable: 0,
            cursor: 0,
            hand: None,
            round: None,
            doomed: BTreeSet::new(),
            seen: Seen::default(),
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Arrive(key, route) => self.arrive(key, route),
            Act::Store(n) => self.store(n),
            Act::Answer(n, unknown) if !self.flights.is_empty() => {
                let flight = self.flights.remove(n % self.flights.len());
                self.land(flight, unknown);
            }
            Act::Hedge(n) => self.hedge(n),
            Act::Commit => self.commit(true),
            Act::FailAppend => self.commit(false),
            Act::Hear(n) => self.hear(n),
            Act::Look => self.look(),
            Act::Show => self.show(),
            Act::Publish => {
                if let Some(sequence) = self.gate.next() {
                    let event = self.journal[&sequence];
                    self.fly(event, Some(sequence));
                }
            }
            Act::Round => self.round(),
            Act::Ban(target) => self.banned.push(target),
            Act::Lift => self.banned.clear(),
            Act::Wake(n) if !self.waiting.is_empty() => {
                let event = self.waiting.remove(n % self.waiting.len());
                let way = self.gate.arrived(self.keys[event], self.routes[event]);
                self.seen.direct_after_waits += usize::from(way == Way::Direct);
                self.go(event, way);
            }
            Act::GiveUp(n) if !self.waiting.is_empty() => {
                let event = self.waiting.remove(n % self.waiting.len());
                let lane = self.gate.waited(self.keys[event], self.routes[event]);
                self.go(event, Way::Spool(lane));
            }
            Act::Tick(seconds) => self.now += Duration::from_secs(seconds),
            Act::Ghost(n) if !self.ghosts.is_empty() => {
                let ghost = self.ghosts.remove(n % self.ghosts.len());
                self.bus.push(ghost);
            }
            Act::Calm => (0..8).for_each(|_| self.go_well()),
            Act::Crash(forgetful) => self.crash(forgetful),
            Act::Answer(..) | Act::Ghost(_) | Act::Wake(_) | Act::GiveUp(_) => {}
        }
    }

    fn arrive(&mut self, key: u64, route: u64) {
        let event = self.keys.len();
        self.before.push(self.answered.iter().copied().filter(|other| self.keys[*other] == key).collect());
        self.keys.push(key);
        self.routes.push(route);
        self.born.push(self.now);
        self.allowance.insert(event, 1);
        let open = self.gate.open();
        let way = self.gate.arrived(key, route);
        self.seen.direct_while_opening += usize::from(way == Way::Direct && !open);
        self.seen.waits += usize::from(way == Way::Wait);
        self.go(event, way);
    }

    fn go(&mut self, event: Event, way: Way) {
        let task =
            |append: Option<Append>, lane| Task { hedged: false, direct: append.is_none(), append, lane, acked: false };
        match way {
            Way::Wait => self.waiting.push(event),
            Way::Direct => {
                self.tasks.insert(event, task(None, Lane::Common));
                self.seen.direct += 1;
                self.seen.direct_beside_parked += usize::from(!self.gate.parked.is_empty());
                self.fly(event, None);
            }
            Way::Spool(lane) => {
                self.tasks.insert(event, task(Some(Append::Queued), lane));
                self.seen.spooled += 1;
                self.seen.parked += usize::from(lane != Lane::Common);
                self.queue.push_back(event);
            }
        }
    }

    fn fly(&mut self, event: Event, sequence: Option<u64>) {
        let same = |flight: &Flight| flight.sequence.is_some() && self.keys[flight.event] == self.keys[event];
        assert!(sequence.is_none() || !self.flights.iter().any(same), "two records of one key in flight");
        let doomed = sequence.is_some_and(|sequence| self.doomed.remove(&sequence));
        self.flights.push(Flight { event, sequence, stored: false, doomed });
    }

    /// What the bus refuses of an event, if it does.
    fn ban(&self, event: Event) -> Option<Target> {
        let own = [Target::Route(self.routes[event]), Target::Key(self.keys[event])];
        own.into_iter().find(|target| self.banned.contains(target))
    }

    fn store(&mut self, n: usize) {
        let takes = |flight: &Flight| !flight.stored && !flight.doomed && self.ban(flight.event).is_none();
        let waiting: Vec<_> = (0..self.flights.len()).filter(|place| takes(&self.flights[*place])).collect();
        if !waiting.is_empty() {
            let flight = &mut self.flights[waiting[n % waiting.len()]];
            flight.stored = true;
            self.bus.push(flight.event);
        }
    }

    /// A publication ends. What is not stored may be refused, or be unknown and stored later.
    fn land(&mut self, Flight { event, sequence, stored, doomed }: Flight, unknown: bool) {
        let acked = stored && !unknown;
        let refused = (!stored && !unknown).then(|| self.ban(event)).flatten();
        if unknown && !doomed {
            // It will be published again beside a copy that is, or may come to be, on the bus.
            self.allow(event);
            if !stored {
                self.ghosts.push(event);
            }
        }
        if let Some(sequence) = sequence {
            let landing = match (acked, doomed, refused) {
                (_, true, _) if unknown => Landing::Refused(Target::Key(self.keys[event])),
                (_, true, _) => Landing::DeadLetter,
                (true, ..) => Landing::Stored,
                (.., Some(target)) => Landing::Refused(target),
                _ => Landing::Failed,
            };
            self.seen.refusals += usize::from(matches!(landing, Landing::Refused(_)));
            if landing == Landing::DeadLetter {
                self.dead.insert(event);
                self.seen.dead += 1;
            }
            if matches!(landing, Landing::Stored | Landing::DeadLetter) {
                self.acknowledge(sequence);
            }
            self.gate.landed(sequence, landing, self.now);
            return;
        }
        let Some(task) = self.tasks.get_mut(&event) else { return };
        task.direct = false;
        task.acked = acked;
        if task.hedged {
            let append = task.append;
            if acked {
                self.seen.late_acks += 1;
                self.gate.first_acked(&ticket(event));
                if let Some(Append::Heard(sequence)) = append {
                    self.acknowledge(sequence);
                }
            } else {
                self.seen.late_failures += 1;
                self.gate.first_failed(&ticket(event));
            }
        } else if !acked {
            task.append = Some(Append::Queued);
            task.lane = match refused {
                Some(target) => self.gate.refused(self.keys[event], target, self.now),
                None => self.gate.failed(),
            };
            self.queue.push_back(event);
        }
        if acked {
            self.answered.insert(event);
        }
    }

    fn hedge(&mut self, n: usize) {
        let waiting: Vec<Event> =
            self.tasks.iter().filter(|(_, task)| task.direct && !task.hedged).map(|(event, _)| *event).collect();
        if let Some(event) = (!waiting.is_empty()).then(|| waiting[n % waiting.len()]) {
            let task = self.tasks.get_mut(&event).unwrap();
            task.hedged = true;
            task.append = Some(Append::Queued);
            task.lane = self.gate.hedged(&ticket(event));
            self.queue.push_back(event);
        }
    }

    fn commit(&mut self, well: bool) {
        let Some(event) = self.queue.pop_front() else { return };
        // Sequences have gaps.
        self.durable += 1 + u64::from(!well);
        let append = if well {
            self.journal.insert(self.durable, event);
            Append::Durable(self.durable)
        } else {
            Append::Failed
        };
        self.tasks.get_mut(&event).unwrap().append = Some(append);
    }

    fn hear(&mut self, n: usize) {
        let is_news = |task: &Task| matches!(task.append, Some(Append::Durable(_) | Append::Failed));
        let news: Vec<Event> = self.tasks.iter().filter(|(_, task)| is_news(task)).map(|(event, _)| *event).collect();
        let Some(event) = (!news.is_empty()).then(|| news[n % news.len()]) else { return };
        let task = self.tasks.get_mut(&event).unwrap();
        let name = ticket(event);
        let hedged = task.hedged.then_some(name.as_str());
        let Some(Append::Durable(sequence)) = task.append else {
            task.append = None;
            self.seen.failed_appends += 1;
            return self.gate.appended(task.lane, hedged, None);
        };
        task.append = Some(Append::Heard(sequence));
        let acked = task.acked;
        self.gate.appended(task.lane, hedged, Some(sequence));
        self.answered.insert(event);
        if acked {
            self.acknowledge(sequence);
        }
    }

    fn allow(&mut self, event: Event) {
        *self.allowance.get_mut(&event).unwrap() += 1;
    }

    fn acknowledge(&mut self, sequence: u64) {
        if let Some(event) = self.journal.remove(&sequence) {
            self.retired.insert(sequence, event);
        }
    }

    fn look(&mut self) {
        if self.hand.is_some() || !self.gate.window().has_room() {
            return;
        }
        match self.journal.range(self.cursor + 1..).next() {
            Some((sequence, _)) => {
                self.cursor = *sequence;
                self.hand = Some(*sequence);
            }
            None => {
                self.cursor = self.durable;
                self.gate.passed(self.durable);
            }
        }
    }

    fn show(&mut self) {
        let Some(sequence) = self.hand.take() else { return };
        // A record acknowledged meanwhile is in the drain's hands all the same.
        let event = self.journal.get(&sequence).or_else(|| self.retired.get(&sequence)).copied().unwrap();
        let name = ticket(event);
        let read = Read { sequence, key: self.keys[event], route: self.routes[event], ticket: &name, bytes: 10 };
        let fate = self.gate.read(read);
        self.keep(sequence, fate);
    }

    fn keep(&mut self, sequence: u64, fate: Fate) {
        match fate {
            Fate::Done => {
                self.seen.done_at_read += 1;
                self.acknowledge(sequence);
            }
            Fate::Doomed => {
                self.doomed.insert(sequence);
            }
            Fate::Kept => {
                self.doomed.remove(&sequence);
            }
            Fate::Left => {}
        }
    }

    /// Nothing of the drain's own comes between the round's reading and the gate.
    fn round(&mut self) {
        let Some(cursor) = self.round else {
            self.round = self.gate.begin_round(self.now).map(|from| from - 1);
            return;
        };
        if !self.gate.window().has_room() {
            return;
        }
        let Some((&sequence, &event)) = self.journal.range(cursor + 1..).next() else {
            self.round = None;
            return self.gate.end_round(self.now);
        };
        self.round = Some(sequence);
        let name = ticket(event);
        let read = Read { sequence, key: self.keys[event], route: self.routes[event], ticket: &name, bytes: 10 };
        match self.gate.read_again(read, self.now - self.born[event], self.now) {
            Some(fate) => self.keep(sequence, fate),
            None => self.round = None,
        }
    }

    /// What is durable stays, what the client held may be stored yet. `forgetful`: no acknowledgement was stored.
    fn crash(&mut self, forgetful: bool) {
        self.seen.crashes += 1;
        let flights = std::mem::take(&mut self.flights);
        self.ghosts.extend(flights.iter().filter(|flight| !flight.stored).map(|flight| flight.event));
        let retired = std::mem::take(&mut self.retired);
        if forgetful {
            self.journal.extend(retired);
        }
        for event in self.journal.values().copied().collect::<Vec<_>>() {
            self.allow(event);
        }
        self.tasks.clear();
        self.queue.clear();
        self.cursor = 0;
        self.hand = None;
        self.round = None;
        self.waiting.clear();
        self.doomed.clear();
        let highest = self.journal.keys().next_back().copied().unwrap_or_default();
        self.gate = Gate::new(LIMITS, highest, Some(DEAD_LETTER_AFTER), self.most_keys);
    }

    fn go_well(&mut self) {
        for act in [
            Act::Store(0),
            Act::Answer(0, false),
            Act::Commit,
            Act::Hear(0),
            Act::Look,
            Act::Show,
            Act::Publish,
            Act::Round,
            Act::Wake(0),
            Act::Tick(1),
            Act::Ghost(0),
        ] {
            self.act(act);
        }
    }

    /// From here on all is well: everything must come to rest.
    fn settle(&mut self) {
        self.banned.clear();
        for _ in 0..2000 {
            self.go_well();
            let nothing = self.flights.is_empty() && self.queue.is_empty() && self.ghosts.is_empty();
            let quiet = nothing && self.waiting.is_empty() && self.round.is_none() && self.gate.parked.is_empty();
            if quiet && self.journal.is_empty() && self.gate.open() {
                // The drain goes on until it finds nothing; only then does the gate forget what was acknowledged unread.
                self.look();
                return;
            }
        }
        panic!("dead-lock: {:?}", self.gate);
    }

    fn check(&mut self) {
        let mut first = HashMap::new();
        let mut count: HashMap<Event, usize> = HashMap::new();
        for (place, event) in self.bus.iter().enumerate() {
            first.entry(*event).or_insert(place);
            *count.entry(*event).or_default() += 1;
        }
        for event in &self.answered {
            assert!(first.contains_key(event) || self.dead.contains(event), "{event} was answered and lost");
        }
        for (event, times) in count {
            assert!(times <= self.allowance[&event], "{event}: {times} times, {} allowed", self.allowance[&event]);
            self.seen.duplicates += times - 1;
        }
        for (event, place) in &first {
            for older in self.before[*event].iter().filter(|older| !self.dead.contains(older)) {
                assert!(first[older] < *place, "{event} overtook {older}");
            }
        }
        assert_eq!((self.gate.window.len(), self.gate.window.rest()), (0, (0, 0, true)));
        assert!(self.gate.firsts.is_empty());
    }
}

#[test]
fn no_schedule_loses_reorders_or_dead_locks() {
    let total = std::cell::RefCell::new(Vec::new());
    let cases = ProptestConfig::default().cases.max(4000);
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    // With and without room for each key.
    let result = runner.run(&(1..4usize, acts()), |(most_keys, acts)| {
        let mut world = World::new(most_keys);
        acts.into_iter().for_each(|act| world.act(act));
        world.settle();
        world.check();
        total.borrow_mut().push(world.seen);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    let total = total.into_inner();
    let sum = |field: fn(&Seen) -> usize| total.iter().map(field).sum::<usize>();
    let sums = [
        sum(|seen| seen.direct),
        sum(|seen| seen.direct_while_opening),
        sum(|seen| seen.spooled),
        sum(|seen| seen.late_acks),
        sum(|seen| seen.late_failures),
        sum(|seen| seen.done_at_read),
        sum(|seen| seen.failed_appends),
        sum(|seen| seen.duplicates),
        sum(|seen| seen.crashes),
        sum(|seen| seen.parked),
        sum(|seen| seen.refusals),
        sum(|seen| seen.direct_beside_parked),
        sum(|seen| seen.dead),
        sum(|seen| seen.waits),
        sum(|seen| seen.direct_after_waits),
    ];
    println!(
        "direct, while opening, spooled, late acks, late failures, done at read, failed appends, duplicates, crashes, \
         parked, refused records, direct beside parked, dead letters, waits, direct after: {sums:?}"
    );
    assert!(sums.iter().all(|sum| *sum > 100), "the schedules must reach everything: {sums:?}");
}

/// Of five keys the bus refuses one, or another, or none: no event of a key that it never refuses is appended.
#[test]
fn a_refused_key_costs_no_other_its_way() {
    let n = 0..16usize;
    let act = prop_oneof![
        12 => (0..5u64).prop_map(|key| Act::Arrive(key, key)),
        12 => n.clone().prop_map(Act::Store),
        12 => n.clone().prop_map(|n| Act::Answer(n, false)),
        6 => Just(Act::Commit),
        6 => n.prop_map(Act::Hear),
        6 => Just(Act::Look),
        6 => Just(Act::Show),
        6 => Just(Act::Publish),
        12 => Just(Act::Round),
        2 => prop_oneof![(0..2u64).prop_map(Target::Route), (0..2u64).prop_map(Target::Key)].prop_map(Act::Ban),
        1 => Just(Act::Lift),
        3 => (0..20u64).prop_map(Act::Tick),
    ];
    let direct = std::cell::Cell::new(0);
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }, |(acts in vec(act, 1..400))| {
        let mut world = World::new(5);
        for act in acts {
            match act {
                // The bus answers what it has stored or refuses.
                Act::Answer(n, _) => {
                    let over = |flight: &Flight| flight.stored || flight.doomed || world.ban(flight.event).is_some();
                    let over: Vec<_> = (0..world.flights.len()).filter(|n| over(&world.flights[*n])).collect();
                    if !over.is_empty() {
                        world.act(Act::Answer(over[n % over.len()], false));
                    }
                }
                act => world.act(act),
            }
            let spooled = world.tasks.iter().find(|(event, task)| 2 <= world.keys[**event] && task.append.is_some());
            prop_assert!(spooled.is_none(), "{spooled:?}");
        }
        direct.set(direct.get() + world.seen.direct_beside_parked);
        world.settle();
        world.check();
    });
    assert!(direct.get() > 1000, "{direct:?}");
}

/// Far more keys of a refused route than have a place: the others pass, and what is refused for too long is given up.
#[test]
fn more_refused_keys_than_places_lock_up_nothing() {
    const MOST_KEYS: usize = 8;
    let mut world = World::new(MOST_KEYS);
    world.act(Act::Ban(Target::Route(1)));
    let refused: Vec<u64> = (0..64).filter(|key| key % 8 < 4).collect();
    for key in &refused {
        world.act(Act::Arrive(*key, 1));
        (0..4).for_each(|_| world.go_well());
    }
    // Of a place that none of them has.
    let mut healthy = 0;
    for key in (0..64).filter(|key| key % 8 == 7) {
        world.act(Act::Arrive(key, 0));
        (0..8).for_each(|_| world.go_well());
        healthy += 1;
        assert!(world.bus.len() == healthy, "key {key} waits");
    }
    assert!(world.gate.refused_keys() <= 2 * MOST_KEYS, "{}", world.gate.refused_keys());
    (0..3000).for_each(|_| world.go_well());
    assert_eq!(world.dead.len(), refused.len());
    world.settle();
    world.check();
}
