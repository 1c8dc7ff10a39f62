//! The words of `bus.waive`.

use super::key::Reading;
use crate::metrics::Label;

/// A way in which a stream or topic loses acknowledged events by its nature. One word of `bus.waive`: the operator accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Danger {
    /// NATS: the stream is kept in memory, and a restart of its servers loses it.
    MemoryStorage,
    /// NATS: the stream acknowledges nothing, so that no event is ever known to be stored.
    NoAck,
    /// NATS: an event is dropped when its consumers have it, or at once when there is none.
    InterestRetention,
    /// NATS: an event is dropped when one consumer has it.
    WorkqueueRetention,
    /// NATS: a newer event of the same subject drops an older one.
    PerSubjectLimit,
    /// NATS: acknowledged before it is stored.
    AsyncPersistence,
    /// Kafka: a newer event of the same entity drops an older one.
    Compaction,
    /// Either: events are dropped before `bus.min_retention`, or below `bus.min_retention_size`.
    ShortRetention,
}

impl Label for Danger {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [
            (Danger::MemoryStorage, "memory_storage"),
            (Danger::NoAck, "no_ack"),
            (Danger::InterestRetention, "interest_retention"),
            (Danger::WorkqueueRetention, "workqueue_retention"),
            (Danger::PerSubjectLimit, "per_subject_limit"),
            (Danger::AsyncPersistence, "async_persistence"),
            (Danger::Compaction, "compaction"),
            (Danger::ShortRetention, "short_retention"),
        ]
    }
}

/// Reads `bus.waive`.
pub(super) fn dangers(words: &[&str]) -> Reading<Vec<Danger>> {
    let danger = |word: &&str| Danger::all().into_iter().find(|(_, name)| name == word).map(|(danger, _)| danger);
    words.iter().map(|word| danger(word).ok_or_else(unknown)).collect()
}

fn unknown() -> String {
    let names: Vec<_> = Danger::all().into_iter().map(|(_, name)| format!("\"{name}\"")).collect();
    format!("must be a list of {}", names.join(", "))
}
