//! Makes the topics that the configuration can lead to.
//!
//! In: the configuration and what the brokers list. Out: the topics that are missing, made or only named. It never
//! changes or deletes a topic that exists.

use std::{collections::BTreeSet, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, Producer as _},
};

use super::{
    durability::block_on,
    ear::Ear,
    settings::{self, OpenError},
    topics,
};
use crate::config::{Config, KafkaProvision};

/// Longest wait for the brokers' list of topics.
const LIST_LIMIT: Duration = Duration::from_secs(10);
/// How long it listens for why.
const HEAR_LIMIT: Duration = Duration::from_millis(100);
/// Longest wait for the making of all topics.
const MAKE_LIMIT: Duration = Duration::from_secs(60);

/// The client's limit of one message, which an operator may set.
pub const LARGEST: &str = "message.max.bytes";

/// Asks the brokers which topics exist, and which do not.
///
/// # Errors
/// The settings are refused, no broker answers in ten seconds, or one refuses the login or TLS.
pub fn plan(config: &Config) -> Result<(BTreeSet<String>, BTreeSet<String>), OpenError> {
    let client: BaseProducer<Ear> =
        settings::administrator(&config.bus.kafka)?.create_with_context(Ear::default()).map_err(OpenError::from)?;
    let metadata = client.client().fetch_metadata(None, LIST_LIMIT).map_err(|error| {
        client.poll(HEAR_LIMIT);
        client.context().refusal().map_or_else(|| error.into(), OpenError::Refused)
    })?;
    Ok(topics::listed(config, &metadata))
}

/// Makes topics; gives those that could not be made, and why.
///
/// # Errors
/// No broker does it in a minute.
pub fn make(config: &Config, missing: &BTreeSet<String>) -> Result<Vec<(String, RDKafkaErrorCode)>, OpenError> {
    let KafkaProvision { partitions, replication, min_insync, retention } = &config.bus.kafka.provision;
    let (min_insync, retention) = (min_insync.to_string(), retention.as_millis().to_string());
    let largest = config.bus.kafka.properties.get(LARGEST);
    let topics: Vec<_> = missing
        .iter()
        .map(|topic| {
            let topic = NewTopic::new(topic, *partitions, TopicReplication::Fixed(*replication))
                .set("min.insync.replicas", &min_insync)
                // Whatever the brokers' own default is.
                .set("cleanup.policy", "delete")
                .set("retention.ms", &retention);
            // What the client may send, a topic must take.
            largest.into_iter().fold(topic, |topic, bytes| topic.set("max.message.bytes", bytes))
        })
        .collect();
    let options = AdminOptions::new().request_timeout(Some(MAKE_LIMIT)).operation_timeout(Some(MAKE_LIMIT));
    let made = block_on(administrator(config)?.create_topics(&topics, &options))??;
    // Another one that makes the same topics at the same time is no failure.
    let failed = made.into_iter().filter_map(Result::err);
    Ok(failed.filter(|(_, code)| *code != RDKafkaErrorCode::TopicAlreadyExists).collect())
}

fn administrator(config: &Config) -> Result<AdminClient<DefaultClientContext>, OpenError> {
    settings::administrator(&config.bus.kafka)?.create().map_err(|error: KafkaError| error.into())
}
