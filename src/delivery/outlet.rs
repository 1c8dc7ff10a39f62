//! The bus with its counters: everything that is published goes through here.

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::{
    keeper::{Keeper, Kept},
    metrics::DeliveryMetrics,
};
use crate::{
    bus::{Ack, Bus, PublishError},
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
    pub(super) fn publish(
        &self,
        message: Message,
    ) -> impl Future<Output = Result<Ack, PublishError>> + Send + 'static + use<> {
        let handed_over = Instant::now();
        let kept = self.keeper.get().map(|_| (Arc::clone(&self.keeper), Kept::new(&message, &self.bus)));
        let publication = self.bus.publish(message);
        let in_flight = InFlight::begin(&self.metrics);
        async move {
            let result = publication.await;
            in_flight.0.publish_duration.observe(handed_over.elapsed().as_secs_f64());
            in_flight.0.published.inc(result);
            if let (Ok(_), Some((keeper, kept))) = (result, kept) {
                keeper.get().inspect(|keeper| keeper.stored(kept));
            }
            result
        }
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
