//! The listener: accepts connections, limits them, times them, drains them. HTTP/1.1 only, through hyper's own `http1`
//! connection; TLS and HTTP/2 belong to the proxy in front. Never reads a body's meaning.
//!
//! One listening socket, cloned to every worker: the worker that is awake first accepts the connection and gives it to the one
//! with the fewest, a second process cannot share the port unnoticed, and closing it at the drain leaves no connection behind in a
//! queue of its own.

mod connection;
mod discard;
mod opened;
mod phase;
mod slots;
mod spread;

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use self::{discard::discard, opened::Opened};
pub use self::{
    phase::Phase,
    slots::{Limits, Slots},
    spread::Spread,
};
use crate::{
    intake::{Gateway, metrics::Closed},
    reply::Reply,
};

/// First pause after an accept that failed (out of file descriptors, say); doubled up to [`MAX_ACCEPT_PAUSE`].
const FIRST_ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// Longest such pause.
const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);

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

/// Accepts connections until the drain closes the listener.
pub async fn accept(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    slots: Slots,
    spread: Spread,
    mut phase: watch::Receiver<Phase>,
) {
    let open = |stream: TcpStream, peer: SocketAddr, phase: &watch::Receiver<Phase>| {
        // Answers are one small write each; Nagle would hold them back for the client's acknowledgement.
        let _nodelay = stream.set_nodelay(true);
        let Some(slot) = slots.take(&stream, &gateway) else { return refuse(stream, &gateway, &slots) };
        let (gateway, phase) = (Arc::clone(&gateway), phase.clone());
        let opened = Opened { stream, peer: peer.ip().to_canonical() };
        spread.spawn(opened, move |opened, place| connection::serve(opened, gateway, phase, (place, slot)));
    };
    let mut pause = FIRST_ACCEPT_PAUSE;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = FIRST_ACCEPT_PAUSE;
                open(stream, peer, &phase);
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
    let Ok(listener) = listener.into_std() else { return };
    for (stream, peer) in queued(&listener, gateway.limits.backlog) {
        open(stream, peer, &phase);
    }
}

/// What waits in the kernel's queue, at most as many as that may hold: clients without end must not hold up the stop. It asks the
/// kernel each time; tokio asks only when it has been told of news, and has a task pause after some hundred.
fn queued(listener: &StdListener, backlog: u32) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let next = || loop {
        match listener.accept() {
            Err(error) if is_per_connection(&error) => {}
            accepted => return accepted.ok(),
        }
    };
    let usable = |(stream, peer): (std::net::TcpStream, SocketAddr)| {
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    };
    std::iter::from_fn(next).take(backlog as usize + 1).filter_map(usable)
}

/// Answers one connection too many.
fn refuse(stream: TcpStream, gateway: &Arc<Gateway>, slots: &Slots) {
    gateway.metrics.closed.inc(Closed::Limit);
    gateway.no_source.requests.inc(Reply::Unavailable);
    // The answer fits into the socket's buffer.
    let _sent = stream.try_write(Reply::raw_unavailable().as_bytes());
    // Beyond so many the connection is closed at once.
    let Some(refusal) = slots.refuse() else { return };
    let gateway = Arc::clone(gateway);
    tokio::spawn(async move {
        let _refusal = refusal;
        discard(stream, &gateway.limits).await;
    });
}

fn is_per_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream as StdStream;

    use super::*;

    #[tokio::test]
    async fn all_that_waits_in_the_kernel_is_accepted_and_no_more_than_its_queue_holds() {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || (0..100).map(|_| StdStream::connect(address).unwrap()).collect::<Vec<_>>();
        let _waiting = connect();
        assert_eq!(queued(&listener, 4096).count(), 100);
        let _waiting = connect();
        assert_eq!(queued(&listener, 29).count(), 30);
    }
}
