//! The last requests for a program: `/console/recent.json`.

use serde_json::{Value, json};

use super::requests::{self, Shown};
use crate::log::{PastRequest, Text};

/// One object; `requests` has the newest first.
pub(super) fn of(shown: &Shown<'_>) -> String {
    let requests: Vec<Value> = shown.requests.iter().map(request).collect();
    let object = json!({
        "matching": shown.matching,
        "kept": shown.kept,
        "since_start": shown.seen,
        "not_kept": shown.dropped,
        "requests": requests,
    });
    format!("{object}\n")
}

fn request(request: &PastRequest) -> Value {
    json!({
        "time": requests::at(request).to_string(),
        "source": request.text(Text::Source),
        "status": request.status,
        "outcome": request.outcome,
        "reason": request.text(Text::Reason),
        "type": request.text(Text::Type),
        "event_id": request.text(Text::Id),
        "entity": request.text(Text::Entity),
        "path": request.text(Text::Path),
        "sender": request.sender.to_string(),
        "secret": request.text(Text::Secret),
        "bytes": request.bytes,
        "duration_ms": request.duration.as_secs_f64() * 1000.0,
        "trace_id": request.text(Text::Trace),
    })
}
