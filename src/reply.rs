//! Replies: the only room that knows HTTP status codes. No reply says why: a sender's users may read it (Convoy stores
//! and shows it). The log and the metrics do.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::{body::BodyError, delivery::Undeliverable, intake::BadRequest, verify::Refusal};

/// Seconds after which a sender may try again when hookbus cannot take an event now.
const RETRY_AFTER_SECONDS: &str = "5";

/// Everything a sender can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The event is durable: accepted, a repeat, in quarantine or in the catch-all.
    Received,
    /// A HEAD or GET on a webhook path: senders ping before they register an endpoint.
    Pong,
    /// Not to be understood as HTTP for this host.
    Malformed,
    /// One constant answer to every bad, missing or stale signature.
    InvalidSignature,
    /// No source has this path.
    NotFound,
    /// Neither POST nor a ping.
    MethodNotAllowed,
    /// The body came too slowly.
    TooSlow,
    /// The body is larger than the source takes.
    TooLarge,
    /// Cannot be made durable now, or no room to read it.
    Unavailable,
}

impl Reply {
    /// Every reply, for metrics that stand from the start.
    pub const ALL: [Reply; 9] = [
        Reply::Received,
        Reply::Pong,
        Reply::Malformed,
        Reply::InvalidSignature,
        Reply::NotFound,
        Reply::MethodNotAllowed,
        Reply::TooSlow,
        Reply::TooLarge,
        Reply::Unavailable,
    ];

    /// The status code.
    pub fn status(self) -> StatusCode {
        match self {
            Reply::Received | Reply::Pong => StatusCode::OK,
            Reply::Malformed => StatusCode::BAD_REQUEST,
            Reply::InvalidSignature => StatusCode::UNAUTHORIZED,
            Reply::NotFound => StatusCode::NOT_FOUND,
            Reply::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Reply::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Reply::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reply::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn body(self) -> &'static str {
        match self {
            Reply::Received => r#"{"received":true}"#,
            Reply::Pong => "{}",
            Reply::Malformed => r#"{"error":"bad request"}"#,
            Reply::InvalidSignature => r#"{"error":"invalid signature"}"#,
            Reply::NotFound => r#"{"error":"not found"}"#,
            Reply::MethodNotAllowed => r#"{"error":"method not allowed"}"#,
            Reply::TooSlow => r#"{"error":"request timeout"}"#,
            Reply::TooLarge => r#"{"error":"payload too large"}"#,
            Reply::Unavailable => r#"{"error":"unavailable"}"#,
        }
    }

    /// The response. `close`: the connection ends with it, because it is draining or its body was not read to the end.
    pub fn response(self, close: bool) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from_static(self.body().as_bytes())));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Reply::MethodNotAllowed => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST, GET, HEAD"));
            }
            Reply::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
            }
            _ => {}
        }
        if close || matches!(self, Reply::TooSlow | Reply::TooLarge | Reply::Malformed) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The same refusal as raw bytes, for a connection that is over the limit before hyper has seen it.
    pub(crate) fn raw_unavailable() -> String {
        let body = Reply::Unavailable.body();
        format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: {RETRY_AFTER_SECONDS}\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

impl From<BadRequest> for Reply {
    fn from(bad: BadRequest) -> Self {
        match bad {
            BadRequest::Host => Reply::Malformed,
            BadRequest::Path => Reply::NotFound,
            BadRequest::Method => Reply::MethodNotAllowed,
        }
    }
}

impl From<BodyError> for Reply {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Reply::TooLarge,
            BodyError::Stalled | BodyError::TooSlow => Reply::TooSlow,
            BodyError::Overloaded => Reply::Unavailable,
            BodyError::Broken => Reply::Malformed,
        }
    }
}

impl From<Refusal> for Reply {
    fn from(_: Refusal) -> Self {
        Reply::InvalidSignature
    }
}

impl From<Undeliverable> for Reply {
    fn from(_: Undeliverable) -> Self {
        Reply::Unavailable
    }
}
