//! The workers' own connections, and the drain's.
//!
//! Over the process's connection an event goes to another thread and its acknowledgement comes back: two wake-ups of
//! sleeping threads, which cost more than the rest of the client.

use std::{
    sync::Arc,
    thread::{self, ThreadId},
};

use arc_swap::ArcSwap;

use super::{
    connection,
    shared::{Common, Shared},
};
use crate::config::Config;

/// The connections by the thread of their event loop: a few, so that a look at each is quick.
#[derive(Debug)]
pub(super) struct WorkerConnections {
    config: Config,
    common: Arc<Common>,
    open: ArcSwap<Vec<(ThreadId, Arc<Shared>)>>,
}

impl WorkerConnections {
    pub(super) fn new(config: &Config, common: Arc<Common>) -> Self {
        WorkerConnections { config: config.clone(), common, open: ArcSwap::default() }
    }

    /// This thread's connection, while it stands. One that does not come up (an account may have a limit of
    /// connections) must hold nothing back: then the process's serves.
    pub(super) fn up(&self) -> Option<Arc<Shared>> {
        self.own().filter(|own| own.link.borrow().up)
    }

    fn own(&self) -> Option<Arc<Shared>> {
        let thread = thread::current().id();
        self.open.load().iter().find(|(owner, _)| *owner == thread).map(|(_, own)| Arc::clone(own))
    }

    /// Opens one on this event loop. Without it, the process's connection serves.
    pub(super) async fn open(&self) {
        match connection::open(&self.config, Arc::clone(&self.common), None).await {
            Ok(own) => self.change(|open| open.push((thread::current().id(), Arc::clone(&own)))),
            Err(error) => {
                tracing::warn!(%error, "NATS: no connection of its own for this event loop, the process's serves")
            }
        }
    }

    /// Closes this thread's.
    pub(super) async fn close(&self) {
        if let Some(own) = self.own() {
            connection::close(&own.client).await;
            self.change(|open| open.retain(|(owner, _)| *owner != thread::current().id()));
        }
    }

    fn change(&self, change: impl Fn(&mut Vec<(ThreadId, Arc<Shared>)>)) {
        self.open.rcu(|open| {
            let mut open = open.to_vec();
            change(&mut open);
            open
        });
    }
}
