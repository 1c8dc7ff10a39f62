//! Drift: do a vendor's bodies still look as its documents show them? It only counts: no event is refused, changed or
//! held for it (P8).
//!
//! In: verified events. Out: counters. The request path hands over a handle on the body of the first event of each source and
//! type in a second; a thread of its own compares. What finds the queue full is counted and not compared.

pub mod metrics;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use bytes::Bytes;

use self::metrics::{SampleMetrics, Sampled, SourceDrift, TypeDrift};
use crate::{
    event::{Event, Kind},
    schema::{Drift, Root},
    vendors::Form,
};

/// Bodies that wait to be compared.
const MAX_WAITING: usize = 64;
/// A larger body is not compared: what waits is at most 4 MiB, beside `listener.max_inflight`.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The way to the thread that compares. It ends with the last of these.
#[derive(Debug)]
pub struct Watch {
    samples: SyncSender<Sample>,
    metrics: SampleMetrics,
}

/// One body to compare.
#[derive(Debug)]
struct Sample {
    of: Arc<TypeDrift>,
    form: &'static Form,
    body: Bytes,
}

/// Starts the thread.
///
/// # Errors
/// When there can be no thread.
pub fn start(metrics: SampleMetrics) -> io::Result<Watch> {
    let (samples, waiting) = sync_channel(MAX_WAITING);
    let counted = metrics.clone();
    thread::Builder::new().name("drift".into()).spawn(move || compare(&waiting, &counted))?;
    Ok(Watch { samples, metrics })
}

impl Watch {
    /// Takes the first documented event of its source, type and second. It never waits.
    pub fn offer(&self, source: &SourceDrift, event: &Event<'_>) {
        let (Kind::Documented(entry), Some(form)) = (&event.reading.kind, event.reading.form) else { return };
        let received = event.verified.received();
        let Some(of) = source.of(entry.event).filter(|of| of.is_first_in(received.arrival.as_second())) else { return };
        let fits = received.body.bytes().len() <= MAX_BODY_BYTES;
        let sample = || Sample { of: Arc::clone(of), form, body: received.body.share() };
        if !fits || self.samples.try_send(sample()).is_err() {
            self.metrics.samples.inc(Sampled::Dropped);
        }
    }
}

fn compare(waiting: &Receiver<Sample>, metrics: &SampleMetrics) {
    // As many as the vendors document.
    let mut roots: HashMap<_, Option<Root>> = HashMap::new();
    for Sample { of, form, body } in waiting {
        let root = roots.entry((of.event, form.name)).or_insert_with(|| Root::of(of.vendor, of.event, form.name));
        let differences = root.as_ref().map_or_else(|| vec![Drift::OtherForm], |root| root.differences(&body));
        differences.into_iter().for_each(|drift| of.drift.inc(drift));
        metrics.samples.inc(Sampled::Compared);
    }
}
