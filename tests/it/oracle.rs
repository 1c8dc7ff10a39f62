//! The oracle of all scenarios: senders that post signed events and remember every answer, and a verdict over the whole bus.
//!
//! In: a gateway's address, and later everything that a subscriber finds. Out: a [`Verdict`] that counts what is lost,
//! duplicated, corrupted or out of order, and names examples. A body can be made again from its number, so that the
//! oracle compares bytes and keeps none.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hookbus::{
    envelope::{Attributes, attributes::Attribute},
    journal::{Reader, Start},
};

use crate::harness::{AUDIT, Connection, POLICY, Setup, post_head, signature, wait_at_most};

/// Longest wait for more answers: a broker may have to come back first, on a machine that is busy.
pub const LONG: Duration = Duration::from_secs(120);

/// Before a sender comes again. Vendors take longer.
const RETRY: Duration = Duration::from_millis(20);

/// Each sender numbers its events from its own multiple of this.
const SENDER: u64 = 1_000_000;

/// The lane of dead letters. They come last: what is on the bus, too, is there once.
const DEAD_LETTERS: &str = "dead letters";

/// Stands before an event's number in its body.
const MARK: &str = r#""mark":"#;

/// What the senders do.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub senders: u64,
    /// Entities of each vendor, shared by all its senders, so that requests of one key overlap, too.
    pub keys: u64,
    /// Filler of a body.
    pub bytes: usize,
    /// Every so many-th event has so many bytes more.
    pub large: Option<(u64, usize)>,
    /// Between an answer and the next event.
    pub pause: Duration,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { senders: 8, keys: 16, bytes: 300, large: None, pause: Duration::from_millis(10) }
    }
}

/// Senders, and what they remember.
pub struct Load {
    name: &'static str,
    shape: Shape,
    targets: Mutex<Vec<SocketAddr>>,
    stop: AtomicBool,
    accepted: AtomicUsize,
    posted: Mutex<HashMap<u64, Posted>>,
    answers: Mutex<Vec<Answered>>,
}

/// What a sender knows of one event.
#[derive(Debug, Clone, Copy)]
struct Posted {
    /// First byte of the first attempt.
    sent: Instant,
    /// The last of the targets has answered 200.
    accepted: Option<Instant>,
}

/// One attempt.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    pub sent: Instant,
    pub took: Duration,
    /// 0: the connection ended without an answer.
    pub status: u16,
}

