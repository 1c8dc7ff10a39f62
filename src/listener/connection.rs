//! One connection: hyper reads requests from it and writes answers to it; this loop keeps its clock and its drain.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::StatusCode;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    Phase, Slot,
    clock::{Clock, Doing, Timed},
};
use crate::{
    intake::{self, Gateway},
    observe::metrics::Closed,
};

/// How long a connection waits for a request once the drain closes connections, counted from its last answer or, without
/// one, from its beginning. A proxy's pooled connection has been silent for longer and is closed at once; one that a proxy
/// has just opened, or just had an answer on, may have a request on its way, which would be lost with it.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// How a connection's loop ended.
enum End {
    Finished(hyper::Result<()>),
    Expired(Doing),
}

pub(super) async fn serve(stream: TcpStream, gateway: Arc<Gateway>, mut phase: watch::Receiver<Phase>, _slot: Slot) {
    // The drain waits until no connection holds a receiver any more.
    let _open = phase.clone();
    let clock = Clock::new(&gateway.limits);
    let io = TokioIo::new(Timed { stream, clock: Arc::clone(&clock) });
    let service = service_fn(|request| {
        clock.begin(Doing::Serving);
        let (clock, gateway) = (Arc::clone(&clock), Arc::clone(&gateway));
        async move {
            let response = intake::answer(gateway, request).await;
            clock.begin(Doing::Waiting);
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .max_header_size(gateway.limits.max_head)
            // hyper keeps this buffer while a connection idles, so it is as small as a head may be large.
            .max_buf_size(gateway.limits.max_head)
            // A sender that closes its own side after the request still gets its answer.
            .half_close(true)
            .serve_connection(io, service)
    );
    let mut timer = pin!(sleep_until(clock.deadline()));
    let mut closing = pin!(async move {
        // The sender lives as long as the process serves.
        let _gone = phase.wait_for(|phase| *phase == Phase::Closing).await;
    });
    let mut draining = false;
    let end = poll_fn(|cx| {
        // First of all what has arrived: a request in the socket is answered, whatever the drain and the clock say. Its
        // answer has `Connection: close`, which is how a connection ends without a race.
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            return Poll::Ready(End::Finished(result));
        }
        if !draining && closing.as_mut().poll(cx).is_ready() {
            draining = true;
            clock.shorten_idle(LAST_WAIT);
        }
        match expired(&clock, timer.as_mut(), cx) {
            Poll::Ready(Doing::Waiting) if draining => Poll::Ready(End::Finished(Ok(()))),
            expired => expired.map(End::Expired),
        }
    })
    .await;
    count_end(&gateway, end);
}

/// Whether the clock's deadline has passed. The timer is moved only when it must ring earlier, or when it rang for a
/// deadline that has moved on since: a busy connection sets no timer per request.
fn expired(clock: &Clock, mut timer: std::pin::Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Doing> {
    loop {
        let deadline = clock.deadline();
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if deadline <= Instant::now() {
            return Poll::Ready(clock.doing());
        }
        timer.as_mut().reset(deadline);
    }
}

fn count_end(gateway: &Gateway, end: End) {
    match end {
        End::Expired(Doing::Waiting) => gateway.metrics.closed(Closed::Idle),
        End::Expired(Doing::ReadingHead) => gateway.metrics.closed(Closed::HeadTimeout),
        End::Expired(Doing::Serving) => gateway.metrics.closed(Closed::RequestTimeout),
        // hyper has answered these itself, without a body.
        End::Finished(Err(error)) if error.is_parse() => {
            let status = if error.is_parse_too_large() {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            } else {
                StatusCode::BAD_REQUEST
            };
            gateway.metrics.no_source.count(status);
            gateway.metrics.closed(Closed::Malformed);
        }
        End::Finished(_) => {}
    }
}
