//! Intake: THE request path. `take` reads from top to bottom what happens to a webhook; each step turns one type into
//! the next, and the wrong order does not compile. It knows no vendor and no bus.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    body::{self, Body, BodyError, Budget},
    config::Listener,
    delivery::{Delivery, Receipt, Undeliverable},
    endpoint::{Endpoint, Endpoints},
    envelope::{Attributes, Envelope, Stamp, attributes::Attribute, route::Template},
    observe::{
        health::Health,
        log::{Lines, RequestLine},
        metrics::{Closed, Metrics, Outcome},
    },
    recent::Seen,
    reply::Reply,
    vendor::{self, Event},
    verify::{self, Refusal},
};

/// An older event counts as this old: the last bucket of the histogram ends long before.
const MAX_AGE_MS: i64 = 30 * 86_400_000;

/// Stands for the status in the log line of a request that was never answered, as proxies have it.
const NO_ANSWER: u16 = 499;

/// Everything that a request needs; made once, read only.
#[derive(Debug)]
pub struct Gateway {
    /// The sources by path.
    pub endpoints: Endpoints,
    /// The listener's limits.
    pub limits: Listener,
    /// Memory for bodies.
    pub budget: Budget,
    /// Sequence numbers.
    pub stamp: Stamp,
    /// Subject of a documented event.
    pub template: Template,
    /// The bus behind its memory.
    pub delivery: Arc<Delivery>,
    /// Whether the process is draining.
    pub health: Health,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The request log.
    pub lines: Lines,
}

/// A whole request for a known source, its signature unchecked: nobody may interpret its body yet.
#[derive(Debug)]
pub struct Received {
    /// The source.
    pub endpoint: Arc<Endpoint>,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The body as received.
    pub body: Body,
    /// When its head was complete.
    pub arrival: Timestamp,
}

/// What is wrong with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// Not exactly one Host, or another authority in the request line.
    #[error("not exactly one host")]
    Host,
    /// No source has the path.
    #[error("unknown path")]
    Path,
    /// Neither POST nor GET nor HEAD.
    #[error("wrong method")]
    Method,
}

/// Why a request is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum NotAccepted {
    #[error(transparent)]
    Head(#[from] BadRequest),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("signature {0}")]
    Signature(#[from] Refusal),
    #[error(transparent)]
    Delivery(#[from] Undeliverable),
}

/// What became known of a request on its way, for its line in the log. A story whose end is never told is that of a
/// connection that ended before the answer, and the handler with it; the event, if there was one, goes its way.
#[derive(Debug)]
struct Story<'g> {
    gateway: &'g Gateway,
    begin: Instant,
    told: bool,
    endpoint: Option<Arc<Endpoint>>,
    path: Option<String>,
    event: Option<Attributes>,
    bytes: usize,
}

enum Taken {
    Ping,
    Event(Receipt),
}

/// Answers one request, counts it and logs it.
pub async fn answer(gateway: Arc<Gateway>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let mut story = Story::begin(&gateway);
    let taken = take(&gateway, request, &mut story).await;
    let reply = match taken {
        Ok(Taken::Event(_)) => Reply::Received,
        Ok(Taken::Ping) => Reply::Pong,
        Err(NotAccepted::Head(bad)) => bad.into(),
        Err(NotAccepted::Body(error)) => error.into(),
        Err(NotAccepted::Signature(refusal)) => refusal.into(),
        Err(NotAccepted::Delivery(error)) => error.into(),
    };
    let body_unread = match taken {
        Err(NotAccepted::Body(error)) => {
            count_close(&gateway, error);
            true
        }
        _ => false,
    };
    story.end(reply, &taken);
    reply.response(gateway.health.draining() || body_unread)
}

/// A body that came too slowly ends its connection.
fn count_close(gateway: &Gateway, error: BodyError) {
    match error {
        BodyError::Stalled => gateway.metrics.closed(Closed::BodyTimeout),
        BodyError::TooSlow => gateway.metrics.closed(Closed::RequestTimeout),
        BodyError::TooLarge | BodyError::Overloaded | BodyError::Broken => {}
    }
}

/// The way of an event: head, body, signature, meaning, envelope, bus.
async fn take(gateway: &Gateway, request: Request<Incoming>, story: &mut Story<'_>) -> Result<Taken, NotAccepted> {
    let arrival = Timestamp::now();
    let (head, incoming) = request.into_parts();
    check_host(&head)?;
    let Some(endpoint) = gateway.endpoints.find(head.uri.path()) else {
        story.path = Some(head.uri.path().to_owned());
        return Err(BadRequest::Path.into());
    };
    let endpoint = Arc::clone(endpoint);
    story.endpoint = Some(Arc::clone(&endpoint));
    match head.method {
        Method::POST => {}
        Method::GET | Method::HEAD => return Ok(Taken::Ping),
        _ => return Err(BadRequest::Method.into()),
    }

    let limits = body::Limits {
        max_body: endpoint.max_body,
        body_timeout: gateway.limits.body_timeout,
        deadline: story.begin + gateway.limits.request_timeout,
    };
    let body = body::read(incoming, limits, &gateway.budget).await?;
    story.bytes = body.bytes().len();
    endpoint.metrics.body_bytes.observe(body_len(&body));

    let received = Received { endpoint: Arc::clone(&endpoint), headers: head.headers, body, arrival };
    let verified = verify::verify(received);
    endpoint.metrics.checked(verified.as_ref().map(|verified| verified.proof().secret).map_err(|refusal| *refusal));
    let event = vendor::normalise(verified?);
    observe_event(&endpoint, &event);

    let label = event.reading.kind.type_label();
    let envelope = Envelope::new(event, &gateway.template, &gateway.stamp);
    story.event = Some(envelope.attributes().clone());
    let receipt = gateway.delivery.deliver(envelope, endpoint, label).await?;
    Ok(Taken::Event(receipt))
}

/// Exactly one Host, and an absolute request target only for that host: two opinions about where a request goes are how
/// requests are smuggled past a proxy.
fn check_host(head: &http::request::Parts) -> Result<(), BadRequest> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next().filter(|host| !host.is_empty()).ok_or(BadRequest::Host)?;
    let foreign = head
        .uri
        .authority()
        .is_some_and(|authority| !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()));
    if hosts.next().is_some() || foreign { Err(BadRequest::Host) } else { Ok(()) }
}

