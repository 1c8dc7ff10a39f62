//! The reconciler: what the vendors know and the bus does not, in a process of its own beside the gateways.
//!
//! In: the vendors' own APIs ([`vendor_api`](crate::vendor_api)), and what lies on the bus. Out: findings, as metrics on a
//! listener of its own, as events on the bus, and as lines. A vendor's event is never invented. The gateway imports nothing
//! of it, and no failure of it reaches one.
//!
//! It keeps nothing: each look reads the bus from its oldest record on, so that a process that was killed goes on as if it had
//! not been, and a second one beside it finds the same under the same ids.

mod account;
mod finding;
mod judge;
mod look;
mod metrics;
mod own;
mod page;
mod publish;
mod seen;

use std::{collections::HashSet, io, sync::Arc, time::Duration};

use http_body_util::Full;
use jiff::Timestamp;
use tokio::{net::TcpListener, runtime::Builder, sync::watch, time::sleep};

pub(crate) use self::own::OwnEvent;
pub use self::{
    finding::Finding,
    judge::Verdict,
    look::{Look, Sight},
};
use self::{metrics::Shown, page::Page, publish::Publisher};
use crate::{
    admin::port::Port,
    bus::Bus,
    config::{BusKind, Config, Loaded, ReconcileConfig},
    envelope::attributes::Attribute,
    health::{Health, Stage},
    log,
    metrics::{Families, Label as _},
    server::{self, metrics::Metrics, open, signals::Signals},
};

/// Longest wait for the last log lines.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has no table for it.
    #[error("the configuration has no [reconcile] table")]
    Unconfigured,
    /// The bus, the log or the address, as of a gateway.
    #[error(transparent)]
    Server(#[from] server::StartError),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::Server(error.into())
    }
}

impl From<prometheus::Error> for StartError {
    fn from(error: prometheus::Error) -> Self {
        StartError::Server(error.into())
    }
}

impl StartError {
    /// Whether the configuration must change before a start can help.
    pub fn is_refusal(&self) -> bool {
        match self {
            StartError::Unconfigured => true,
            StartError::Server(error) => error.is_refusal(),
        }
    }
}

/// What the tasks of the long form share.
#[derive(Debug)]
pub struct Shared {
    /// The whole configuration.
    pub config: Arc<Config>,
    /// Its `[reconcile]`.
    pub reconcile: ReconcileConfig,
    /// What its `/metrics` shows: register here.
    pub families: Families,
    /// The bus to publish to; `None` where it is embedded in the gateway, which alone writes it.
    pub bus: Option<Bus>,
    /// Becomes true when the process is to stop.
    pub stop: watch::Receiver<bool>,
}

/// Looks again and again until SIGTERM or SIGINT. `beside`: starts what else runs in this process, in its runtime.
///
/// The start, in order: log, signals, address, bus, tasks.
///
/// # Errors
/// See [`StartError`].
pub fn serve(loaded: &Loaded, beside: impl FnOnce(&Shared) -> Result<(), StartError>) -> Result<(), StartError> {
    let config = Arc::new(loaded.config.clone());
    let reconcile = config.reconcile.clone().ok_or(StartError::Unconfigured)?;
    let lines = log::start(&config.log)?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let address = reconcile.address;
        let failed = |error| server::StartError::Bind { key: "reconcile.address", address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let (health, families) = (Health::new(1), Families::new()?);
        let shown = Shown::register(&families, &config)?;
        let page = Arc::new(Page { families: families.clone(), health: health.clone() });
        let port = Port::open(listener, move |request| page.answer(&request).response().map(Full::new))?;
        health.beat(0).map(|beat| tokio::spawn(beat.run()));
        let bus = open_bus(&config)?;
        let (stopping, stop) = watch::channel(false);
        let shared = Shared { config: Arc::clone(&config), reconcile, families, bus, stop };
        beside(&shared)?;
        health.enter(Stage::Serving);
        let (pid, version, revision) = (std::process::id(), env!("CARGO_PKG_VERSION"), env!("HOOKBUS_REVISION"));
        tracing::info!(address = %port.address, pid, version, revision, "reconciling");
        tokio::select! {
            () = look_for_ever(&shared, &shown) => {}
            () = signals.next() => {}
        }
        health.enter(Stage::Draining);
        // Nobody is left to hear it where all tasks have ended.
        let _ended = stopping.send(true);
        port.close().await;
        if let Some(bus) = shared.bus {
            bus.close();
        }
        Ok(())
    });
    runtime.shutdown_background();
    if result.is_ok() {
        tracing::info!("stopped");
    }
    lines.flush(FLUSH_LIMIT);
    result
}

