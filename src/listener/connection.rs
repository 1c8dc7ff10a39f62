//! One connection: hyper reads requests from it and writes answers to it; this loop keeps its clock and its drain.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{sync::watch, time::sleep_until};

use super::{
    discard::discard,
    opened::Opened,
    phase::{self, LAST_WAIT, Phase},
    slots::Slot,
    spread::Place,
};
use crate::{
    clock::{Clock, ConnState, Timed, Times},
    config::ListenerConfig,
    intake::{self, Gateway, metrics::Closed},
    reply::{Reply, Unread},
};

/// How a connection's loop ended.
enum End {
    Finished(hyper::Result<()>),
    Expired(ConnState),
    /// The in-flight budget has no room for the rest of a head.
    Overloaded,
}

/// `_held`: what the connection takes up until it ends; the slot, which is a metric, goes last.
pub(super) async fn serve(opened: Opened, gateway: Arc<Gateway>, phase: watch::Receiver<Phase>, _held: (Place, Slot)) {
    // The drain waits until no connection holds a receiver any more.
    let _open = phase.clone();
    let Some((stream, peer)) = opened.behind_its_proxy(&gateway, phase.clone()).await else { return };
    let clock = Clock::new(times(&gateway.limits));
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
    let mut closing = pin!(phase::closing(phase));
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
        match clock.expired(timer.as_mut(), cx) {
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

fn times(listener: &ListenerConfig) -> Times {
    Times {
        head: listener.head_timeout,
        idle: listener.idle_timeout,
        serving: listener.request_timeout + listener.answer_timeout + Duration::from_secs(1),
    }
}

fn count_end(gateway: &Gateway, end: &End) {
    match end {
        End::Expired(ConnState::Waiting) => gateway.metrics.closed.inc(Closed::Idle),
        End::Expired(ConnState::Silent | ConnState::ReadingHead) => gateway.metrics.closed.inc(Closed::HeadTimeout),
        End::Expired(ConnState::Serving | ConnState::Writing) => gateway.metrics.closed.inc(Closed::RequestTimeout),
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
