//! The reconciler: what the vendors know and the bus does not, in a process of its own beside the gateways.
//!
//! In: the vendors' own APIs ([`vendor_api`](crate::vendor_api)), and what lies on the bus. Out: findings, as metrics on a
//! listener of its own, as events on the bus, and as lines. A vendor's event is never invented. The gateway imports nothing
//! of it, and no failure of it reaches one.

mod page;

use std::{io, sync::Arc, time::Duration};

use tokio::{net::TcpListener, runtime::Builder, sync::watch, time::sleep};

use self::page::Page;
use crate::{
    admin,
    bus::Bus,
    config::{BusKind, Config, Loaded, ReconcileConfig},
    health::{Health, Stage},
    log,
    metrics::Families,
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

/// What the tasks of the long form share.
#[derive(Debug)]
pub struct House {
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
pub fn serve(loaded: &Loaded, beside: impl FnOnce(&House) -> Result<(), StartError>) -> Result<(), StartError> {
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
        let (address, health, families) = (listener.local_addr()?, Health::new(1), Families::new()?);
        let page = Page { families: families.clone(), health: health.clone() };
        tokio::spawn(admin::serve(listener, move |request| page.answer(request)));
        health.beat(0).map(|beat| tokio::spawn(beat.run()));
        let bus = open_bus(&config)?;
        let (stopping, stop) = watch::channel(false);
        let house = House { config: Arc::clone(&config), reconcile, families, bus, stop };
        beside(&house)?;
        health.enter(Stage::Serving);
        let (pid, version, revision) = (std::process::id(), env!("CARGO_PKG_VERSION"), env!("HOOKBUS_REVISION"));
        tracing::info!(%address, pid, version, revision, "reconciling");
        tokio::select! {
            () = look_for_ever(&house) => {}
            () = signals.next() => {}
        }
        health.enter(Stage::Draining);
        // Nobody is left to hear it where all tasks have ended.
        let _ended = stopping.send(true);
        if let Some(bus) = house.bus {
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

/// Looks once.
///
/// # Errors
/// See [`StartError`].
pub fn once(loaded: &Loaded) -> Result<(), StartError> {
    loaded.config.reconcile.as_ref().map(|_| ()).ok_or(StartError::Unconfigured)
}

async fn look_for_ever(house: &House) {
    loop {
        sleep(house.reconcile.interval).await;
    }
}

/// The bus, to publish to. Its metrics are the gateways', and are not shown here.
fn open_bus(config: &Config) -> Result<Option<Bus>, StartError> {
    if config.bus.kind == BusKind::Journal {
        return Ok(None);
    }
    let (metrics, _) = Metrics::new(config)?;
    Ok(Some(open::open_bus(config, &metrics)?.0))
}
