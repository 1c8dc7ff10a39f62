//! The whole configuration: a row for each section.

use super::{
    bus::{BusConfig, BusKind},
    journal::JournalConfig,
    listener::{AdminConfig, ListenerConfig},
    log::LogConfig,
    reconcile::ReconcileConfig,
    section::section,
    sources::SourceConfig,
    table::Part as _,
};
use crate::{
    envelope::{self, Route},
    source::Identity,
};

section! {
    /// The whole checked configuration. Every field has its TOML key as its name.
    pub struct Config {
        /// Where the vendors' webhooks arrive: plain HTTP/1.1, so put a proxy that speaks TLS in front.
        listener: ListenerConfig,
        /// /metrics, /console, /livez and /readyz. They tell about the traffic: do not expose them to the internet.
        admin: AdminConfig,
        /// What is written to standard error.
        log: LogConfig,
        /// Where the events go.
        bus: BusConfig,
        /// The durable log. An event is answered 200 only when it is synced to this disk.
        journal: JournalConfig,
        /// For `hookbus reconcile`, which asks the vendors' own APIs for what never came. Leave the table out to do without.
        reconcile: Option<ReconcileConfig>,
        /// One table per account at a vendor and path; at least one.
        sources: Vec<SourceConfig>,
    }
}

impl Config {
    /// A configuration with these parts and every other key at its default.
    pub fn defaults(kind: BusKind, sources: Vec<SourceConfig>) -> Self {
        let config = Config::absent();
        Config { bus: BusConfig { kind, ..config.bus }, sources, ..config }
    }

    /// The same with everything that `hookbus reconcile` can publish.
    #[must_use]
    pub fn reconciled(self) -> Self {
        let reconcile = ReconcileConfig { publish_missed: true, ..ReconcileConfig::absent() };
        Config { reconcile: Some(reconcile), ..self }
    }

    /// Every route that its events can take. Those of `hookbus reconcile` stand last.
    pub fn routes(&self) -> Vec<Route> {
        let mut routes = envelope::routes(&self.identities(), &self.bus.template());
        if let Some(reconcile) = &self.reconcile {
            let details = self.sources.iter().any(SourceConfig::has_follow_up);
            routes.extend(envelope::own_routes(reconcile.publish_findings, reconcile.publish_missed, details));
        }
        routes
    }

    /// Who the sources are.
    pub fn identities(&self) -> Vec<Identity> {
        self.sources.iter().map(SourceConfig::identity).collect()
    }
}
