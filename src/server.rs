//! The server: builds the rooms from the configuration, starts them in a written order and stops them in a written order.
//!
//! One thread with its own event loop per worker, plus the thread of [`run`] for signals, secrets and the admin listener.
//! An event loop per core, with nothing moved between them but a connection that was just accepted, costs about a quarter
//! less CPU per event than one pool of threads for all (measured with the JetStream path, two cores).

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::{
    net::TcpListener,
    runtime::Builder,
    time::{Instant, sleep, timeout, timeout_at},
};

pub use self::start_error::StartError;
use self::{ends::Ends, metrics::Metrics, signals::Signals, workers::Workers};
use crate::{
    admin::{self, Admin, console::Console},
    config::{Config, Finding},
    drift,
    endpoint::Endpoints,
    envelope::Stamp,
    health::{Health, Stage},
    intake::{Gateway, metrics::Closed},
    listener::{self, Phase},
    log::{self, Lines},
    request::Budget,
};

mod descriptors;
mod ends;
pub mod metrics;
pub(crate) mod open;
mod reload;
pub(crate) mod signals;
mod start_error;
mod workers;

/// How often the drain looks whether it is done.
const DRAIN_TICK: Duration = Duration::from_millis(5);
/// Longest wait for the last log lines.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT, then drains. `warnings`: what the check of the configuration wants known.
///
/// The start, in order: log, secrets, signals, addresses (a taken port is known before a long recovery), admin listener
/// (alive, not ready), journal, workers, ready.
///
/// # Errors
/// See [`StartError`]; nothing has been accepted then.
pub fn run(config: &Config, warnings: &[Finding]) -> Result<(), StartError> {
    let lines = log::start(&config.log)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    descriptors::raise();
    let control = Builder::new_current_thread().enable_all().build()?;
    let result = control.block_on(serve(config, &lines));
    // A recovery that a signal has overtaken goes on reading until the process ends.
    control.shutdown_background();
    if result.is_ok() {
        tracing::info!("stopped");
    }
    lines.flush(FLUSH_LIMIT);
    result
}

async fn serve(config: &Config, lines: &Lines) -> Result<(), StartError> {
    let (metrics, source_metrics) = Metrics::new(config)?;
    let metrics = Arc::new(metrics);
    let endpoints = Endpoints::load(&config.sources, source_metrics)?;
    let mut signals = Signals::new()?;
    let admin_listener =
        TcpListener::bind(config.admin.address).await.map_err(bind_error("admin.address", config.admin.address))?;
    let socket =
        listener::bind(config.listener.address).map_err(bind_error("listener.address", config.listener.address))?;
    let count = worker_count(config);
    let (health, budget) = (Health::new(count), Budget::new(config.listener.max_inflight));
    let scraped = (metrics.families.clone(), metrics.admin.clone(), Arc::clone(&metrics.journal));
    let (console, history) = Console::open(config, replica(), &metrics.families).unzip();
    let admin = Arc::new(Admin::new(scraped, health.clone(), budget.clone(), lines.clone(), console));
    let admin_port = admin::start(admin_listener, &admin)?;

    let (delivery, journal) = tokio::select! {
        opened = open::delivery(config, Arc::clone(&metrics)) => opened?,
        () = signals.next() => return Ok(()),
    };
    // The journal's lock is ours: whoever ran here before has ended.
    let ends = begin(config, &metrics).await;
    admin.opened(journal, Arc::clone(&delivery));
    open::watch_replays(Arc::clone(&delivery))?;
    let gateway = Arc::new(Gateway {
        endpoints,
        limits: config.listener.clone(),
        budget,
        stamp: Stamp::new(&replica(), jiff::Timestamp::now().as_millisecond()),
        template: config.bus.template(),
        delivery,
        health: health.clone(),
        metrics: metrics.gateway.clone(),
        no_source: metrics.no_source.clone(),
        drift: drift::start(metrics.samples.clone())?,
        lines: lines.clone(),
        history,
    });
    reload::start(Arc::clone(&gateway))?;
    let listener = listener::listen(socket, config.listener.backlog)?;
    let address = listener.local_addr()?;
    let workers = Workers::start(count, &listener, &gateway)?;
    // The workers' clones are the socket now; it closes when they stop accepting.
    drop(listener);
    health.enter(Stage::Serving);
    let (pid, version, revision) = (std::process::id(), env!("CARGO_PKG_VERSION"), env!("HOOKBUS_REVISION"));
    tracing::info!(%address, admin_address = %admin_port.address, pid, workers = count, version, revision, "serving");
    signals.next().await;
    // On a thread of its own: a disk that hangs must not hold up the drain.
    ends.map(|ends| tokio::task::spawn_blocking(move || ends.asked()));
    drain(&gateway, &workers, &mut signals).await;
    workers.stop();
    gateway.delivery.close();
    // Last of all: until here it says that the process drains.
    admin_port.close().await;
    Ok(())
}

/// Takes note of how the last run ended, on a thread that may wait for a disk.
async fn begin(config: &Config, metrics: &Arc<Metrics>) -> Option<Ends> {
    let (config, metrics) = (config.clone(), Arc::clone(metrics));
    tokio::task::spawn_blocking(move || Ends::begin(&config, &metrics.ends)).await.ok().flatten()
}

/// The stop, in order: unready at once; connections still accepted for a while, because balancers learn late; no more
/// connections; requests in flight finished, also those whose sender has gone; what is left at the deadline is cut.
async fn drain(gateway: &Gateway, workers: &Workers, signals: &mut Signals) {
    gateway.health.enter(Stage::Draining);
    let limits = &gateway.limits;
    tracing::info!(delay_ms = limits.drain_delay.as_millis(), "draining");
    // A second signal comes from a terminal: skip the wait for balancers.
    let _signal_or_delay = timeout(limits.drain_delay, signals.next()).await;
    workers.phase.send_replace(Phase::Closing);
    let deadline = Instant::now() + limits.drain_deadline;
    // Accept loops and connections hold receivers of the phase: when the last one is gone, so are they.
    let _closed_or_deadline = timeout_at(deadline, workers.phase.closed()).await;
    while gateway.delivery.under_way() > 0 && Instant::now() < deadline {
        sleep(DRAIN_TICK).await;
    }
    let (connections, publications) = (workers.slots.open(), gateway.delivery.under_way());
    (0..connections).for_each(|_| gateway.metrics.closed.inc(Closed::Drain));
    if connections + publications > 0 {
        tracing::warn!(connections, publications, "drain deadline reached: these are cut");
    }
    gateway.delivery.stop_drain();
}

fn worker_count(config: &Config) -> usize {
    match config.listener.workers {
        0 => thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers,
    }
}

/// The host's name: on Kubernetes the pod's.
pub(crate) fn replica() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn bind_error(key: &'static str, address: SocketAddr) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::Bind { key, address, error }
}
