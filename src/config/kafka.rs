//! The check of `[bus.kafka]`: brokers, security, provisioning, and what else librdkafka may be told.
//!
//! In: the raw table. Out: the typed section beside everything that is wrong with it. Whether librdkafka knows a property
//! and takes its value is asked of librdkafka itself, without a connection. It never reads a password or a key.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use figment::value::{Dict, Value};
use rdkafka::{ClientConfig, error::KafkaError, types::RDKafkaConfRes};

use super::{
    findings::Findings,
    table::{Reading, Table, kind, text},
    units,
};

/// `[bus.kafka]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Kafka {
    /// `host:port` of the brokers to begin with; at least one when `bus.kind` is `"kafka"`.
    pub brokers: Vec<String>,
    /// How long the client waits for more messages before it sends a batch.
    pub linger: Duration,
    /// `[bus.kafka.tls]`; `None` = plain text.
    pub tls: Option<KafkaTls>,
    /// `[bus.kafka.sasl]`; `None` = no login.
    pub sasl: Option<KafkaSasl>,
    /// `[bus.kafka.provision]`: how `hookbus provision` makes topics.
    pub provision: KafkaProvision,
    /// `[bus.kafka.properties]`: librdkafka's own keys, in its own notation.
    pub properties: BTreeMap<String, String>,
}

/// `[bus.kafka.tls]`. The broker's certificate and host name are always checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KafkaTls {
    /// PEM file with the authorities to trust; without it, the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate chain; together with `key_file`.
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the client's private key.
    pub key_file: Option<PathBuf>,
}

/// `[bus.kafka.sasl]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSasl {
    /// How to log in.
    pub mechanism: SaslMechanism,
    /// The user's name.
    pub user: String,
    /// File with the password: the whole text less one final newline.
    pub password_file: PathBuf,
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

/// `[bus.kafka.provision]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaProvision {
    /// Partitions of one topic.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication: i32,
    /// Copies that must have an event before it is acknowledged.
    pub min_insync: i32,
    /// How long a topic keeps an event.
    pub retention: Duration,
}

impl Default for Kafka {
    fn default() -> Self {
        Kafka {
            brokers: Vec::new(),
            linger: Duration::from_micros(500),
            tls: None,
            sasl: None,
            provision: KafkaProvision::default(),
            properties: BTreeMap::new(),
        }
    }
}

impl Default for KafkaProvision {
    fn default() -> Self {
        KafkaProvision { partitions: 3, replication: 3, min_insync: 2, retention: Duration::from_hours(7 * 24) }
    }
}

/// Properties that decide what an acknowledgement is worth, or that another key of hookbus sets.
const OWNED: [(&str, &str); 20] = [
    ("acks", "every event is acknowledged by all in-sync replicas"),
    ("request.required.acks", "every event is acknowledged by all in-sync replicas"),
    ("enable.idempotence", "it is always on"),
    ("enable.gapless.guarantee", "an event that cannot be sent must not stop those behind it"),
    ("transactional.id", "events are published one by one"),
    ("message.timeout.ms", "short ones duplicate and reorder events; listener.answer_timeout limits the answer"),
    ("delivery.timeout.ms", "short ones duplicate and reorder events; listener.answer_timeout limits the answer"),
    ("allow.auto.create.topics", "topics are made by `hookbus provision`, never by an event"),
    ("statistics.interval.ms", "it feeds the metrics"),
    ("log.queue", "it feeds the log"),
    ("bootstrap.servers", "use bus.kafka.brokers"),
    ("metadata.broker.list", "use bus.kafka.brokers"),
    ("linger.ms", "use bus.kafka.linger"),
    ("queue.buffering.max.ms", "use bus.kafka.linger"),
    ("security.protocol", "write [bus.kafka.tls] and [bus.kafka.sasl]"),
    ("ssl.ca.location", "use bus.kafka.tls.ca_file"),
    ("ssl.certificate.location", "use bus.kafka.tls.certificate_file"),
    ("ssl.key.location", "use bus.kafka.tls.key_file"),
    ("enable.ssl.certificate.verification", "the broker's certificate is always checked"),
    ("ssl.endpoint.identification.algorithm", "the broker's host name is always checked"),
];

/// Checks the table; what is absent is at its default.
pub(super) fn kafka(value: Option<&Value>, findings: &mut Findings) -> Kafka {
    const PATH: &str = "bus.kafka";
    let Some(keys) = dict(value, PATH, findings) else { return Kafka::default() };
    let default = Kafka::default();
    let mut table = Table::new(keys, PATH.into(), PATH, findings);
    let mut kafka = Kafka {
        brokers: table.list("brokers", default.brokers, brokers),
        linger: table.or("linger", default.linger, linger),
        ..Kafka::default()
    };
    let [tls_table, sasl_table, provision_table, properties_table] =
        ["tls", "sasl", "provision", "properties"].map(|key| table.raw(key));
    table.finish();
    kafka.tls = dict(tls_table, "bus.kafka.tls", findings).map(|keys| tls(keys, findings));
    kafka.sasl = dict(sasl_table, "bus.kafka.sasl", findings).and_then(|keys| sasl(keys, findings));
    if let Some(keys) = dict(provision_table, "bus.kafka.provision", findings) {
        kafka.provision = provision(keys, findings);
    }
    if let Some(keys) = dict(properties_table, "bus.kafka.properties", findings) {
        kafka.properties = properties(keys, findings);
    }
    kafka
}

