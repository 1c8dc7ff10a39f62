//! What the topics' settings mean for events: what an acknowledgement is worth, and how much a topic takes at once.
//!
//! In: the topics' replicas and settings. Out: a class for the metrics, lines for the log, each topic's limit, and the topics
//! that lose what they acknowledge. Kafka
//! acknowledges from memory, before any disk has the event: what it promises is the number of brokers that would all have
//! to fail at once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io,
    str::FromStr,
    time::Duration,
};

use rdkafka::{
    admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier},
    client::DefaultClientContext,
    metadata::Metadata,
};
use tokio::runtime::Builder;

use super::{
    settings::{self, OpenError},
    topics::names,
};
use crate::{
    bus::{
        danger::{Found, kept_for, kept_within},
        metrics::DurabilityClass,
    },
    config::{Config, Danger},
};

/// Longest wait for the settings of all topics.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The least of all topics; nothing known by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Copies of a partition.
    replication: Option<usize>,
    /// Copies that must be there for an acknowledgement.
    min_insync: Option<usize>,
    /// Bytes of a batch, so also of one message.
    pub(super) max_batch: Option<usize>,
    /// Why some topics lose acknowledged events by their nature, waived or not, and which.
    pub(super) dangers: BTreeMap<Found, BTreeSet<String>>,
    /// What else is wrong with some, and with which.
    notes: BTreeMap<String, BTreeSet<String>>,
}

/// What an acknowledgement is worth, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Worth {
    /// What it is.
    pub(super) words: String,
    /// What is wrong with it.
    pub(super) warning: Option<&'static str>,
}

/// Most bytes that a topic takes at once, by its name; a topic whose settings we may not read is not there.
pub(super) type Limits = HashMap<String, usize>;

/// Reads the settings of those expected topics that exist.
///
/// # Errors
/// No broker answers in time, or none lets us ask.
pub(super) fn read(
    config: &Config,
    metadata: &Metadata,
    expected: &BTreeSet<String>,
) -> Result<(Settings, Limits), OpenError> {
    let administrator = settings::administrator(&config.bus.kafka)?;
    let ours: Vec<_> = metadata.topics().iter().filter(|topic| expected.contains(topic.name())).collect();
    let copies = ours.iter().flat_map(|topic| topic.partitions()).map(|partition| partition.replicas().len());
    let replication = copies.min();
    let names: Vec<_> = ours.iter().map(|topic| ResourceSpecifier::Topic(topic.name())).collect();
    if names.is_empty() {
        return Ok((Settings::default(), Limits::new()));
    }
    let admin: AdminClient<DefaultClientContext> = administrator.create()?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER_LIMIT));
    let described = block_on(admin.describe_configs(&names, &options))??;
    let (mut in_sync, mut limits, mut settings) = (Vec::new(), Limits::new(), Settings::default());
    for topic in described.into_iter().flatten() {
        let OwnedResourceSpecifier::Topic(name) = &topic.specifier else { continue };
        let topic = TopicSettings(&|key| topic.get(key)?.value.as_deref());
        in_sync.extend(topic.number::<usize>("min.insync.replicas"));
        limits.extend(topic.number("max.message.bytes").map(|limit| (name.clone(), limit)));
        for found in topic.dangers(config) {
            settings.dangers.entry(found).or_default().insert(name.clone());
        }
        for note in topic.notes(config) {
            settings.notes.entry(note).or_default().insert(name.clone());
        }
    }
    // One topic that is not known may be worth less than all others.
    let min_insync = in_sync.iter().copied().min().filter(|_| in_sync.len() == names.len());
    Ok((Settings { replication, min_insync, max_batch: limits.values().copied().min(), ..settings }, limits))
}

/// The settings of one topic, by their names.
struct TopicSettings<'a>(&'a dyn Fn(&str) -> Option<&'a str>);

impl TopicSettings<'_> {
    fn number<T: FromStr>(&self, key: &str) -> Option<T> {
        (self.0)(key)?.parse().ok()
    }

    fn is_on(&self, key: &str) -> bool {
        (self.0)(key) == Some("true")
    }

    /// Why no acknowledgement of such a topic can be trusted. A limit of -1 is none.
    fn dangers(&self, config: &Config) -> Vec<Found> {
        let policies = (self.0)("cleanup.policy").unwrap_or_default();
        let has = |policy: &str| policies.split(',').any(|one| one.trim() == policy);
        let compacts = has("compact").then(|| {
            let text =
                "drops an entity's older events for its newer ones (cleanup.policy compact; the key is the entity)";
            Found::new(Danger::Compaction, text)
        });
        let deletes = has("delete");
        let age = self.number("retention.ms").filter(|_| deletes).map(Duration::from_millis);
        let bytes = self.number("retention.bytes").filter(|_| deletes);
        let age = age.and_then(|age| kept_for("retention.ms", age, config));
        let bytes = bytes.and_then(|bytes| kept_within("retention.bytes, of each partition", bytes, config));
        compacts.into_iter().chain(age).chain(bytes).collect()
    }

    /// What an operator should know.
    fn notes(&self, config: &Config) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_on("unclean.leader.election.enable") {
            notes.push(
                "may elect a leader without all acknowledged events, which loses them \
                 (unclean.leader.election.enable)"
                    .to_owned(),
            );
        }
        // -2 is as long as the whole.
        let age = self.number("local.retention.ms").map(Duration::from_millis);
        let bytes: Option<u64> = self.number("local.retention.bytes");
        let (least_age, least_bytes) = (config.bus.min_retention, config.bus.min_retention_size);
        let is_short = age.is_some_and(|age| age < least_age) || bytes.is_some_and(|bytes| bytes < least_bytes);
        if self.is_on("remote.storage.enable") && is_short {
            notes
                .push("keeps events of less than bus.min_retention on its brokers, then only in remote storage".into());
        }
        notes
    }
}

