//! `[bus.kafka]`: brokers, security, topics, and the properties of librdkafka. Whether librdkafka knows a property
//! and takes its value is asked of librdkafka itself, without a connection. Files are opened only when Kafka is the bus.

use std::{collections::BTreeMap, fs::File, path::PathBuf, time::Duration};

use figment::value::Value;
use rdkafka::{ClientConfig, error::KafkaError, types::RDKafkaConfRes};

use super::{
    findings::Findings,
    key::{MINUTE, Reading, TEN_YEARS, WEEK, count, duration, kind, list, optional, path, text, user, word},
    section::section,
    table::{self, Part, Rows},
};
use crate::secrets::Secret;

section! {
    /// `[bus.kafka]`.
    pub struct KafkaConfig {
        /// Required with bus.kind = "kafka": some of the brokers, as host:port.
        brokers: Vec<String> =
            list(BROKERS, &["kafka-1.example.com:9092", "kafka-2.example.com:9092"], brokers).absent(Vec::new()).shown(),
        /// How long to wait for more events before a batch is sent, at most "100ms". An answer takes up to twice as
        /// much longer. When there is much to do, the events that come while five or more are under way on their partition share
        /// a batch in any case: at 64 requests at a time "1ms" took as much CPU time as the default.
        linger: Duration = duration(Duration::from_micros(100), Duration::ZERO..=Duration::from_millis(100)),
        /// TLS. Leave the table out for plain text. The broker's certificate and host name are always checked.
        tls: Option<KafkaTls>,
        /// Login. Leave the table out for none.
        sasl: Option<KafkaSasl>,
        /// How `hookbus provision` makes topics. It never changes one that exists.
        provision: KafkaProvision,
        /// Any key of librdkafka's CONFIGURATION.md but those that hookbus owns, such as acks, enable.idempotence,
        /// message.timeout.ms and everything about logins. For example, for events above 1 MB: "message.max.bytes" = 5300000,
        /// which `hookbus provision` gives to new topics as their max.message.bytes, too.
        /// Nothing is compressed by default, since every client reads that; "compression.type" = "zstd" saves most of the
        /// bytes, but kafkajs, for one, reads only "gzip" by itself.
        properties: BTreeMap<String, String>,
    }
}

section! {
    /// `[bus.kafka.tls]`.
    pub struct KafkaTls {
        /// PEM file with the authorities to trust; without it, those of the system.
        ca_file: Option<PathBuf> = optional("secrets/kafka-ca.pem", path("file")).shown(),
        /// PEM file with the client's certificate, if the brokers ask for one; goes with key_file.
        certificate_file: Option<PathBuf> = optional("secrets/kafka-client.pem", path("file")).shown(),
        /// PEM file with the certificate's key.
        key_file: Option<PathBuf> = optional("secrets/kafka-client.key", path("file")).shown(),
    }
}

section! {
    /// `[bus.kafka.sasl]`.
    pub struct KafkaSasl {
        /// "SCRAM-SHA-512", "SCRAM-SHA-256" or "PLAIN".
        mechanism: SaslMechanism = word(SaslMechanism::ScramSha512, &SaslMechanism::WORDS),
        /// Required.
        user: String = text("hookbus", user).required("write the user's name"),
        /// Required: the file's whole text less one final newline. A changed file is read again when brokers refuse the old
        /// one.
        password_file: PathBuf =
            text("secrets/kafka-password", path("file")).required("name the file that holds the password"),
    }
}

section! {
    /// `[bus.kafka.provision]`.
    pub struct KafkaProvision {
        /// Partitions of a topic. There is a topic for each event type, so few are enough; each one costs.
        partitions: i32 = count(3, 1..=10_000),
        /// Copies of a partition.
        replication: i32 = count(3, 1..=100),
        /// Copies that must have an event before it is acknowledged, at most replication.
        min_insync: i32 = count(2, 1..=100),
        /// How long a topic keeps an event.
        retention: Duration = duration(WEEK, MINUTE..=TEN_YEARS),
    }
}

/// `bus.kafka.sasl.mechanism`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password itself: only with TLS.
    Plain,
    /// Challenge and response, SHA-256.
    ScramSha256,
    /// Challenge and response, SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    const WORDS: [(&str, SaslMechanism); 3] = [
        ("SCRAM-SHA-512", SaslMechanism::ScramSha512),
        ("SCRAM-SHA-256", SaslMechanism::ScramSha256),
        ("PLAIN", SaslMechanism::Plain),
    ];

    /// The name in Kafka's protocol.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, mechanism)| *mechanism == self).map_or("", |(word, _)| word)
    }
}

