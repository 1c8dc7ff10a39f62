//! What lies on the bus, as far as a look compares it: rebuilt from the oldest record on at each look, within a bound, so
//! that a process that was killed has lost nothing.
//!
//! In: the bus. Out: whether an event was seen, and whether the bus would show it at all. What it would not show is unknown
//! and never missed.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::finding::Episode;
use crate::{
    bus::{Extent, Next, ReadError, Reader, Record},
    config::{BusKind, Config},
    envelope::{Message, attributes::Attribute},
    finding::{self, Kind},
    metrics::Label as _,
    subject::Pattern,
};

/// What a key of the index says. Keys of one event differ by it.
#[derive(Clone, Copy)]
enum Fact {
    /// An event of this id.
    Id,
    /// An event of this type about this thing.
    Type,
    /// The same, and in this second.
    Second,
    /// One of our own, of this id.
    Ours,
}

/// The index.
#[derive(Debug)]
pub(super) struct Seen {
    keys: HashSet<u128>,
    most: usize,
    /// Whether more lay there than `most`.
    is_full: bool,
    /// When the oldest record of a vendor arrived.
    oldest: Option<Timestamp>,
    /// When the last record arrived before which others are gone.
    gap: Option<Timestamp>,
    /// The same of single topics, which Kafka empties one by one.
    topics: HashMap<String, Timestamp>,
    /// The last finding about each source's endpoint.
    endpoints: BTreeMap<(String, Kind), Episode>,
}

impl Seen {
    /// An empty index, which knows nothing.
    pub(super) fn new(most: usize) -> Self {
        Seen {
            keys: HashSet::new(),
            most,
            is_full: false,
            oldest: None,
            gap: None,
            topics: HashMap::new(),
            endpoints: BTreeMap::new(),
        }
    }

    /// Reads what lies on the bus now.
    ///
    /// # Errors
    /// The bus cannot be read to its end.
    pub(super) async fn read(config: &Config, most: usize) -> Result<Self, ReadError> {
        let mut seen = Seen::new(most);
        let mut reader = Reader::open(config, Pattern::all(), Extent::UntilNow).await?;
        let is_by_topic = config.bus.kind == BusKind::Kafka;
        loop {
            let next = reader.next().await?;
            let is_behind_a_gap = reader.missed() > 0;
            match next {
                Next::Record(record) => seen.take(&record, is_behind_a_gap, is_by_topic),
                Next::Idle => {}
                Next::End => break,
            }
        }
        let now = Timestamp::now();
        seen.topics.extend(reader.emptied().map(|topic| (topic, now)));
        Ok(seen)
    }

    /// Takes note of a record.
    pub(super) fn take(&mut self, record: &Record, is_behind_a_gap: bool, is_by_topic: bool) {
        let Some(message) = &record.message else { return };
        let Ok(arrival) = message.get(Attribute::RecordedTime).parse::<Timestamp>() else { return };
        if is_by_topic && record.is_behind_a_gap {
            let since = self.topics.entry(message.route().to_owned()).or_insert(arrival);
            *since = (*since).max(arrival);
        } else if is_behind_a_gap || record.is_behind_a_gap {
            self.gap = Some(self.gap.map_or(arrival, |gap| gap.max(arrival)));
        }
        if message.get(Attribute::Vendor) == finding::VENDOR {
            return self.take_ours(message);
        }
        // Ours are no measure: those of the embedded bus lie in a journal of their own.
        self.oldest = Some(self.oldest.map_or(arrival, |oldest| oldest.min(arrival)));
        let get = |attribute| message.get(attribute);
        let (source, kind, subject) = (get(Attribute::Source), get(Attribute::Type), get(Attribute::Subject));
        self.insert(key(Fact::Id, source, get(Attribute::Id), ""));
        self.insert(key(Fact::Type, source, kind, subject));
        if let Ok(time) = get(Attribute::Time).parse::<Timestamp>() {
            self.insert(second(source, kind, subject, time.as_second()));
        }
    }

    fn take_ours(&mut self, message: &Message) {
        // They have room of their own, so that a full index makes no look publish them again.
        if self.keys.len() < self.most.saturating_mul(4) {
            self.keys.insert(key(Fact::Ours, "", message.get(Attribute::Id), ""));
        }
        let kind = message.get(Attribute::Type).strip_prefix(finding::TYPE);
        let kind = kind.and_then(|name| Kind::all().into_iter().find(|(_, text)| *text == name));
        let Some((kind, _)) = kind.filter(|(kind, _)| kind.is_endpoint()) else { return };
        let Ok(data) = serde_json::from_slice::<Value>(&message.body) else { return };
        if let (Some(source), Some(episode)) = (data["source"].as_str(), Episode::of(&data)) {
            self.endpoints.insert((source.to_owned(), kind), episode);
        }
    }

    fn insert(&mut self, key: u128) {
        // Three keys for each event.
        if self.keys.len() < self.most.saturating_mul(3) {
            self.keys.insert(key);
        } else {
            self.is_full |= !self.keys.contains(&key);
        }
    }

    /// Whether an event of this type about this thing is there; `kind`: with its `com.<vendor>.`.
    pub(super) fn has(&self, source: &str, kind: &str, subject: &str) -> bool {
        self.keys.contains(&key(Fact::Type, source, kind, subject))
    }

