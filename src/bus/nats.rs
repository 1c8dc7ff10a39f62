//! The NATS JetStream bus.
//!
//! In: messages. Out: an acknowledgement for each, once the stream has it. It never makes a stream by itself, never
//! takes a timeout for a failure, and lets nothing of a request become a `Nats-*` header: every header is named here.
//!
//! One connection for the process, on a thread with an event loop of its own (`connection`): it looks at the stream, says
//! whether the bus is up, serves whoever has none of his own that stands, and outlives the workers. And one for each worker
//! and for the drain, on its own event loop (`lanes`): neither an event nor its acknowledgement changes threads there.
//!
//! A publication carries its own reply subject through all its attempts, so an acknowledgement that comes late, even
//! over a later connection, still ends it. The client's own request table would keep an entry for each lost answer.

mod answer;
mod connection;
mod durability;
mod headers;
mod incoming;
mod lanes;
mod login;
pub mod provision;
mod publication;
pub mod rights;
mod subjects;
mod waiting;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use async_nats::jetstream::{
    ErrorCode,
    context::{GetStreamError, GetStreamErrorKind},
};
use tokio::{
    runtime::Handle,
    sync::{Mutex as Turnstile, watch},
};

pub use self::{
    connection::connect_once,
    durability::{Verdict, judge},
    incoming::Follower,
    subjects::{covers, wanted},
};
use self::{lanes::Lanes, waiting::Waiting};
use super::Publication;
use crate::{
    config::{Config, Encoding},
    envelope::Message,
    observe::metrics::Metrics,
};

/// Why the bus does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file of the login cannot be read any more, or is none.
    #[error("{}: {error}", file.display())]
    Login {
        /// The file.
        file: PathBuf,
        /// What the system, or the client, said.
        error: io::Error,
    },
    /// The client refuses its settings.
    #[error("{0}")]
    Client(async_nats::ConnectError),
    /// The stream loses acknowledged events by its nature.
    #[error("{0}")]
    Stream(String),
    /// The operating system gives no thread.
    #[error("no thread: {0}")]
    Thread(#[from] io::Error),
}

/// Whether an answer says that the stream does not exist, and not that the broker cannot tell now.
fn no_such_stream(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// The bus. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Nats {
    shared: Arc<Shared>,
    lanes: Arc<Lanes>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What publications and the connection's thread share.
#[derive(Debug)]
struct Shared {
    client: async_nats::Client,
    /// The connection's event loop.
    runtime: Handle,
    context: async_nats::jetstream::Context,
    stream: String,
    encoding: Encoding,
    /// How long one attempt waits.
    ack_timeout: Duration,
    /// How long a publication goes on.
    publish_timeout: Duration,
    /// Reply subjects begin with it and end in a ticket's number.
    inbox: String,
    waiting: Arc<Waiting>,
    link: watch::Sender<Link>,
    /// Keeps the order of the calls while the connection is down or its queue is full.
    turn: Turnstile<()>,
    /// What the broker last said about the stream, asked at most once a second however many publications want to know.
    existence: Turnstile<Option<publication::Known>>,
    stop: watch::Sender<bool>,
}

/// The connection, as the client last told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Link {
    up: bool,
    /// Connections made so far: what was handed over to an earlier one may be lost.
    connects: u64,
    /// Whether a first attempt has ended, either way.
    tried: bool,
}

impl Nats {
    /// Connects and looks at the stream. A broker that is away is no error: the client tries for ever.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: &Config, metrics: &Arc<Metrics>) -> Result<Self, StartError> {
        let (shared, thread) = connection::start(config, metrics)?;
        let lanes = Arc::new(Lanes::new(config));
        Ok(Nats { shared, lanes, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Gives the event loop that calls this, and stays on its thread, a connection of its own. Its publications must be
    /// polled there to their end.
    pub(super) async fn attach(&self) {
        self.lanes.open().await;
    }

    /// Writes out what went over this event loop's own connection, and closes it.
    pub(super) async fn detach(&self) {
        self.lanes.close().await;
    }

    /// Publishes one message. Calls over one connection keep their order, also while it is down; only an attempt that must
    /// be repeated falls behind. While the connection is down the message waits here, not in the client, so that it counts
    /// against the caller's memory and can be refused as a whole. A publication goes on when it is dropped, unless it goes
    /// over this event loop's own connection.
    pub(super) fn publish(&self, message: Message) -> Publication {
        match self.lanes.up() {
            Some(lane) => publication::publish_here(lane, message),
            None => publication::publish(&self.shared, message),
        }
    }

    /// Whether the connection stands.
    pub(super) fn up(&self) -> bool {
        self.shared.link.borrow().up
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
