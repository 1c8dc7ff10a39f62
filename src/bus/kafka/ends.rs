//! Where each partition ends: what tells that topics were made anew, restored or cut, since brokers do not tell a client a
//! topic's id.
//!
//! In: the brokers' own ends, look by look, and the offsets of acknowledgements between them. Out: the incarnation
//! ([`Incarnations`]). A publication keeps the ends that were known when it was handed over: its own offset lies behind
//! them, in whatever order acknowledgements come.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    metadata::Metadata,
};

use super::settings::{self, OpenError};
use crate::{
    bus::incarnation::{Incarnations, Origin},
    config::KafkaConfig,
};

/// Longest wait for the ends of all partitions.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Ends by topic and partition.
pub(super) type Places = BTreeMap<(String, i32), u64>;

/// The ends, and the incarnation that they tell of.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) incarnations: Incarnations,
    /// Asks for a look with the watcher's next one.
    pub(super) doubt: AtomicBool,
    topics: ArcSwap<HashMap<String, Arc<Partitions>>>,
}

/// The ends of one topic since the last look.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    ends: BTreeMap<i32, End>,
    /// An acknowledgement has told it; the next look tells how far.
    went_back: AtomicBool,
}

#[derive(Debug)]
struct End {
    /// As the brokers told it.
    at_look: u64,
    /// The same, or behind the last event that was acknowledged since.
    now: AtomicU64,
}

impl Ends {
    /// What is known of a topic when an event is handed over.
    pub(super) fn of(&self, topic: &str) -> Option<Arc<Partitions>> {
        self.topics.load().get(topic).cloned()
    }

    /// An event was stored that was handed over when `known` was known. Whether its topic went back.
    pub(super) fn stored(&self, known: &Partitions, partition: i32, offset: i64) -> bool {
        let (Some(end), Ok(offset)) = (known.ends.get(&partition), u64::try_from(offset)) else { return false };
        if offset < end.at_look {
            let is_news = !known.went_back.swap(true, Ordering::AcqRel);
            if is_news {
                self.incarnations.gone();
            }
            return is_news;
        }
        let before = end.now.fetch_max(offset + 1, Ordering::AcqRel);
        self.incarnations.grown(offset.saturating_add(1).saturating_sub(before));
        false
    }

    /// What is known of all, before the brokers are asked.
    pub(super) fn places(&self) -> Places {
        let topics = self.topics.load();
        let partitions = topics.iter().flat_map(|(topic, known)| known.ends.iter().map(move |end| (topic, end)));
        partitions.map(|(topic, (id, end))| ((topic.clone(), *id), end.now.load(Ordering::Acquire))).collect()
    }

    /// The brokers have told all ends; `before`: what was known when they were asked.
    pub(super) fn looked(&self, origin: Origin, before: &Places, told: Places) {
        let went_back = told.iter().any(|(place, end)| before.get(place).is_some_and(|before| end < before));
        let position = told.values().sum();
        let mut topics: HashMap<String, Partitions> = HashMap::new();
        for ((topic, partition), end) in told {
            let end = End { at_look: end, now: AtomicU64::new(end) };
            topics.entry(topic).or_default().ends.insert(partition, end);
        }
        self.topics.store(Arc::new(topics.into_iter().map(|(topic, ends)| (topic, Arc::new(ends))).collect()));
        self.incarnations.told(origin, position, went_back);
    }
}

/// Asks the brokers for the ends of these topics. A topic of `before` that is not among them ends at 0; a partition whose
/// end no broker tells now keeps the one it had.
///
/// # Errors
/// No broker answers in time.
pub(super) fn ask(
    kafka: &KafkaConfig,
    metadata: &Metadata,
    topics: &BTreeSet<&str>,
    before: &Places,
) -> Result<(Origin, Places), OpenError> {
    let consumer: BaseConsumer = settings::reader(kafka)?.set("client.id", "hookbus").create()?;
    let mut list = TopicPartitionList::new();
    for topic in metadata.topics().iter().filter(|topic| topics.contains(topic.name())) {
        for partition in topic.partitions() {
            // In place of a time: the end.
            list.add_partition_offset(topic.name(), partition.id(), Offset::End)?;
        }
    }
    let mut told: Places = before
        .iter()
        .map(|(place, end)| (place.clone(), if topics.contains(place.0.as_str()) { *end } else { 0 }))
        .collect();
    if list.count() > 0 {
        for partition in consumer.offsets_for_times(list, ANSWER_LIMIT)?.elements() {
            if let (Ok(()), Offset::Offset(end)) = (partition.error(), partition.offset()) {
                told.insert((partition.topic().into(), partition.partition()), end.try_into().unwrap_or(0));
            }
        }
    }
    // Without its id it is not known to be another cluster.
    let no_id = KafkaError::Global(RDKafkaErrorCode::OperationTimedOut);
    let cluster = consumer.client().fetch_cluster_id(ANSWER_LIMIT).ok_or(no_id)?;
    Ok((Origin::of(cluster.as_bytes()), told))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ends: &[(&str, u64)]) -> Places {
        ends.iter().map(|(topic, end)| (((*topic).to_owned(), 0), *end)).collect()
    }

    fn look(ends: &Ends, now: &[(&str, u64)]) {
        ends.looked(Origin::of(b"cluster"), &ends.places(), told(now));
    }

    #[test]
    fn one_topic_that_went_back_is_seen_however_much_others_grew() {
        let ends = Ends::default();
        look(&ends, &[("a", 5), ("b", 5)]);
        let first = ends.incarnations.mark().unwrap();
        look(&ends, &[("a", 9), ("b", 5)]);
        assert_eq!(ends.incarnations.number(), 0);
        assert!(ends.incarnations.mark().unwrap().continues(&first));
        look(&ends, &[("a", 90), ("b", 4)]);
        assert_eq!(ends.incarnations.number(), 1);
    }

    #[test]
    fn acknowledgements_grow_the_ends_and_tell_that_one_went_back() {
        let ends = Ends::default();
        look(&ends, &[("a", 5)]);
        let known = ends.of("a").unwrap();
        // In any order, and each once.
        assert_eq!([7, 5, 6].map(|offset| ends.stored(&known, 0, offset)), [false; 3]);
        assert_eq!((ends.incarnations.number(), ends.incarnations.position()), (0, 8));
        look(&ends, &[("a", 7)]);
        assert_eq!(ends.incarnations.number(), 1, "one that was acknowledged is gone");
        let known = ends.of("a").unwrap();
        assert_eq!([2, 3].map(|offset| ends.stored(&known, 0, offset)), [true, false], "it is said once");
        assert_eq!((ends.incarnations.number(), ends.incarnations.mark()), (2, None));
        look(&ends, &[("a", 4)]);
        assert!(ends.incarnations.mark().is_some());
    }
}
