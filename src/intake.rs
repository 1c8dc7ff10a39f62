//! Intake: THE request path. `handle` reads from top to bottom what happens to a webhook; each step turns one type into
//! the next, and the wrong order does not compile. It knows no vendor and no bus.

mod access_log;
mod gateway;
mod head;
pub mod metrics;

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use http_body_util::Full;
use hyper::body::Incoming;
use jiff::Timestamp;

use self::{access_log::AccessLog, metrics::Closed};
pub use self::{access_log::log_refused_connection, gateway::Gateway};
use crate::{
    delivery::{Receipt, Undeliverable},
    envelope::Envelope,
    event::Event,
    recent::Seen,
    reply::Reply,
    request::{self, BodyError, BodyLimits, Received},
    sender::Peer,
    verify::Refusal,
};

/// What a request was that is not refused.
#[derive(Debug, Clone, Copy)]
enum Accepted {
    Ping,
    /// A balancer asks whether an event could be taken now.
    Probe {
        ready: bool,
    },
    Event(Receipt),
}

/// Why a request is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum NotAccepted {
    /// Not exactly one Host, or another authority in the request line.
    #[error("not exactly one host")]
    Host,
    /// No source has the path.
    #[error("unknown path")]
    Path,
    /// Neither POST nor GET nor HEAD.
    #[error("wrong method")]
    Method,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("signature {0}")]
    Signature(#[from] Refusal),
    #[error(transparent)]
    Delivery(#[from] Undeliverable),
}

impl From<NotAccepted> for Reply {
    fn from(error: NotAccepted) -> Self {
        match error {
            NotAccepted::Host | NotAccepted::Body(BodyError::Broken) => Reply::Malformed,
            NotAccepted::Path => Reply::NotFound,
            NotAccepted::Method => Reply::MethodNotAllowed,
            NotAccepted::Body(BodyError::TooLarge) => Reply::TooLarge,
            NotAccepted::Body(BodyError::Stalled | BodyError::TooSlow) => Reply::TooSlow,
            NotAccepted::Signature(_) => Reply::InvalidSignature,
            NotAccepted::Body(BodyError::Overloaded) | NotAccepted::Delivery(_) => Reply::Unavailable,
        }
    }
}

/// Answers one request, counts it and logs it. `peer`: the other end of its connection.
pub async fn answer(gateway: Arc<Gateway>, peer: Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, mut incoming) = request.into_parts();
    let mut log = AccessLog::begin(&gateway, peer, &head.headers);
    let result = handle(&gateway, &head, &mut incoming, &mut log).await;
    let (reply, reason) = match result {
        Ok(Accepted::Ping) => (Reply::Pong, Some("ping".into())),
        Ok(Accepted::Probe { ready }) => (if ready { Reply::Pong } else { Reply::Unavailable }, None),
        Ok(Accepted::Event(receipt)) => (Reply::Received, what(receipt).map(Cow::Borrowed)),
        Err(error) => (error.into(), Some(Cow::Owned(error.to_string()))),
    };
    match result {
        Ok(Accepted::Probe { .. }) => log.end_unwritten(reply),
        _ => log.end(reply, reason.as_deref()),
    }
    let read = match result {
        Ok(Accepted::Event(_)) | Err(NotAccepted::Signature(_) | NotAccepted::Delivery(_)) => true,
        Err(NotAccepted::Body(error @ (BodyError::Stalled | BodyError::TooSlow | BodyError::Broken))) => {
            count_close(&gateway, error);
            false
        }
        // An answer before the body is read. One that is nearly here is read, and its connection kept.
        Ok(Accepted::Ping | Accepted::Probe { .. })
        | Err(NotAccepted::Host | NotAccepted::Path | NotAccepted::Method | NotAccepted::Body(_)) => {
            request::skip_body(&head.headers, &mut incoming, &gateway.budget).await
        }
    };
    if read { reply.response(gateway.health.draining(), head.headers) } else { reply.before_the_body(head.headers) }
}

/// The way of an event: head, body, signature, meaning, envelope, bus.
async fn handle<'g>(
    gateway: &'g Gateway,
    head: &Parts,
    incoming: &mut Incoming,
    log: &mut AccessLog<'g>,
) -> Result<Accepted, NotAccepted> {
    let arrival = Timestamp::now();
    if !head::has_one_host(head) {
        return Err(NotAccepted::Host);
    }
    let Some(endpoint) = gateway.endpoints.find(head.uri.path()) else {
        if head::is_probe(head, gateway.limits.health_path.as_deref()) {
            return Ok(Accepted::Probe { ready: gateway.health.ready(gateway.delivery.can_take()) });
        }
        log.path = Some(head.uri.path().to_owned());
        return Err(NotAccepted::Path);
    };
    log.endpoint = Some(endpoint);
    match head.method {
        Method::POST => {}
        Method::GET | Method::HEAD => return Ok(Accepted::Ping),
        _ => return Err(NotAccepted::Method),
    }

    let limits = BodyLimits {
        max_body: endpoint.max_body,
        body_timeout: gateway.limits.body_timeout,
        deadline: log.begin + gateway.limits.request_timeout,
    };
    let body = request::read_body(&head.headers, incoming, limits, &gateway.budget).await?;
    log.body(endpoint, &body);

    let verified = endpoint.verify(Received { headers: Cow::Borrowed(&head.headers), body, arrival })?;
    log.secret = endpoint.secret_names.get(verified.proof().secret).map(String::as_str);
    let event = Event::new(verified);
    log.event(endpoint, &event);
    gateway.drift.offer(&endpoint.metrics.drift, &event);

    let counters = endpoint.metrics.events.of(event.reading.kind.type_label());
    let envelope = Envelope::new(event, &gateway.template, &gateway.stamp);
    log.envelope(&envelope);
    let receipt = gateway.delivery.deliver(envelope, &endpoint.identity.name, Arc::clone(counters)).await?;
    Ok(Accepted::Event(receipt))
}

/// What the log says of an event that is not new.
fn what(receipt: Receipt) -> Option<&'static str> {
    match receipt.seen() {
        Seen::New => None,
        Seen::Repeat => Some("duplicate"),
        Seen::Conflict => Some("known id with another body"),
    }
}

/// A body that came too slowly ends its connection.
fn count_close(gateway: &Gateway, error: BodyError) {
    match error {
        BodyError::Stalled => gateway.metrics.closed.inc(Closed::BodyTimeout),
        BodyError::TooSlow => gateway.metrics.closed.inc(Closed::RequestTimeout),
        BodyError::TooLarge | BodyError::Overloaded | BodyError::Broken => {}
    }
}
