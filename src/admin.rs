//! The admin listener, on an address of its own: nothing of it is reachable through the webhooks' port.
//!
//! - `GET /metrics`: Prometheus text exposition
//! - `GET /livez`: 200 while the event loops, the drain and the journal's thread beat
//! - `GET /readyz`: 200 while an event could be taken, 503 while starting, draining or without durability
//! - `GET /console` and below: for people ([`console`])
//!
//! [`port`] has the connections, each has its limits in `connection`, and large answers have `places`.

mod connection;
pub mod console;
mod places;
pub mod port;

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use journal::{Journal, Stats};
use prometheus::{IntCounter, IntGauge};
use tokio::net::TcpListener;

use self::{
    console::Console,
    places::{Large, Places},
    port::Port,
};
use crate::{
    bus::journal_metrics::JournalMetrics,
    delivery::Delivery,
    health::{Health, Stage},
    log::Lines,
    metrics::{Each, Families, metrics, signed},
    reply::AdminReply,
    request::Budget,
};

metrics! {
    /// What a scrape reads off its owners.
    pub struct AdminMetrics {
        /// 1 for the stage in which the process is.
        stage: Each<Stage, IntGauge> = "stage" ["stage"];
        /// Bytes of request heads and bodies held now.
        inflight_bytes: IntGauge = "http_inflight_bytes";
        /// 1 while the bus can be reached.
        bus_up: IntGauge = "bus_up";
        /// Times that the bus was seen to have lost what it held, or to be another one: since the start, and before it.
        bus_losses: IntCounter = "bus_losses_total";
        /// Events in the dead letters now.
        dead_letters: IntGauge = "dead_letters";
        /// Keys of which the bus refuses an event while it takes others: their events wait in the spool.
        refused_keys: IntGauge = "spool_refused_keys";
        /// Events remembered as durable.
        dedup_entries: IntGauge = "dedup_entries";
        /// Log lines dropped: standard error was blocked, or too many requests without an event.
        log_lines_dropped: IntCounter = "log_lines_dropped_total";
    }
}

/// What the admin listener reads.
#[derive(Debug)]
pub struct Admin {
    families: Families,
    metrics: AdminMetrics,
    journal_metrics: Arc<JournalMetrics>,
    health: Health,
    budget: Budget,
    lines: Lines,
    /// Absent when it is switched off.
    console: Option<Console>,
    places: Places,
    /// Absent while the journal is being recovered.
    opened: OnceLock<Opened>,
}

#[derive(Debug)]
struct Opened {
    /// The journal: the bus's, or the spool's; `None` without either.
    journal: Option<Journal>,
    delivery: Arc<Delivery>,
}

/// Serves until the port is closed, and counts for the console.
///
/// # Errors
/// The system does not say the port's address.
pub fn start(listener: TcpListener, admin: &Arc<Admin>) -> io::Result<Port> {
    let (counting, answering) = (Arc::clone(admin), Arc::clone(admin));
    tokio::spawn(async move { counting.run().await });
    Port::open(listener, move |request| answering.respond(&request))
}

impl Admin {
    /// Answers from now on: alive, not ready.
    pub fn new(
        (families, metrics, journal_metrics): (Families, AdminMetrics, Arc<JournalMetrics>),
        health: Health,
        budget: Budget,
        lines: Lines,
        console: Option<Console>,
    ) -> Self {
        Admin {
            families,
            metrics,
            journal_metrics,
            health,
            budget,
            lines,
            console,
            places: Places::new(),
            opened: OnceLock::new(),
        }
    }

    async fn run(&self) {
        if let Some(console) = &self.console {
            console.run().await;
        }
    }

    /// The journal is open and events can be delivered.
    pub fn opened(&self, journal: Option<Journal>, delivery: Arc<Delivery>) {
        // The start calls this once.
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

    /// The response to a request; a large one only while it has a place.
    fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let large = match request.uri().path() {
            path if Console::has(path) => Large::Console,
            "/metrics" => Large::Metrics,
            _ => return self.answer(request).response().map(Full::new),
        };
        match self.places.take(large, request.extensions().get().cloned()) {
            Some(place) => self.answer(request).response().map(|bytes| Full::new(place.hold(bytes))),
            None => AdminReply::Busy.response().map(Full::new),
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> AdminReply {
        if let Some(console) = self.console.as_ref().filter(|_| Console::has(request.uri().path())) {
            self.refresh();
            return console.answer(request, (self.health.stage(), self.is_ready()));
        }
        let verdict = |holds| if holds { AdminReply::Yes } else { AdminReply::No };
        // A probe may ask with OPTIONS, as HAProxy's does by default.
        if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return AdminReply::MethodNotAllowed;
        }
        match request.uri().path() {
            "/metrics" => {
                self.refresh();
                AdminReply::Metrics(self.families.render())
            }
            "/livez" => verdict(self.health.live(self.beats())),
            "/readyz" => verdict(self.is_ready()),
            _ => AdminReply::NotFound,
        }
    }

    fn is_ready(&self) -> bool {
        self.health.ready(self.opened.get().is_some_and(|opened| opened.delivery.can_take()))
    }

    /// Sets the gauges whose values others own.
    fn refresh(&self) {
        self.metrics.stage.only(self.health.stage());
        self.metrics.inflight_bytes.set(signed(self.budget.used()));
        self.metrics
            .log_lines_dropped
            .inc_by(self.lines.dropped().saturating_sub(self.metrics.log_lines_dropped.get()));
        if let Some(Opened { delivery, .. }) = self.opened.get() {
            self.metrics.bus_up.set(i64::from(delivery.bus().up()));
            self.metrics.bus_losses.inc_by(delivery.bus_losses().saturating_sub(self.metrics.bus_losses.get()));
            self.metrics.dead_letters.set(signed(delivery.dead_letters()));
            self.metrics.refused_keys.set(signed(delivery.refused_keys()));
            self.metrics.dedup_entries.set(signed(delivery.remembered()));
        }
        self.journal().inspect(|stats| self.journal_metrics.read(stats));
    }
}
