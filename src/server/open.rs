//! Opens what makes events durable: the configured bus, and the spool and dead letters in front of a broker.
//!
//! Spool and dead letters lie in directories of their own below `journal.directory`, so that a change of `bus.kind` never
//! takes the embedded bus's events for those of an outage.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use journal::{Journal, Keep};
use tokio::time::Instant;

use super::{metrics::Metrics, start_error::StartError};
use crate::{
    bus::{Bus, kafka::Kafka, metrics::DurabilityClass, nats::Nats},
    config::{BusKind, Config},
    delivery::{
        Delivery,
        dead_letters::{self, DeadLetters},
        spool::Spool,
    },
};

/// Records that wait for the journal's thread; in-flight requests are bounded by bytes long before.
const JOURNAL_QUEUE: usize = 16 * 1024;
/// Preallocated bytes of a segment of dead letters: they are few.
const DEAD_LETTER_SEGMENT: u64 = 4 << 20;
/// Time between two looks at what was replayed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Opens the bus and its spool on a thread of their own: recovery reads every record once, and the admin listener answers
/// meanwhile.
pub(crate) async fn delivery(
    config: &Config,
    metrics: Arc<Metrics>,
) -> Result<(Arc<Delivery>, Option<Journal>), StartError> {
    let (config, begin) = (config.clone(), Instant::now());
    if config.journal.spool || config.bus.kind == BusKind::Journal {
        tracing::info!(directory = %config.journal.directory.display(), "recovering the journal");
    }
    let opened = tokio::task::spawn_blocking(move || {
        let spool = open_spool(&config, &metrics)?;
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

/// The configured bus, and the journal when it is one.
///
/// # Errors
/// The bus' own part of [`StartError`].
pub(crate) fn open_bus(config: &Config, metrics: &Metrics) -> Result<(Bus, Option<Journal>), StartError> {
    match config.bus.kind {
        BusKind::Journal => {
            let journal = Journal::open(journal_options(config), metrics.journal())?;
            if journal.stats().in_memory {
                metrics.bus.durability(BusKind::Journal, DurabilityClass::Memory);
            }
            Ok((Bus::Journal(journal.clone()), Some(journal)))
        }
        BusKind::Nats => Ok((Bus::Nats(Nats::start(config, metrics.bus.clone())?), None)),
        BusKind::Kafka => Ok((Bus::Kafka(Kafka::open(config, metrics.bus.clone())?), None)),
    }
}

fn open_delivery(config: &Config, bus: Bus, spool: Option<Arc<Spool>>, metrics: &Metrics) -> io::Result<Arc<Delivery>> {
    let (recent, patience, metrics) =
        (config.bus.recent_events, config.listener.answer_timeout, Arc::clone(&metrics.delivery));
    let delivery = Delivery::new(bus, spool, recent, patience, metrics)?;
    delivery.read_back(&config.journal.directory, recent);
    Ok(delivery)
}

/// Opens the journal of the spool and that of the dead letters, where a spool is wanted; what is in them is repaired and kept.
fn open_spool(config: &Config, metrics: &Metrics) -> Result<Option<Arc<Spool>>, StartError> {
    if config.bus.kind == BusKind::Journal || !config.journal.spool {
        return Ok(None);
    }
    let journal = Journal::open(spool_options(config), metrics.journal())?;
    // Its records are no journal metrics: those tell about the spool.
    let options = dead_letter_options(config);
    let directory = options.directory.clone();
    let dead_letters = DeadLetters::new(
        Journal::open(options, metrics.dead_letter_journal())?,
        &directory,
        Arc::clone(&metrics.delivery),
    );
    dead_letters.forget_replayed();
    let stats = journal.stats();
    if stats.records > 0 {
        tracing::warn!(records = stats.records, "events of an earlier run are in the spool; they go first");
    }
    let (hedge_after, dead_letter_after) = (config.journal.hedge_after, config.journal.dead_letter_after);
    Ok(Some(Spool::new(journal, dead_letters, hedge_after, dead_letter_after, Arc::clone(&metrics.delivery))))
}

/// Looks every few seconds whether dead letters were replayed, on a thread of its own, since it reads their disk. The
/// thread ends with the process.
///
/// # Errors
/// The system gives no thread.
pub(super) fn watch_replays(delivery: Arc<Delivery>) -> io::Result<()> {
    let look = move || {
        loop {
            thread::sleep(LOOK_EVERY);
            delivery.forget_replayed();
        }
    };
    thread::Builder::new().name("replays".into()).spawn(look).map(|_| ())
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

/// Where the spool lies below `journal.directory`.
pub(crate) fn spool(journal: &Path) -> PathBuf {
    journal.join("spool")
}

fn spool_options(config: &Config) -> journal::Options {
    journal::Options {
        directory: spool(&config.journal.directory),
        segment_size: config.journal.segment_size,
        max_size: config.journal.max_size,
        max_age: None,
        reserve: config.journal.reserve,
        keep: Keep::UntilAcknowledged,
        queue: JOURNAL_QUEUE,
    }
}

/// A tenth of the spool's size, and half of its reserve: when the spool stops for want of space, these go on.
fn dead_letter_options(config: &Config) -> journal::Options {
    let spool = spool_options(config);
    journal::Options {
        directory: dead_letters::directory(&config.journal.directory),
        segment_size: spool.segment_size.min(DEAD_LETTER_SEGMENT),
        // A record that one segment of the spool holds must fit here too.
        max_size: (spool.max_size / 10).max(2 * spool.segment_size),
        reserve: spool.reserve / 2,
        ..spool
    }
}
