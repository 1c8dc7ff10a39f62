//! The model test: random schedules of the whole dance (senders, client, bus, journal, drain, crashes) around the gate.
//!
//! The world here is a sequence of small steps in any order that the real one could take. It checks P3 (what was answered
//! reaches the bus), P5 (order), the bound on duplicates, that nothing dead-locks, and that the gate opens at the end.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

use super::{Fate, Gate, Limits, Read, Way};

const LIMITS: Limits = Limits { records: 4, bytes: 30, flying: 3 };

/// What to do next; numbers choose among what there is.
#[derive(Debug, Clone, Copy)]
enum Act {
    Arrive(u64),
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
    /// A time-out's message is stored in the end.
    Ghost(usize),
    /// All goes well for a while.
    Calm,
    Crash(bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let n = 0..16usize;
    let act = prop_oneof![
        12 => (0..3u64).prop_map(Act::Arrive),
        12 => n.clone().prop_map(Act::Store),
        12 => (n.clone(), prop::bool::weighted(0.3)).prop_map(|(n, unknown)| Act::Answer(n, unknown)),
        6 => n.clone().prop_map(Act::Hedge),
        12 => Just(Act::Commit),
        2 => Just(Act::FailAppend),
        10 => n.clone().prop_map(Act::Hear),
        12 => Just(Act::Look),
        12 => Just(Act::Show),
        12 => Just(Act::Publish),
        2 => n.prop_map(Act::Ghost),
        2 => Just(Act::Calm),
        1 => any::<bool>().prop_map(Act::Crash),
    ];
    vec(act, 1..300)
}

type Event = usize;

#[derive(Debug)]
struct Flight {
    event: Event,
    /// The record, when the drain published it.
    sequence: Option<u64>,
    stored: bool,
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
    acked: bool,
}

struct World {
    gate: Gate,
    keys: Vec<u64>,
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
}

fn ticket(event: Event) -> String {
    format!("boot-{event}")
}

impl World {
    fn new() -> Self {
        World {
            gate: Gate::new(LIMITS, 0),
            keys: Vec::new(),
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
            seen: Seen::default(),
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Arrive(key) => self.arrive(key),
            Act::Store(n) => {
                let mut waiting: Vec<_> = self.flights.iter_mut().filter(|flight| !flight.stored).collect();
                if !waiting.is_empty() {
                    let n = n % waiting.len();
                    waiting[n].stored = true;
                    self.bus.push(waiting[n].event);
                }
            }
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
            Act::Ghost(n) if !self.ghosts.is_empty() => {
                let ghost = self.ghosts.remove(n % self.ghosts.len());
                self.bus.push(ghost);
            }
            Act::Calm => (0..8).for_each(|_| self.go_well()),
            Act::Crash(forgetful) => self.crash(forgetful),
            Act::Answer(..) | Act::Ghost(_) => {}
        }
    }

    fn arrive(&mut self, key: u64) {
        let event = self.keys.len();
        self.before.push(self.answered.iter().copied().filter(|other| self.keys[*other] == key).collect());
        self.keys.push(key);
        self.allowance.insert(event, 1);
        let open = self.gate.open();
        let way = self.gate.arrived(key);
        let direct = way == Way::Direct;
        let append = (!direct).then_some(Append::Queued);
        self.tasks.insert(event, Task { hedged: false, direct, append, acked: false });
        if direct {
            self.seen.direct += 1;
            self.seen.direct_while_opening += usize::from(!open);
            self.fly(event, None);
        } else {
            self.seen.spooled += 1;
            self.queue.push_back(event);
        }
    }

    fn fly(&mut self, event: Event, sequence: Option<u64>) {
        let same = |flight: &Flight| flight.sequence.is_some() && self.keys[flight.event] == self.keys[event];
        assert!(sequence.is_none() || !self.flights.iter().any(same), "two records of one key in flight");
        self.flights.push(Flight { event, sequence, stored: false });
    }

    /// A publication ends. What is not stored may be refused, or be unknown and stored later.
    fn land(&mut self, Flight { event, sequence, stored }: Flight, unknown: bool) {
        let acked = stored && !unknown;
        if unknown {
            // It will be published again beside a copy that is, or may come to be, on the bus.
            self.allow(event);
            if !stored {
                self.ghosts.push(event);
            }
        }
        if let Some(sequence) = sequence {
            if acked {
                self.acknowledge(sequence);
            }
            return self.gate.published(sequence, acked);
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
            self.gate.refused();
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
            self.gate.hedged(&ticket(event));
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
            return self.gate.not_appended(hedged);
        };
        task.append = Some(Append::Heard(sequence));
        let acked = task.acked;
        self.gate.appended(hedged, sequence);
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
        if self.hand.is_some() || !self.gate.has_room() {
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
        let read = Read { sequence, key: self.keys[event], ticket: &name, bytes: 10 };
        if self.gate.read(read) == Fate::Done {
            self.seen.done_at_read += 1;
            self.acknowledge(sequence);
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
        self.gate = Gate::new(LIMITS, self.journal.keys().next_back().copied().unwrap_or_default());
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
            Act::Ghost(0),
        ] {
            self.act(act);
        }
    }

    /// From here on all is well: everything must come to rest.
    fn settle(&mut self) {
        for _ in 0..2000 {
            self.go_well();
            let quiet = self.flights.is_empty() && self.queue.is_empty() && self.ghosts.is_empty();
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
            assert!(first.contains_key(event), "{event} was answered and lost");
        }
        for (event, times) in count {
            assert!(times <= self.allowance[&event], "{event}: {times} times, {} allowed", self.allowance[&event]);
            self.seen.duplicates += times - 1;
        }
        for (event, place) in &first {
            for older in &self.before[*event] {
                assert!(first[older] < *place, "{event} overtook {older}");
            }
        }
        assert_eq!((self.gate.held(), self.gate.bytes, self.gate.flying), (0, 0, 0));
        assert!(
            self.gate.keys.is_empty()
                && self.gate.appending == 0
                && self.gate.ready.is_empty()
                && self.gate.firsts.is_empty()
        );
    }
}

#[test]
fn no_schedule_loses_reorders_or_dead_locks() {
    let total = std::cell::RefCell::new(Vec::new());
    let cases = ProptestConfig::default().cases.max(4000);
    let mut runner = TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&acts(), |acts| {
        let mut world = World::new();
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
    ];
    println!(
        "direct, while opening, spooled, late acks, late failures, done at read, failed appends, duplicates, crashes: {sums:?}"
    );
    assert!(sums.iter().all(|sum| *sum > 100), "the schedules must reach everything: {sums:?}");
}
