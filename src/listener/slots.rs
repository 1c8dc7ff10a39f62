//! How many connections there may be.

use std::{os::fd::AsRawFd as _, sync::Arc};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::intake::Gateway;

/// Open connections of all workers against their limit. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Slots {
    free: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    limits: Limits,
}

/// What [`Slots`] allow.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// A connection's file descriptor is below this number: those above are for everything else. The system gives the lowest
    /// number that is free, so that this number says how many are in use.
    pub descriptors: usize,
    /// Connections beyond these at once whose senders still read why.
    pub refusals: usize,
}

/// One open connection's slot, given back when it is dropped.
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
    gateway: Arc<Gateway>,
}

impl Slots {
    /// None taken.
    pub fn new(limits: Limits) -> Self {
        let [free, refusals] = [limits.connections, limits.refusals].map(|most| Arc::new(Semaphore::new(most)));
        Slots { free, refusals, limits }
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.limits.connections - self.free.available_permits()
    }

    pub(super) fn take(&self, stream: &TcpStream, gateway: &Arc<Gateway>) -> Option<Slot> {
        usize::try_from(stream.as_raw_fd()).ok().filter(|number| *number < self.limits.descriptors)?;
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        gateway.metrics.connections.inc();
        Some(Slot { _permit: permit, gateway: Arc::clone(gateway) })
    }

    /// The place of a connection that is being refused.
    pub(super) fn refuse(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.refusals).try_acquire_owned().ok()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gateway.metrics.connections.dec();
    }
}