/// Properties that decide what an acknowledgement is worth, or that another key of hookbus sets.
const OWNED: [(&[&str], &str); 15] = [
    (&["acks", "request.required.acks"], "every event is acknowledged by all in-sync replicas"),
    (&["enable.idempotence"], "it is always on"),
    (&["enable.gapless.guarantee"], "an event that cannot be sent must not stop those behind it"),
    (&["transactional.id"], "events are published one by one"),
    (
        &["message.timeout.ms", "delivery.timeout.ms"],
        "short ones duplicate and reorder events; listener.answer_timeout limits the answer",
    ),
    (&["allow.auto.create.topics"], "topics are made by `hookbus provision`, never by an event"),
    (&["statistics.interval.ms"], "it feeds the metrics"),
    (&["log.queue"], "it feeds the log"),
    (&["bootstrap.servers", "metadata.broker.list"], "use bus.kafka.brokers"),
    (&["linger.ms", "queue.buffering.max.ms"], "use bus.kafka.linger"),
    (&["security.protocol"], "write [bus.kafka.tls] and [bus.kafka.sasl]"),
    (&["ssl.ca.location"], "use bus.kafka.tls.ca_file"),
    (&["ssl.certificate.location", "ssl.key.location"], "use bus.kafka.tls.certificate_file and key_file"),
    (&["enable.ssl.certificate.verification"], "the broker's certificate is always checked"),
    (&["ssl.endpoint.identification.algorithm"], "the broker's host name is always checked"),
];

/// Rules over several keys.
pub(super) fn rules(kafka: &KafkaConfig, findings: &mut Findings) {
    findings.rule(
        &["bus.kafka.tls.certificate_file", "bus.kafka.tls.key_file"],
        kafka.tls.as_ref().is_none_or(|tls| tls.certificate_file.is_some() == tls.key_file.is_some()),
        "goes together with bus.kafka.tls.key_file; write both or none",
    );
    findings.rule(
        &["bus.kafka.provision.min_insync", "bus.kafka.provision.replication"],
        kafka.provision.min_insync <= kafka.provision.replication,
        "must be at most bus.kafka.provision.replication",
    );
}

/// What it must have once it is the bus.
pub(super) fn rules_in_use(kafka: &KafkaConfig, findings: &mut Findings) {
    findings.rule(
        &["bus.kafka.brokers"],
        !kafka.brokers.is_empty(),
        "is required; list hosts with ports, such as [\"kafka-1.example.com:9092\"]",
    );
    if let Some(KafkaTls { ca_file, certificate_file, key_file }) = &kafka.tls {
        let files = [("ca_file", ca_file), ("certificate_file", certificate_file), ("key_file", key_file)];
        for (key, file) in files {
            if let Some(Err(error)) = file.as_ref().map(File::open) {
                findings.problem(&format!("bus.kafka.tls.{key}"), format!("the file cannot be read: {error}"));
            }
        }
    }
    if let Some(sasl) = &kafka.sasl {
        let key = "bus.kafka.sasl.password_file";
        if let (true, Err(fault)) = (findings.are_sound(&[key]), Secret::read(&sasl.password_file)) {
            findings.problem(key, format!("the password file {fault}"));
        }
        if sasl.mechanism == SaslMechanism::Plain && kafka.tls.is_none() {
            findings.warning("bus.kafka.sasl.mechanism", "sends the password in clear; write [bus.kafka.tls]");
        }
    }
}

const BROKERS: &str = "hosts with ports, such as [\"kafka-1.example.com:9092\"]";

fn brokers(list: &[&str]) -> Reading<Vec<String>> {
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    let is_broker = |text: &&str| {
        text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && host.bytes().all(is_host) && port.parse::<u16>().is_ok_and(|port| 0 < port)
        })
    };
    if list.is_empty() || !list.iter().all(is_broker) {
        return Err(format!("must be a list of {BROKERS}"));
    }
    Ok(list.iter().map(|broker| (*broker).to_owned()).collect())
}

/// `[bus.kafka.properties]`: the one table whose keys are another program's.
impl Part for BTreeMap<String, String> {
    fn walk(_: &mut impl Rows) -> Self {
        BTreeMap::new()
    }

    fn read(value: Option<&Value>, path: &str, findings: &mut Findings) -> Self {
        let mut properties = BTreeMap::new();
        for (key, value) in table::dict(value, path, findings).into_iter().flatten() {
            match property(key, value) {
                Ok(value) => {
                    properties.insert(key.clone(), value);
                }
                Err(text) => findings.problem(&format!("{path}.{key:?}"), text),
            }
        }
        properties
    }
}

