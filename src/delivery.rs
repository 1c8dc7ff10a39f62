//! Delivery: makes an event durable, or says that it is not.
//!
//! In: an [`Envelope`]. Out: a [`Receipt`], only after the bus has acknowledged or the spool has fsynced (P1). Knows nothing
//! of HTTP and of sources.
//!
//! ```text
//! open gate    deliver -> spool -> outlet -> bus
//! closed gate  deliver -> spool -> journal -> drain -> outlet -> bus
//! refused for good                                \-> dead letters
//! ```

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    bus::Bus,
    envelope::{Envelope, Message, attributes::Attribute},
    recent::Seen,
    request::Body,
};

pub mod dead_letters;
mod drain;
pub mod flights;
mod gate;
mod keeper;
mod memory_file;
pub mod metrics;
mod outcome;
mod outlet;
mod pending;
#[cfg(test)]
mod planted;
mod read_back;
#[cfg(test)]
mod simulation;
pub mod spool;
mod turns;
pub mod window;
mod work;

#[cfg(test)]
mod tests;

pub use self::outcome::{Cause, Reason, Receipt, Undeliverable};
use self::{
    drain::Drain,
    keeper::Keeper,
    metrics::{DeliveryMetrics, EventCounters},
    outlet::Outlet,
    pending::{Events, Pending},
    read_back::{Names, read_back},
    spool::Spool,
    work::{Done, Work},
};

/// The bus, the spool before it, and the memory of recent events.
#[derive(Debug)]
pub struct Delivery {
    outlet: Outlet,
    spool: Option<(Arc<Spool>, Drain)>,
    events: Arc<Events>,
    answer_timeout: Duration,
}

impl Delivery {
    /// `spool`: with its drain before the bus; without one, events go straight to it. `recent_events`: bound of the memory.
    /// `answer_timeout`: after it the sender has to come again.
    ///
    /// # Errors
    /// The system gives no thread for the drain.
    pub fn new(
        bus: Bus,
        spool: Option<Arc<Spool>>,
        recent_events: usize,
        answer_timeout: Duration,
        metrics: Arc<DeliveryMetrics>,
    ) -> io::Result<Arc<Self>> {
        let outlet = Outlet::new(bus, metrics);
        let start = |spool: Arc<Spool>| Drain::start(Arc::clone(&spool), outlet.clone()).map(|drain| (spool, drain));
        let spool = spool.map(start).transpose()?;
        Ok(Arc::new(Delivery { outlet, spool, events: Events::new(recent_events), answer_timeout }))
    }

    /// Reads back which events were recent before this start, at most `bound`: from the embedded bus, which lies in
    /// `directory`, or from a file there, which is kept from now on if there is a spool. Blocks for the time of the reads.
    pub fn read_back(&self, directory: &Path, bound: usize) {
        let recent = &self.events.recent;
        let Bus::Journal(journal) = self.bus() else {
            if self.spool.is_some() {
                self.keep(directory, bound);
            }
            return;
        };
        let incarnation = self.bus().incarnation_number();
        read_back(journal, directory, bound, |Names { source, id, fingerprint }| {
            recent.remember(recent.name(source, id, fingerprint, incarnation));
        });
    }

    fn keep(&self, directory: &Path, bound: usize) {
        match Keeper::start(directory, bound, self.bus().clone(), Arc::clone(&self.events)) {
            Ok(keeper) => drop(self.outlet.keeper.set(keeper)),
            Err(error) => tracing::warn!(%error, "recent events are not kept for the next start"),
        }
    }

    /// Makes an event of a source durable. The work runs in the caller's task; what is left of it after the answer, or when
    /// the caller goes, runs on in a task of its own.
    ///
    /// # Errors
    /// See [`Undeliverable`]. After [`Undeliverable::TooSlow`] the publication goes on.
    pub async fn deliver(
        self: &Arc<Self>,
        envelope: Envelope,
        source: &str,
        counters: Arc<EventCounters>,
    ) -> Result<Receipt, Undeliverable> {
        let Envelope { attributes, body, fingerprint } = envelope;
        let id = attributes.get(Attribute::Id).unwrap_or_default();
        let name = self.events.recent.name(source, id, fingerprint, self.bus().incarnation_number());
        let seen = self.events.recent.look(name);
        match seen {
            Seen::Repeat => {
                // A vendor that sends much again may have been asked to, since the bus has lost it.
                self.bus().doubt();
                counters.dedup_hits.inc();
                counters.duplicate.inc();
                return Ok(Receipt { seen });
            }
            Seen::Conflict => counters.id_conflicts.inc(),
            Seen::New => {}
        }
        let message = Message { attributes, body: body.share() };
        let pending = Pending::new(&self.events, counters, name);
        let work = Work::new(Arc::clone(self).carry(message, body, pending));
        match timeout(self.answer_timeout, work).await {
            Ok(Some(answer)) => answer.map(|()| Receipt { seen }),
            // A panic: the event is not known to be durable.
            Ok(None) => Err(Undeliverable::BrokenOff),
            Err(_) => Err(Undeliverable::TooSlow),
        }
    }

    /// `body` keeps its share of the in-flight budget for as long as a bus's client may hold its bytes.
    async fn carry(self: Arc<Self>, message: Message, body: Body, pending: Pending) -> Done {
        let done = match &self.spool {
            Some((spool, _)) => spool.carry(&self.outlet, message, pending).await,
            None => pending.settle(self.outlet.publish(message).await).into(),
        };
        done.keeping(body)
    }

    /// Whether an event could be made durable now: by the bus, or by the spool.
    pub fn can_take(&self) -> bool {
        self.bus().up() || self.spool.as_ref().is_some_and(|(spool, _)| spool.stats().up)
    }

    /// How often the bus was seen to have lost what it held: since the start, or before it.
    pub fn bus_losses(&self) -> u64 {
        let before = self.outlet.keeper.get().is_some_and(Keeper::found_loss);
        self.bus().incarnation_number() + u64::from(before)
    }

    /// Events remembered as durable.
    pub fn remembered(&self) -> usize {
        self.events.recent.len()
    }

    /// Events without an answer, also those whose sender has gone.
    pub fn under_way(&self) -> usize {
        self.events.pending()
    }

    /// Keys of which the bus refuses an event while it takes others.
    pub fn refused_keys(&self) -> usize {
        self.spool.as_ref().map_or(0, |(spool, _)| spool.gate().refused_keys())
    }

    /// Events in the dead letters.
    pub fn dead_letters(&self) -> u64 {
        self.spool.as_ref().map_or(0, |(spool, _)| spool.dead_letters.count())
    }

    /// Looks at what `hookbus replay` has sent of them. Blocks for some reads.
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

    /// Stops the drain, to be called before the event loops end: what they drop unfinished stays in the spool, and a
    /// drain that is about to end must not publish it again. Blocks, at most two seconds.
    pub fn stop_drain(&self) {
        if let Some((_, drain)) = &self.spool {
            drain.stop();
        }
    }

    /// Closes the bus, then the spool. Blocks for as long as their last writes take, at most half a minute.
    pub fn close(&self) {
        self.stop_drain();
        self.bus().close();
        self.outlet.keeper.get().inspect(|keeper| keeper.stop());
        if let Some((spool, _)) = &self.spool {
            spool.close();
        }
    }
}
