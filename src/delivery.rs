//! Delivery: makes an event durable, or says that it is not.
//!
//! In: an [`Envelope`]. Out: a [`Receipt`], only after the bus has acknowledged (P1). The work runs in a task of its
//! own: hyper drops a handler when the client closes or merely half-closes its side, and an event that was verified must
//! not depend on the sender's patience. Knows nothing of HTTP.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::{
    bus::{Ack, Bus, PublishError},
    endpoint::Endpoint,
    envelope::{Envelope, Message, attributes::Attribute},
    observe::metrics::{EventResult, Metrics},
    recent::{Recent, Seen},
};

/// Proof that an event is durable; only this room makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    seen: Seen,
}

impl Receipt {
    /// What the memory of recent events said of it.
    pub fn seen(self) -> Seen {
        self.seen
    }
}

/// Why an event is not durable. It may still become so; the sender's retry carries the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undeliverable {
    /// The bus did not take it.
    #[error("bus: {0}")]
    Bus(#[from] PublishError),
    /// The task that published it has panicked.
    #[error("publication broken off")]
    BrokenOff,
    /// No acknowledgement within `answer_timeout`.
    #[error("bus too slow")]
    TooSlow,
}

/// The bus, the memory of recent events, and their counters.
#[derive(Debug)]
pub struct Delivery {
    bus: Bus,
    recent: Recent,
    metrics: Arc<Metrics>,
    answer_timeout: Duration,
    under_way: AtomicUsize,
}

impl Delivery {
    /// `recent_events`: bound of the memory. `answer_timeout`: when a sender is told to come again.
    pub fn new(bus: Bus, recent_events: usize, answer_timeout: Duration, metrics: Arc<Metrics>) -> Arc<Self> {
        let recent = Recent::new(recent_events);
        Arc::new(Delivery { bus, recent, metrics, answer_timeout, under_way: AtomicUsize::new(0) })
    }

    /// Makes an event durable. `label`: its metric label.
    ///
    /// # Errors
    /// See [`Undeliverable`]. After [`Undeliverable::TooSlow`] the publication goes on.
    pub async fn deliver(
        self: &Arc<Self>,
        envelope: Envelope,
        endpoint: Arc<Endpoint>,
        label: &'static str,
    ) -> Result<Receipt, Undeliverable> {
        let id = envelope.attributes.get(Attribute::Id).unwrap_or_default();
        let seen = self.recent.look(&endpoint.identity.name, id, envelope.fingerprint);
        match seen {
            Seen::Repeat => {
                endpoint.metrics.dedup_hits.inc();
                endpoint.metrics.event(label, EventResult::Duplicate);
                return Ok(Receipt { seen });
            }
            Seen::Conflict => endpoint.metrics.id_conflicts.inc(),
            Seen::New => {}
        }
        let work = tokio::spawn(Arc::clone(self).publish(envelope, endpoint, label));
        match timeout(self.answer_timeout, work).await {
            Ok(Ok(Ok(_))) => Ok(Receipt { seen }),
            Ok(Ok(Err(error))) => Err(error.into()),
            // A panic in the task: the event is not known to be durable.
            Ok(Err(_)) => Err(Undeliverable::BrokenOff),
            Err(_) => Err(Undeliverable::TooSlow),
        }
    }

    async fn publish(
        self: Arc<Self>,
        envelope: Envelope,
        endpoint: Arc<Endpoint>,
        label: &'static str,
    ) -> Result<Ack, PublishError> {
        let Envelope { attributes, body, fingerprint } = envelope;
        let id = attributes.get(Attribute::Id).unwrap_or_default().to_owned();
        let _under_way = UnderWay::begin(&self);
        let handed_over = Instant::now();
        let result = self.bus.publish(Message { attributes, body: body.share() }).await;
        self.metrics.publish_duration.observe(handed_over.elapsed().as_secs_f64());
        self.metrics.published(result);
        match result {
            Ok(_) => {
                self.recent.remember(&endpoint.identity.name, &id, fingerprint);
                endpoint.metrics.event(label, EventResult::Accepted);
                endpoint.metrics.last_event.set(jiff::Timestamp::now().as_second());
            }
            Err(_) => endpoint.metrics.event(label, EventResult::Failed),
        }
        result
    }

    /// Events remembered as durable.
    pub fn remembered(&self) -> usize {
        self.recent.len()
    }

    /// Publications under way, also those whose sender has gone.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Acquire)
    }

    /// The bus, to be closed at the end.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }
}

/// Counts a publication for as long as it lives.
struct UnderWay<'a>(&'a Delivery);

impl<'a> UnderWay<'a> {
    fn begin(delivery: &'a Delivery) -> Self {
        delivery.under_way.fetch_add(1, Ordering::AcqRel);
        delivery.metrics.bus_inflight.inc();
        UnderWay(delivery)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        self.0.metrics.bus_inflight.dec();
    }
}