fn property(key: &str, value: &Value) -> Reading<String> {
    if let Some((_, why)) = OWNED.iter().find(|(owned, _)| owned.contains(&key)) {
        return Err(format!("belongs to hookbus: {why}; remove it"));
    }
    // A password in the configuration would be a secret in it.
    if key.starts_with("sasl.") && !key.starts_with("sasl.kerberos.")
        || key.contains("password")
        || key.ends_with("pem")
    {
        return Err(
            "is about a login or a key: write [bus.kafka.sasl] or [bus.kafka.tls]; secrets stay in files".into()
        );
    }
    let value = match value {
        Value::String(_, text) if !text.contains('\0') => text.clone(),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) if number.to_i128().is_some() => number.to_i128().unwrap_or_default().to_string(),
        Value::Num(_, number) if number.to_f64().is_some() => number.to_f64().unwrap_or_default().to_string(),
        other => return Err(format!("must be text, a number, true or false, not {}", kind(other))),
    };
    match ClientConfig::new().set(key, &value).create_native_config() {
        Ok(_) => Ok(value),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Err("librdkafka does not know it; remove it or correct its name".into())
        }
        Err(_) => Err("librdkafka does not take this value; see its CONFIGURATION.md".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(toml: &str) -> (KafkaConfig, Vec<String>) {
        use figment::providers::{Format as _, Toml};
        let tree: figment::value::Dict = figment::Figment::from(Toml::string(toml)).extract().unwrap();
        let mut findings = Findings::default();
        let kafka = KafkaConfig::read(Some(&Value::from(tree)), "bus.kafka", &mut findings);
        rules(&kafka, &mut findings);
        let lines = findings.finish().err().map(|problems| problems.to_string()).unwrap_or_default();
        (kafka, lines.lines().map(Into::into).collect())
    }

    #[test]
    fn a_full_section_is_read() {
        let (kafka, lines) = checked(
            r#"
brokers = ["kafka-1:9092", "[::1]:9093"]
linger = "2ms"
[tls]
ca_file = "ca.pem"
[sasl]
user = "hookbus"
password_file = "secrets/kafka"
[provision]
partitions = 6
retention = "1d"
[properties]
"compression.type" = "zstd"
"message.max.bytes" = 2000000
"socket.keepalive.enable" = true
"#,
        );
        assert_eq!(lines, Vec::<String>::new());
        assert_eq!((kafka.brokers.len(), kafka.linger), (2, Duration::from_millis(2)));
        assert_eq!(kafka.tls.unwrap().ca_file.unwrap().to_str(), Some("ca.pem"));
        assert_eq!(kafka.sasl.unwrap().mechanism.as_str(), "SCRAM-SHA-512");
        assert_eq!((kafka.provision.partitions, kafka.provision.replication), (6, 3));
        assert_eq!(kafka.properties["message.max.bytes"], "2000000");
        assert_eq!(kafka.properties["socket.keepalive.enable"], "true");
    }

    #[test]
    fn each_bad_value_is_one_line_without_it() {
        for (toml, key) in [
            ("brokers = []", "bus.kafka.brokers"),
            ("brokers = [\"hunter2\"]", "bus.kafka.brokers"),
            ("brokers = [\"a:0\"]", "bus.kafka.brokers"),
            ("brokers = \"a:1\"", "bus.kafka.brokers"),
            ("linger = \"101ms\"", "bus.kafka.linger"),
            ("linger = \"1.5us\"", "bus.kafka.linger"),
            ("linger = \"us\"", "bus.kafka.linger"),
            ("linger = 5", "bus.kafka.linger"),
            ("acks = 1", "bus.kafka.acks"),
            ("tls = true", "bus.kafka.tls"),
            ("tls = { key_file = \"k\" }", "bus.kafka.tls.certificate_file"),
            ("sasl = { user = \"a\" }", "bus.kafka.sasl.password_file"),
            ("sasl = { user = \"a\", password_file = \"b\", password = \"hunter2\" }", "bus.kafka.sasl.password"),
            ("provision = { partitions = 0 }", "bus.kafka.provision.partitions"),
            ("provision = { replication = 1 }", "bus.kafka.provision.min_insync"),
            ("properties = { acks = \"1\" }", "bus.kafka.properties.\"acks\""),
            ("properties = { \"enable.idempotence\" = false }", "bus.kafka.properties.\"enable.idempotence\""),
            ("properties = { \"message.timeout.ms\" = 4000 }", "bus.kafka.properties.\"message.timeout.ms\""),
            ("properties = { \"sasl.password\" = \"hunter2\" }", "bus.kafka.properties.\"sasl.password\""),
            ("properties = { \"ssl.key.password\" = \"hunter2\" }", "bus.kafka.properties.\"ssl.key.password\""),
            ("properties = { \"no.such\" = \"hunter2\" }", "bus.kafka.properties.\"no.such\""),
            ("properties = { \"compression.type\" = \"hunter2\" }", "bus.kafka.properties.\"compression.type\""),
            ("properties = { \"client.id\" = [] }", "bus.kafka.properties.\"client.id\""),
        ] {
            let (_, lines) = checked(toml);
            assert!(matches!(lines.as_slice(), [line] if line.starts_with(&format!("{key}: "))), "{toml}: {lines:#?}");
            assert!(!lines.concat().contains("hunter2"), "{lines:?}");
        }
    }
}
