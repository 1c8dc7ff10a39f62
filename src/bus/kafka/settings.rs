//! librdkafka's settings.
//!
//! In: `[bus.kafka]`. Out: what the producer, an administrator's client, a reader and a member of a group are made with. The
//! operator's own properties come first; what a promise rests on is set after them and cannot be overridden (the check refuses
//! it too).

use std::{fs, path::Path, time::SystemTime};

use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{config, secrets::Secret};

/// Why the bus cannot be opened: a mistake in the configuration, or topics that it must not use; never an absent broker.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The password file.
    #[error("bus.kafka.sasl.password_file: {0}")]
    Password(&'static str),
    /// librdkafka refuses the settings together, or a file that they name.
    #[error("bus.kafka: {0}")]
    Client(#[from] KafkaError),
    /// A broker was reached, and its certificate or our login is not taken: the client's words.
    #[error("bus.kafka: {0}")]
    Refused(String),
    /// Topics lose acknowledged events by their nature.
    #[error("bus.kafka: {0}")]
    Topics(String),
    /// No thread.
    #[error("starting a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl OpenError {
    /// Whether no broker was reached.
    pub fn is_away(&self) -> bool {
        let OpenError::Client(KafkaError::MetadataFetch(code)) = self else { return false };
        matches!(
            code,
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
        )
    }
}

/// Defaults that an operator may override with `[bus.kafka.properties]`.
const DEFAULTS: [(&str, &str); 8] = [
    ("client.id", "hookbus"),
    ("socket.keepalive.enable", "true"),
    // What clients in Java and Go compute, so that all producers of a topic agree on a key's partition.
    ("partitioner", "murmur2_random"),
    // Bounds of the client's memory: 10,000 events or 64 MiB (KiB here), whichever comes first. As many bytes again may wait in
    // front of it (`lanes`).
    ("queue.buffering.max.messages", "10000"),
    ("queue.buffering.max.kbytes", "65536"),
    // A broker that hangs is left after this; the request goes out again, idempotently.
    ("request.timeout.ms", "5000"),
    ("reconnect.backoff.max.ms", "2000"),
    ("enable.metrics.push", "false"),
];

/// Time between two readings of the client's statistics, milliseconds.
const STATISTICS_MS: &str = "5000";
/// librdkafka's own `batch.size`.
pub(super) const BATCH_SIZE: usize = 1_000_000;
/// How long the producer keeps trying. Short ones duplicate and reorder: what timed out may be in the log all the same.
const MESSAGE_TIMEOUT_MS: &str = "300000";

/// How long a member of a group may be silent. Brokers allow 6 seconds and more.
const SESSION_TIMEOUT_MS: &str = "10000";
/// Most of what a member holds of each partition before it is asked for, KiB; one larger event fits all the same.
const READ_AHEAD_KIB: &str = "4096";
/// Time between two looks for new topics.
const TOPICS_REFRESH_MS: &str = "10000";

/// Settings of the producer.
///
/// # Errors
/// The password file cannot be read.
pub(super) fn producer(kafka: &config::KafkaConfig) -> Result<ClientConfig, OpenError> {
    let mut settings = base(kafka)?;
    settings
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", MESSAGE_TIMEOUT_MS)
        .set("linger.ms", (kafka.linger.as_secs_f64() * 1000.0).to_string())
        .set("allow.auto.create.topics", "false")
        .set("statistics.interval.ms", STATISTICS_MS);
    Ok(settings)
}

/// Most bytes that a producer sends to a partition at once, as far as it has more than one event.
pub(super) fn batch_size(producer: &ClientConfig) -> usize {
    producer.get("batch.size").and_then(|text| text.parse().ok()).unwrap_or(BATCH_SIZE)
}

/// What a producer may hold without a report.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueBounds {
    /// Most events.
    pub(super) events: usize,
    /// Most bytes.
    pub(super) bytes: usize,
}

/// Those of these settings, as librdkafka reads them; for its 0, which is no bound, the most there is.
///
/// # Errors
/// librdkafka refuses the settings.
pub(super) fn queue_bounds(producer: &ClientConfig) -> Result<QueueBounds, OpenError> {
    let native = producer.create_native_config()?;
    let number =
        |key: &str| native.get(key).map(|text| text.parse().ok().filter(|most| 0 < *most).unwrap_or(usize::MAX));
    let bytes = number("queue.buffering.max.kbytes")?.saturating_mul(1024);
    Ok(QueueBounds { events: number("queue.buffering.max.messages")?, bytes })
}

/// Settings of a client that only asks and administers.
///
/// # Errors
/// The password file cannot be read.
pub(super) fn administrator(kafka: &config::KafkaConfig) -> Result<ClientConfig, OpenError> {
    let mut settings = base(kafka)?;
    settings.set("allow.auto.create.topics", "false");
    Ok(settings)
}