fn dict<'a>(value: Option<&'a Value>, path: &str, findings: &mut Findings) -> Option<&'a Dict> {
    match value? {
        Value::Dict(_, keys) => Some(keys),
        other => {
            findings.problem(path, format!("must be a table, [{path}], not {}", kind(other)));
            None
        }
    }
}

fn brokers(value: &Value) -> Reading<Vec<String>> {
    let form = || "must be a list of hosts with ports, such as [\"kafka-1.example.com:9092\"]".to_owned();
    let Value::Array(_, list) = value else { return Err(form()) };
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    let broker = |value: &Value| {
        let text = text(value).map_err(|_| form())?;
        let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
        let sound = !host.is_empty() && host.bytes().all(is_host) && port.parse::<u16>().is_ok_and(|port| 0 < port);
        if sound { Ok(text.to_owned()) } else { Err(form()) }
    };
    let brokers: Vec<_> = list.iter().map(broker).collect::<Reading<_>>()?;
    if brokers.is_empty() { Err(form()) } else { Ok(brokers) }
}

/// The one duration for which milliseconds are too coarse.
fn linger(value: &Value) -> Reading<Duration> {
    let form = || "must be from \"0us\" to \"1s\", in us, ms or s".to_owned();
    let text = text(value).map_err(|_| form())?;
    let micros = text.strip_suffix("us").filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let linger = match micros {
        Some(digits) => digits.parse().map(Duration::from_micros).map_err(|_| form())?,
        None => units::duration(text).map_err(|_| form())?,
    };
    if linger <= Duration::from_secs(1) { Ok(linger) } else { Err(form()) }
}

fn tls(keys: &Dict, findings: &mut Findings) -> KafkaTls {
    let mut table = Table::new(keys, "bus.kafka.tls".into(), "bus.kafka.tls", findings);
    let tls = KafkaTls {
        ca_file: table.maybe("ca_file", file),
        certificate_file: table.maybe("certificate_file", file),
        key_file: table.maybe("key_file", file),
    };
    table.finish();
    findings.rule(
        &["bus.kafka.tls.certificate_file", "bus.kafka.tls.key_file"],
        tls.certificate_file.is_some() == tls.key_file.is_some(),
        "goes together with bus.kafka.tls.key_file; write both or none",
    );
    tls
}

fn sasl(keys: &Dict, findings: &mut Findings) -> Option<KafkaSasl> {
    let mut table = Table::new(keys, "bus.kafka.sasl".into(), "bus.kafka.sasl", findings);
    let mechanism = table.choice("mechanism", SaslMechanism::ScramSha512, &SaslMechanism::WORDS);
    let user = table.required("user", "write the user's name", user);
    let password_file = table.required("password_file", "name the file that holds the password", file);
    table.finish();
    Some(KafkaSasl { mechanism, user: user?, password_file: password_file? })
}

fn provision(keys: &Dict, findings: &mut Findings) -> KafkaProvision {
    let default = KafkaProvision::default();
    let mut table = Table::new(keys, "bus.kafka.provision".into(), "bus.kafka.provision", findings);
    let years = Duration::from_hours(3650 * 24);
    let provision = KafkaProvision {
        partitions: table.count("partitions", default.partitions, 1..=10_000),
        replication: table.count("replication", default.replication, 1..=100),
        min_insync: table.count("min_insync", default.min_insync, 1..=100),
        retention: table.duration("retention", default.retention, Duration::from_mins(1)..=years),
    };
    table.finish();
    findings.rule(
        &["bus.kafka.provision.min_insync", "bus.kafka.provision.replication"],
        provision.min_insync <= provision.replication,
        "must be at most bus.kafka.provision.replication",
    );
    provision
}

fn user(value: &Value) -> Reading<String> {
    let user = text(value)?;
    if user.is_empty() || user.contains('\0') { Err("must be a user's name".into()) } else { Ok(user.into()) }
}

fn file(value: &Value) -> Reading<PathBuf> {
    let path = text(value)?;
    if path.is_empty() || path.contains('\0') { Err("must be the path of a file".into()) } else { Ok(path.into()) }
}

fn properties(keys: &Dict, findings: &mut Findings) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    for (key, value) in keys {
        match property(key, value) {
            Ok(value) => {
                properties.insert(key.clone(), value);
            }
            Err(text) => findings.problem(&format!("bus.kafka.properties.{key:?}"), text),
        }
    }
    properties
}

fn property(key: &str, value: &Value) -> Reading<String> {
    if let Some((_, why)) = OWNED.iter().find(|(owned, _)| *owned == key) {
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

    fn checked(toml: &str) -> (Kafka, Vec<String>) {
        use figment::providers::{Format as _, Toml};
        let tree: Dict = figment::Figment::from(Toml::string(toml)).extract().unwrap();
        let mut findings = Findings::default();
        let kafka = kafka(Some(&Value::from(tree)), &mut findings);
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
            ("linger = \"2s\"", "bus.kafka.linger"),
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