#[expect(clippy::cast_precision_loss, reason = "bodies are far smaller than 2^52 bytes")]
fn body_len(body: &Body) -> f64 {
    body.bytes().len() as f64
}

/// Skew, age, and the unsigned type header that may not choose anything but should agree.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a few days")]
fn observe_event(endpoint: &Endpoint, event: &Event) {
    if let Some(skew_ms) = event.verified.proof().skew_ms {
        endpoint.metrics.skew.observe(skew_ms as f64 / 1000.0);
    }
    let received = event.verified.received();
    if let Some(time) = &event.reading.time {
        // A vendor's clock ahead of ours, or a date of another century, must not spoil the sum.
        let age_ms = received.arrival.as_millisecond().saturating_sub(time.unix_millis).clamp(0, MAX_AGE_MS);
        endpoint.metrics.event_age.observe(age_ms as f64 / 1000.0);
    }
    if event.contradicts_header() {
        endpoint.metrics.type_mismatch.inc();
    }
}

impl<'g> Story<'g> {
    fn begin(gateway: &'g Gateway) -> Self {
        gateway.metrics.inflight_requests.inc();
        Story { gateway, begin: Instant::now(), told: false, endpoint: None, path: None, event: None, bytes: 0 }
    }

    fn end(&mut self, reply: Reply, taken: &Result<Taken, NotAccepted>) {
        self.told = true;
        let status = reply.status();
        match &self.endpoint {
            Some(endpoint) => endpoint.metrics.finished(reply, self.begin.elapsed().as_secs_f64()),
            None => self.gateway.metrics.no_source.count(status),
        }
        let reason = match taken {
            Ok(Taken::Ping) => Some("ping".to_owned()),
            Ok(Taken::Event(receipt)) => match receipt.seen() {
                Seen::New => None,
                Seen::Repeat => Some("duplicate".to_owned()),
                Seen::Conflict => Some("known id with another body".to_owned()),
            },
            Err(error) => Some(error.to_string()),
        };
        self.write(status.as_u16(), Outcome::of(reply).as_str(), reason.as_deref());
    }

    fn write(&self, status: u16, outcome: &'static str, reason: Option<&str>) {
        let of_event = |attribute| self.event.as_ref().and_then(|event| event.get(attribute));
        self.gateway.lines.request(&RequestLine {
            source: self.endpoint.as_ref().map_or("none", |endpoint| &endpoint.identity.name),
            status,
            outcome,
            reason,
            event_type: of_event(Attribute::Type),
            event_id: of_event(Attribute::Id),
            path: self.path.as_deref(),
            bytes: self.bytes,
            duration: self.begin.elapsed(),
            trace_id: of_event(Attribute::Traceparent).and_then(|trace| trace.split('-').nth(1)),
        });
    }
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        self.gateway.metrics.inflight_requests.dec();
        if !self.told {
            self.write(NO_ANSWER, "abandoned", Some("the connection ended before the answer"));
        }
    }
}
