//! The admin port: accepts connections, as many as there are places, and ends them at the stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};

use super::connection::{self, Limits, Room};

/// Connections at once; a scraper, two probes and a person with curl need four.
const MAX_CONNECTIONS: usize = 32;
/// Pause after an accept that failed, so that a process out of file descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long the stop waits for answers under way: a client that reads has its own in milliseconds.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The open port.
#[derive(Debug)]
pub struct Port {
    /// Where it is.
    pub address: SocketAddr,
    room: watch::Sender<Room>,
}

impl Port {
    /// Serves from now on, on the runtime that calls. `answer`: what answers a request, at once.
    ///
    /// # Errors
    /// The system does not say the address.
    pub(crate) fn open(
        listener: TcpListener,
        answer: impl Fn(Request<Incoming>) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (room, _) = watch::channel(Room::Free);
        tokio::spawn(accept(listener, answer, room.clone()));
        Ok(Port { address, room })
    }

    /// Takes no more connections, and waits a second at most until each has had the answer that is under way.
    pub async fn close(self) {
        self.room.send_replace(Room::Closing);
        // Connections and the accepting task hold receivers.
        let _closed_or_late = timeout(LAST_ANSWERS, self.room.closed()).await;
    }
}

async fn accept(
    listener: TcpListener,
    answer: impl Fn(Request<Incoming>) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
    room: watch::Sender<Room>,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut seen = room.subscribe();
    let serve = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let free = Arc::clone(&slots).try_acquire_owned();
            let slot = match free {
                Ok(slot) => slot,
                Err(_) => {
                    enter(&room, Room::Full);
                    // Closed never.
                    let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
                    enter(&room, Room::Free);
                    slot
                }
            };
            let (answer, seen) = (answer.clone(), room.subscribe());
            tokio::spawn(async move {
                let _slot = slot;
                connection::serve(stream, Limits::DEFAULT, seen, answer).await;
            });
        }
    };
    tokio::select! {
        () = serve => {}
        _ = seen.wait_for(|room| *room == Room::Closing) => {}
    }
}

/// After the closing nothing comes.
fn enter(room: &watch::Sender<Room>, next: Room) {
    room.send_if_modified(|now| {
        let is_open = *now != Room::Closing;
        if is_open {
            *now = next;
        }
        is_open
    });
}
