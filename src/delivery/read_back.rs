//! The memory of recent events after a restart: on the embedded bus, what it holds is read back before the first request, so
//! that a vendor's retries over a restart are answered and not stored again.
//!
//! In: the journal that is the bus. Out: names of its newest events. What is in the journal is durable, and what is not in
//! it is not remembered: a journal that was deleted or restored suppresses nothing that it does not hold.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use journal::{Journal, Start};

use crate::envelope::{Attributes, attributes::Attribute};

/// Most bytes of events that are read back: as many of the newest events as have about so much.
const MAX_BYTES: u64 = 256 << 20;
/// Longest time for it, on a disk that is slow.
const MAX_TIME: Duration = Duration::from_secs(10);
/// Digits of a fingerprint in a message id.
const FINGERPRINT_DIGITS: usize = 16;

/// What an event is remembered by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names<'a> {
    pub(super) source: &'a str,
    pub(super) id: &'a str,
    pub(super) fingerprint: u64,
}

impl<'a> Names<'a> {
    /// From a message id, `<vendor>/<source>/<id>/<fingerprint>` and perhaps more.
    pub(super) fn of(attributes: &'a Attributes) -> Option<Self> {
        let id = attributes.get(Attribute::Id)?;
        // No vendor's and no source's name has a slash; an id may.
        let (_vendor, rest) = attributes.get(Attribute::MessageId)?.split_once('/')?;
        let (source, rest) = rest.split_once('/')?;
        let digits = rest.strip_prefix(id)?.strip_prefix('/')?.get(..FINGERPRINT_DIGITS)?;
        Some(Names { source, id, fingerprint: u64::from_str_radix(digits, 16).ok()? })
    }
}

/// Hands the names of the newest events to `remember`, oldest first; at most `bound`. Blocks for the time of the reads.
pub(super) fn read_back(journal: &Journal, directory: &Path, bound: usize, mut remember: impl FnMut(Names<'_>)) {
    if let Err(error) = sync(directory) {
        tracing::warn!(%error, "recent events are not read back: the disk does not say that it has them");
        return;
    }
    let (begin, newest, stats) = (Instant::now(), *journal.durable().borrow(), journal.stats());
    let affordable = u128::from(MAX_BYTES) * u128::from(stats.records) / u128::from(stats.bytes.max(1));
    let count = u64::try_from(affordable).unwrap_or(u64::MAX).min(u64::try_from(bound).unwrap_or(u64::MAX));
    let mut reader = journal.reader(Start::After(newest.saturating_sub(count)));
    let mut events: u64 = 0;
    loop {
        if MAX_TIME <= begin.elapsed() {
            tracing::warn!(events, "the disk is slow: not all recent events were read back");
            break;
        }
        match reader.next() {
            Ok(Some(entry)) => {
                let attributes = Attributes::decode(entry.head.into());
                if let Some(names) = attributes.as_ref().and_then(Names::of) {
                    remember(names);
                    events += 1;
                }
            }
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, events, "not all recent events could be read back");
                break;
            }
        }
    }
    tracing::info!(events, took = ?begin.elapsed(), "recent events read back");
}

/// What a killed process had written and not synced is found in the files, but a power cut could still take it: it is synced
/// before a retry is answered from it.
fn sync(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::File::open(entry.path())?.sync_data()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_says_what_the_event_is_remembered_by() {
        let attributes = |id: &str, message_id: &str| {
            let mut attributes = Attributes::default();
            attributes.push(Attribute::Id, &id);
            attributes.push(Attribute::MessageId, &message_id);
            attributes
        };
        let good = Names { source: "acme", id: "a/b", fingerprint: 0xfe };
        for message_id in ["audit1/acme/a/b/00000000000000fe", "audit1/acme/a/b/00000000000000fe/reread"] {
            assert_eq!(Names::of(&attributes("a/b", message_id)).as_ref(), Some(&good), "{message_id}");
        }
        for bad in
            ["", "audit1", "audit1/acme/a/c/00000000000000fe", "audit1/acme/a/b/00", "audit1/acme/a/b/x000000000000000"]
        {
            assert_eq!(Names::of(&attributes("a/b", bad)), None, "{bad}");
        }
    }
}
