//! Replies: the only room that knows HTTP status codes, also those that hyper or the listener writes by itself. No reply to
//! a sender says why: a sender's users may read it (Convoy stores and shows it). The log and the metrics do.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

/// Seconds after which a sender may try again when hookbus cannot take an event now.
const RETRY_AFTER_SECONDS: &str = "5";
/// Headers whose room a connection keeps from request to request, some 100 bytes each. Senders and proxies write fewer, and a
/// stranger who writes more must not hold memory on an idle connection.
const MOST_KEPT_HEADERS: usize = 48;
/// Prometheus 3 refuses a scrape without it.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Marks a response after which the sender may still be writing its body: closing the connection at once would reset it, and
/// the sender would lose the answer.
#[derive(Debug, Clone, Copy)]
pub struct Unread;

/// Everything a sender can be answered.
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
    /// The head is larger than the listener takes; hyper answers by itself, without a body.
    HeadTooLarge,
    /// Cannot be made durable now, or no room to read it.
    Unavailable,
}

impl Reply {
    /// Every reply, for metrics that stand from the start.
    pub const ALL: [Reply; 10] = [
        Reply::Received,
        Reply::Pong,
        Reply::Malformed,
        Reply::InvalidSignature,
        Reply::NotFound,
        Reply::MethodNotAllowed,
        Reply::TooSlow,
        Reply::TooLarge,
        Reply::HeadTooLarge,
        Reply::Unavailable,
    ];

