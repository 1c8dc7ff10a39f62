//! Rules over several keys: each section's own, and those over several sections. A rule is silent while one of its keys has
//! a problem of its own.

use super::{
    bus::{BusKind, UnknownTypes},
    danger::Danger,
    findings::Findings,
    journal, kafka, listener, nats, sources,
    whole::Config,
};

/// Longest name of a Kafka topic.
const MOST_TOPIC: usize = 249;

/// Checks every rule.
pub(super) fn rules(config: &Config, findings: &mut Findings) {
    listener::rules(&config.listener, findings);
    nats::rules(&config.bus.nats, findings);
    kafka::rules(&config.bus.kafka, findings);
    journal::rules(&config.journal, findings);
    sources::rules(&config.sources, findings);
    addresses(config, findings);
    bus(config, findings);
    answers(config, findings);
    bodies(config, findings);
    health_path(config, findings);
    follow_up(config, findings);
    reconcile(config, findings);
}

fn addresses(config: &Config, findings: &mut Findings) {
    let (admin, listener) = (config.admin.address, config.listener.address);
    findings.rule(
        &["admin.address", "listener.address"],
        admin != listener || listener.port() == 0,
        "is the listener's address; give it another port",
    );
}

fn bus(config: &Config, findings: &mut Findings) {
    findings.rule(
        &["bus.unknown_types", "bus.kind"],
        config.bus.kind == BusKind::Nats || config.bus.unknown_types == UnknownTypes::CatchAll,
        "\"route\" is for kind = \"nats\" only; use \"catch_all\"",
    );
    retention(config, findings);
    if config.bus.kind == BusKind::Kafka {
        kafka::rules_in_use(&config.bus.kafka, findings);
        findings.rule(
            &["bus.subject"],
            config.routes().iter().all(|route| route.address.len() <= MOST_TOPIC),
            "makes topics of more than 249 bytes, which Kafka does not take",
        );
    }
}

/// What `hookbus provision` makes must not be refused by `hookbus serve`.
fn retention(config: &Config, findings: &mut Findings) {
    let (key, made) = match config.bus.kind {
        BusKind::Nats => ("bus.nats.provision.max_age", config.bus.nats.provision.max_age),
        BusKind::Kafka => ("bus.kafka.provision.retention", config.bus.kafka.provision.retention),
        BusKind::Journal => return,
    };
    findings.rule(
        &[key, "bus.min_retention", "bus.waive"],
        config.bus.min_retention <= made || config.bus.waive.contains(&Danger::ShortRetention),
        "is below bus.min_retention: raise it, or write waive = [\"short_retention\"] under [bus]",
    );
}

/// What must have ended before a sender is answered.
fn answers(config: &Config, findings: &mut Findings) {
    let answer = config.listener.answer_timeout;
    if config.bus.kind == BusKind::Nats && config.bus.nats.publish_timeout >= answer {
        findings.warning(
            "bus.nats.publish_timeout",
            "is not below listener.answer_timeout: senders are told to come again before the bus has been given up",
        );
    }
    findings.rule(
        &["journal.hedge_after", "listener.answer_timeout"],
        config.bus.kind == BusKind::Journal || config.journal.hedge_after < answer,
        "must be below listener.answer_timeout, or the sender is told to retry before the spool is tried",
    );
}

/// Bodies of one source. What a source inherits is blamed on the listener's key alone.
fn bodies(config: &Config, findings: &mut Findings) {
    let listener = &config.listener;
    for (index, source) in config.sources.iter().enumerate().filter(|(_, source)| source.max_body != listener.max_body)
    {
        findings.rule(
            &[&format!("sources[{index}].max_body"), "listener.max_inflight"],
            source.max_body <= listener.max_inflight / 2,
            "must be at most half of listener.max_inflight, or one such body shuts out the next",
        );
    }
}

/// Who makes the calls.
fn follow_up(config: &Config, findings: &mut Findings) {
    let wants = config.sources.iter().enumerate().filter(|(_, source)| source.has_follow_up());
    for (index, _) in wants.filter(|_| config.reconcile.is_none()) {
        let text = "does nothing without a [reconcile] table: `hookbus reconcile` makes the calls";
        findings.warning(&format!("sources[{index}].api.follow_up"), text);
    }
}

/// The listener's own path is no source's.
fn health_path(config: &Config, findings: &mut Findings) {
    let taken = |path: &String| config.sources.iter().any(|source| source.path == *path);
    findings.rule(
        &["listener.health_path"],
        !config.listener.health_path.as_ref().is_some_and(taken),
        "is the path of a source, which would not get its webhooks; choose another",
    );
}

/// The reconciler has somebody to ask, time to ask for, and an address of its own.
fn reconcile(config: &Config, findings: &mut Findings) {
    let Some(reconcile) = &config.reconcile else { return };
    findings.rule(
        &["reconcile", "sources"],
        config.sources.iter().any(|source| source.api().is_some()),
        "needs a source with a [sources.api] table: without one there is nobody to ask",
    );
    findings.rule(
        &["reconcile.grace", "reconcile.look_back"],
        reconcile.grace < reconcile.look_back,
        "must be below reconcile.look_back, or no event is ever found missing",
    );
    findings.rule(
        &["reconcile.publish_missed", "bus.kind"],
        !reconcile.publish_missed || config.bus.kind != BusKind::Journal,
        "needs a broker: on the embedded bus findings are lines and metrics",
    );
    for (key, other) in [("admin.address", config.admin.address), ("listener.address", config.listener.address)] {
        findings.rule(
            &["reconcile.address", key],
            reconcile.address != other || other.port() == 0,
            format!("is {key}; give it another port"),
        );
    }
}
