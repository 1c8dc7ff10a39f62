//! The admin listener, on an address of its own: nothing of it is reachable through the webhooks' port.
//!
//! - `GET /metrics`: Prometheus text exposition
//! - `GET /livez`: 200 while the event loops and the journal's thread beat
//! - `GET /readyz`: 200 while an event could be taken, 503 while starting, draining or without durability

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::{health::Health, log::Lines, metrics::Metrics, metrics::Readings};
use crate::{body::Budget, delivery::Delivery, journal::Journal};

/// A scraper that sends nothing for this long is cut.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// Pause after an accept that failed, so that a process out of file descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Prometheus 3 refuses a scrape without it.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the admin listener reads.
#[derive(Debug)]
pub struct Admin {
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Stage and beats.
    pub health: Health,
    /// The in-flight budget.
    pub budget: Budget,
    /// For the recent events' number.
    pub delivery: Arc<Delivery>,
    /// The journal's own account, when there is one.
    pub journal: Option<Journal>,
    /// For the dropped lines' number.
    pub lines: Lines,
}

/// Serves until the runtime ends.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let answer = |request| std::future::ready(Ok::<_, Infallible>(admin.answer(&request)));
            // A scraper that goes away is nobody's problem.
            let _gone = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

impl Admin {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n".into());
        }
        match request.uri().path() {
            "/metrics" => {
                let mut response = plain(StatusCode::OK, self.metrics.render(&self.readings()));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(EXPOSITION));
                response
            }
            "/livez" => verdict(self.health.live(self.journal_beat())),
            "/readyz" => verdict(self.health.ready(self.delivery.bus().up())),
            _ => plain(StatusCode::NOT_FOUND, "try /metrics, /livez or /readyz\n".into()),
        }
    }

    /// The age of the journal's beat; without a journal there is nothing to be stuck.
    fn journal_beat(&self) -> Duration {
        self.journal.as_ref().map_or(Duration::ZERO, |journal| journal.stats().beat.elapsed())
    }

    fn readings(&self) -> Readings {
        Readings {
            inflight_bytes: self.budget.used(),
            dedup_entries: self.delivery.remembered(),
            log_lines_dropped: self.lines.dropped(),
            bus_up: self.delivery.bus().up(),
            journal: self.journal.as_ref().map(Journal::stats),
        }
    }
}

fn verdict(well: bool) -> Response<Full<Bytes>> {
    if well {
        plain(StatusCode::OK, "ok\n".into())
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, "unavailable\n".into())
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