    /// Status code and body.
    fn row(self) -> &'static (StatusCode, &'static str) {
        match self {
            Reply::Received => &(StatusCode::OK, r#"{"received":true}"#),
            Reply::Pong => &(StatusCode::OK, "{}"),
            Reply::Malformed => &(StatusCode::BAD_REQUEST, r#"{"error":"bad request"}"#),
            Reply::InvalidSignature => &(StatusCode::UNAUTHORIZED, r#"{"error":"invalid signature"}"#),
            Reply::NotFound => &(StatusCode::NOT_FOUND, r#"{"error":"not found"}"#),
            Reply::MethodNotAllowed => &(StatusCode::METHOD_NOT_ALLOWED, r#"{"error":"method not allowed"}"#),
            Reply::TooSlow => &(StatusCode::REQUEST_TIMEOUT, r#"{"error":"request timeout"}"#),
            Reply::TooLarge => &(StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":"payload too large"}"#),
            Reply::HeadTooLarge => &(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ""),
            Reply::Unavailable => &(StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"unavailable"}"#),
        }
    }

    /// The status code.
    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// The status code in digits.
    pub fn code(self) -> &'static str {
        self.row().0.as_str()
    }

    /// The response to a request whose body was not read to its end: the connection ends with it, slowly ([`Unread`]).
    pub fn before_the_body(self, asked: HeaderMap) -> Response<Full<Bytes>> {
        let mut response = self.response(true, asked);
        response.extensions_mut().insert(Unread);
        response
    }

    /// The response. `close`: the connection ends with it. `asked`: the request's headers, whose room serves those of the
    /// response and, since hyper keeps it, of the connection's next request.
    pub fn response(self, close: bool, mut asked: HeaderMap) -> Response<Full<Bytes>> {
        let &(status, body) = self.row();
        if asked.capacity() > MOST_KEPT_HEADERS {
            asked = HeaderMap::new();
        }
        asked.clear();
        let mut response = response(status, body.into(), "application/json", asked).map(Full::new);
        let mut insert = |name: HeaderName, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
        match self {
            Reply::MethodNotAllowed => insert(header::ALLOW, "POST, GET, HEAD"),
            Reply::Unavailable => insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS),
            _ => None,
        };
        if close || matches!(self, Reply::TooSlow | Reply::Malformed) {
            insert(header::CONNECTION, "close");
        }
        response
    }

    /// The same refusal as raw bytes, for a connection that is over the limit before hyper has seen it.
    pub fn raw_unavailable() -> String {
        let (status, body) = Reply::Unavailable.row();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nretry-after: {RETRY_AFTER_SECONDS}\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// Everything the admin listener answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminReply {
    /// The text exposition of the metrics.
    Metrics(String),
    /// Alive, or ready.
    Yes,
    /// Not alive, or not ready.
    No,
    /// Another path.
    NotFound,
    /// Neither GET nor HEAD nor OPTIONS.
    MethodNotAllowed,
    /// Something of the console.
    Console(Content),
    /// Neither GET nor HEAD of the console.
    ReadOnly,
    /// The console under a host name that a stranger may own.
    StrangeHost,
    /// A query that the console does not understand; why.
    BadQuery(String),
    /// As many large answers of this kind are being written as there may be at once.
    Busy,
}

/// What the console serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// HTML.
    Page(String),
    /// JSON.
    Json(String),
    /// CSS.
    Style(&'static str),
    /// JavaScript.
    Script(&'static str),
}

/// On everything of the console: nothing from elsewhere runs in it, is loaded by it, frames it or reads it; nothing is stored.
const CONSOLE_HEADERS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

impl AdminReply {
    /// The response.
    pub fn response(self) -> Response<Bytes> {
        let plain =
            |status, text: &'static str| response(status, text.into(), "text/plain; charset=utf-8", HeaderMap::new());
        match self {
            AdminReply::Metrics(text) => response(StatusCode::OK, text.into(), EXPOSITION, HeaderMap::new()),
            AdminReply::Yes => plain(StatusCode::OK, "ok\n"),
            AdminReply::No => plain(StatusCode::SERVICE_UNAVAILABLE, "unavailable\n"),
            AdminReply::NotFound => plain(StatusCode::NOT_FOUND, "try /metrics, /livez, /readyz or /console\n"),
            AdminReply::MethodNotAllowed => {
                let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                response
            }
            AdminReply::Console(content) => content.response(),
            AdminReply::ReadOnly => {
                let mut response = of_console(plain(StatusCode::METHOD_NOT_ALLOWED, "the console is read only\n"));
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
            AdminReply::StrangeHost => {
                let text = "not under this host name: open the console by an address, or list the name in admin.console_hosts\n";
                of_console(plain(StatusCode::FORBIDDEN, text))
            }
            AdminReply::BadQuery(why) => {
                let text = format!("{why}\n").into();
                of_console(response(StatusCode::BAD_REQUEST, text, "text/plain; charset=utf-8", HeaderMap::new()))
            }
            AdminReply::Busy => {
                let text = "busy: others have not read such an answer to its end, ask again in a second\n";
                let mut response = of_console(plain(StatusCode::SERVICE_UNAVAILABLE, text));
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                // What this client has asked behind it, it would read as little.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                response
            }
        }
    }
}

impl Content {
    fn response(self) -> Response<Bytes> {
        let (bytes, content_type) = match self {
            Content::Page(text) => (text.into(), "text/html; charset=utf-8"),
            Content::Json(text) => (text.into(), "application/json"),
            Content::Style(text) => (text.into(), "text/css; charset=utf-8"),
            Content::Script(text) => (text.into(), "text/javascript; charset=utf-8"),
        };
        of_console(response(StatusCode::OK, bytes, content_type, HeaderMap::new()))
    }
}

fn of_console(mut response: Response<Bytes>) -> Response<Bytes> {
    for (name, value) in CONSOLE_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `headers`: an empty map.
fn response(status: StatusCode, body: Bytes, content_type: &'static str, headers: HeaderMap) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_room_of_the_request_and_none_of_its_headers() {
        let asked = |headers: usize| {
            let mut asked = HeaderMap::new();
            for number in 0..headers {
                asked.append(HeaderName::try_from(format!("x-{}", number / 2)).unwrap(), HeaderValue::from_static("x"));
            }
            asked
        };
        for (headers, kept) in [(20, true), (200, false)] {
            let asked = asked(headers);
            let room = asked.capacity();
            let response = Reply::Received.response(false, asked);
            let headers: Vec<_> = response.headers().iter().collect();
            assert_eq!(headers, [(&header::CONTENT_TYPE, &HeaderValue::from_static("application/json"))]);
            assert_eq!(response.headers().capacity() == room, kept);
            assert!(response.headers().capacity() <= MOST_KEPT_HEADERS);
        }
    }
}
