//! Which topics or subjects there are, what each carries, and on which bus in which content mode.
//!
//! In: a configuration, or none: then the defaults on every bus. Out: a [`Scope`] for the AsyncAPI document.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::{BusKind, Config, Encoding, SourceConfig},
    envelope::{Content, own_routes},
    vendors::Vendor,
};

/// Where events are found.
#[derive(Debug, Clone)]
pub struct Scope {
    /// What each topic or subject carries.
    pub(super) channels: BTreeMap<String, BTreeSet<Content>>,
    /// The messages that a subscriber may meet.
    pub(super) modes: Vec<Mode>,
    /// Where to connect to.
    pub(super) servers: Vec<Server>,
    /// The JetStream stream.
    pub(super) stream: String,
    /// Whether it is that of a configuration.
    pub(super) is_configured: bool,
}

/// A bus and a content mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode {
    pub(super) bus: BusKind,
    pub(super) encoding: Encoding,
}

/// What an event is: which attributes it has depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A vendor's, routed by its type.
    Routed,
    /// A vendor's, in quarantine.
    Quarantined,
    /// hookbus's own.
    Own,
}

impl Class {
    pub(super) const ALL: [Class; 3] = [Class::Routed, Class::Quarantined, Class::Own];

    pub(super) fn of(content: Content) -> Self {
        match content {
            Content::Documented(..) | Content::Unlisted(_) => Class::Routed,
            Content::Quarantine(_) => Class::Quarantined,
            Content::Finding(_) | Content::Missed | Content::Details => Class::Own,
        }
    }
}

/// An address of a broker.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) protocol: &'static str,
}

impl Scope {
    /// The defaults, on Kafka and NATS and in both content modes.
    pub fn defaults() -> Self {
        let sources = Vendor::ALL.map(|vendor| SourceConfig::defaults(vendor.as_str(), vendor, "/", Vec::new()));
        let config = Config::defaults(BusKind::Nats, sources.into()).reconciled();
        let both = [BusKind::Kafka, BusKind::Nats];
        let modes = both
            .into_iter()
            .flat_map(|bus| [Encoding::Structured, Encoding::Binary].map(|encoding| Mode { bus, encoding }));
        let mut channels = channels(&config);
        // They need an account at a vendor, which has no default.
        for route in own_routes(false, false, true) {
            channels.entry(route.address).or_default().insert(route.content);
        }
        Scope {
            channels,
            modes: modes.collect(),
            servers: vec![
                Server { host: "kafka.example.com:9092".into(), protocol: "kafka" },
                Server { host: "nats.example.com:4222".into(), protocol: "nats" },
            ],
            stream: config.bus.nats.stream,
            is_configured: false,
        }
    }

    /// What a configuration leads to.
    pub fn of(config: &Config) -> Self {
        let bus = config.bus.kind;
        // What `hookbus tail` prints of the embedded bus is structured, however it is stored.
        let encoding = if bus == BusKind::Journal { Encoding::Structured } else { config.bus.encoding };
        Scope {
            channels: channels(config),
            modes: vec![Mode { bus, encoding }],
            servers: servers(config),
            stream: config.bus.nats.stream.clone(),
            is_configured: true,
        }
    }
}

fn servers(config: &Config) -> Vec<Server> {
    match config.bus.kind {
        BusKind::Journal => Vec::new(),
        BusKind::Kafka => {
            let protocol = if config.bus.kafka.tls.is_some() { "kafka-secure" } else { "kafka" };
            config.bus.kafka.brokers.iter().map(|host| Server { host: host.clone(), protocol }).collect()
        }
        BusKind::Nats => {
            let host = |url: &String| url.split_once("://").map_or(url.clone(), |(_, host)| host.to_owned());
            config.bus.nats.servers.iter().map(|url| Server { host: host(url), protocol: "nats" }).collect()
        }
    }
}

fn channels(config: &Config) -> BTreeMap<String, BTreeSet<Content>> {
    let mut channels: BTreeMap<String, BTreeSet<Content>> = BTreeMap::new();
    for route in config.routes() {
        channels.entry(route.address).or_default().insert(route.content);
    }
    channels
}
