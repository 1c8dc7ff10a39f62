//! What is counted of connections and requests that is not one source's.

use prometheus::IntGauge;

use crate::{
    event::Quarantine,
    metrics::{Counted, Label, metrics},
};

metrics! {
    /// Of the webhook listener.
    pub struct GatewayMetrics {
        /// Open connections.
        pub connections: IntGauge = "http_connections";
        /// Connections that hookbus closed, by reason; a client's own close is not counted.
        pub closed: Counted<Closed> = "http_connections_closed_total" ["reason"];
        /// Connections that owed the head of the PROXY protocol, by what came; only with `listener.proxy_protocol`.
        pub proxy_heads: Counted<ProxyHead> = "proxy_heads_total" ["result"];
        /// Requests between head and answer.
        pub inflight_requests: IntGauge = "http_inflight_requests";
        /// Events that came and cannot be routed by their type, repeats too, by reason.
        pub quarantined: Counted<Quarantine> = "quarantined_events_total" ["reason"];
    }
}

/// Why hookbus closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// More than `max_connections`.
    Limit,
    /// A head, or a connection's first byte, that took longer than `head_timeout`.
    HeadTimeout,
    /// A body that stalled longer than `body_timeout`.
    BodyTimeout,
    /// A request not complete within `request_timeout`.
    RequestTimeout,
    /// No request for `idle_timeout`.
    Idle,
    /// Not HTTP.
    Malformed,
    /// Still busy at the drain deadline.
    Drain,
}

/// What came where the head of the PROXY protocol was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHead {
    /// The sender's address.
    Address,
    /// The proxy speaks for itself: its health check.
    Local,
    /// The proxy does not know the sender's address, which the log then has not.
    Unknown,
    /// Nothing: the port was looked at.
    Nothing,
    /// The connection's end, inside the head.
    Ended,
    /// Something else.
    Malformed,
    /// No whole head within `head_timeout`.
    Late,
    /// No whole head before the drain closed the connection.
    Drain,
}

impl Label for ProxyHead {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [
            (ProxyHead::Address, "address"),
            (ProxyHead::Local, "local"),
            (ProxyHead::Unknown, "unknown"),
            (ProxyHead::Nothing, "nothing"),
            (ProxyHead::Ended, "ended"),
            (ProxyHead::Malformed, "malformed"),
            (ProxyHead::Late, "late"),
            (ProxyHead::Drain, "drain"),
        ]
    }
}

impl Label for Quarantine {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        Quarantine::ALL.map(|reason| (reason, reason.as_str()))
    }
}

impl Label for Closed {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [
            (Closed::Limit, "limit"),
            (Closed::HeadTimeout, "head_timeout"),
            (Closed::BodyTimeout, "body_timeout"),
            (Closed::RequestTimeout, "request_timeout"),
            (Closed::Idle, "idle"),
            (Closed::Malformed, "malformed"),
            (Closed::Drain, "drain"),
        ]
    }
}
