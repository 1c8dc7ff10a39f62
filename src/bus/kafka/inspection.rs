//! One look at the brokers, for `hookbus check --connect`.
//!
//! In: the configuration. Out: who answers, what an acknowledgement is worth, what is missing and what is not allowed. It
//! changes nothing, and asks no longer than it is given.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::AdminClient, client::DefaultClientContext, config::ClientConfig, error::RDKafkaErrorCode, metadata::Metadata,
};

use super::{OpenError, durability, provision, settings, topics};
use crate::{config::Config, observe::metrics::DurabilityClass};

/// What librdkafka takes without a word in `[bus.kafka.properties]`, bytes.
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
    /// Bytes of one message: the key that says so, and its value.
    pub limits: Vec<(&'static str, u64)>,
}

/// Asks, until `until`, and a few seconds longer if that is in the middle of the topics' settings.
///
/// # Errors
/// The settings are refused, or nobody answers.
pub fn inspect(config: &Config, until: Instant) -> Result<Inspection, OpenError> {
    let administrator = settings::administrator(&config.bus.kafka)?;
    let admin: AdminClient<DefaultClientContext> = administrator.create()?;
    let client = admin.inner();
    let metadata = client.fetch_metadata(None, left(until))?;
    let listed: BTreeSet<&str> = metadata.topics().iter().map(rdkafka::metadata::MetadataTopic::name).collect();
    let expected = topics::expected(config);
    let missing: BTreeSet<String> = expected.iter().filter(|topic| !listed.contains(topic.as_str())).cloned().collect();
    let (worth, mut warnings, max_message) = worth(&administrator, &metadata, &expected);
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
        existing: expected.len() - missing.len(),
        forbidden: forbidden(&admin, &missing, until),
        missing,
        class: worth.0,
        worth: worth.1,
        warnings,
        limits,
    })
}

type Worth = ((DurabilityClass, String), Vec<String>, Option<u64>);

fn worth(administrator: &ClientConfig, metadata: &Metadata, expected: &BTreeSet<String>) -> Worth {
    match durability::read(administrator, metadata, expected) {
        Ok((settings, _)) => {
            let durability::Worth { words, warnings } = settings.worth();
            let warnings = warnings.into_iter().map(Into::into).collect();
            ((settings.class(), words), warnings, settings.max_batch.and_then(|bytes| bytes.try_into().ok()))
        }
        Err(error) => {
            let words = "what an acknowledgement is worth is not known".to_owned();
            ((DurabilityClass::Unknown, words), vec![format!("the topics' settings cannot be read: {error}")], None)
        }
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
