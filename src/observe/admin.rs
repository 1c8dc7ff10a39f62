//! The admin listener, on an address of its own: nothing of it is reachable through the webhooks' port.
//!
//! - `GET /metrics`: Prometheus text exposition
//! - `GET /livez`: 200 while the event loops, the drain and the journal's thread beat
//! - `GET /readyz`: 200 while an event could be taken, 503 while starting, draining or without durability

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

use super::{health::Health, log::Lines, metrics::Metrics, metrics::Readings};
use crate::{
    body::Budget,
    delivery::Delivery,
    journal::{Journal, Stats},
};

/// A scraper that sends nothing for this long is cut.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// Pause after an accept that failed, so that a process out of file descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Prometheus 3 refuses a scrape without it.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Connections at once; a scraper, two probes and somebody with curl need four.
const MAX_CONNECTIONS: usize = 256;

/// What the admin listener reads.
#[derive(Debug)]
pub struct Admin {
    metrics: Arc<Metrics>,
    health: Health,
    budget: Budget,
    lines: Lines,
    /// Absent while the journal is being recovered.
    opened: OnceLock<Opened>,
}

#[derive(Debug)]
struct Opened {
    /// The journal: the bus's, or the spool's; `None` without either.
    journal: Option<Journal>,
    delivery: Arc<Delivery>,
}

/// Serves until the runtime ends.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Closed only by the runtime's end.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let _slot = slot;
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
    /// Answers from now on: alive, not ready.
    pub fn new(metrics: Arc<Metrics>, health: Health, budget: Budget, lines: Lines) -> Self {
        Admin { metrics, health, budget, lines, opened: OnceLock::new() }
    }

    /// The journal is open and events can be delivered.
    pub fn opened(&self, journal: Option<Journal>, delivery: Arc<Delivery>) {
        // Said once, by the start.
        let _twice = self.opened.set(Opened { journal, delivery });
    }

    fn journal(&self) -> Option<Stats> {
        self.opened.get()?.journal.as_ref().map(Journal::stats)
    }

    /// How long ago the threads that are not event loops were last seen.
    fn beats(&self) -> impl Iterator<Item = Duration> + use<> {
        let journal = self.journal().map(|stats| stats.beat.elapsed());
        journal.into_iter().chain(self.opened.get().and_then(|opened| opened.delivery.drain_beat()))
    }

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
            "/livez" => verdict(self.health.live(self.beats())),
            "/readyz" => verdict(self.health.ready(self.opened.get().is_some_and(|opened| opened.delivery.can_take()))),
            _ => plain(StatusCode::NOT_FOUND, "try /metrics, /livez or /readyz\n".into()),
        }
    }

    fn readings(&self) -> Readings {
        Readings {
            stage: self.health.stage(),
            inflight_bytes: self.budget.used(),
            bus_up: self.opened.get().is_some_and(|opened| opened.delivery.bus().up()),
            dead_letters: self.opened.get().map_or(0, |opened| opened.delivery.dead_letters()),
            dedup_entries: self.opened.get().map_or(0, |opened| opened.delivery.remembered()),
            log_lines_dropped: self.lines.dropped(),
            journal: self.journal(),
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
