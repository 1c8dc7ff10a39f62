//! What the files of this room have in common.

use std::{
    error::Error,
    io, iter,
    path::PathBuf,
    sync::{
        Arc, Mutex as SyncMutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{
    ConnectErrorKind,
    jetstream::{
        self, ErrorCode,
        context::{GetStreamError, GetStreamErrorKind},
        stream::Info,
    },
};
use log_once::LogOnce;
use tokio::{
    runtime::Handle,
    sync::{Mutex, Notify, watch},
    time::{Instant, sleep},
};

use super::{attempts::Said, inflight::Inflight};
use crate::{bus::incarnation::Incarnations, config::Encoding};

/// How soon a fault that goes on, or comes back, is said again.
pub(super) const SAY_AGAIN: Duration = Duration::from_mins(1);

/// How often the client asks a silent server whether it is there. After two questions without an answer it looks for another.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long an answer that did not come speaks against the bus: until the client has seen for itself.
const LATELY: Duration = Duration::from_secs(3 * ASK_EVERY.as_secs());

/// Longest wait for a look after a new connection, milliseconds: less than an event waits before it is spooled.
const JUDGED_WITHIN: u64 = 1000;
/// Between two looks whether it has come.
const JUDGED_AGAIN: Duration = Duration::from_millis(5);

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

impl StartError {
    /// Whether no server was reached. One whose certificate is not taken, or that speaks no NATS, was.
    pub fn is_away(&self) -> bool {
        let StartError::Client(error) = self else { return false };
        // The client's word for a failed handshake is "IO error", too.
        let is_answer = |cause: &(dyn Error + 'static)| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
        };
        matches!(error.kind(), ConnectErrorKind::Dns | ConnectErrorKind::TimedOut | ConnectErrorKind::Io)
            && !iter::successors(error.source(), |&cause| cause.source()).any(is_answer)
    }
}

/// Whether an answer says that the stream does not exist, and not that the broker cannot answer now.
pub(super) fn no_such_stream(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// What all connections of the process know of the stream.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) incarnations: Incarnations,
    /// Whether the stream loses what it acknowledges, which is not waived: nothing is published to it.
    pub(super) refused: AtomicBool,
    pub(super) answers: Answers,
    /// Asks for a look at the stream before the next one is due.
    pub(super) look: Notify,
    /// Until when publications wait for a look, as [`Answers`] counts time: after a new connection, which may lead to
    /// another stream.
    unjudged_until: AtomicU64,
    /// Guards the line about answers that are not the stream's.
    pub(super) foreign: SyncMutex<LogOnce<()>>,
    /// What was last said of servers that cannot be reached.
    pub(super) unreached: Said,
}

impl Default for Common {
    fn default() -> Self {
        Common {
            incarnations: Incarnations::default(),
            refused: AtomicBool::default(),
            answers: Answers::default(),
            look: Notify::new(),
            unjudged_until: AtomicU64::new(0),
            foreign: SyncMutex::new(LogOnce::repeated(SAY_AGAIN)),
            unreached: Said::default(),
        }
    }
}

impl Common {
    /// There is a new connection.
    pub(super) fn unjudged(&self) {
        self.unjudged_until.store(self.answers.now() + JUDGED_WITHIN, Ordering::Release);
        self.look.notify_one();
    }

    /// The stream was looked at.
    pub(super) fn looked(&self) {
        self.unjudged_until.store(0, Ordering::Release);
    }

    /// Waits for a look after a new connection; without one, not for long.
    pub(super) async fn judged(&self) {
        loop {
            let until = self.unjudged_until.load(Ordering::Acquire);
            if until == 0 || until <= self.answers.now() {
                return;
            }
            sleep(JUDGED_AGAIN).await;
        }
    }
}

/// Whether the stream answers. A connection stands for a while after the server has frozen, and a server answers for its
/// connection when the stream has lost its quorum.
#[derive(Debug)]
pub(super) struct Answers {
    start: Instant,
    /// When an attempt last ended without an answer, milliseconds since the start; 0: there was an answer since.
    missed: AtomicU64,
}

impl Default for Answers {
    fn default() -> Self {
        Answers { start: Instant::now(), missed: AtomicU64::new(0) }
    }
}

impl Answers {
    /// An answer came. For each event, so it only writes when there is something to say.
    pub(super) fn came(&self) {
        if self.missed.load(Ordering::Relaxed) != 0 {
            self.missed.store(0, Ordering::Relaxed);
        }
    }

    /// An attempt has ended without one.
    pub(super) fn missed(&self) {
        self.missed.store(self.now(), Ordering::Relaxed);
    }

    /// Whether one is missed. One that was missed long ago says nothing any more: with no event since, the client's own
    /// question tells whether the server is there.
    pub(super) fn are_missed(&self) -> bool {
        let missed = self.missed.load(Ordering::Relaxed);
        missed != 0 && self.now().saturating_sub(missed) < u64::try_from(LATELY.as_millis()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

/// What publications and the connection's thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: async_nats::Client,
    /// The connection's event loop.
    pub(super) runtime: Handle,
    pub(super) context: jetstream::Context,
    pub(super) stream: String,
    pub(super) encoding: Encoding,
    /// How long one attempt waits.
    pub(super) ack_timeout: Duration,
    /// How long a publication goes on.
    pub(super) publish_timeout: Duration,
    /// Reply subjects begin with it and end in a ticket's number.
    pub(super) inbox: String,
    pub(super) inflight: Arc<Inflight>,
    pub(super) link: watch::Sender<Link>,
    /// Keeps the order of the calls while the connection is down or its queue is full.
    pub(super) turn: Mutex<()>,
    /// What the broker last said about the stream, asked at most once a second however many publications want to know.
    pub(super) known: Mutex<Option<Known>>,
    /// What all connections of the process know.
    pub(super) common: Arc<Common>,
    pub(super) stop: watch::Sender<bool>,
}

/// The connection's state, by the client's last event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) up: bool,
    /// Connections made so far: what was handed over to an earlier one may be lost.
    pub(super) connects: u64,
    /// Whether a first attempt has ended, either way.
    pub(super) tried: bool,
}

/// What the broker last said of the stream, and when.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) at: Instant,
    pub(super) stream: Stream,
}

/// The stream, as the broker says.
#[derive(Debug)]
pub(super) enum Stream {
    /// The broker has not answered.
    Unknown,
    /// There is none.
    Missing,
    /// Its settings and its state.
    There(Box<Info>),
}