/// Runs a request whose answer comes from librdkafka's own threads.
pub(super) fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    Ok(Builder::new_current_thread().build()?.block_on(future))
}

impl Settings {
    /// Copies that have an event when it is acknowledged. A `min.insync.replicas` above the replicas counts as all.
    fn copies(&self) -> Option<usize> {
        Some(self.replication?.min(self.min_insync?))
    }

    pub(super) fn class(&self) -> DurabilityClass {
        match self.copies() {
            _ if !self.dangers.is_empty() => DurabilityClass::Unknown,
            None => DurabilityClass::Unknown,
            Some(0 | 1) => DurabilityClass::Memory,
            Some(_) => DurabilityClass::Replicated,
        }
    }

    pub(super) fn worth(&self) -> Worth {
        let (words, warning) = match self.copies() {
            _ if !self.dangers.is_empty() => ("topics drop acknowledged events by their own settings".into(), None),
            None => {
                ("what an acknowledgement is worth is not known".into(), Some("the topics' settings cannot be read"))
            }
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
        Worth { words, warning }
    }

    /// What is wrong with which topics, and stops nothing or is waived.
    pub(super) fn lines(&self) -> Vec<String> {
        let dangers = self.dangers.iter().map(|(found, topics)| (&found.text, topics));
        dangers.chain(&self.notes).map(|(text, topics)| format!("{}: {text}", names(topics))).collect()
    }

    /// The same of what is not waived.
    pub(super) fn refusals(&self, config: &Config) -> Vec<String> {
        let refused = self.dangers.iter().filter(|(found, _)| !found.is_waived(config));
        refused.map(|(found, topics)| format!("{}: {}", names(topics), found.text)).collect()
    }

    /// The topics that must not be published to.
    pub(super) fn refused(&self, config: &Config) -> HashSet<String> {
        let refused = self.dangers.iter().filter(|(found, _)| !found.is_waived(config));
        refused.flat_map(|(_, topics)| topics).cloned().collect()
    }

    /// `batch`: most bytes that the producer sends at once.
    pub(super) fn log(&self, batch: usize) {
        let Settings { replication, min_insync, max_batch, .. } = *self;
        let Worth { words, warning } = self.worth();
        tracing::info!(replication, min_insync, "kafka: {words}");
        if let Some(warning) = warning {
            tracing::warn!(replication, min_insync, "kafka: {words}: {warning}");
        }
        self.lines().iter().for_each(|line| tracing::warn!("kafka: {line}"));
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
    use crate::config::BusKind;

    #[test]
    fn a_topic_that_loses_what_it_acknowledges_is_found() {
        let config = Config::defaults(BusKind::Kafka, Vec::new());
        for (settings, dangers, notes) in [
            (&[("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")][..], &[][..], 0),
            (&[("cleanup.policy", "delete"), ("retention.ms", "86400000")], &[], 0),
            (&[("cleanup.policy", "compact"), ("retention.ms", "1")], &[Danger::Compaction], 0),
            (
                &[("cleanup.policy", "compact, delete"), ("retention.ms", "86399999")],
                &[Danger::Compaction, Danger::ShortRetention],
                0,
            ),
            (&[("cleanup.policy", "delete"), ("retention.bytes", "134217727")], &[Danger::ShortRetention], 0),
            (&[("unclean.leader.election.enable", "true"), ("local.retention.ms", "1")], &[], 1),
            (&[("remote.storage.enable", "true"), ("local.retention.ms", "-2")], &[], 0),
            (&[("remote.storage.enable", "true"), ("local.retention.ms", "1")], &[], 1),
            (&[], &[], 0),
        ] {
            let value = |key: &str| settings.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
            let topic = TopicSettings(&value);
            let found: Vec<_> = topic.dangers(&config).into_iter().map(|found| found.danger).collect();
            assert_eq!((&found[..], topic.notes(&config).len()), (dangers, notes), "{settings:?}");
        }
    }

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
                Settings { replication, min_insync, ..Settings::default() }.class(),
                class,
                "{replication:?} {min_insync:?}"
            );
        }
    }
}
