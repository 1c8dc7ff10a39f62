//! Rules over several keys.
//!
//! In: the typed configuration. Out: a problem at the key to change, or a warning. A rule is silent while one of its
//! keys has a problem of its own.

use std::{collections::BTreeMap, time::Duration};

use super::{BusKind, Config, SaslMechanism, Source, UnknownTypes, findings::Findings};
use crate::{bus::kafka::topics, secrets::Secret};

/// Proxies keep idle connections to hookbus for about this long, and retry nothing when one closes under a POST.
const POOLED: Duration = Duration::from_secs(60);

/// Checks every rule.
pub(super) fn rules(config: &Config, findings: &mut Findings) {
    listener(config, findings);
    kafka(config, findings);
    journal(config, findings);
    bus(config, findings);
    sources(config, findings);
}

fn bus(config: &Config, findings: &mut Findings) {
    let nats = config.bus.kind == BusKind::Nats;
    findings.rule(
        &["bus.unknown_types", "bus.kind"],
        nats || config.bus.unknown_types == UnknownTypes::CatchAll,
        "\"route\" is for kind = \"nats\" only; use \"catch_all\"",
    );
    if nats && config.bus.nats.publish_timeout >= config.listener.answer_timeout {
        findings.warning(
            "bus.nats.publish_timeout",
            "is not below listener.answer_timeout: senders are told to come again before the bus has been given up",
        );
    }
}

fn listener(config: &Config, findings: &mut Findings) {
    let listener = &config.listener;
    findings.rule(
        &["listener.max_inflight", "listener.max_body"],
        listener.max_body <= listener.max_inflight / 2,
        "must be at least twice listener.max_body, or one such body shuts out the next",
    );
    findings.rule(
        &["listener.body_timeout", "listener.request_timeout"],
        listener.body_timeout <= listener.request_timeout,
        "must be at most listener.request_timeout, which ends the request first",
    );
    findings.rule(
        &["admin.address", "listener.address"],
        config.admin.address != listener.address || listener.address.port() == 0,
        "is the listener's address; give it another port",
    );
    if listener.idle_timeout < POOLED {
        findings.warning(
            "listener.idle_timeout",
            "is below 60s, as long as proxies keep a connection; a webhook may meet one that is being closed",
        );
    }
}

/// Longest name of a Kafka topic.
const MOST_TOPIC: usize = 249;

/// What `[bus.kafka]` must have once it is used; its files are opened only then.
fn kafka(config: &Config, findings: &mut Findings) {
    if config.bus.kind != BusKind::Kafka {
        return;
    }
    let kafka = &config.bus.kafka;
    findings.rule(
        &["bus.kafka.brokers"],
        !kafka.brokers.is_empty(),
        "is required; list hosts with ports, such as [\"kafka-1.example.com:9092\"]",
    );
    findings.rule(
        &["bus.subject"],
        topics::expected(config).iter().all(|topic| topic.len() <= MOST_TOPIC),
        "makes topics of more than 249 bytes, which Kafka does not take",
    );
    if let Some(tls) = &kafka.tls {
        let files =
            [("ca_file", &tls.ca_file), ("certificate_file", &tls.certificate_file), ("key_file", &tls.key_file)];
        for (key, file) in files {
            if let Some(Err(error)) = file.as_ref().map(std::fs::File::open) {
                findings.problem(&format!("bus.kafka.tls.{key}"), format!("the file cannot be read: {error}"));
            }
        }
    }
    if let Some(sasl) = &kafka.sasl {
        if let Err(fault) = Secret::read(&sasl.password_file) {
            findings.problem("bus.kafka.sasl.password_file", format!("the password file {fault}"));
        }
        if sasl.mechanism == SaslMechanism::Plain && kafka.tls.is_none() {
            findings.warning("bus.kafka.sasl.mechanism", "sends the password in clear; write [bus.kafka.tls]");
        }
    }
}

fn journal(config: &Config, findings: &mut Findings) {
    let journal = &config.journal;
    findings.rule(
        &["journal.max_size", "journal.segment_size"],
        journal.segment_size <= journal.max_size / 2,
        "must be at least twice journal.segment_size: one segment to keep and one to write",
    );
    findings.rule(
        &["journal.hedge_after", "listener.answer_timeout"],
        config.bus.kind == BusKind::Journal || journal.hedge_after < config.listener.answer_timeout,
        "must be below listener.answer_timeout, or the sender is told to retry before the spool is tried",
    );
}

fn sources(config: &Config, findings: &mut Findings) {
    for (index, source) in own_bodies(config) {
        let key = format!("sources[{index}].max_body");
        findings.rule(
            &[&key, "listener.max_inflight"],
            source.max_body <= config.listener.max_inflight / 2,
            "must be at most half of listener.max_inflight, or one such body shuts out the next",
        );
    }
    let (mut names, mut paths) = (BTreeMap::new(), BTreeMap::new());
    for (index, source) in config.sources.iter().enumerate() {
        // What is empty stands in for a bad value.
        let name = Some(&source.name).filter(|name| !name.is_empty());
        if let Some(twin) = name.and_then(|name| names.insert(name, index)) {
            let text = format!("is the name of sources[{twin}]; names are unique");
            findings.problem(&format!("sources[{index}].name"), text);
        }
        let path = Some(&source.path).filter(|path| !path.is_empty());
        if let Some(twin) = path.and_then(|path| paths.insert(path, index)) {
            let text = format!("is the path of sources[{twin}]; one path belongs to one source");
            findings.problem(&format!("sources[{index}].path"), text);
        }
    }
}

/// The sources with a body limit of their own: what they inherit is blamed on the listener's key alone.
fn own_bodies(config: &Config) -> impl Iterator<Item = (usize, &Source)> {
    config.sources.iter().enumerate().filter(|(_, source)| source.max_body != config.listener.max_body)
}
