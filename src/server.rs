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
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    body::Budget,
    bus::{Bus, kafka, kafka::Kafka, nats, nats::Nats},
    config::{BusKind, Config, Finding},
    delivery::{Delivery, spool::Spool},
    endpoint::Endpoints,
    envelope::Stamp,
    intake::Gateway,
    journal::{self, Journal, Keep},
    listener::{self, Phase, Slots},
    observe::{
        admin::{self, Admin},
        health::{Health, Stage},
        log,
        metrics::{Closed, DurabilityClass, Metrics},
    },
    secrets::SecretError,
    wake,
};

mod descriptors;
mod reload;
mod spool;

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
    /// The Kafka client cannot be made from the configuration.
    #[error(transparent)]
    Kafka(#[from] kafka::OpenError),
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
/// The start, in order: log, secrets, signals, addresses (a taken port is known before a long recovery), admin listener
/// (alive, not ready), journal, workers, ready.
///
/// # Errors
/// See [`StartError`]; nothing has been accepted then.
pub fn run(config: &Config, warnings: &[Finding]) -> Result<(), StartError> {
    let lines = log::start(&config.log)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    descriptors::raise(config.listener.max_connections);
    let (metrics, source_metrics) = Metrics::new(config)?;
    let endpoints = Endpoints::load(&config.sources, source_metrics)?;
    let control = Builder::new_current_thread().enable_all().build()?;
    let result = control.block_on(async {
        let mut signals = Signals::new()?;
        let admin_listener =
            TcpListener::bind(config.admin.address).await.map_err(bind_error("admin.address", config.admin.address))?;
        let socket =
            listener::bind(config.listener.address).map_err(bind_error("listener.address", config.listener.address))?;
        let workers = worker_count(config);
        let health = Health::new(workers);
        let budget = Budget::new(config.listener.max_inflight);
        let admin = Arc::new(Admin::new(Arc::clone(&metrics), health.clone(), budget.clone(), lines.clone()));
        let admin_address = admin_listener.local_addr()?;
        tokio::spawn(admin::serve(admin_listener, Arc::clone(&admin)));

        let (delivery, journal) = tokio::select! {
            opened = open(config, &metrics) => opened?,
            () = signals.next() => return Ok(()),
        };
        admin.opened(journal, Arc::clone(&delivery));
        spool::watch_replays(Arc::clone(&delivery))?;
        let gateway = Arc::new(Gateway {
            endpoints,
            limits: config.listener.clone(),
            budget,
            stamp: Stamp::new(&replica(), jiff::Timestamp::now().as_millisecond()),
            template: config.bus.template(),
            delivery,
            health: health.clone(),
            metrics,
            lines: lines.clone(),
        });
        reload::start(Arc::clone(&gateway))?;
        let listener = listener::listen(socket, config.listener.backlog)?;
        let address = listener.local_addr()?;
        let crew = Crew::start(workers, &listener, &gateway)?;
        // The workers' clones are the socket now; it closes when they stop accepting.
        drop(listener);
        health.enter(Stage::Serving);
        let (pid, version) = (std::process::id(), env!("CARGO_PKG_VERSION"));
        let revision = env!("HOOKBUS_REVISION");
        tracing::info!(%address, %admin_address, pid, workers, version, revision, "serving");
        signals.next().await;
        drain(&gateway, &crew, &mut signals).await;
        gateway.delivery.rest();
        crew.stop();
        gateway.delivery.close();
        Ok(())
    });
    // A recovery that a signal has overtaken goes on reading until the process ends.
    control.shutdown_background();
    if result.is_ok() {
        tracing::info!("stopped");
    }
    lines.flush(FLUSH_LIMIT);
    result
}

/// Opens the bus and its spool on a thread of their own: recovery reads every record once, and the admin listener answers
/// meanwhile.
async fn open(config: &Config, metrics: &Arc<Metrics>) -> Result<(Arc<Delivery>, Option<Journal>), StartError> {
    let (config, metrics, begin) = (config.clone(), Arc::clone(metrics), Instant::now());
    if config.journal.spool || config.bus.kind == BusKind::Journal {
        tracing::info!(directory = %config.journal.directory.display(), "recovering the journal");
    }
    let opened = tokio::task::spawn_blocking(move || {
        let spool = spool::open(&config, &metrics)?;
        let (bus, journal) = open_bus(&config, &metrics)?;
        let journal = journal.or_else(|| spool.as_ref().map(|spool| spool.journal()));
        Ok::<_, StartError>((open_delivery(&config, bus, spool, &metrics)?, journal))
    });
    let (delivery, journal) = opened.await.map_err(|panic| io::Error::other(panic.to_string()))??;
    if let Some(stats) = journal.as_ref().map(Journal::stats) {
        tracing::info!(records = stats.records, bytes = stats.bytes, took = ?begin.elapsed(), "journal open");
    }
    Ok((delivery, journal))
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
    // Accept loops and connections hold receivers of the phase: when the last one is gone, so are they.
    let _closed_or_deadline = timeout_at(deadline, crew.phase.closed()).await;
    while gateway.delivery.under_way() > 0 && Instant::now() < deadline {
        sleep(DRAIN_TICK).await;
    }
    let (connections, publications) = (crew.slots.open(), gateway.delivery.under_way());
    (0..connections).for_each(|_| gateway.metrics.closed(Closed::Drain));
    if connections + publications > 0 {
        tracing::warn!(connections, publications, "drain deadline reached: these are cut");
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
        let (phase, phase_seen) = watch::channel(Phase::Open);
        let (stop, _) = watch::channel(false);
        let mut crew = Crew { threads: Vec::with_capacity(workers), phase, stop, slots };
        for number in 0..workers {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let listener = {
                let _inside = runtime.enter();
                TcpListener::from_std(listener.try_clone()?)?
            };
            let gateway = Arc::clone(gateway);
            let (slots, phase, stop) = (crew.slots.clone(), phase_seen.clone(), crew.stop.subscribe());
            let work = move || work(&runtime, number, listener, &gateway, slots, phase, stop);
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
    gateway: &Arc<Gateway>,
    slots: Slots,
    phase: watch::Receiver<Phase>,
    mut stop: watch::Receiver<bool>,
) {
    runtime.block_on(async {
        gateway.health.beat(number).map(|beat| tokio::spawn(beat.run()));
        tokio::spawn(wake::serve());
        gateway.delivery.bus().attach().await;
        tokio::spawn(listener::accept(listener, Arc::clone(gateway), slots, phase));
        let _gone = stop.wait_for(|stop| *stop).await;
        gateway.delivery.bus().detach().await;
    });
}

/// SIGTERM and SIGINT as one; SIGHUP as none.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let on = |kind| signal(kind);
        Ok(Signals {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// The next one. SIGHUP asks for nothing that does not happen anyway, and must not kill.
    async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => tracing::info!("SIGHUP: secrets are read every few seconds without it"),
            }
        }
    }
}

/// The configured bus, and the journal when it is one.
///
/// # Errors
/// The bus' own part of [`StartError`].
pub(crate) fn open_bus(config: &Config, metrics: &Arc<Metrics>) -> Result<(Bus, Option<Journal>), StartError> {
    match config.bus.kind {
        BusKind::Journal => {
            let observer: Arc<dyn journal::Observer> = Arc::<Metrics>::clone(metrics);
            let journal = Journal::open(journal_options(config), observer)?;
            if journal.stats().in_memory {
                metrics.bus.durability(DurabilityClass::Memory);
            }
            Ok((Bus::Journal(journal.clone()), Some(journal)))
        }
        BusKind::Nats => Ok((Bus::Nats(Nats::start(config, metrics)?), None)),
        BusKind::Kafka => Ok((Bus::Kafka(Kafka::open(config, metrics.bus.clone())?), None)),
    }
}

fn open_delivery(
    config: &Config,
    bus: Bus,
    spool: Option<Arc<Spool>>,
    metrics: &Arc<Metrics>,
) -> io::Result<Arc<Delivery>> {
    let (recent, patience, metrics) = (config.bus.recent_events, config.listener.answer_timeout, Arc::clone(metrics));
    match spool {
        Some(spool) => Delivery::spooled(bus, spool, recent, patience, metrics),
        None => Ok(Delivery::new(bus, recent, patience, metrics)),
    }
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
