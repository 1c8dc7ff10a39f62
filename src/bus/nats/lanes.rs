//! The workers' own connections, and the drain's.
//!
//! In: event loops that publish much. Out: a connection on each. On the way over the process's connection an event goes
//! to another thread and its acknowledgement comes back: two wake-ups of sleeping threads, which cost more than the rest of
//! the client does.

use std::{
    sync::Arc,
    thread::{self, ThreadId},
};

use arc_swap::ArcSwap;

use super::{Shared, connection};
use crate::config::Config;

/// The connections by the thread of their event loop: a few, so that a look at each is quick.
#[derive(Debug)]
pub(super) struct Lanes {
    config: Config,
    open: ArcSwap<Vec<(ThreadId, Arc<Shared>)>>,
}

impl Lanes {
    pub(super) fn new(config: &Config) -> Self {
        Lanes { config: config.clone(), open: ArcSwap::default() }
    }

    /// This thread's connection, while it stands. One that does not come up (an account may have a limit of
    /// connections) must not hold anything back: the process's serves then.
    pub(super) fn up(&self) -> Option<Arc<Shared>> {
        self.own().filter(|lane| lane.link.borrow().up)
    }

    fn own(&self) -> Option<Arc<Shared>> {
        let thread = thread::current().id();
        self.open.load().iter().find(|(owner, _)| *owner == thread).map(|(_, lane)| Arc::clone(lane))
    }

    /// Opens one on this event loop. Without it, the process's connection serves.
    pub(super) async fn open(&self) {
        match connection::open(&self.config, None).await {
            Ok(lane) => self.change(|lanes| lanes.push((thread::current().id(), Arc::clone(&lane)))),
            Err(error) => {
                tracing::warn!(%error, "NATS: no connection of its own for this event loop, the process's serves")
            }
        }
    }

    /// Closes this thread's.
    pub(super) async fn close(&self) {
        if let Some(lane) = self.own() {
            connection::close(&lane.client).await;
            self.change(|lanes| lanes.retain(|(owner, _)| *owner != thread::current().id()));
        }
    }

    fn change(&self, change: impl Fn(&mut Vec<(ThreadId, Arc<Shared>)>)) {
        self.open.rcu(|lanes| {
            let mut lanes = lanes.to_vec();
            change(&mut lanes);
            lanes
        });
    }
}
