//! The oracle of all scenarios.
//!
//! In: a [`Load`] and everything that a subscriber finds. Out: a [`Verdict`] that counts what is lost, duplicated, corrupted
//! or out of order, and names examples.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    time::Instant,
};

use hookbus::envelope::{Attributes, attributes::Attribute};
use journal::{Reader, Start};

use crate::support::{
    harness::Setup,
    load::{Event, Load},
};

/// The lane of dead letters. They come last: what is on the bus, too, is there once.
const DEAD_LETTERS: &str = "dead letters";

impl Load {
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
    use std::{sync::atomic::Ordering, time::Duration};

    use crate::support::load::{Posted, Shape};

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