/// Settings of a reader that belongs to no group and commits nothing.
///
/// # Errors
/// The password file cannot be read.
pub(super) fn reader(kafka: &config::KafkaConfig) -> Result<ClientConfig, OpenError> {
    let mut settings = connection(kafka)?;
    settings
        // librdkafka asks for a name even where no group is joined.
        .set("group.id", "hookbus-tail")
        .set("client.id", "hookbus-tail")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "50")
        .set("allow.auto.create.topics", "false");
    Ok(settings)
}

/// Settings of a member of a group, which commits by itself what it has done.
///
/// # Errors
/// The password file cannot be read.
pub(super) fn member(kafka: &config::KafkaConfig, group: &str) -> Result<ClientConfig, OpenError> {
    let mut settings = reader(kafka)?;
    settings
        .set("group.id", group)
        .set("client.id", group)
        // One that was killed is missed after this.
        .set("session.timeout.ms", SESSION_TIMEOUT_MS)
        // Who joins or leaves stops no other.
        .set("partition.assignment.strategy", "cooperative-sticky")
        // Read ahead: few events are out at once.
        .set("queued.min.messages", "100")
        .set("queued.max.messages.kbytes", READ_AHEAD_KIB)
        // A topic that is made later is found within this.
        .set("topic.metadata.refresh.interval.ms", TOPICS_REFRESH_MS);
    Ok(settings)
}

/// When the files with the login and for TLS were last written.
pub(super) fn file_times(kafka: &config::KafkaConfig) -> Vec<Option<SystemTime>> {
    let tls = kafka.tls.iter().flat_map(|tls| [&tls.ca_file, &tls.certificate_file, &tls.key_file]).flatten();
    let files = tls.chain(kafka.sasl.iter().map(|sasl| &sasl.password_file));
    files.map(|file| fs::metadata(file).and_then(|file| file.modified()).ok()).collect()
}

fn base(kafka: &config::KafkaConfig) -> Result<ClientConfig, OpenError> {
    let mut settings = ClientConfig::new();
    for (key, value) in DEFAULTS {
        settings.set(key, value);
    }
    for (key, value) in &kafka.properties {
        settings.set(key, value);
    }
    secure(kafka, &mut settings)?;
    Ok(settings)
}

/// Only what a connection needs: properties of a producer mean nothing to a reader.
fn connection(kafka: &config::KafkaConfig) -> Result<ClientConfig, OpenError> {
    let mut settings = ClientConfig::new();
    let is_shared = |key: &str| {
        ["socket.", "ssl.", "sasl.", "broker.", "client.dns", "metadata.recovery."].iter().any(|p| key.starts_with(p))
    };
    for (key, value) in kafka.properties.iter().filter(|(key, _)| is_shared(key)) {
        settings.set(key, value);
    }
    secure(kafka, &mut settings)?;
    Ok(settings)
}

fn secure(kafka: &config::KafkaConfig, settings: &mut ClientConfig) -> Result<(), OpenError> {
    settings.set("bootstrap.servers", kafka.brokers.join(","));
    let protocol = match (&kafka.tls, &kafka.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    settings.set("security.protocol", protocol);
    if let Some(tls) = &kafka.tls {
        let files = [
            ("ssl.ca.location", &tls.ca_file),
            ("ssl.certificate.location", &tls.certificate_file),
            ("ssl.key.location", &tls.key_file),
        ];
        for (key, file) in files {
            if let Some(file) = file {
                settings.set(key, file.to_string_lossy());
            }
        }
    }
    if let Some(sasl) = &kafka.sasl {
        settings
            .set("sasl.mechanism", sasl.mechanism.as_str())
            .set("sasl.username", &sasl.user)
            .set("sasl.password", password(&sasl.password_file)?);
    }
    Ok(())
}

fn password(file: &Path) -> Result<String, OpenError> {
    let secret = Secret::read(file).map_err(|_| OpenError::Password("cannot be read"))?;
    String::from_utf8(secret.expose().to_vec()).map_err(|_| OpenError::Password("is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_the_queue_are_those_of_librdkafka() {
        let bounds = |properties: &[(&str, &str)]| {
            let mut settings = ClientConfig::new();
            for (key, value) in DEFAULTS.iter().chain(properties) {
                settings.set(*key, *value);
            }
            let QueueBounds { events, bytes } = queue_bounds(&settings).unwrap();
            (events, bytes)
        };
        assert_eq!(bounds(&[]), (10_000, 64 << 20));
        assert_eq!(bounds(&[("queue.buffering.max.messages", "0x10")]).0, 16);
        assert_eq!(
            bounds(&[("queue.buffering.max.messages", "0"), ("queue.buffering.max.kbytes", "1")]),
            (usize::MAX, 1024)
        );
    }
}
