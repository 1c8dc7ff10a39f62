//! One look at the brokers, for `hookbus check --connect`.
//!
//! In: the configuration. Out: the brokers that answer, what an acknowledgement is worth, what is missing and what is not
//! allowed. It changes nothing.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rdkafka::{admin::AdminClient, client::DefaultClientContext, error::RDKafkaErrorCode, metadata::Metadata};

use super::{
    durability, provision,
    settings::{self, OpenError},
    topics,
};
use crate::{bus::metrics::DurabilityClass, config::Config};

/// librdkafka's own `message.max.bytes`.
const CLIENT_LIMIT: u64 = 1_000_000;

/// What was seen.
#[derive(Debug)]
pub struct Inspection {
    /// The broker that answered, `host:port/id`.
    pub broker: String,
    /// How many there are.
    pub brokers: usize,
    /// The cluster's id.
    pub cluster: Option<String>,
    /// Topics that exist, of those that the configuration can lead to.
    pub existing: usize,
    /// Topics that do not, or that this login may not see.
    pub missing: BTreeSet<String>,
    /// Topics that the brokers say this login may not see.
    pub forbidden: BTreeSet<String>,
    /// For `bus_durability_info`.
    pub class: DurabilityClass,
    /// The same in words.
    pub worth: String,
    /// What is wrong with it.
    pub warnings: Vec<String>,
    /// Topics that lose acknowledged events by their nature, which is not waived.
    pub refusals: Vec<String>,
    /// Bytes of one message: the key that says so, and its value.
    pub limits: Vec<(&'static str, u64)>,
}

/// Asks, until `until`, and a few seconds longer if that is in the middle of the topics' settings.
///
/// # Errors
/// The settings are refused, or no broker answers.
pub fn inspect(config: &Config, until: Instant) -> Result<Inspection, OpenError> {
    let admin: AdminClient<DefaultClientContext> = settings::administrator(&config.bus.kafka)?.create()?;
    let client = admin.inner();
    let metadata = client.fetch_metadata(None, left(until))?;
    let (existing, missing) = topics::listed(config, &metadata);
    let Worth { class, worth, mut warnings, refusals, max_message } = worth(config, &metadata, &existing);
    let own = config.bus.kafka.properties.get(provision::LARGEST).and_then(|value| value.parse().ok());
    let mut limits = vec![("bus.kafka.properties \"message.max.bytes\"", own.unwrap_or(CLIENT_LIMIT))];
    limits.extend(max_message.map(|limit| ("the topics' max.message.bytes", limit)));
    if metadata.brokers().len() == 1 {
        warnings.push("there is one broker: while it is down, nothing is published".into());
    }
    Ok(Inspection {
        broker: metadata.orig_broker_name().to_owned(),
        brokers: metadata.brokers().len(),
        cluster: client.fetch_cluster_id(left(until)),
        existing: existing.len(),
        forbidden: forbidden(&admin, &missing, until),
        missing,
        class,
        worth,
        warnings,
        refusals,
        limits,
    })
}

struct Worth {
    class: DurabilityClass,
    worth: String,
    warnings: Vec<String>,
    refusals: Vec<String>,
    max_message: Option<u64>,
}

fn worth(config: &Config, metadata: &Metadata, expected: &BTreeSet<String>) -> Worth {
    match durability::read(config, metadata, expected) {
        Ok((settings, _)) => {
            let durability::Worth { words, warning } = settings.worth();
            let refusals = settings.refusals(config);
            let others = settings.lines().into_iter().filter(|line| !refusals.contains(line));
            Worth {
                class: settings.class(),
                worth: words,
                warnings: warning.into_iter().map(Into::into).chain(others).collect(),
                refusals,
                max_message: settings.max_batch.and_then(|bytes| bytes.try_into().ok()),
            }
        }
        Err(error) => Worth {
            class: DurabilityClass::Unknown,
            worth: "what an acknowledgement is worth is not known".into(),
            warnings: vec![format!("the topics' settings cannot be read: {error}")],
            refusals: Vec::new(),
            max_message: None,
        },
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// A list of all topics leaves out what this login may not see; asked for by its name, it has its own error.
fn forbidden(
    admin: &AdminClient<DefaultClientContext>,
    missing: &BTreeSet<String>,
    until: Instant,
) -> BTreeSet<String> {
    let is_forbidden = |topic: &&String| {
        let Ok(metadata) = admin.inner().fetch_metadata(Some(topic), left(until)) else { return false };
        let errors = metadata.topics().iter().filter_map(rdkafka::metadata::MetadataTopic::error);
        errors.map(RDKafkaErrorCode::from).any(|error| error == RDKafkaErrorCode::TopicAuthorizationFailed)
    };
    missing.iter().filter(is_forbidden).cloned().collect()
}
