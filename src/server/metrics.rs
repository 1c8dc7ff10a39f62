//! The metrics of all rooms, made together.

use std::sync::Arc;

use journal::Observer;
use prometheus::IntGauge;

use crate::{
    admin::AdminMetrics,
    bus::journal_metrics::{DeadLetterLosses, JournalMetrics},
    bus::metrics::{BusMetrics, DurabilityClass},
    config::{BusKind, Config},
    delivery::metrics::DeliveryMetrics,
    drift::metrics::SampleMetrics,
    endpoint::metrics::{AnswerMetrics, SourceMetrics},
    intake::metrics::GatewayMetrics,
    metrics::{Families, Made, metrics, signed},
    server::ends::EndMetrics,
};

metrics! {
    /// Of the program.
    struct BuildMetrics {
        /// The running build; always 1.
        info: IntGauge = "build_info";
    }
}

/// Handles for each room.
#[derive(Debug)]
pub struct Metrics {
    /// Where all of them are registered.
    pub families: Families,
    /// The bus's.
    pub bus: BusMetrics,
    /// The journal's.
    pub journal: Arc<JournalMetrics>,
    /// Delivery's.
    pub delivery: Arc<DeliveryMetrics>,
    /// Of the events that are compared with their schemas.
    pub samples: SampleMetrics,
    /// The webhook listener's.
    pub gateway: GatewayMetrics,
    /// Of requests that belong to no source.
    pub no_source: AnswerMetrics,
    /// Of earlier runs.
    pub ends: EndMetrics,
    /// What a scrape reads.
    pub admin: AdminMetrics,
}

impl Metrics {
    /// What the journal that is the bus or the spool reports to.
    pub fn journal(&self) -> Arc<dyn Observer> {
        Arc::<JournalMetrics>::clone(&self.journal)
    }

    /// What the log of dead letters reports to.
    pub fn dead_letter_journal(&self) -> Arc<dyn Observer> {
        Arc::new(DeadLetterLosses(Arc::clone(&self.journal)))
    }

    /// All families, each series at zero; those of the sources in their order.
    ///
    /// # Errors
    /// See [`Made`].
    pub fn new(config: &Config) -> Made<(Self, Vec<SourceMetrics>)> {
        let families = Families::new()?;
        let sources = config.sources.iter().map(|source| SourceMetrics::register(&families, source));
        let sources = sources.collect::<Made<_>>()?;
        let build = families
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("revision", env!("HOOKBUS_REVISION"))
            .with("rustc", env!("HOOKBUS_RUSTC"));
        BuildMetrics::register(&build)?.info.set(1);
        let metrics = Metrics {
            bus: BusMetrics::register(&families)?,
            journal: Arc::new(JournalMetrics::register(&families)?),
            delivery: Arc::new(DeliveryMetrics::register(&families)?),
            samples: SampleMetrics::register(&families)?,
            gateway: GatewayMetrics::register(&families)?,
            no_source: AnswerMetrics::register(&families.with("source", "none"))?,
            ends: EndMetrics::register(&families)?,
            admin: AdminMetrics::register(&families)?,
            families,
        };
        // The embedded bus fsyncs one copy; a broker has to be asked.
        let embedded = config.bus.kind == BusKind::Journal;
        let class = if embedded { DurabilityClass::Synced } else { DurabilityClass::Unknown };
        metrics.bus.durability(config.bus.kind, class);
        if embedded || config.journal.spool {
            metrics.journal.max_bytes.set(signed(config.journal.max_size));
            metrics.journal.reserve_bytes.set(signed(config.journal.reserve));
        }
        Ok((metrics, sources))
    }
}
