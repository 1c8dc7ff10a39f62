//! What every request needs; made once, read only.

use std::sync::Arc;

use super::metrics::GatewayMetrics;
use crate::{
    config::ListenerConfig,
    delivery::Delivery,
    drift::Watch,
    endpoint::{Endpoints, metrics::AnswerMetrics},
    envelope::{Stamp, route::Template},
    health::Health,
    log::{History, Lines, RequestLine},
    request::Budget,
};

/// The rooms on the request path, and their limits.
#[derive(Debug)]
pub struct Gateway {
    /// The sources by path.
    pub endpoints: Endpoints,
    /// The listener's limits.
    pub limits: ListenerConfig,
    /// Memory for heads and bodies.
    pub budget: Budget,
    /// Sequence numbers.
    pub stamp: Stamp,
    /// Subject of a documented event.
    pub template: Template,
    /// The bus behind its memory.
    pub delivery: Arc<Delivery>,
    /// Whether the process is draining.
    pub health: Health,
    /// Connections and requests.
    pub metrics: GatewayMetrics,
    /// Requests that belong to no source.
    pub no_source: AnswerMetrics,
    /// What compares events with their schemas, beside the path.
    pub drift: Watch,
    /// The request log.
    pub lines: Lines,
    /// The last requests; none without the console.
    pub history: Option<Arc<History>>,
}

impl Gateway {
    /// Writes a request to the log, and keeps it for the console.
    pub(super) fn tell(&self, line: &RequestLine<'_>) {
        self.lines.request(line);
        if let Some(history) = &self.history {
            history.push(line);
        }
    }
}
