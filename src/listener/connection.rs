//! One connection: hyper reads requests from it and writes answers to it; this loop keeps its clock and its drain.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    clock::{Clock, ConnState, Timed},
    discard::discard,
    opened::Opened,
    slots::Slot,
};
use crate::{
    intake::{self, Gateway, metrics::Closed},
    reply::{Reply, Unread},
};

/// How far the drain has come; connections watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Connections are accepted.
    Open,
    /// No new connection; open ones finish the request in flight, or under way, and close.
    Closing,
}

/// How long a connection waits for a request once the drain closes connections, counted from its last answer or, without
/// one, from its beginning. A proxy's pooled connection has been silent for longer and is closed at once; one that a proxy
/// has just opened, or just had an answer on, may have a request on its way, which would be lost with it.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// How a connection's loop ended.
enum End {
    Finished(hyper::Result<()>),
    Expired(ConnState),
    /// The in-flight budget has no room for the rest of a head.
    Overloaded,
}

pub(super) async fn serve(opened: Opened, gateway: Arc<Gateway>, mut phase: watch::Receiver<Phase>, _slot: Slot) {
    // The drain waits until no connection holds a receiver any more.
    let _open = phase.clone();
    let Some(Opened { stream, peer }) = opened.behind_its_proxy(&gateway).await else { return };
    let clock = Clock::new(&gateway.limits);
    let io = TokioIo::new(Timed { stream, clock: Arc::clone(&clock) });
    let service = service_fn(|request| {
        clock.begin(ConnState::Serving);
        let (clock, gateway) = (Arc::clone(&clock), Arc::clone(&gateway));
        async move {
            let response = intake::answer(gateway, peer, request).await;
            clock.answered(response.extensions().get::<Unread>().is_some());
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = http1::Builder::new()
        .max_header_size(gateway.limits.max_head)
        // hyper keeps this buffer while a connection idles, so it is as small as a head may be large.
        .max_buf_size(gateway.limits.max_head)
        // A sender that closes its own side after the request still gets its answer.
        .half_close(true)
        .serve_connection(io, service);
    let mut head = gateway.budget.share();
    let mut timer = pin!(sleep_until(clock.deadline()));
    let mut closing = pin!(async move {
        // The sender lives as long as the process serves.
        let _gone = phase.wait_for(|phase| *phase == Phase::Closing).await;
    });
    let mut draining = false;
    let end = poll_fn(|cx| {
        // First of all what has arrived: a request in the socket is answered, whatever the drain and the clock say. Its
        // answer has `Connection: close`, which is how a connection ends without a race.
        if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(End::Finished(result));
        }
        if clock.state() != ConnState::ReadingHead {
            head.clear();
        } else if head.hold_large(clock.head_bytes()).is_err() {
            return Poll::Ready(End::Overloaded);
        }
        if !draining && closing.as_mut().poll(cx).is_ready() {
            draining = true;
            clock.shorten_idle(LAST_WAIT);
        }
        match expired(&clock, timer.as_mut(), cx) {
            Poll::Ready(ConnState::Silent | ConnState::Waiting) if draining => Poll::Ready(End::Finished(Ok(()))),
            expired => expired.map(End::Expired),
        }
    })
    .await;
    count_end(&gateway, &end);
    // Whatever hyper holds goes now.
    let stream = connection.into_parts().io.into_inner().stream;
    drop(head);
    match end {
        End::Overloaded => {
            // It fits into the socket's buffer: nothing else is in it.
            let _sent = stream.try_write(Reply::raw_unavailable().as_bytes());
            discard(stream, &gateway.limits).await;
        }
        End::Finished(Ok(())) if clock.unread() => discard(stream, &gateway.limits).await,
        // hyper's own answer.
        End::Finished(Err(error)) if error.is_parse() => discard(stream, &gateway.limits).await,
        End::Finished(_) | End::Expired(_) => {}
    }
}

/// Whether the clock's deadline has passed. The timer is moved only when it must ring earlier, or when it rang for a
/// deadline that has moved on since: a busy connection sets no timer per request.
fn expired(clock: &Clock, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<ConnState> {
    loop {
        let deadline = clock.deadline();
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if deadline <= Instant::now() {
            return Poll::Ready(clock.state());
        }
        timer.as_mut().reset(deadline);
    }
}

fn count_end(gateway: &Gateway, end: &End) {
    match end {
        End::Expired(ConnState::Waiting) => gateway.metrics.closed.inc(Closed::Idle),
        End::Expired(ConnState::Silent | ConnState::ReadingHead) => gateway.metrics.closed.inc(Closed::HeadTimeout),
        End::Expired(ConnState::Serving) => gateway.metrics.closed.inc(Closed::RequestTimeout),
        End::Overloaded => gateway.no_source.requests.inc(Reply::Unavailable),
        // hyper has answered these itself, without a body.
        End::Finished(Err(error)) if error.is_parse() => {
            let reply = if error.is_parse_too_large() { Reply::HeadTooLarge } else { Reply::Malformed };
            gateway.no_source.requests.inc(reply);
            gateway.metrics.closed.inc(Closed::Malformed);
        }
        End::Finished(_) => {}
    }
}
