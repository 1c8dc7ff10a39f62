//! The admin listener, on an address of its own: nothing of it is reachable through the webhooks' port.
//!
//! - `GET /metrics`: Prometheus text exposition
//! - `GET /livez`: 200 while the event loops, the drain and the journal's thread beat
//! - `GET /readyz`: 200 while an event could be taken, 503 while starting, draining or without durability
//! - `GET /console` and below: for people ([`console`])

pub mod console;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{Method, Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use journal::{Journal, Stats};
use prometheus::{IntCounter, IntGauge};
use tokio::{net::TcpListener, sync::Semaphore};

use self::console::Console;
use crate::{
    bus::journal_metrics::JournalMetrics,
    delivery::Delivery,
    health::{Health, Stage},
    log::Lines,
    metrics::{Each, Families, metrics, signed},
    reply::AdminReply,
    request::Budget,
};

/// A scraper that sends nothing for this long is cut.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// Pause after an accept that failed, so that a process out of file descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections at once; a scraper, two probes and a person with curl need four.
const MAX_CONNECTIONS: usize = 32;

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
    /// Absent while the journal is being recovered.
    opened: OnceLock<Opened>,
}

#[derive(Debug)]
struct Opened {
    /// The journal: the bus's, or the spool's; `None` without either.
    journal: Option<Journal>,
    delivery: Arc<Delivery>,
}

/// Serves until the runtime ends, and counts for the console. Gives the address.
///
/// # Errors
/// The system does not say it.
pub fn start(listener: TcpListener, admin: &Arc<Admin>) -> io::Result<SocketAddr> {
    let (address, counting) = (listener.local_addr()?, Arc::clone(admin));
    tokio::spawn(async move { counting.run().await });
    tokio::spawn(serve(listener, Arc::clone(admin)));
    Ok(address)
}

async fn serve(listener: TcpListener, admin: Arc<Admin>) {
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
            let answer = |request| std::future::ready(Ok::<_, Infallible>(admin.answer(&request).response()));
            // A scraper may go away.
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
    pub fn new(
        (families, metrics, journal_metrics): (Families, AdminMetrics, Arc<JournalMetrics>),
        health: Health,
        budget: Budget,
        lines: Lines,
        console: Option<Console>,
    ) -> Self {
        Admin { families, metrics, journal_metrics, health, budget, lines, console, opened: OnceLock::new() }
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
