//! Opens the spool, where one is wanted: the journal before a bus that is elsewhere, and its dead letters.
//!
//! In: the configuration. Out: a [`Spool`], or none. Both lie in directories of their own below `journal.directory`, so
//! that a change of `bus.kind` never takes the embedded bus's events for an outage's.

use std::{io, sync::Arc, thread, time::Duration};

use super::{JOURNAL_QUEUE, StartError};
use crate::{
    config::{BusKind, Config},
    delivery::{
        Delivery,
        dead_letters::{self, DeadLetters},
        spool::Spool,
    },
    journal::{self, Journal, Keep},
    observe::metrics::Metrics,
};

/// Preallocated bytes of a segment of dead letters: they are few.
const DEAD_LETTER_SEGMENT: u64 = 4 << 20;
/// Time between two looks at what was replayed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Opens both journals; what is in them is repaired and kept.
pub(super) fn open(config: &Config, metrics: &Arc<Metrics>) -> Result<Option<Arc<Spool>>, StartError> {
    if config.bus.kind == BusKind::Journal || !config.journal.spool {
        return Ok(None);
    }
    let observer: Arc<dyn journal::Observer> = Arc::<Metrics>::clone(metrics);
    let journal = Journal::open(spool_options(config), observer)?;
    // Its records are no journal metrics: those tell about the spool.
    let options = dead_letter_options(config);
    let directory = options.directory.clone();
    let dead_letters = DeadLetters::new(Journal::open(options, Arc::new(()))?, &directory, Arc::clone(metrics));
    dead_letters.forget_replayed();
    let stats = journal.stats();
    if stats.records > 0 {
        tracing::warn!(records = stats.records, "events of an earlier run are in the spool; they go first");
    }
    Ok(Some(Spool::new(journal, dead_letters, config.journal.hedge_after, Arc::clone(metrics))))
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

fn spool_options(config: &Config) -> journal::Options {
    journal::Options {
        directory: config.journal.directory.join("spool"),
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
        directory: dead_letters::directory(config),
        segment_size: spool.segment_size.min(DEAD_LETTER_SEGMENT),
        // A record that one segment of the spool holds must fit here too.
        max_size: (spool.max_size / 10).max(2 * spool.segment_size),
        reserve: spool.reserve / 2,
        ..spool
    }
}
