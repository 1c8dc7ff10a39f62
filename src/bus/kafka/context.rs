//! What librdkafka calls back with: statistics, errors, log lines, reports. All of it runs on the thread that takes the reports: it
//! sets gauges, wakes the watcher, and gives each report to its ticket.

use std::sync::Arc;

use rdkafka::{
    ClientContext, Statistics,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Message as _},
    producer::ProducerContext,
};

use super::{
    lanes::{Failed, Ticket, Waiting},
    signal::Signal,
};
use crate::{bus::metrics::BusMetrics, metrics::signed};

/// Microseconds of a second.
const MICROS: f64 = 1e6;

/// The producer's context.
pub(super) struct Context {
    signal: Arc<Signal>,
    metrics: BusMetrics,
    waiting: Arc<Waiting>,
}

impl Context {
    pub(super) fn new(signal: Arc<Signal>, metrics: BusMetrics, waiting: Arc<Waiting>) -> Self {
        Context { signal, metrics, waiting }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        // librdkafka logs every attempt; the watcher logs a change once.
        tracing::debug!(?level, facility, "kafka client: {line}");
    }

    fn stats(&self, statistics: Statistics) {
        self.metrics.kafka_queue_messages.set(signed(statistics.msg_cnt).saturating_add(signed(self.waiting.events())));
        self.metrics.kafka_queue_bytes.set(signed(statistics.msg_size).saturating_add(signed(self.waiting.bytes())));
        // A broker that has left the cluster takes its series with it.
        self.metrics.kafka_broker_rtt.reset();
        for broker in statistics.brokers.values().filter(|broker| 0 <= broker.nodeid) {
            if let Some(rtt) = broker.rtt.as_ref().filter(|rtt| 0 < rtt.cnt) {
                let rtt = u32::try_from(rtt.p99).unwrap_or(u32::MAX);
                self.metrics.kafka_broker_rtt.with_label_values(&[&broker.nodename]).set(f64::from(rtt) / MICROS);
            }
        }
    }

    /// Called twice for one event by this version of the binding, so it only takes note.
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::AllBrokersDown)) {
            self.signal.look_again();
        } else {
            self.signal.failed(reason);
        }
        if code == Some(RDKafkaErrorCode::Fatal) {
            self.signal.look_again();
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Self::DeliveryOpaque) {
        ticket.reported(match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, message)) => Err(Failed::Reported(error.rdkafka_error_code(), message.detach())),
        });
    }
}