impl Load {
    /// `name`: tells its events from those of every other load.
    pub fn new(name: &'static str, shape: Shape) -> Self {
        Load {
            name,
            shape,
            targets: Mutex::default(),
            stop: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            posted: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// Where the senders post from now on. With several targets each event goes to all of them, one after the other.
    pub fn aim(&self, targets: &[SocketAddr]) -> &Self {
        *self.targets.lock().unwrap() = targets.to_vec();
        self
    }

    /// Posts for as long as `meanwhile` takes.
    pub fn run<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        self.stop.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            // Also when `meanwhile` panics.
            let _stop = StopAtEnd(self);
            for sender in 0..self.shape.senders {
                scope.spawn(move || self.send(sender));
            }
            meanwhile()
        })
    }

    fn send(&self, sender: u64) {
        let mut connections = HashMap::new();
        // A second run goes on where the first has ended.
        let first = self.posted.lock().unwrap().keys().filter(|number| *number / SENDER == sender).max().copied();
        for number in first.map_or(sender * SENDER, |number| number + 1).. {
            if self.stopped() {
                return;
            }
            let event = self.event(number);
            self.posted.lock().unwrap().insert(number, Posted { sent: Instant::now(), accepted: None });
            if !self.post(&event, &mut connections) {
                return;
            }
            self.posted.lock().unwrap().get_mut(&number).unwrap().accepted = Some(Instant::now());
            self.accepted.fetch_add(1, Ordering::Relaxed);
            if !self.shape.pause.is_zero() {
                thread::sleep(self.shape.pause);
            }
        }
    }

    /// Posts to each target until it answers 200, as a vendor does. `false`: told to stop before.
    fn post(&self, event: &Event, connections: &mut HashMap<SocketAddr, Connection>) -> bool {
        for place in 0.. {
            loop {
                // The gateway may have moved.
                let target = self.targets.lock().unwrap().get(place).copied();
                match target {
                    Some(target) if self.attempt(target, event, connections) == 200 => break,
                    // All of them have it.
                    None if 0 < place => return true,
                    Some(_) | None => {}
                }
                if self.stopped() {
                    return false;
                }
                thread::sleep(RETRY);
            }
        }
        true
    }

    fn attempt(&self, target: SocketAddr, event: &Event, connections: &mut HashMap<SocketAddr, Connection>) -> u16 {
        let head = post_head(event.path, &event.body, &signature(event.path, &event.body));
        let Some(mut connection) = connections.remove(&target).or_else(|| Connection::try_open(target).ok()) else {
            return 0;
        };
        let sent = Instant::now();
        let wrote = connection.try_send(&[head.as_bytes(), &event.body].concat());
        let answer = wrote.ok().and_then(|()| connection.answer());
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        self.answers.lock().unwrap().push(Answered { sent, took: sent.elapsed(), status });
        if answer.is_some_and(|answer| answer.header("connection") != Some("close")) {
            connections.insert(target, connection);
        }
        status
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Events answered 200 so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Waits until so many more events are answered 200.
    pub fn wait_for(&self, more: usize) {
        let wanted = self.accepted() + more;
        wait_at_most(LONG, &format!("{more} more answers of {wanted}"), || self.accepted() >= wanted);
    }

    /// What was answered to what was sent between two moments.
    pub fn times(&self, from: Instant, to: Instant) -> Times {
        let answers = self.answers.lock().unwrap();
        let mut within: Vec<_> = answers.iter().filter(|answer| (from..to).contains(&answer.sent)).copied().collect();
        within.sort_by_key(|answer| answer.took);
        Times(within)
    }

    /// What was answered to everything.
    pub fn all_times(&self) -> Times {
        let mut answers = self.answers.lock().unwrap().clone();
        answers.sort_by_key(|answer| answer.took);
        Times(answers)
    }

    fn event(&self, number: u64) -> Event {
        let Shape { keys, bytes, large, .. } = self.shape;
        let more = large.filter(|(every, _)| number % every == every - 1).map_or(0, |(_, more)| more);
        let (name, fill) = (self.name, "x".repeat(bytes + more));
        let policy = (number / SENDER).is_multiple_of(2);
        let entity = format!("{name}_{}", number % SENDER % keys);
        // What a careless way through a parser would change: white space, a trailing zero, a key twice, escapes.
        let rest = format!(
            r#" "amount": 148320.50,"amount":1.0e2,"name":"Zo\u00eb é\/","fill":"{fill}"}} , {MARK}"{name}-{number}"}}"#
        );
        let (path, key, body) = if policy {
            let head = format!(r#"{{"id":"evt_{name}_{number}","type":"policy.active","data":{{"id":"{entity}","#);
            (POLICY, format!("1099policy/acme/{entity}"), head + &rest)
        } else {
            let head = format!(r#"{{"event":"file.processed","data":{{"file_id":"{entity}","#);
            (AUDIT, format!("audit1/payroll/{entity}"), head + &rest)
        };
        Event { path, key, large: 0 < more, body: body.into_bytes() }
    }

    /// Whether an event is one of the large ones.
    pub fn is_large(&self, found: &Found) -> bool {
        self.number(&found.payload).is_some_and(|number| self.event(number).large)
    }

    /// Large events answered 200.
    pub fn large_accepted(&self) -> usize {
        let posted = self.posted.lock().unwrap();
        posted.iter().filter(|(number, posted)| posted.accepted.is_some() && self.event(**number).large).count()
    }

    /// The number of this load's event in a payload.
    fn number(&self, payload: &[u8]) -> Option<u64> {
        let mark = format!("{MARK}\"{}-", self.name);
        let place = payload.windows(mark.len()).rposition(|window| window == mark.as_bytes())?;
        let digits = payload[place + mark.len()..].split(|byte| *byte == b'"').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Judges everything that is on the bus, or in the dead letters. Other loads' events count for nothing.
    pub fn judge(&self, bus: &[Found]) -> Verdict {
        let posted = self.posted.lock().unwrap();
        let mut verdict = Verdict { name: self.name, accepted: self.accepted(), ..Verdict::default() };
        let mut seen: HashSet<u64> = HashSet::new();
        // Of each lane and key, the event that was sent last of those that stand so far.
        let mut newest: HashMap<(&str, &str), (Instant, u64)> = HashMap::new();
        for found in bus {
            let Some(number) = self.number(&found.payload) else { continue };
            *verdict.lanes.entry(found.lane.clone()).or_default() += 1;
            let Some(known) = posted.get(&number) else {
                verdict.add(Fault::Corrupted, format!("{number} was never posted: {found}"));
                continue;
            };
            if let Some(what) = self.event(number).differs(found) {
                verdict.add(Fault::Corrupted, format!("{number}: {what}: {found}"));
            }
            if !seen.insert(number) {
                // A refusal that overtook the acknowledgement: the stream has it, and so have the dead letters.
                if found.lane != DEAD_LETTERS {
                    verdict.add(Fault::Duplicated, format!("{number}: {found}"));
                }
                continue;
            }
            let newest = newest.entry((&found.lane, &found.key)).or_insert((known.sent, number));
            // The one before was sent when this one had been answered.
            if known.accepted.is_some_and(|accepted| accepted < newest.0) {
                verdict.add(Fault::Inverted, format!("{} before {number} in {}", newest.1, found.lane));
            }
            *newest = (*newest).max((known.sent, number));
        }
        for number in posted.iter().filter(|(_, posted)| posted.accepted.is_some()).map(|(number, _)| number) {
            if !seen.contains(number) {
                verdict.add(Fault::Lost, number.to_string());
            }
        }
        verdict
    }
}

struct StopAtEnd<'a>(&'a Load);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

struct Event {
    path: &'static str,
    key: String,
    large: bool,
    body: Vec<u8>,
}

impl Event {
    /// What is wrong with it on the bus.
    fn differs(&self, found: &Found) -> Option<&'static str> {
        let intact = if found.structured {
            let data = [br#","data":"#, &self.body[..], b"}"].concat();
            found.payload.starts_with(br#"{"specversion":"1.0","id":""#) && found.payload.ends_with(&data)
        } else {
            found.payload == self.body
        };
        match (intact, found.key == self.key) {
            (true, true) => None,
            (false, _) => Some("other bytes"),
            (true, false) => Some("another key"),
        }
    }
}

/// A message as a subscriber finds it.
#[derive(Debug, Clone)]
pub struct Found {
    /// What keeps an order: the stream, or one partition of a topic.
    pub lane: String,
    pub key: String,
    pub structured: bool,
    pub payload: Vec<u8>,
}

/// The dead letters of a gateway that has ended.
pub fn dead_letters(setup: &Setup) -> Vec<Found> {
    records(setup, "hookbus-data/dead-letters", DEAD_LETTERS)
}

/// Everything in the journal of a gateway whose bus it is, and that has ended.
pub fn journal(setup: &Setup) -> Vec<Found> {
    records(setup, "hookbus-data", "the journal")
}

fn records(setup: &Setup, directory: &str, lane: &str) -> Vec<Found> {
    let mut reader = Reader::open(&setup.path().join(directory), Start::Oldest).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        let attributes = Attributes::decode(entry.head.to_vec()).unwrap();
        assert_eq!(attributes.get(Attribute::DeadLetterReason).is_some(), lane == DEAD_LETTERS);
        let key = attributes.get(Attribute::PartitionKey).unwrap().to_owned();
        found.push(Found { lane: lane.into(), key, structured: false, payload: entry.body.to_vec() });
    }
    found
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = String::from_utf8_lossy(&self.payload).chars().take(200).collect();
        write!(f, "{} {} {text}", self.lane, self.key)
    }
}

/// Answers, the quickest first.
#[derive(Debug)]
pub struct Times(Vec<Answered>);

impl Times {
    /// Those with another status than 200, or none.
    pub fn failed(&self) -> usize {
        self.0.iter().filter(|answer| answer.status != 200).count()
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn median(&self) -> Duration {
        self.0.get(self.0.len() / 2).map_or(Duration::ZERO, |answer| answer.took)
    }

    pub fn slowest(&self) -> Duration {
        self.0.last().map_or(Duration::ZERO, |answer| answer.took)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p99 = self.0.get(self.0.len() * 99 / 100).map_or(Duration::ZERO, |answer| answer.took);
        let (count, failed) = (self.count(), self.failed());
        write!(
            f,
            "{count} answers, {failed} not 200, median {:?}, p99 {p99:?}, slowest {:?}",
            self.median(),
            self.slowest()
        )
    }
}

/// What can be wrong with the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Answered 200 and nowhere.
    Lost,
    /// There more than once.
    Duplicated,
    /// Other bytes, another key, or nothing that was posted.
    Corrupted,
    /// Before one of its key that was answered before it was sent (P5).
    Inverted,
}

impl Fault {
    pub const ALL: [Fault; 4] = [Fault::Lost, Fault::Duplicated, Fault::Corrupted, Fault::Inverted];
    /// What Kafka promises: a second copy is allowed, and is the same.
    pub const BUT_DUPLICATED: [Fault; 3] = [Fault::Lost, Fault::Corrupted, Fault::Inverted];
    /// What holds across replicas, which have no order among them.
    pub const BUT_INVERTED: [Fault; 3] = [Fault::Lost, Fault::Duplicated, Fault::Corrupted];
}

/// What the oracle says.
#[derive(Debug, Default)]
pub struct Verdict {
    name: &'static str,
    accepted: usize,
    /// Messages found, by where they stand.
    lanes: BTreeMap<String, usize>,
    faults: BTreeMap<Fault, (usize, Vec<String>)>,
}

impl Verdict {
    fn add(&mut self, fault: Fault, example: String) {
        let (count, examples) = self.faults.entry(fault).or_default();
        *count += 1;
        if examples.len() < 5 {
            examples.push(example);
        }
    }

    pub fn count(&self, fault: Fault) -> usize {
        self.faults.get(&fault).map_or(0, |(count, _)| *count)
    }

    /// Fails when there is any of these; says what there is when there is none.
    #[track_caller]
    pub fn has_none_of(&self, faults: &[Fault]) {
        assert!(0 < self.accepted, "{}: nothing was answered 200, so nothing was tested", self.name);
        let examples = self.faults.iter().flat_map(|(fault, (_, examples))| examples.iter().map(move |of| (fault, of)));
        let examples: String = examples.map(|(fault, example)| format!("\n  {fault:?}: {example}")).collect();
        assert!(faults.iter().all(|fault| self.count(*fault) == 0), "{self}{examples}");
        println!("{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = Fault::ALL.map(|fault| format!("{} {fault:?}", self.count(fault)).to_lowercase()).join(", ");
        write!(
            f,
            "{}: {} answered 200, {} found: {counts}",
            self.name,
            self.accepted,
            self.lanes.values().sum::<usize>()
        )?;
        self.lanes.iter().try_for_each(|(lane, count)| write!(f, "\n  {count} in {lane}"))
    }
}

/// The oracle itself: it must see each fault, or no scenario means anything.
#[test]
fn the_oracle_sees_each_fault() {
    let load = Load::new("self", Shape { keys: 1, ..Shape::default() });
    let begin = Instant::now();
    let at = |millis| begin + Duration::from_millis(millis);
    // Of one sender and key: 0 answered, then 1 and 2 overlapping, then 3, of which no answer came.
    for (number, sent, accepted) in [(0, 0, Some(1)), (1, 2, Some(5)), (2, 3, Some(4)), (3, 6, None)] {
        load.posted.lock().unwrap().insert(number, Posted { sent: at(sent), accepted: accepted.map(at) });
    }
    load.accepted.store(3, Ordering::Relaxed);
    let found = |number: u64| {
        let Event { key, body, .. } = load.event(number);
        Found { lane: "stream".into(), key, structured: false, payload: body }
    };
    let counts = |bus: &[Found]| {
        let verdict = load.judge(bus);
        Fault::ALL.map(|fault| verdict.count(fault))
    };
    let [zero, one, two, three] = [0, 1, 2, 3].map(found);
    let bus = |order: &[&Found]| order.iter().map(|found| (*found).clone()).collect::<Vec<_>>();
    assert_eq!(counts(&bus(&[&zero, &one, &two])), [0, 0, 0, 0], "what was not answered may be missing");
    assert_eq!(counts(&bus(&[&zero, &two, &one, &three])), [0, 0, 0, 0], "overlapping ones have no order");
    assert_eq!(counts(&bus(&[&one, &zero, &two])), [0, 0, 0, 1]);
    assert_eq!(counts(&bus(&[&three, &zero, &one, &two])), [0, 0, 0, 3], "answered or not, it was sent later");
    assert_eq!(counts(&bus(&[&zero, &two])), [1, 0, 0, 0]);
    assert_eq!(counts(&bus(&[&zero, &one, &two, &zero])), [0, 1, 0, 0], "a second copy has no place");
    let mut changed = one.clone();
    let place = changed.payload.windows(4).position(|window| window == b"20.5").unwrap();
    changed.payload.remove(place + 4);
    assert_eq!(counts(&bus(&[&zero, &changed, &two])), [0, 0, 1, 0], "148320.50 is not 148320.5");
    assert_eq!(counts(&bus(&[&zero, &Found { key: "other".into(), ..one.clone() }, &two])), [0, 0, 1, 0]);
    assert_eq!(counts(&bus(&[&zero, &one, &two, &found(9)])), [0, 0, 1, 0], "nobody posted it");
    let elsewhere = Found { lane: DEAD_LETTERS.into(), ..one.clone() };
    assert_eq!(counts(&bus(&[&zero, &one, &two, &elsewhere])), [0, 0, 0, 0]);
    assert_eq!(counts(&bus(&[&elsewhere, &zero, &two])), [0, 0, 0, 0], "no order between two lanes");
    assert_eq!(Load::new("other", Shape::default()).judge(&bus(&[&zero])).lanes.len(), 0);
}
