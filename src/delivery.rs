//! Delivery: makes an event durable, or says that it is not.
//!
//! In: an [`Envelope`]. Out: a [`Receipt`], only after the bus has acknowledged or the spool has fsynced (P1). The work
//! runs in the sender's request; what is left of it when the sender is answered (hedged, or too slow), or when its connection
//! ends, goes on in a task of its own: an event that was verified must not depend on anyone's patience. Knows nothing of
//! HTTP.
//!
//! ```text
//! open gate    deliver -> outlet -> bus
//! closed gate  deliver -> spool  -> journal -> drain -> outlet -> bus
//! refused for good                                   \-> dead letters
//! ```

use std::{
    future::poll_fn,
    io,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, timeout},
};

use crate::{
    body::Body,
    bus::{Ack, Bus, PublishError},
    endpoint::Endpoint,
    envelope::{Envelope, Message, attributes::Attribute},
    journal::AppendError,
    observe::metrics::{EventResult, Metrics},
    recent::{Name, Recent, Seen},
};

pub mod dead_letters;
mod drain;
mod gate;
pub mod replayed;
pub mod spool;

#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;

use self::{drain::Drain, spool::Spool};

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
    /// The bus did not take it, and no disk either.
    #[error("bus: {0}")]
    Bus(#[from] PublishError),
    /// The bus does not take it now, or must not before older ones, and the spool does not take it.
    #[error("spool: {0}")]
    Spool(#[from] AppendError),
    /// The work on it has panicked.
    #[error("publication broken off")]
    BrokenOff,
    /// Not durable within `answer_timeout`.
    #[error("bus too slow")]
    TooSlow,
}

/// The bus, the spool before it, the memory of recent events, and their counters.
#[derive(Debug)]
pub struct Delivery {
    outlet: Outlet,
    spool: Option<(Arc<Spool>, Drain)>,
    recent: Recent,
    answer_timeout: Duration,
    under_way: AtomicUsize,
}

impl Delivery {
    /// Straight to the bus. `recent_events`: bound of the memory. `answer_timeout`: when a sender is told to come again.
    pub fn new(bus: Bus, recent_events: usize, answer_timeout: Duration, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self::direct(bus, recent_events, answer_timeout, metrics))
    }

    /// With a spool before the bus, and its drain.
    ///
    /// # Errors
    /// The system gives no thread for the drain.
    pub fn spooled(
        bus: Bus,
        spool: Arc<Spool>,
        recent_events: usize,
        answer_timeout: Duration,
        metrics: Arc<Metrics>,
    ) -> io::Result<Arc<Self>> {
        let mut delivery = Self::direct(bus, recent_events, answer_timeout, metrics);
        let drain = Drain::start(Arc::clone(&spool), delivery.outlet.clone())?;
        delivery.spool = Some((spool, drain));
        Ok(Arc::new(delivery))
    }

    fn direct(bus: Bus, recent_events: usize, answer_timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Delivery {
            outlet: Outlet { bus, metrics },
            spool: None,
            recent: Recent::new(recent_events),
            answer_timeout,
            under_way: AtomicUsize::new(0),
        }
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
        let name = self.recent.name(&endpoint.identity.name, id, envelope.fingerprint);
        let seen = self.recent.look(name);
        match seen {
            Seen::Repeat => {
                endpoint.metrics.dedup_hits.inc();
                endpoint.metrics.event(label, EventResult::Duplicate);
                return Ok(Receipt { seen });
            }
            Seen::Conflict => endpoint.metrics.id_conflicts.inc(),
            Seen::New => {}
        }
        let (tell, told) = oneshot::channel();
        let Envelope { attributes, body, .. } = envelope;
        let event = Event { endpoint, label, name };
        let message = Message { attributes, body: body.share() };
        let pending = Pending { delivery: Arc::clone(self), event, tell, _under_way: UnderWay::begin(self) };
        let mut work = Work::new(Arc::clone(self).carry(message, body, pending));
        match timeout(self.answer_timeout, work.until(told)).await {
            Ok(Ok(result)) => result.map(|()| Receipt { seen }),
            // A panic: the event is not known to be durable.
            Ok(Err(_)) => Err(Undeliverable::BrokenOff),
            Err(_) => Err(Undeliverable::TooSlow),
        }
    }

    /// `body` keeps its share of the in-flight budget for as long as a bus's client may hold its bytes.
    async fn carry(self: Arc<Self>, message: Message, body: Body, pending: Pending) {
        match &self.spool {
            Some((spool, _)) => spool.carry(&self.outlet, message, pending).await,
            None => pending.settle(self.outlet.publish(message).await),
        }
        drop(body);
    }

    /// Whether an event could be made durable now: by the bus, or by the spool.
    pub fn can_take(&self) -> bool {
        self.bus().up() || self.spool.as_ref().is_some_and(|(spool, _)| spool.stats().up)
    }

    /// Events remembered as durable.
    pub fn remembered(&self) -> usize {
        self.recent.len()
    }

    /// Events not answered yet, also those whose sender has gone.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Acquire)
    }

    /// Events in the dead letters.
    pub fn dead_letters(&self) -> u64 {
        self.spool.as_ref().map_or(0, |(spool, _)| spool.dead_letters.count())
    }

    /// Looks at what `hookbus replay` has sent on of them. Blocks for some reads.
    pub fn forget_replayed(&self) {
        if let Some((spool, _)) = &self.spool {
            spool.dead_letters.forget_replayed();
        }
    }

    /// The bus.
    pub fn bus(&self) -> &Bus {
        &self.outlet.bus
    }

    /// How long ago the drain was last seen; `None` without one.
    pub fn drain_beat(&self) -> Option<Duration> {
        self.spool.as_ref().map(|(_, drain)| drain.beat.age())
    }

    /// Stops the drain, to be called before the event loops end: what they drop unfinished stays in the spool, and must
    /// not be published again by somebody who is about to go. Blocks, at most two seconds.
    pub fn rest(&self) {
        if let Some((_, drain)) = &self.spool {
            drain.stop();
        }
    }

    /// Closes the bus, then the spool. Blocks for as long as their last writes take, at most half a minute.
    pub fn close(&self) {
        self.rest();
        self.bus().close();
        if let Some((spool, _)) = &self.spool {
            spool.close();
        }
    }
}

