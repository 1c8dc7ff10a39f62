//! `hookbus drain`: sends on what a spool holds, without a gateway, and ends when nothing is left.
//!
//! In: the spool and the dead letters in `journal.directory`, which no gateway may have open. Out: the same on the bus, by the
//! gateway's own drain; exit 0 says that the directory may be deleted.

use std::{
    io::{self, Write as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use journal::{Reader, Start};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    commands::failure::Failure,
    config::{BusKind, Config},
    delivery::{Delivery, dead_letters},
    log,
    server::{StartError, metrics::Metrics, open},
};

/// Between two looks at the spool.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Between two lines that say how far it is.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Longest wait for the last log lines.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Drains, for as long as it takes; a signal ends it early, and the same call goes on from there.
///
/// # Errors
/// The embedded bus, which has no spool; a directory that is not there or that a gateway has open; a bus that cannot be used
/// as it is configured; a signal; dead letters, which only `replay` sends.
pub fn run(config: &Config) -> Result<(), Failure> {
    if config.bus.kind == BusKind::Journal {
        return Err(Failure::Usage("bus.kind is \"journal\": its journal is the bus, and there is no spool".into()));
    }
    let directory = config.journal.directory.display();
    if !config.journal.directory.is_dir() {
        return Err(Failure::failed(format!("{directory}: there is no such directory")));
    }
    is_a_spools(&config.journal.directory)?;
    let mut config = config.clone();
    // A gateway that has none any more may have left one.
    config.journal.spool = true;
    let lines = log::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(drain(&config));
    lines.flush(FLUSH_LIMIT);
    let Drained { sent, letters, lost } = result?;
    if lost > 0 {
        return Err(Failure::failed(format!(
            "{sent} event(s) sent on; {lost} are missing from {directory}: the log says which (docs/alerts.md, HookbusJournalLostRecords)"
        )));
    }
    if letters > 0 {
        return Err(Failure::failed(format!(
            "{sent} event(s) sent on; {letters} dead letter(s) are left in {directory}: see `hookbus replay dead-letters`"
        )));
    }
    writeln!(io::stdout().lock(), "{sent} event(s) sent on; {directory} holds no event any more")?;
    Ok(())
}

/// Whether a gateway in front of a broker has left this directory. In another one an empty spool would be made, and nothing would
/// be said of the events that lie there: those of the embedded bus above all, which lie in the directory itself.
fn is_a_spools(directory: &Path) -> Result<(), Failure> {
    let shown = directory.display();
    let mut embedded = Reader::open(directory, Start::Oldest).map_err(Failure::at(shown.to_string()))?;
    if embedded.next().map_err(Failure::at(shown.to_string()))?.is_some() {
        return Err(Failure::failed(format!(
            "{shown} holds events of the embedded bus: `hookbus replay journal` sends them"
        )));
    }
    if [open::spool(directory), dead_letters::directory(directory)].iter().any(|folder| folder.is_dir()) {
        return Ok(());
    }
    Err(Failure::failed(format!("{shown} holds no spool: no gateway in front of a broker has used it")))
}

/// How a spool was drained to its end.
struct Drained {
    sent: u64,
    letters: u64,
    /// Records that were to be sent and are not in the spool any more.
    lost: u64,
}

async fn drain(config: &Config) -> Result<Drained, Failure> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (metrics, _) = Metrics::new(config).map_err(Failure::failed)?;
    let (delivery, journal) = open::delivery(config, Arc::new(metrics)).await.map_err(refused)?;
    let journal = journal.ok_or_else(|| Failure::failed("no spool was opened"))?;
    let (found, mut said) = (journal.stats().records, Instant::now());
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let left = loop {
        let left = journal.stats().records;
        if left == 0 {
            break left;
        }
        if said.elapsed() >= SAY_EVERY {
            tracing::info!(left, dead_letters = delivery.dead_letters(), bus_up = delivery.bus().up(), "draining");
            said = Instant::now();
        }
        tokio::select! {
            _ = interrupt.recv() => break left,
            _ = terminate.recv() => break left,
            _ = looks.tick() => {}
        }
    };
    let lost = journal.stats().lost_records;
    let letters = close(delivery).await?;
    match left {
        0 => Ok(Drained { sent: found, letters, lost }),
        left => Err(Failure::failed(format!("stopped: {left} event(s) are left; the same call goes on from here"))),
    }
}

/// Writes what waits, and counts the dead letters, less those that were replayed.
async fn close(delivery: Arc<Delivery>) -> Result<u64, Failure> {
    let closed = tokio::task::spawn_blocking(move || {
        delivery.forget_replayed();
        let letters = delivery.dead_letters();
        delivery.close();
        letters
    });
    closed.await.map_err(Failure::failed)
}

fn refused(error: StartError) -> Failure {
    if error.is_refusal() { Failure::Usage(error.to_string()) } else { Failure::failed(error) }
}
