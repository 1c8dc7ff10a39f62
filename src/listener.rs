//! The listener: accepts connections, limits them, times them, drains them. HTTP/1.1 only, through hyper's own `http1`
//! connection; TLS and HTTP/2 belong to the proxy in front. Never reads a body's meaning.
//!
//! One listening socket, cloned to every worker: whoever is awake first takes the connection, a second process cannot
//! share the port unnoticed, and closing it at the drain leaves no connection behind in a queue of its own.

mod clock;
mod connection;

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{intake::Gateway, observe::metrics::Closed, reply::Reply};

/// First pause after an accept that failed (out of file descriptors, say); doubled up to [`MAX_ACCEPT_PAUSE`].
const FIRST_ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// Longest such pause.
const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How far the drain has come; connections watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Connections are accepted.
    Open,
    /// No new connection; open ones finish the request in flight, or under way, and close.
    Closing,
}

/// Takes the webhook listener's address, and no connection yet: until [`listen`] a sender is refused and comes again.
///
/// # Errors
/// The socket's own: the port is taken, or not allowed.
pub fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run that linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Begins to listen. `backlog`: connections that the kernel queues until they are accepted.
///
/// # Errors
/// The socket's own: another process has begun to listen there meanwhile.
pub fn listen(socket: Socket, backlog: u32) -> io::Result<StdListener> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Open connections of all workers against their limit. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Slots {
    open: Arc<AtomicUsize>,
    limit: usize,
}

/// One open connection's slot, given back when it is dropped.
struct Slot {
    open: Arc<AtomicUsize>,
    gateway: Arc<Gateway>,
}

impl Slots {
    /// At most `limit` connections.
    pub fn new(limit: usize) -> Self {
        Slots { open: Arc::default(), limit }
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    fn take(&self, gateway: &Arc<Gateway>) -> Option<Slot> {
        let fits = |open: usize| (open < self.limit).then_some(open + 1);
        self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok()?;
        gateway.metrics.connections.inc();
        Some(Slot { open: Arc::clone(&self.open), gateway: Arc::clone(gateway) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
        self.gateway.metrics.connections.dec();
    }
}

/// Accepts connections until the drain closes the listener.
pub async fn accept(listener: TcpListener, gateway: Arc<Gateway>, slots: Slots, mut phase: watch::Receiver<Phase>) {
    let mut pause = FIRST_ACCEPT_PAUSE;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                pause = FIRST_ACCEPT_PAUSE;
                open(stream, &gateway, &slots, &phase);
            }
            // The client's doing; the next one may be fine.
            Err(error) if is_per_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, pause_ms = pause.as_millis(), "accept failed");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_ACCEPT_PAUSE);
            }
        }
    }
    // What the kernel has accepted before the listener closes still gets its answer: closing would reset it.
    while let Some(Ok((stream, _))) = now_or_never(listener.accept()).await {
        open(stream, &gateway, &slots, &phase);
    }
}

async fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        value = future => Some(value),
        () = std::future::ready(()) => None,
    }
}

fn open(stream: TcpStream, gateway: &Arc<Gateway>, slots: &Slots, phase: &watch::Receiver<Phase>) {
    let Some(slot) = slots.take(gateway) else {
        gateway.metrics.closed(Closed::Limit);
        gateway.metrics.no_source.count(Reply::Unavailable.status());
        // Best effort: the answer fits into the socket's buffer or is not sent.
        let _sent = stream.try_write(Reply::raw_unavailable().as_bytes());
        return;
    };
    // Answers are one small write each; Nagle would hold them back for the client's acknowledgement.
    let _nodelay = stream.set_nodelay(true);
    tokio::spawn(connection::serve(stream, Arc::clone(gateway), phase.clone(), slot));
}

fn is_per_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
