//! What the bus counts of itself.

use prometheus::{GaugeVec, IntCounter, IntGauge, IntGaugeVec};

use crate::{
    config::BusKind,
    metrics::{Label, metrics, signed},
};

metrics! {
    /// Of any bus, and of the Kafka client.
    pub struct BusMetrics {
        /// Kafka topics, or NATS subjects (patterns), that the configuration can lead to and that the broker does not
        /// have.
        missing_topics: IntGauge = "bus_missing_topics";
        /// Kafka topics, or the NATS stream, that are not published to, since their settings lose acknowledged events and
        /// `bus.waive` does not list that.
        refused_topics: IntGauge = "bus_unsafe_topics";
        /// Times that an unreachable bus was reached again.
        pub reconnects: IntCounter = "bus_reconnects_total";
        /// What an acknowledgement of the bus is worth; always 1.
        durability: IntGaugeVec = "bus_durability_info" ["bus", "class"];
        /// Events in the Kafka client without a delivery report.
        pub kafka_queue_messages: IntGauge = "kafka_queue_messages";
        /// Their bytes.
        pub kafka_queue_bytes: IntGauge = "kafka_queue_bytes";
        /// Round trips to a Kafka broker, 99th percentile of the last seconds.
        pub kafka_broker_rtt: GaugeVec = "kafka_broker_rtt_seconds" ["broker"];
    }
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

impl Label for DurabilityClass {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [
            (DurabilityClass::ReplicatedSynced, "replicated_synced"),
            (DurabilityClass::Replicated, "replicated"),
            (DurabilityClass::Synced, "synced"),
            (DurabilityClass::Memory, "memory"),
            (DurabilityClass::Unknown, "unknown"),
        ]
    }
}

impl Label for BusKind {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [(BusKind::Journal, "journal"), (BusKind::Nats, "nats"), (BusKind::Kafka, "kafka")]
    }
}

impl BusMetrics {
    /// How many topics, or patterns of subjects, that the configuration can lead to do not exist.
    pub fn missing(&self, topics: usize) {
        self.missing_topics.set(signed(topics));
    }

    /// How many topics or streams are not published to for what they are set to.
    pub fn refused(&self, topics: usize) {
        self.refused_topics.set(signed(topics));
    }

    /// What an acknowledgement is worth from now on.
    pub fn durability(&self, bus: BusKind, class: DurabilityClass) {
        self.durability.reset();
        self.durability.with_label_values(&[bus.as_str(), class.as_str()]).set(1);
    }
}
