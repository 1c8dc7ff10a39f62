//! The Kafka bus: one idempotent producer for the process, and a watcher that knows which topics exist.
//!
//! In: messages. Out: their acknowledgements, from all in-sync replicas. It never makes a topic, never waits for a
//! missing one (metadata knows it before a time-out does), never republishes what may already be in the log, and never
//! stops the start because a broker is away.

mod context;
mod durability;
pub mod inspection;
pub mod provision;
pub mod reader;
mod settings;
#[cfg(test)]
mod tests;
pub mod topics;
mod watch;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use rdkafka::{
    Message as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, Headers as _, OwnedHeaders, OwnedMessage},
    producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _, future_producer::OwnedDeliveryResult},
};

use self::{context::Context, durability::Limits, topics::Known, watch::Signal};
use super::{Ack, Publication, PublishError};
use crate::{
    config::{Config, Encoding},
    envelope::{Message, attributes::Attribute, message::Binding, route},
    observe::metrics::BusMetrics,
    wake,
};

/// Longest wait at the end for what was handed over. The watcher's own requests take eight seconds at most.
const FLUSH_LIMIT: Duration = Duration::from_secs(6);
/// Longest wait at the start for the first word of a broker, so that the first requests find the bus known.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// The producer, as this room uses it.
type Producer = FutureProducer<Context>;

/// The Kafka bus. Cheap to clone.
#[derive(Clone)]
pub struct Kafka(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    watcher: Mutex<Option<JoinHandle<()>>>,
}

/// What publishers and the watcher share.
struct Shared {
    /// Replaced after a fatal error, which ends a producer for good.
    producer: ArcSwap<Producer>,
    /// The topics that exist; `None` until a broker has said so for the first time.
    topics: ArcSwapOption<Known>,
    /// How much each topic takes at once; `None` until it has been read.
    limits: ArcSwapOption<Limits>,
    signal: Arc<Signal>,
    encoding: Encoding,
    metrics: BusMetrics,
}

/// Why the bus cannot be opened: a mistake in the configuration, never an absent broker.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The password file.
    #[error("bus.kafka.sasl.password_file: {0}")]
    Password(&'static str),
    /// librdkafka refuses the settings together, or a file that they name.
    #[error("bus.kafka: {0}")]
    Client(#[from] KafkaError),
    /// No thread.
    #[error("starting a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl Kafka {
    /// Makes the producer and starts the watcher. Waits two seconds at most for a first word of a broker and goes on
    /// without one.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(config: &Config, metrics: BusMetrics) -> Result<Self, OpenError> {
        let settings = settings::producer(&config.bus.kafka)?;
        let signal = Arc::new(Signal::default());
        let producer: Producer = settings.create_with_context(Context::new(Arc::clone(&signal), metrics.clone()))?;
        let shared = Arc::new(Shared {
            producer: ArcSwap::from_pointee(producer),
            topics: ArcSwapOption::empty(),
            limits: ArcSwapOption::empty(),
            signal: Arc::clone(&signal),
            encoding: config.bus.encoding,
            metrics,
        });
        let watcher = watch::start(Arc::clone(&shared), config.bus.kafka.clone(), settings, topics::expected(config))?;
        signal.wait_for_first_look(FIRST_LOOK);
        Ok(Kafka(Arc::new(Inner { shared, watcher: Mutex::new(Some(watcher)) })))
    }

    /// Publishes one message. It is in the producer's queue when this returns; the future resolves with the delivery
    /// report.
    ///
    /// # Errors
    /// [`PublishError::Refused`] when nothing was handed over and a retry may succeed: no broker has been heard of yet,
    /// or the queue is full. [`PublishError::Unroutable`] when neither the topic nor the catch-all exists.
    /// [`PublishError::Timeout`] when no broker took it within five minutes: unknown, it may be in the log.
    /// [`PublishError::Error`] when the producer had to be given up: unknown as well. Nothing is published a second time
    /// here, since only the caller can keep the order; a second publication carries the same event id.
    pub fn publish(&self, message: &Message) -> Publication {
        match self.0.shared.hand_over(message) {
            Ok(under_way) => Box::pin(under_way.resolve(Arc::clone(&self.0.shared))),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    /// Whether a broker answered the last time it was asked.
    pub fn up(&self) -> bool {
        self.0.shared.signal.up.load(Ordering::Acquire)
    }

    /// Writes out what was handed over and stops the watcher; blocks, ten seconds at most.
    pub fn close(&self) {
        let shared = &self.0.shared;
        // First, so that the watcher's last request and the flush go side by side.
        shared.signal.stop();
        if let Err(error) = shared.producer.load().flush(FLUSH_LIMIT) {
            tracing::warn!(%error, events = shared.producer.load().in_flight_count(), "kafka: closed with events under way");
        }
        let watcher = self.0.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watcher) = watcher {
            // A watcher that panicked has nothing left to stop.
            let _panicked = watcher.join();
        }
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").field("up", &self.up()).finish_non_exhaustive()
    }
}

/// A message in the producer's queue.
struct UnderWay {
    delivery: DeliveryFuture,
    catch_all: String,
}

impl Shared {
    fn hand_over(&self, message: &Message) -> Result<UnderWay, PublishError> {
        let known = self.topics.load();
        let known = known.as_ref().ok_or(PublishError::Refused)?;
        let catch_all = route::catch_all(message.get(Attribute::Vendor));
        let topic = known.choose(message.route(), &catch_all);
        if topic != Some(message.route()) {
            // A topic that was made a moment ago is found by looking again.
            self.signal.look_again();
        }
        let topic = topic.ok_or(PublishError::Unroutable)?;
        let headers = headers(message, self.encoding);
        let payload = message.payload(self.encoding);
        let key = message.get(Attribute::PartitionKey);
        let record = FutureRecord::to(topic).key(key).payload(&payload[..]).headers(headers);
        let delivery = self.send(record)?;
        Ok(UnderWay { delivery, catch_all })
    }

    fn send(&self, record: FutureRecord<'_, str, [u8]>) -> Result<DeliveryFuture, PublishError> {
        self.producer.load().send_result(record).map_err(|(error, _record)| self.failed(&error))
    }

    /// Whether a topic takes a message by itself, whatever it is sent with. Yes while no limit has been read, which is
    /// soon; not when the brokers do not let us read this topic's.
    fn fits(&self, message: &OwnedMessage) -> bool {
        let limits = self.limits.load();
        let Some(limits) = limits.as_ref() else { return true };
        limits.get(message.topic()).is_some_and(|limit| size_of_batch(message) <= *limit)
    }

    /// What a failed delivery means.
    fn refusal(&self, code: Option<RDKafkaErrorCode>, message: Option<&OwnedMessage>) -> PublishError {
        match meaning(code) {
            // Refused for its company: a broker takes or refuses a batch as a whole. Alone it will pass.
            PublishError::TooLarge if message.is_some_and(|message| self.fits(message)) => PublishError::Refused,
            other => other,
        }
    }

    fn failed(&self, error: &KafkaError) -> PublishError {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::Fatal) {
            // Nothing was handed over, and the watcher makes another producer.
            self.signal.look_again();
            return PublishError::Refused;
        }
        meaning(code)
    }
}