/// The bus with its counters; all that is published goes through here.
#[derive(Debug, Clone)]
struct Outlet {
    bus: Bus,
    metrics: Arc<Metrics>,
}

impl Outlet {
    /// Hands a message over, by the call; the future is its acknowledgement.
    fn publish(&self, message: Message) -> impl Future<Output = Result<Ack, PublishError>> + Send + 'static + use<> {
        let handed_over = Instant::now();
        let publication = self.bus.publish(message);
        let in_flight = InFlight::begin(&self.metrics);
        async move {
            let result = publication.await;
            in_flight.0.publish_duration.observe(handed_over.elapsed().as_secs_f64());
            in_flight.0.published(result);
            result
        }
    }
}

/// Counts a publication for as long as it lives.
struct InFlight(Arc<Metrics>);

impl InFlight {
    fn begin(metrics: &Arc<Metrics>) -> Self {
        metrics.bus_inflight.inc();
        InFlight(Arc::clone(metrics))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.bus_inflight.dec();
    }
}

/// An event that nobody has been told of yet.
struct Pending {
    delivery: Arc<Delivery>,
    event: Event,
    tell: oneshot::Sender<Told>,
    _under_way: UnderWay,
}

/// What is counted and remembered of an event.
struct Event {
    endpoint: Arc<Endpoint>,
    label: &'static str,
    name: Name,
}

impl Pending {
    /// It is durable: remember it, count it, tell.
    fn durable(self) {
        let Event { endpoint, label, name } = &self.event;
        self.delivery.recent.remember(*name);
        endpoint.metrics.event(label, EventResult::Accepted);
        endpoint.metrics.last_event.set(jiff::Timestamp::now().as_second());
        // The sender may have gone.
        self.tell.send(Ok(())).ok();
    }

    fn failed(self, error: Undeliverable) {
        self.event.endpoint.metrics.event(self.event.label, EventResult::Failed);
        self.tell.send(Err(error)).ok();
    }

    fn settle<T, E: Into<Undeliverable>>(self, result: Result<T, E>) {
        match result {
            Ok(_) => self.durable(),
            Err(error) => self.failed(error.into()),
        }
    }
}

/// The work on one event. It runs in the task that waits for it, which spares nearly every event a task and a wake-up;
/// dropped before its end, it becomes a task. A panic ends the work and nothing else: its sender hears
/// [`Undeliverable::BrokenOff`].
struct Work(Option<Pin<Box<dyn Future<Output = thread::Result<()>> + Send>>>);

/// What the sender is told.
type Told = Result<(), Undeliverable>;

impl Work {
    fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        // After a panic the work is dropped, and nobody looks at what it left half done.
        Work(Some(Box::pin(AssertUnwindSafe(work).catch_unwind())))
    }

    /// Works until the sender can be told; what is left then goes on in a task.
    async fn until(&mut self, mut told: oneshot::Receiver<Told>) -> Result<Told, oneshot::error::RecvError> {
        poll_fn(|cx| {
            if let Some(work) = &mut self.0
                && work.as_mut().poll(cx).is_ready()
            {
                self.0 = None;
            }
            Pin::new(&mut told).poll(cx)
        })
        .await
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Where no event loop runs any more the process ends, and what is not durable was not answered.
        if let (Some(work), Ok(here)) = (self.0.take(), Handle::try_current()) {
            here.spawn(work);
        }
    }
}

/// Counts an event until it is answered.
struct UnderWay(Arc<Delivery>);

impl UnderWay {
    fn begin(delivery: &Arc<Delivery>) -> Self {
        delivery.under_way.fetch_add(1, Ordering::AcqRel);
        UnderWay(Arc::clone(delivery))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}
