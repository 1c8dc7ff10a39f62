//! What the topics' settings mean for events: what an acknowledgement is worth, and how much a topic takes at once.
//!
//! In: the topics' replicas and settings. Out: a class for the metrics, a line for the log, and each topic's limit. Kafka
//! acknowledges from memory, before any disk has the event: what it promises is the number of brokers that would all have
//! to fail at once.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier},
    client::DefaultClientContext,
    error::KafkaError,
    metadata::Metadata,
};

use crate::observe::metrics::DurabilityClass;

/// Longest wait for the settings of all topics.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The least of all topics; nothing known by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Copies of a partition.
    replication: Option<usize>,
    /// Copies that must be there for an acknowledgement.
    min_insync: Option<usize>,
    /// Bytes of a batch, so also of one message.
    pub(super) max_batch: Option<usize>,
}

/// What an acknowledgement is worth, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Worth {
    /// What it is.
    pub(super) words: String,
    /// What is wrong with it.
    pub(super) warnings: Vec<&'static str>,
}

/// Most bytes that a topic takes at once, by its name; a topic whose settings we may not read is not there.
pub(super) type Limits = HashMap<String, usize>;

/// Reads the settings of those expected topics that exist.
///
/// # Errors
/// No broker answers in time, or none lets us ask.
pub(super) fn read(
    administrator: &ClientConfig,
    metadata: &Metadata,
    expected: &BTreeSet<String>,
) -> Result<(Settings, Limits), KafkaError> {
    let ours: Vec<_> = metadata.topics().iter().filter(|topic| expected.contains(topic.name())).collect();
    let copies = ours.iter().flat_map(|topic| topic.partitions()).map(|partition| partition.replicas().len());
    let replication = copies.min();
    let names: Vec<_> = ours.iter().map(|topic| ResourceSpecifier::Topic(topic.name())).collect();
    if names.is_empty() {
        return Ok((Settings::default(), Limits::new()));
    }
    let admin: AdminClient<DefaultClientContext> = administrator.create()?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER_LIMIT));
    let described = block_on(admin.describe_configs(&names, &options))?;
    let (mut in_sync, mut limits) = (Vec::new(), Limits::new());
    for topic in described.into_iter().flatten() {
        let value = |key: &str| topic.get(key).and_then(|entry| entry.value.as_ref()?.parse().ok());
        in_sync.extend(value("min.insync.replicas"));
        if let (OwnedResourceSpecifier::Topic(name), Some(limit)) = (&topic.specifier, value("max.message.bytes")) {
            limits.insert(name.clone(), limit);
        }
    }
    // One topic that is not known may be worth less than all others.
    let min_insync = in_sync.iter().copied().min().filter(|_| in_sync.len() == names.len());
    Ok((Settings { replication, min_insync, max_batch: limits.values().copied().min() }, limits))
}

/// Runs a request whose answer comes from librdkafka's own threads.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    // A parked thread is all the runtime that such a future needs.
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

impl Settings {
    /// Copies that have an event when it is acknowledged. A `min.insync.replicas` above the replicas counts as all.
    fn copies(self) -> Option<usize> {
        Some(self.replication?.min(self.min_insync?))
    }

    pub(super) fn class(self) -> DurabilityClass {
        match self.copies() {
            None => DurabilityClass::Unknown,
            Some(0 | 1) => DurabilityClass::Memory,
            Some(_) => DurabilityClass::Replicated,
        }
    }

    pub(super) fn worth(self) -> Worth {
        let (words, warning) = match self.copies() {
            None => ("what an acknowledgement is worth is not known".into(), Some("the topics' settings are not told")),
            Some(copies) if copies < 2 => (
                "an acknowledgement is worth one broker's memory".into(),
                Some(
                    "the failure of one broker loses acknowledged events; give the topics 3 replicas and \
                     min.insync.replicas 2",
                ),
            ),
            Some(copies) => (
                format!("an acknowledgement is worth {copies} brokers' memory"),
                (self.replication == Some(copies)).then_some("one broker down stops all writes"),
            ),
        };
        Worth { words, warnings: warning.into_iter().collect() }
    }

    /// `batch`: most bytes that the producer sends at once.
    pub(super) fn say(self, batch: usize) {
        let Settings { replication, min_insync, max_batch } = self;
        let Worth { words, warnings } = self.worth();
        tracing::info!(replication, min_insync, "kafka: {words}");
        for warning in warnings {
            tracing::warn!(replication, min_insync, "kafka: {words}: {warning}");
        }
        if max_batch.is_some_and(|max_batch| max_batch < batch) {
            tracing::warn!(
                max_batch,
                batch,
                "kafka: a topic's max.message.bytes is less than the producer may send at once, which then is refused \
                 and sent again in pieces; lower \"batch.size\" in bus.kafka.properties, or raise the topic's limit"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_is_worth_the_copies_that_have_it() {
        for (replication, min_insync, class) in [
            (Some(3), Some(2), DurabilityClass::Replicated),
            (Some(2), Some(2), DurabilityClass::Replicated),
            (Some(3), Some(1), DurabilityClass::Memory),
            (Some(1), Some(2), DurabilityClass::Memory),
            (Some(3), None, DurabilityClass::Unknown),
            (None, None, DurabilityClass::Unknown),
        ] {
            assert_eq!(
                Settings { replication, min_insync, max_batch: None }.class(),
                class,
                "{replication:?} {min_insync:?}"
            );
        }
    }
}
