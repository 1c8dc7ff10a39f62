//! The Kafka bus: one idempotent producer for the process, and a watcher that knows which topics exist.
//!
//! In: messages. Out: their acknowledgements, from all in-sync replicas. It never makes a topic, never waits for a
//! missing one (metadata knows it before a time-out does), never republishes what may already be in the log, and never
//! stops the start because a broker is away.

mod causes;
pub mod consumer;
mod context;
mod deaf;
mod durability;
mod ear;
mod ends;
pub mod inspection;
mod lanes;
mod partitioner;
mod producer;
pub mod provision;
mod publication;
pub mod reader;
mod settings;
mod shared;
mod signal;
#[cfg(test)]
mod tests;
pub mod topics;
mod watch;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};

pub(super) use self::publication::UnderWay;
pub use self::settings::OpenError;
use self::{producer::Producer, shared::Shared, signal::Signal};
use super::{
    incarnation::Incarnations,
    metrics::BusMetrics,
    publication::{Kind, Publication},
};
use crate::{config::Config, envelope::Message};

/// Longest wait at the end for what was handed over. The watcher's own requests take eight seconds at most.
const FLUSH_LIMIT: Duration = Duration::from_secs(6);
/// Longest wait at the start for the first word of a broker, so that the first requests find the bus known.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// Longest wait after it for the topics' settings, which may stop the start.
const FIRST_SETTINGS: Duration = Duration::from_secs(6);

/// The Kafka bus. Cheap to clone.
#[derive(Clone)]
pub struct Kafka(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    watcher: Mutex<Option<JoinHandle<()>>>,
}

impl Kafka {
    /// Makes the producer and starts the watcher. Waits two seconds at most for a first word of a broker and goes on
    /// without one; after one, waits for what the topics are set to.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(config: &Config, metrics: BusMetrics) -> Result<Self, OpenError> {
        let settings = settings::producer(&config.bus.kafka)?;
        let signal = Arc::new(Signal::default());
        let producer = Producer::new(&settings, Arc::clone(&signal), metrics.clone())?;
        let shared = Arc::new(Shared {
            producer: ArcSwap::from_pointee(producer),
            topics: ArcSwapOption::empty(),
            limits: ArcSwapOption::empty(),
            refused: ArcSwap::default(),
            acknowledged: AtomicBool::default(),
            ends: ends::Ends::default(),
            signal: Arc::clone(&signal),
            encoding: config.bus.encoding,
            metrics,
        });
        let watcher = watch::start(Arc::clone(&shared), config.clone(), settings)?;
        signal.wait_for_first_look(FIRST_LOOK, FIRST_SETTINGS);
        let refusals = signal.refusals();
        let kafka = Kafka(Arc::new(Inner { shared, watcher: Mutex::new(Some(watcher)) }));
        if refusals.is_empty() {
            return Ok(kafka);
        }
        kafka.close();
        Err(OpenError::Topics(refusals.join("; ")))
    }

    /// Publishes one message. It has its place in the line when this returns; the future resolves with the delivery
    /// report.
    ///
    /// # Errors
    /// [`super::PublishError::Refused`] when nothing was handed over and a retry may succeed: no broker has been heard of yet,
    /// or the queue is full. [`super::PublishError::Unroutable`] when neither the topic nor the catch-all exists.
    /// [`super::PublishError::Timeout`] when no broker took it within five minutes: unknown, it may be in the log.
    /// [`super::PublishError::Error`] when the producer had to be given up: unknown as well. Nothing is published a second time
    /// here, since only the caller can keep the order; a second publication carries the same event id.
    pub fn publish(&self, message: &Message) -> Publication {
        Publication(match self.0.shared.hand_over(message) {
            Ok(under_way) => Kind::Kafka(under_way),
            Err(error) => Kind::Boxed(Box::pin(std::future::ready(Err(error)))),
        })
    }

    /// Of the topics that the configuration can lead to, all together.
    pub(super) fn incarnations(&self) -> &Incarnations {
        &self.0.shared.ends.incarnations
    }

    /// Looks at the ends of the partitions with the next look.
    pub(super) fn look_again(&self) {
        self.0.shared.ends.doubt.store(true, Ordering::Relaxed);
    }

    /// Whether a broker answered the last time it was asked, and events that wait are acknowledged.
    pub fn up(&self) -> bool {
        self.0.shared.signal.up.load(Ordering::Acquire)
    }

    /// Writes out what was handed over and stops the watcher; blocks, ten seconds at most.
    pub fn close(&self) {
        let shared = &self.0.shared;
        // First, so that the watcher's last request and the flush go side by side.
        shared.signal.stop();
        if let Err(error) = shared.producer.load().flush(FLUSH_LIMIT) {
            tracing::warn!(%error, events = shared.producer.load().under_way(), "kafka: closed with events under way");
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
