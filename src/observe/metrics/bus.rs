//! What the bus says of itself.

use prometheus::{GaugeVec, IntCounter, IntGauge, IntGaugeVec};

use super::families::{Families, Made};
use crate::config::BusKind;

/// Handed to the bus, which sets them as it learns.
#[derive(Debug, Clone)]
pub struct BusMetrics {
    missing_topics: IntGauge,
    /// Times that a bus which could not be reached was reached again.
    pub reconnects: IntCounter,
    durability: IntGaugeVec,
    bus: &'static str,
    /// The Kafka client's own.
    pub kafka: KafkaMetrics,
}

/// The Kafka client's own account, from its statistics.
#[derive(Debug, Clone)]
pub struct KafkaMetrics {
    /// Events that wait in the client for their delivery report.
    pub queue_messages: IntGauge,
    /// Their bytes.
    pub queue_bytes: IntGauge,
    /// Round trips to each broker, 99th percentile, seconds.
    pub broker_rtt: GaugeVec,
}

/// What an acknowledgement of the bus is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurabilityClass {
    /// Several copies, each on disk.
    ReplicatedSynced,
    /// Several copies, in memory at first.
    Replicated,
    /// One copy on disk.
    Synced,
    /// One copy in memory.
    Memory,
    /// Not known.
    Unknown,
}

impl DurabilityClass {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            DurabilityClass::ReplicatedSynced => "replicated_synced",
            DurabilityClass::Replicated => "replicated",
            DurabilityClass::Synced => "synced",
            DurabilityClass::Memory => "memory",
            DurabilityClass::Unknown => "unknown",
        }
    }
}

impl BusMetrics {
    pub(super) fn new(families: &Families<'_>, kind: BusKind) -> Made<Self> {
        // The embedded bus fsyncs one copy; a broker has to be asked.
        let (bus, class) = match kind {
            BusKind::Journal => ("journal", DurabilityClass::Synced),
            BusKind::Nats => ("nats", DurabilityClass::Unknown),
            BusKind::Kafka => ("kafka", DurabilityClass::Unknown),
        };
        let metrics = BusMetrics {
            missing_topics: families.gauge(
                "bus_missing_topics",
                "Kafka topics, or NATS subjects (patterns), that the configuration can lead to and that the broker does not have.",
            )?,
            reconnects: families.counter("bus_reconnects_total", "Times that an unreachable bus was reached again.")?,
            durability: families.gauges(
                "bus_durability_info",
                "What an acknowledgement of the bus is worth; always 1.",
                &["bus", "class"],
            )?,
            bus,
            kafka: KafkaMetrics {
                queue_messages: families
                    .gauge("kafka_queue_messages", "Events in the Kafka client without a delivery report.")?,
                queue_bytes: families.gauge("kafka_queue_bytes", "Their bytes.")?,
                broker_rtt: families.float_gauges(
                    "kafka_broker_rtt_seconds",
                    "Round trips to a Kafka broker, 99th percentile of the last seconds.",
                    &["broker"],
                )?,
            },
        };
        metrics.durability(class);
        Ok(metrics)
    }

    /// Says how many topics, or patterns of subjects, that the configuration can lead to do not exist.
    pub fn missing(&self, topics: usize) {
        self.missing_topics.set(topics.try_into().unwrap_or(i64::MAX));
    }

    /// Says what an acknowledgement is worth from now on.
    pub fn durability(&self, class: DurabilityClass) {
        self.durability.reset();
        self.durability.with_label_values(&[self.bus, class.as_str()]).set(1);
    }
}
