//! Hears from librdkafka why brokers do not let a client in, which the failed question itself does not say: to it, a certificate
//! that is not taken is a connection that breaks.

use std::sync::OnceLock;

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::ProducerContext,
};

/// The context of a client that is polled.
#[derive(Default)]
pub(super) struct Ear(OnceLock<String>);

impl Ear {
    /// The first refusal, in the client's words: of TLS or of the login.
    pub(super) fn refusal(&self) -> Option<String> {
        self.0.get().cloned()
    }
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(?level, facility, "kafka client: {line}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
        if matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::SSL | RDKafkaErrorCode::Authentication)) {
            // Those that follow are its repeats.
            let _full = self.0.set(reason.to_owned());
        }
    }
}

impl ProducerContext for Ear {
    type DeliveryOpaque = ();

    /// Nothing is ever produced.
    fn delivery(&self, _: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {}
}