    /// Whether an event of this id is there.
    pub(super) fn has_id(&self, source: &str, id: &str) -> bool {
        self.keys.contains(&key(Fact::Id, source, id, ""))
    }

    /// Whether an event of this type about this thing is there from this second, or from one beside it: a vendor may round.
    pub(super) fn has_at(&self, source: &str, kind: &str, subject: &str, time: Timestamp) -> bool {
        (-1..=1).any(|beside| self.keys.contains(&second(source, kind, subject, time.as_second() + beside)))
    }

    /// Whether an event of our own is there.
    pub(super) fn has_ours(&self, id: &str) -> bool {
        self.keys.contains(&key(Fact::Ours, "", id, ""))
    }

    /// Since when everything on a subject or topic would be here; `None`: nobody can say.
    pub(super) fn reach(&self, route: &str) -> Option<Timestamp> {
        let oldest = self.oldest.filter(|_| !self.is_full)?;
        let gaps = [self.gap, self.topics.get(route).copied()];
        Some(gaps.into_iter().flatten().fold(oldest, Timestamp::max))
    }

    /// The last finding of this kind about a source's endpoint.
    pub(super) fn episode(&self, source: &str, kind: Kind) -> Option<&Episode> {
        self.endpoints.get(&(source.to_owned(), kind))
    }
}

fn key(fact: Fact, source: &str, first: &str, second: &str) -> u128 {
    xxh3_128([[fact as u8].as_slice(), source.as_bytes(), first.as_bytes(), second.as_bytes()].join(&0).as_slice())
}

fn second(source: &str, kind: &str, subject: &str, second: i64) -> u128 {
    key(Fact::Second, source, kind, &format!("{subject}\0{second}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Attributes;

    fn record(source: &str, id: &str, kind: &str, subject: &str, second: i64) -> Record {
        let time = Timestamp::from_second(second).unwrap();
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Id, &id);
        attributes.push(Attribute::Source, &source);
        attributes.push(Attribute::Type, &kind);
        attributes.push(Attribute::Subject, &subject);
        attributes.push(Attribute::Time, &time);
        attributes.push(Attribute::RecordedTime, &time);
        attributes.push(Attribute::Route, &"r");
        let message = Some(Message { attributes, body: "{}".into() });
        Record { written: None, message, payload: "{}".into(), is_structured: false, is_behind_a_gap: false }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_event_is_known_by_its_id_its_type_and_its_second_and_by_no_other_source() {
        let mut seen = Seen::new(10);
        seen.take(&record("s", "evt_1", "com.v.a.b", "cert_1", 100), false, false);
        assert!(seen.has_id("s", "evt_1") && !seen.has_id("t", "evt_1") && !seen.has_id("s", "evt_2"));
        assert!(seen.has("s", "com.v.a.b", "cert_1") && !seen.has("s", "com.v.a.c", "cert_1"));
        assert!(!seen.has("s", "com.v.a.b", "cert_2") && !seen.has("t", "com.v.a.b", "cert_1"));
        let has_at = |second| seen.has_at("s", "com.v.a.b", "cert_1", at(second));
        assert_eq!([98, 99, 100, 101, 102].map(has_at), [false, true, true, true, false]);
    }

    #[test]
    fn the_reach_begins_with_the_oldest_record_and_anew_behind_a_gap() {
        let mut seen = Seen::new(10);
        assert_eq!(seen.reach("r"), None);
        seen.take(&record("s", "1", "t", "c", 100), false, false);
        seen.take(&record("s", "2", "t", "c", 90), false, false);
        assert_eq!(seen.reach("r"), Some(at(90)));
        seen.take(&record("s", "3", "t", "c", 120), true, false);
        assert_eq!(seen.reach("r"), Some(at(120)));
        // Of Kafka's topics each has its own.
        let behind = Record { is_behind_a_gap: true, ..record("s", "4", "t", "c", 130) };
        seen.take(&behind, false, true);
        assert_eq!((seen.reach("r"), seen.reach("other")), (Some(at(130)), Some(at(120))));
    }

    /// Those of the embedded bus lie in a journal of their own, which reaches further back.
    #[test]
    fn an_event_of_our_own_says_nothing_of_the_reach() {
        let mut seen = Seen::new(10);
        let mut ours = record("//hookbus/reconcile/s", "f", "com.hookbus.details.certificate", "c", 50);
        ours.message.as_mut().unwrap().attributes.push(Attribute::Vendor, &finding::VENDOR);
        seen.take(&ours, false, false);
        assert_eq!(seen.reach("r"), None);
        seen.take(&record("s", "1", "t", "c", 100), false, false);
        seen.take(&ours, false, false);
        assert_eq!(seen.reach("r"), Some(at(100)));
        assert!(seen.has_ours("f") && !seen.has_ours("1"));
    }

    #[test]
    fn more_than_fits_makes_everything_else_unknown() {
        let mut seen = Seen::new(1);
        seen.take(&record("s", "1", "t", "c", 100), false, false);
        seen.take(&record("s", "1", "t", "c", 100), false, false);
        assert!(seen.reach("r").is_some(), "a repeat takes no room");
        seen.take(&record("s", "2", "t", "c", 100), false, false);
        assert_eq!(seen.reach("r"), None);
        assert!(seen.has_id("s", "1"));
    }
}
