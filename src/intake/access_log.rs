//! What is observed of a request on its way: its metrics, and its line in the log.

use std::{net::IpAddr, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use tokio::time::Instant;

use super::gateway::Gateway;
use crate::{
    endpoint::{Endpoint, metrics::Outcome},
    envelope::{Attributes, Envelope, attributes::Attribute},
    event::{Event, Kind},
    log::RequestLine,
    metrics::Label as _,
    reply::Reply,
    request::Body,
    sender::{self, Peer},
};

/// Stands for the status in the log line of a request that was never answered, as proxies have it.
const NO_ANSWER: u16 = 499;

/// One request. Dropped without [`AccessLog::end`], its connection has ended before the answer, and the handler with it; an
/// event that delivery has goes on.
#[derive(Debug)]
pub(super) struct AccessLog<'g> {
    gateway: &'g Gateway,
    pub(super) begin: Instant,
    sender: IpAddr,
    /// It shares the bytes of the head, which live as long as the request's URI.
    user_agent: Option<HeaderValue>,
    pub(super) endpoint: Option<&'g Endpoint>,
    /// A path that no source has.
    pub(super) path: Option<String>,
    /// The name of the secret that matched.
    pub(super) secret: Option<&'g str>,
    event: Option<Attributes>,
    bytes: usize,
    ended: bool,
}

impl<'g> AccessLog<'g> {
    pub(super) fn begin(gateway: &'g Gateway, peer: Peer, headers: &HeaderMap) -> Self {
        gateway.metrics.inflight_requests.inc();
        let limits = &gateway.limits;
        AccessLog {
            gateway,
            begin: Instant::now(),
            sender: sender::address(peer, headers, &limits.trusted_proxies, limits.forwarded_header),
            user_agent: headers.get(header::USER_AGENT).cloned(),
            endpoint: None,
            path: None,
            secret: None,
            event: None,
            bytes: 0,
            ended: false,
        }
    }

    /// The body was read.
    pub(super) fn body(&mut self, endpoint: &Endpoint, body: &Body) {
        self.bytes = body.bytes().len();
        endpoint.metrics.requests.body(self.bytes);
    }

    /// Age, quarantine, and the unsigned type header that may not choose anything but should agree.
    pub(super) fn event(&self, endpoint: &Endpoint, event: &Event<'_>) {
        if let Some(time) = &event.reading.time {
            endpoint.metrics.requests.age(event.verified.received().arrival.as_millisecond(), time.unix_millis);
        }
        if let Kind::Quarantined(reason) = event.reading.kind {
            self.gateway.metrics.quarantined.inc(reason);
        }
        if event.contradicts_header() {
            endpoint.metrics.requests.type_mismatch.inc();
        }
    }

    /// The event's names are known.
    pub(super) fn envelope(&mut self, envelope: &Envelope) {
        self.event = Some(envelope.attributes().clone());
    }

    /// `reason`: why it was not accepted; what it was, when a ping, a repeat or a conflict.
    pub(super) fn end(mut self, reply: Reply, reason: Option<&str>) {
        let duration = self.count(reply);
        self.write(reply.status().as_u16(), Outcome::from(reply).as_str(), reason, duration);
    }

    /// A probe: one every second would fill the log.
    pub(super) fn end_unwritten(mut self, reply: Reply) {
        self.count(reply);
    }

    /// Counts the answer, and gives how long the request took.
    fn count(&mut self, reply: Reply) -> Duration {
        self.ended = true;
        let duration = self.begin.elapsed();
        match self.endpoint {
            Some(endpoint) => endpoint.metrics.answered(reply, duration.as_secs_f64()),
            None => self.gateway.no_source.requests.inc(reply),
        }
        duration
    }

    fn write(&self, status: u16, outcome: &'static str, reason: Option<&str>, duration: Duration) {
        let of_event = |attribute| self.event.as_ref().and_then(|event| event.get(attribute));
        let line = RequestLine {
            source: self.endpoint.map_or("none", |endpoint| &endpoint.identity.name),
            status,
            outcome,
            reason: reason.or_else(|| of_event(Attribute::QuarantineReason)),
            event_type: of_event(Attribute::Type),
            event_id: of_event(Attribute::Id),
            entity: of_event(Attribute::Subject),
            path: self.path.as_deref(),
            sender: self.sender,
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes),
            secret: self.secret,
            bytes: self.bytes,
            duration,
            trace_id: of_event(Attribute::Traceparent).and_then(|trace| trace.split('-').nth(1)),
        };
        self.gateway.tell(&line);
    }
}

impl Drop for AccessLog<'_> {
    fn drop(&mut self) {
        self.gateway.metrics.inflight_requests.dec();
        if !self.ended {
            self.write(NO_ANSWER, "abandoned", Some("the connection ended before the answer"), self.begin.elapsed());
        }
    }
}

/// Writes the line of a connection that was closed before it could ask for anything.
pub fn log_refused_connection(gateway: &Gateway, peer: IpAddr, reason: &str) {
    gateway.tell(&RequestLine {
        source: "none",
        status: NO_ANSWER,
        outcome: Outcome::Rejected.as_str(),
        reason: Some(reason),
        event_type: None,
        event_id: None,
        entity: None,
        path: None,
        sender: peer,
        user_agent: None,
        secret: None,
        bytes: 0,
        duration: Duration::ZERO,
        trace_id: None,
    });
}
