//! One connection of the admin listener: hyper reads requests from it and writes answers to it; this loop keeps its clock and
//! ends it in time.
//!
//! In: a socket, and what answers a request. Out: nothing. A client holds a connection for as long as [`Limits`] say, whatever
//! it sends and reads. While another client needs the place, one that waits for its next request gives way at once, one that is
//! silent or in its head soon, and any other in a second. So does one that writes a large answer when another client is refused one.

use std::{
    convert::Infallible,
    future::{poll_fn, ready},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{Notify, watch},
    time::{sleep, sleep_until},
};

use crate::clock::{Clock, ConnState, Timed, Times};

/// Largest head of a request, in bytes: a scraper's has some hundred, a browser's with cookies a few thousand.
const MAX_HEAD: usize = 16 * 1024;

/// How long a state may last while another client waits for a place: a client that is there takes milliseconds.
const HURRY: Duration = Duration::from_secs(1);
/// The same of one that has sent nothing: a flood of such connections leaves probes their turn.
const HURRY_SILENT: Duration = Duration::from_millis(50);
/// The same of one whose head is not complete.
const HURRY_HEAD: Duration = Duration::from_millis(200);

/// Tells a connection that another client needs what its answer holds. The service finds it among a request's extensions.
#[derive(Debug, Clone, Default)]
pub(super) struct Hurry(Arc<Notify>);

impl Hurry {
    /// Tells it.
    pub(super) fn up(&self) {
        self.0.notify_one();
    }
}

/// How long a client may hold a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Of each state. `serving` is the time for an answer's writing: the answer itself is there at once.
    pub(super) times: Times,
    /// Of the whole connection; the answer under way is still written then, and the client opens another one.
    pub(super) lifetime: Duration,
}

impl Limits {
    /// The admin listener's. They are no keys of the configuration: a probe and a scraper are done in a second.
    pub(super) const DEFAULT: Limits = Limits {
        times: Times {
            head: Duration::from_secs(5),
            // Prometheus asks each minute by default, on the connection that it has.
            idle: Duration::from_secs(90),
            serving: Duration::from_secs(10),
        },
        lifetime: Duration::from_mins(10),
    };
}

