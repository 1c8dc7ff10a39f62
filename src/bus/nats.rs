//! The NATS JetStream bus.
//!
//! In: messages. Out: an acknowledgement for each, once the stream has it. It never makes a stream by itself, never
//! takes a timeout for a failure, and lets nothing of a request become a `Nats-*` header.
//!
//! The process has one connection on a thread of its own (`connection`). It reads the stream's settings, shows whether the
//! bus is up, and serves every event loop whose own connection is down. Each worker and the drain also have a connection on
//! their own event loop (`worker_connections`), where neither an event nor its acknowledgement changes threads.
//!
//! A publication carries its own reply subject through all its attempts, so an acknowledgement that comes late, even
//! over a later connection, still ends it. The client's own request table would keep an entry for each lost answer.

mod attempts;
mod connection;
pub mod consumer;
mod durability;
mod headers;
mod inflight;
mod known;
mod login;
pub mod permissions;
pub mod provision;
mod pub_ack;
mod publication;
pub mod reader;
mod shared;
mod subjects;
mod violation;
mod worker_connections;

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread::JoinHandle,
};

pub use self::{
    connection::{Refusals, connect_and_hear, connect_once},
    durability::{Verdict, judge},
    shared::StartError,
    subjects::wanted,
};
use self::{shared::Shared, worker_connections::WorkerConnections};
use super::{incarnation::Incarnations, metrics::BusMetrics, outcome::Boxed};
use crate::{config::Config, envelope::Message};

/// The bus. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Nats {
    shared: Arc<Shared>,
    workers: Arc<WorkerConnections>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Nats {
    /// Connects and looks at the stream. A broker that is away is no error: the client tries for ever.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: &Config, metrics: BusMetrics) -> Result<Self, StartError> {
        let (shared, thread) = connection::start(config, metrics)?;
        let workers = Arc::new(WorkerConnections::new(config, Arc::clone(&shared.common)));
        Ok(Nats { shared, workers, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Gives the event loop that calls this, and stays on its thread, a connection of its own. Its publications must be
    /// polled there to their end.
    pub(super) async fn attach(&self) {
        self.workers.open().await;
    }

    /// Writes out what went over this event loop's own connection, and closes it.
    pub(super) async fn detach(&self) {
        self.workers.close().await;
    }

    /// Publishes one message. Calls over one connection keep their order, also while it is down; only an attempt that must
    /// be repeated falls behind. While the connection is down the message waits here, not in the client, so that it counts
    /// against the caller's memory and can be refused as a whole. A publication goes on when it is dropped, unless it goes
    /// over this event loop's own connection.
    pub(super) fn publish(&self, message: Message) -> Boxed {
        match self.workers.up() {
            Some(own) => publication::publish_here(own, message),
            None => publication::publish(&self.shared, message),
        }
    }

    /// Of the stream.
    pub(super) fn incarnations(&self) -> &Incarnations {
        &self.shared.common.incarnations
    }

    /// Looks at the stream soon.
    pub(super) fn look_again(&self) {
        self.shared.common.look.notify_one();
    }

    /// Whether the connection stands, no answer is missed, and the stream is one to publish to.
    pub(super) fn up(&self) -> bool {
        let common = &self.shared.common;
        self.shared.link.borrow().up && !common.answers.are_missed() && !common.refused.load(Ordering::Acquire)
    }

    /// Writes out what was handed over and closes the connection; blocks, at most some seconds.
    pub(super) fn close(&self) {
        self.shared.stop.send_replace(true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that panicked has nothing left to write.
            let _panicked = thread.join();
        }
    }
}