impl UnderWay {
    async fn resolve(self, shared: Arc<Shared>) -> Result<Ack, PublishError> {
        let UnderWay { delivery, catch_all } = self;
        let message = match flat(wake::gather(delivery).await) {
            Ok(()) => return Ok(Ack::Stored),
            // The topic was deleted after it was chosen: certainly not stored, so it may go elsewhere.
            Err((code, Some(message))) if is_unknown_topic(code) => message,
            Err((code, message)) => return Err(shared.refusal(code, message.as_ref())),
        };
        if message.topic() == catch_all {
            return Err(PublishError::Unroutable);
        }
        shared.signal.look_again();
        let (key, payload) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        let mut record = FutureRecord::to(&catch_all).key(key).payload(payload);
        record.headers = message.headers().cloned();
        let sent = shared.producer.load().send_result(record).map_err(|(error, _record)| shared.failed(&error));
        match flat(wake::gather(sent?).await) {
            Ok(()) => Ok(Ack::Stored),
            Err((code, _)) if is_unknown_topic(code) => Err(PublishError::Unroutable),
            Err((code, message)) => Err(shared.refusal(code, message.as_ref())),
        }
    }
}

type Failed = (Option<RDKafkaErrorCode>, Option<OwnedMessage>);

/// A delivery report; without one the producer was dropped first.
fn flat<C>(report: Result<OwnedDeliveryResult, C>) -> Result<(), Failed> {
    match report {
        Ok(Ok(_delivery)) => Ok(()),
        Ok(Err((error, message))) => Err((error.rdkafka_error_code(), Some(message))),
        Err(_) => Err((None, None)),
    }
}

/// An upper bound of the bytes of a batch of this message only, without compression.
fn size_of_batch(message: &OwnedMessage) -> usize {
    /// The batch's own head, and the lengths in a record and before a header, at their longest.
    const HEADS: (usize, usize, usize) = (61, 32, 10);
    let header = |header: Header<'_, &[u8]>| HEADS.2 + header.key.len() + header.value.map_or(0, <[u8]>::len);
    let headers: usize = message.headers().map_or(0, |headers| headers.iter().map(header).sum());
    let [key, payload] = [message.key(), message.payload()].map(|part| part.map_or(0, <[u8]>::len));
    HEADS.0 + HEADS.1 + key + payload + headers
}

fn is_unknown_topic(code: Option<RDKafkaErrorCode>) -> bool {
    matches!(code, Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic))
}

/// What an error of the client or of a broker means to the caller.
fn meaning(code: Option<RDKafkaErrorCode>) -> PublishError {
    use RDKafkaErrorCode as Code;
    match code {
        Some(Code::QueueFull) => PublishError::Refused,
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge) => {
            PublishError::TooLarge
        }
        Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => PublishError::Unauthorized,
        Some(Code::MessageTimedOut | Code::RequestTimedOut) => PublishError::Timeout,
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => PublishError::Unroutable,
        _ => PublishError::Error,
    }
}

/// The attributes and the content type: nothing that came with the HTTP request.
fn headers(message: &Message, encoding: Encoding) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(20);
    if let Some(value) = message.content_type(Binding::Kafka, encoding) {
        headers = headers.insert(Header { key: "content-type", value: Some(value) });
    }
    for (name, value) in message.headers(Binding::Kafka) {
        headers = headers.insert(Header { key: name, value: Some(value.as_ref()) });
    }
    headers
}