/// How much room the listener has; connections watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// A place is free.
    Free,
    /// A client waits for a place.
    Full,
    /// The process stops: the answer under way is the last one.
    Closing,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    limits: Limits,
    mut room: watch::Receiver<Room>,
    answer: impl Fn(Request<Incoming>) -> Response<Full<Bytes>>,
) {
    let clock = Clock::new(limits.times);
    let io = TokioIo::new(Timed { stream, clock: Arc::clone(&clock) });
    let wanted = Hurry::default();
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(wanted.clone());
        let response = answer(request);
        clock.writes();
        ready(Ok::<_, Infallible>(response))
    });
    let mut connection = pin!(http1::Builder::new().max_buf_size(MAX_HEAD).serve_connection(io, service));
    let (mut timer, mut lifetime) = (pin!(sleep_until(clock.deadline())), pin!(sleep(limits.lifetime)));
    let mut is_last = false;
    loop {
        let now = *room.borrow_and_update();
        if now == Room::Closing && !is_last {
            is_last = true;
            connection.as_mut().graceful_shutdown();
        }
        let hurry = || {
            if now == Room::Full {
                clock.hurry(match clock.state() {
                    ConnState::Waiting => Duration::ZERO,
                    ConnState::Silent => HURRY_SILENT,
                    ConnState::ReadingHead => HURRY_HEAD,
                    ConnState::Serving | ConnState::Writing => HURRY,
                });
            }
        };
        tokio::select! {
            biased;
            // A client may go away.
            _gone = &mut connection => return,
            () = &mut lifetime, if !is_last => {
                is_last = true;
                connection.as_mut().graceful_shutdown();
            }
            // After the connection's turn, which sets its clock.
            state = poll_fn(|cx| { hurry(); clock.expired(timer.as_mut(), cx) }) => {
                tracing::debug!(?state, "an admin connection has had its time");
                return;
            }
            () = wanted.0.notified() => if clock.state() == ConnState::Writing { clock.hurry(HURRY) },
            // The listener lives as long as the process serves.
            changed = room.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Instant};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpSocket},
        time::timeout,
    };

    use super::*;
    use crate::admin::places::{Large, Places};

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    /// More than two sockets' buffers hold.
    const LARGE: usize = 8 << 20;
    const SHORT: Limits = Limits {
        times: Times {
            head: Duration::from_millis(200),
            idle: Duration::from_millis(500),
            serving: Duration::from_millis(300),
        },
        lifetime: Duration::from_secs(60),
    };

    /// A client of a connection that answers so many bytes, what the listener's room is, and the connection's end.
    async fn pair(limits: Limits, bytes: usize) -> (TcpStream, watch::Sender<Room>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (room, seen) = watch::channel(Room::Free);
        let answer = move |_| Response::new(Full::new(Bytes::from(vec![b'x'; bytes])));
        (client, room, tokio::spawn(serve(stream, limits, seen, answer)))
    }

    async fn ends(end: tokio::task::JoinHandle<()>, least: Duration, begin: Instant) {
        timeout(Duration::from_secs(20), end).await.expect("it ends").unwrap();
        assert!(least <= begin.elapsed(), "{:?}", begin.elapsed());
    }

    /// One answer's bytes.
    async fn one(client: &mut TcpStream) -> String {
        let mut bytes = [0; 1024];
        let count = timeout(Duration::from_secs(20), client.read(&mut bytes)).await.unwrap().unwrap_or(0);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[tokio::test]
    async fn who_reads_nothing_has_the_time_of_one_answer() {
        let (mut client, _room, end) = pair(SHORT, LARGE).await;
        let begin = Instant::now();
        client.write_all(GET).await.unwrap();
        // Asking on gives no more of it.
        while !end.is_finished() && begin.elapsed() < Duration::from_secs(10) {
            let _cut = client.write_all(GET).await;
            sleep(Duration::from_millis(20)).await;
        }
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        ends(end, SHORT.times.serving, begin).await;
    }

    #[tokio::test]
    async fn each_state_has_its_time() {
        for (sent, least) in [(&b""[..], SHORT.times.head), (b"GET /", SHORT.times.head), (GET, SHORT.times.idle)] {
            let begin = Instant::now();
            let (mut client, _room, end) = pair(SHORT, 2).await;
            client.write_all(sent).await.unwrap();
            ends(end, least - Duration::from_millis(5), begin).await;
        }
    }

    #[tokio::test]
    async fn a_lifetime_ends_with_an_answer() {
        let limits = Limits { lifetime: Duration::from_millis(400), ..SHORT };
        let (mut client, _room, end) = pair(limits, 2).await;
        let begin = Instant::now();
        let mut answers = 0;
        while begin.elapsed() < Duration::from_secs(5) && client.write_all(GET).await.is_ok() {
            if !one(&mut client).await.starts_with("HTTP/1.1 200") {
                break;
            }
            answers += 1;
            sleep(Duration::from_millis(50)).await;
        }
        assert!(answers > 2, "{answers}");
        ends(end, limits.lifetime, begin).await;
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn at_the_stop_the_answer_under_way_is_written_and_no_other() {
        let limits = Limits { times: Times { serving: Duration::from_secs(20), ..SHORT.times }, ..SHORT };
        let (mut client, room, end) = pair(limits, LARGE).await;
        client.write_all(GET).await.unwrap();
        assert!(one(&mut client).await.starts_with("HTTP/1.1 200"));
        room.send_replace(Room::Closing);
        let mut rest = Vec::new();
        timeout(Duration::from_secs(20), client.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(rest.len() > LARGE - 2048, "{}", rest.len());
        end.await.unwrap();
        // One that waits is closed at once.
        let (mut client, room, end) = pair(limits, 2).await;
        client.write_all(GET).await.unwrap();
        assert!(one(&mut client).await.starts_with("HTTP/1.1 200"));
        room.send_replace(Room::Closing);
        timeout(Duration::from_millis(400), end).await.expect("at once").unwrap();
    }

    #[tokio::test]
    async fn one_that_waits_gives_way_at_once_and_one_without_a_head_soon() {
        let limits = Limits { times: Times { idle: Duration::from_secs(60), ..SHORT.times }, ..SHORT };
        let (mut client, room, end) = pair(limits, 2).await;
        room.send_replace(Room::Full);
        client.write_all(GET).await.unwrap();
        assert!(one(&mut client).await.starts_with("HTTP/1.1 200"), "what has not asked yet is still answered");
        timeout(HURRY / 2, end).await.expect("then it goes").unwrap();
        let limits = Limits { times: Times { head: Duration::from_secs(60), ..limits.times }, ..SHORT };
        for (begun, limit) in [(&b""[..], HURRY_SILENT), (b"GET", HURRY_HEAD)] {
            let (mut client, room, end) = pair(limits, 2).await;
            client.write_all(begun).await.unwrap();
            let begin = Instant::now();
            room.send_replace(Room::Full);
            ends(end, limit / 2, begin).await;
            assert!(begin.elapsed() < HURRY, "{:?}", begin.elapsed());
        }
    }

    #[tokio::test]
    async fn who_reads_no_large_answer_gives_way_when_another_is_refused_one() {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (_room, seen) = watch::channel(Room::Free);
        let places = Arc::new(Places::new());
        let taken = Arc::clone(&places);
        let answer = move |request: Request<Incoming>| {
            let place = taken.take(Large::Console, request.extensions().get().cloned()).unwrap();
            Response::new(Full::new(place.hold(Bytes::from(vec![b'x'; LARGE]))))
        };
        let limits = Limits { times: Times { serving: Duration::from_secs(60), ..SHORT.times }, ..SHORT };
        let end = tokio::spawn(serve(stream, limits, seen, answer));
        client.write_all(GET).await.unwrap();
        assert!(one(&mut client).await.starts_with("HTTP/1.1 200"));
        let mut others = Vec::new();
        while let Some(place) = places.take(Large::Console, None) {
            others.push(place);
        }
        let begin = Instant::now();
        ends(end, Duration::ZERO, begin).await;
        assert!(begin.elapsed() < HURRY * 5, "{:?}", begin.elapsed());
        assert!(places.take(Large::Console, None).is_some(), "its place is free");
    }
}