/// Looks once. `found`: gets what was seen, before anything of it is published. Gives how many findings the bus did not take.
///
/// # Errors
/// See [`StartError`].
pub fn once(loaded: &Loaded, found: impl FnOnce(&Look)) -> Result<usize, StartError> {
    let config = &loaded.config;
    let reconcile = config.reconcile.as_ref().ok_or(StartError::Unconfigured)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let look = Look::now(config, reconcile).await;
        found(&look);
        if look.bus_error.is_some() || !(reconcile.publish_findings || reconcile.publish_missed) {
            return Ok(0);
        }
        let Some(bus) = open_bus(config)? else { return Ok(0) };
        let unpublished = publish(&look, &Publisher::new(bus.clone()), reconcile).await;
        bus.close();
        Ok(unpublished)
    })
}

async fn look_for_ever(shared: &Shared, shown: &Shown) {
    let publisher = shared.bus.clone().map(Publisher::new);
    let mut told = HashSet::new();
    loop {
        let look = Look::now(&shared.config, &shared.reconcile).await;
        shown.show(&look);
        told = tell(&look, &told);
        if let Some(publisher) = &publisher {
            shown.unpublished(publish(&look, publisher, &shared.reconcile).await);
        }
        sleep(look::pause(shared.reconcile.interval)).await;
    }
}

/// Logs what the look before did not find. Gives the ids of all that this one has found.
fn tell(look: &Look, before: &HashSet<String>) -> HashSet<String> {
    if let Some(error) = &look.bus_error {
        tracing::warn!(%error, "the bus cannot be read to its end: what it would show is unknown");
    }
    for sight in &look.sights {
        let source = &sight.source.name;
        match &sight.verdict {
            Err(error) => tracing::warn!(source, %error, "the vendor cannot be asked"),
            Ok(verdict) => {
                for (_, error) in &verdict.failed {
                    tracing::warn!(source, %error, "the vendor does not give a list: what it would show is unknown");
                }
                if verdict.odd > 0 {
                    tracing::warn!(source, odd = verdict.odd, "items of another shape than documented are passed over");
                }
                if verdict.unknown > 0 {
                    tracing::info!(source, unknown = verdict.unknown, "changes before the bus's memory: unknown");
                }
            }
        }
        if sight.is_cut {
            tracing::warn!(source, "{}", Sight::CUT);
        }
    }
    let mut told = HashSet::new();
    for (source, finding) in look.findings() {
        let id = finding.id(false);
        if !before.contains(&id) {
            let (kind, subject) = (finding.kind.as_str(), finding.subject.escape_debug());
            tracing::warn!(kind, source = source.name, %subject, event = finding.event, "found");
        }
        told.insert(id);
    }
    told
}

/// Publishes what the bus does not show yet; how many it did not take. Of a bus that could not be read nobody knows what it
/// has, and which occurrence this is.
async fn publish(look: &Look, publisher: &Publisher, reconcile: &ReconcileConfig) -> usize {
    if look.bus_error.is_some() {
        return 0;
    }
    let (now, mut messages) = (Timestamp::now(), Vec::new());
    for (source, finding) in look.findings() {
        if reconcile.publish_findings && !look.seen.has_ours(&finding.id(false)) {
            messages.push(publisher.finding(finding, source, false, now));
        }
        let missed = publisher.missed(finding, source, now).filter(|_| reconcile.publish_missed);
        messages.extend(missed.filter(|message| !look.seen.has_ours(message.get(Attribute::Id))));
    }
    for sight in look.sights.iter().filter(|_| reconcile.publish_findings) {
        let over = sight.healed.iter().filter(|over| !look.seen.has_ours(&over.id(true)));
        messages.extend(over.map(|over| publisher.finding(over, &sight.source, true, now)));
    }
    publisher.publish(messages).await
}

/// The bus, to publish to. Its metrics are the gateways', and are not shown here.
fn open_bus(config: &Config) -> Result<Option<Bus>, StartError> {
    if config.bus.kind == BusKind::Journal {
        return Ok(None);
    }
    let (metrics, _) = Metrics::new(config)?;
    Ok(Some(open::open_bus(config, &metrics)?.0))
}
