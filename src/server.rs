//! The server: builds the rooms from the configuration, starts them in a written order and stops them in a written order.
//!
//! One thread with its own event loop per worker, plus the thread of [`run`] for signals, secrets and the admin listener.
//! An event loop per core, with no work moved between them, costs about a quarter less CPU per event than one pool of
//! threads for all (measured with the JetStream path, two cores).

use std::{io, net::TcpListener as StdListener, sync::Arc, thread, time::Duration};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{
    body::Budget,
    bus::{Bus, nats},
    config::{BusKind, Config, Finding, UnknownTypes},
    delivery::Delivery,
    endpoint::Endpoints,
    envelope::Stamp,
    intake::Gateway,
    journal::{self, Journal, Keep},
    listener::{self, Phase, Slots},
    observe::{
        admin::{self, Admin},
        health::{Health, Stage},
        log,
        metrics::{Closed, Metrics},
    },
    secrets::SecretError,
};

mod reload;

/// Records that wait for the journal's thread; in-flight requests are bounded by bytes long before.
const JOURNAL_QUEUE: usize = 16 * 1024;
/// How often the drain looks whether it is done.
const DRAIN_TICK: Duration = Duration::from_millis(5);
/// Longest wait for the last log lines.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No secret, no start.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The journal cannot be opened.
    #[error("journal: {0}")]
    Journal(#[from] journal::OpenError),
    /// The bus cannot be used as it is configured.
    #[error("bus.nats: {0}")]
    Nats(#[from] nats::StartError),
    /// An address cannot be bound.
    #[error("{key} {address}: {error}")]
    Bind {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        address: std::net::SocketAddr,
        /// The system's answer.
        error: io::Error,
    },
    /// A thread or an event loop cannot be made.
    #[error("starting threads: {0}")]
    Thread(#[from] io::Error),
    /// Two metrics of one name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Serves until SIGTERM or SIGINT, then drains. `warnings`: what the check of the configuration wants known.
///
/// # Errors
/// See [`StartError`]; nothing has been accepted then.
pub fn run(config: &Config, warnings: &[Finding]) -> Result<(), StartError> {
    let lines = log::start(&config.log)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let (metrics, source_metrics) = Metrics::new(config)?;
    let endpoints = Endpoints::load(&config.sources, source_metrics)?;
    let (bus, journal) = bus(config, &metrics)?;
    let control = Builder::new_current_thread().enable_all().build()?;
    let admin_listener = control
        .block_on(TcpListener::bind(config.admin.address))
        .map_err(bind_error("admin.address", config.admin.address))?;
    let listener = listener::bind(config.listener.address, config.listener.backlog)
        .map_err(bind_error("listener.address", config.listener.address))?;

    let workers = worker_count(config);
    let health = Health::new(workers);
    let delivery = Delivery::new(bus, config.bus.recent_events, config.listener.answer_timeout, Arc::clone(&metrics));
    let gateway = Arc::new(Gateway {
        endpoints,
        limits: config.listener.clone(),
        budget: Budget::new(config.listener.max_inflight),
        stamp: Stamp::new(&replica(), jiff::Timestamp::now().as_millisecond()),
        template: config.bus.subject.clone().routing_unknown(config.bus.unknown_types == UnknownTypes::Route),
        delivery: Arc::clone(&delivery),
        health: health.clone(),
        metrics: Arc::clone(&metrics),
        lines: lines.clone(),
    });
    let admin = Arc::new(Admin {
        metrics,
        health: health.clone(),
        budget: gateway.budget.clone(),
        delivery,
        journal,
        lines: lines.clone(),
    });
    let address = listener.local_addr()?;
    let admin_address = admin_listener.local_addr()?;
    let crew = Crew::start(workers, &listener, &gateway)?;
    drop(listener);
    health.enter(Stage::Serving);
    let pid = std::process::id();
    tracing::info!(%address, %admin_address, pid, workers, version = env!("CARGO_PKG_VERSION"), "serving");

    control.block_on(async {
        tokio::spawn(admin::serve(admin_listener, admin));
        tokio::spawn(reload::watch(Arc::clone(&gateway)));
        let mut signals = Signals::new()?;
        signals.next().await;
        drain(&gateway, &crew, &mut signals).await;
        Ok::<_, io::Error>(())
    })?;
    crew.stop();
    gateway.delivery.bus().close();
    tracing::info!("stopped");
    lines.flush(FLUSH_LIMIT);
    Ok(())
}

/// The stop, in order: unready at once; connections still accepted for a while, because balancers learn late; no more
/// connections; requests in flight finished, also those whose sender has gone; what is left at the deadline is cut.
async fn drain(gateway: &Gateway, crew: &Crew, signals: &mut Signals) {
    gateway.health.enter(Stage::Draining);
    let limits = &gateway.limits;
    tracing::info!(delay_ms = limits.drain_delay.as_millis(), "draining");
    // A second signal is somebody at a terminal: skip the wait for balancers.
    let _signal_or_delay = timeout(limits.drain_delay, signals.next()).await;
    crew.phase.send_replace(Phase::Closing);
    let deadline = Instant::now() + limits.drain_deadline;
    while (crew.slots.open() > 0 || gateway.delivery.under_way() > 0) && Instant::now() < deadline {
        sleep(DRAIN_TICK).await;
    }
    let cut = crew.slots.open();
    (0..cut).for_each(|_| gateway.metrics.closed(Closed::Drain));
    if cut > 0 {
        tracing::warn!(connections = cut, "drain deadline reached");
    }
}

/// The workers' threads.
struct Crew {
    threads: Vec<thread::JoinHandle<()>>,
    phase: watch::Sender<Phase>,
    stop: watch::Sender<bool>,
    slots: Slots,
}

impl Crew {
    fn start(workers: usize, listener: &StdListener, gateway: &Arc<Gateway>) -> io::Result<Self> {
        let slots = Slots::new(gateway.limits.max_connections);
        let (phase, _) = watch::channel(Phase::Open);
        let (stop, _) = watch::channel(false);
        let mut crew = Crew { threads: Vec::with_capacity(workers), phase, stop, slots };
        for number in 0..workers {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let listener = {
                let _inside = runtime.enter();
                TcpListener::from_std(listener.try_clone()?)?
            };
            let gateway = Arc::clone(gateway);
            let (slots, phase, stop) = (crew.slots.clone(), crew.phase.subscribe(), crew.stop.subscribe());
            let work = move || work(&runtime, number, listener, gateway, slots, phase, stop);
            crew.threads.push(thread::Builder::new().name(format!("worker-{number}")).spawn(work)?);
        }
        Ok(crew)
    }

    fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            // A worker that panicked has nothing left to finish.
            let _panicked = thread.join();
        }
    }
}

fn work(
    runtime: &Runtime,
    number: usize,
    listener: TcpListener,
    gateway: Arc<Gateway>,
    slots: Slots,
    phase: watch::Receiver<Phase>,
    mut stop: watch::Receiver<bool>,
) {
    runtime.block_on(async {
        tokio::spawn(gateway.health.clone().beat(number));
        tokio::spawn(listener::accept(listener, gateway, slots, phase));
        let _gone = stop.wait_for(|stop| *stop).await;
    });
}

/// SIGTERM and SIGINT as one.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The configured bus, and the journal if there is one.
fn bus(config: &Config, metrics: &Arc<Metrics>) -> Result<(Bus, Option<Journal>), StartError> {
    Ok(match config.bus.kind {
        BusKind::Journal => {
            let observer = Arc::clone(metrics) as Arc<dyn journal::Observer>;
            let journal = Journal::open(journal_options(config), observer)?;
            (Bus::Journal(journal.clone()), Some(journal))
        }
        BusKind::Nats => (Bus::Nats(nats::Nats::start(config, metrics)?), None),
    })
}

fn journal_options(config: &Config) -> journal::Options {
    journal::Options {
        directory: config.journal.directory.clone(),
        segment_size: config.journal.segment_size,
        max_size: config.journal.max_size,
        max_age: config.journal.max_age,
        reserve: config.journal.reserve,
        keep: Keep::UntilOld,
        queue: JOURNAL_QUEUE,
    }
}

fn worker_count(config: &Config) -> usize {
    match config.listener.workers {
        0 => thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers,
    }
}

/// The host's name: on Kubernetes the pod's.
fn replica() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn bind_error(key: &'static str, address: std::net::SocketAddr) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::Bind { key, address, error }
}
