//! Rules over several keys.
//!
//! In: the typed configuration. Out: a problem at the key to change, or a warning. A rule is silent while one of its
//! keys has a problem of its own.

use std::{collections::BTreeMap, time::Duration};

use super::{BusKind, Config, Source, UnknownTypes, findings::Findings, units::show_size};

/// Proxies keep idle connections to hookbus for about this long, and retry nothing when one closes under a POST.
const POOLED: Duration = Duration::from_secs(60);

/// Checks every rule.
pub(super) fn rules(config: &Config, findings: &mut Findings) {
    listener(config, findings);
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
        listener.max_body <= listener.max_inflight,
        "must be at least listener.max_body, or the largest body is never read",
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

fn journal(config: &Config, findings: &mut Findings) {
    let journal = &config.journal;
    findings.rule(
        &["journal.max_size", "journal.segment_size"],
        journal.segment_size <= journal.max_size / 2,
        "must be at least twice journal.segment_size: one segment to keep and one to write",
    );
    // A body that is not JSON is kept as base64, a third longer, and its envelope comes on top.
    let holds = |max_body: usize| u64::try_from(max_body).is_ok_and(|body| body <= journal.segment_size / 2);
    findings.rule(
        &["journal.segment_size", "listener.max_body"],
        holds(config.listener.max_body),
        format!("must be at least twice listener.max_body, {}", shown(config.listener.max_body)),
    );
    for (index, source) in own_bodies(config) {
        let key = format!("sources[{index}].max_body");
        findings.rule(
            &[&key, "journal.segment_size"],
            holds(source.max_body),
            format!("must be at most half of journal.segment_size, {}", show_size(journal.segment_size)),
        );
    }
}

fn sources(config: &Config, findings: &mut Findings) {
    for (index, source) in own_bodies(config) {
        let key = format!("sources[{index}].max_body");
        findings.rule(
            &[&key, "listener.max_inflight"],
            source.max_body <= config.listener.max_inflight,
            "must be at most listener.max_inflight, or the largest body is never read",
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

fn shown(bytes: usize) -> String {
    show_size(u64::try_from(bytes).unwrap_or(u64::MAX))
}
