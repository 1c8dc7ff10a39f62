//! The bus with its counters: everything that is published goes through here.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use tokio::time::Instant;

use super::{
    keeper::{Keeper, Kept},
    metrics::DeliveryMetrics,
};
use crate::{
    bus::{Ack, Bus, Publication, PublishError},
    envelope::Message,
};

/// The way out.
#[derive(Debug, Clone)]
pub(super) struct Outlet {
    pub(super) bus: Bus,
    pub(super) metrics: Arc<DeliveryMetrics>,
    /// Of what the bus has acknowledged, where that is kept for the next start.
    pub(super) keeper: Arc<OnceLock<Keeper>>,
}

impl Outlet {
    pub(super) fn new(bus: Bus, metrics: Arc<DeliveryMetrics>) -> Self {
        Outlet { bus, metrics, keeper: Arc::default() }
    }

    /// Hands a message over, by the call; the future is its acknowledgement.
    pub(super) fn publish(&self, message: Message) -> Publishing {
        let handed_over = Instant::now();
        let kept = self.keeper.get().map(|_| (Arc::clone(&self.keeper), Kept::new(&message, &self.bus)));
        let publication = self.bus.publish(message);
        Publishing { publication, handed_over, in_flight: Some(InFlight::begin(&self.metrics)), kept }
    }
}

/// A publication that is counted; it can be moved.
pub(super) struct Publishing {
    publication: Publication,
    handed_over: Instant,
    /// Until it ends.
    in_flight: Option<InFlight>,
    kept: Option<(Arc<OnceLock<Keeper>>, Kept)>,
}

impl Future for Publishing {
    type Output = Result<Ack, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.publication).poll(cx));
        if let Some(InFlight(metrics)) = &self.in_flight.take() {
            metrics.publish_duration.observe(self.handed_over.elapsed().as_secs_f64());
            metrics.published.inc(result);
        }
        if let (Ok(_), Some((keeper, kept))) = (result, self.kept.take()) {
            keeper.get().inspect(|keeper| keeper.stored(kept));
        }
        Poll::Ready(result)
    }
}

/// Counts a publication for as long as it lives.
struct InFlight(Arc<DeliveryMetrics>);

impl InFlight {
    fn begin(metrics: &Arc<DeliveryMetrics>) -> Self {
        metrics.bus_inflight.inc();
        InFlight(Arc::clone(metrics))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.bus_inflight.dec();
    }
}
