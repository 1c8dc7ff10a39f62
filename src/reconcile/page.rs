//! What the reconciler answers on its own address: `/metrics`, `/livez` and `/readyz`.

use http::{Method, Request};
use hyper::body::Incoming;

use crate::{health::Health, metrics::Families, reply::AdminReply};

/// What it reads.
pub(super) struct Page {
    pub(super) families: Families,
    pub(super) health: Health,
}

impl Page {
    /// Ready is who has begun to look, whatever the vendors and the bus say: a restart mends neither.
    pub(super) fn answer(&self, request: &Request<Incoming>) -> AdminReply {
        let verdict = |holds| if holds { AdminReply::Yes } else { AdminReply::No };
        if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return AdminReply::MethodNotAllowed;
        }
        match request.uri().path() {
            "/metrics" => AdminReply::Metrics(self.families.render()),
            "/livez" => verdict(self.health.live([])),
            "/readyz" => verdict(self.health.ready(true)),
            _ => AdminReply::NotFound,
        }
    }
}
