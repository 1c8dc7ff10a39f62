//! Where the events lie that may be sent again: two journals on this disk, or the bus.
//!
//! In: the configuration. Out: what lay there when the reading began, oldest first, and nothing that came later, so that
//! no replay ever meets its own events. It takes no lock and changes nothing: the gateway may run beside it, or not.

use std::{
    io,
    path::{self, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::task::yield_now;

use super::What;
use crate::{
    bus::{self, kafka, nats},
    cli::Failure,
    config::{BusKind, Config},
    delivery::dead_letters,
    envelope::Message,
    journal::{Reader, Start},
    pattern::Pattern,
};

/// Every vendor's quarantine.
const QUARANTINE: &str = "webhooks.*.quarantine";
/// One wait for the next record of Kafka.
const WAIT: Duration = Duration::from_millis(50);

/// What is read.
pub(super) enum Origin {
    Journal { reader: Box<Reader>, end: u64, only: Option<Pattern> },
    Kafka { reader: Box<kafka::reader::Reader>, records: u64 },
    Nats(Box<nats::Follower>),
}

/// One record.
pub(super) struct Found {
    /// Its sequence and time, in a journal.
    pub(super) written: Option<(u64, SystemTime)>,
    /// `None` for a record that this version cannot read as a message.
    pub(super) message: Option<Message>,
    /// Its body, or what stands in its place.
    pub(super) body: Bytes,
}

/// The directory of a journal, absolute: what is found or missing there must be said in full, since a relative one is
/// another in each working directory.
pub(super) fn directory(what: What, config: &Config) -> PathBuf {
    let directory = match what {
        What::DeadLetters => dead_letters::directory(config),
        What::Journal | What::Quarantine => config.journal.directory.clone(),
    };
    path::absolute(&directory).unwrap_or(directory)
}

impl Origin {
    /// Opens it, and marks its end.
    pub(super) async fn open(what: What, config: &Config) -> Result<Self, Failure> {
        match (what, config.bus.kind) {
            (What::Quarantine, BusKind::Kafka) => {
                let pattern = quarantine()?;
                let (reader, records) = kafka::reader::Reader::until_now(config, &pattern)
                    .map_err(|error| Failure::Failed(format!("kafka: {error}")))?;
                Ok(Origin::Kafka { reader: Box::new(reader), records })
            }
            (What::Quarantine, BusKind::Nats) => {
                let follower = nats::Follower::until_now(&config.bus.nats, QUARANTINE).await;
                let stream = &config.bus.nats.stream;
                let follower = follower.map_err(|error| Failure::Failed(format!("stream {stream}: {error}")))?;
                Ok(Origin::Nats(Box::new(follower)))
            }
            (What::Quarantine, BusKind::Journal) => Self::journal(what, config, Some(quarantine()?)),
            (What::DeadLetters | What::Journal, _) => Self::journal(what, config, None),
        }
    }

    fn journal(what: What, config: &Config, only: Option<Pattern>) -> Result<Self, Failure> {
        let directory = directory(what, config);
        let open = |start| Reader::open(&directory, start);
        match open(Start::Newest).and_then(|newest| Ok((newest.position(), open(Start::Oldest)?))) {
            Ok((end, reader)) => Ok(Origin::Journal { reader: Box::new(reader), end, only }),
            // Each gateway that writes here has made it at its start: this is the wrong place.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::Failed(format!(
                "{}: there is no such directory; journal.directory is relative to the working directory",
                directory.display()
            ))),
            Err(error) => Err(Failure::Failed(format!("{}: {error}", directory.display()))),
        }
    }

    /// How many records there are to look at, more or less: for a progress bar.
    pub(super) fn length(&self) -> u64 {
        match self {
            Origin::Journal { reader, end, .. } => end.saturating_sub(reader.position()),
            Origin::Kafka { records, .. } => *records,
            Origin::Nats(follower) => follower.left().unwrap_or_default(),
        }
    }

    /// How many records were dropped by retention since the last call, before they could be read. What is dropped of
    /// the dead letters was sent before.
    pub(super) fn missed(&mut self, what: What) -> u64 {
        match self {
            Origin::Journal { reader, .. } if what != What::DeadLetters => reader.missed(),
            Origin::Journal { .. } | Origin::Kafka { .. } | Origin::Nats(_) => 0,
        }
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// It cannot be read any more.
    pub(super) async fn next(&mut self) -> Result<Option<Found>, Failure> {
        match self {
            Origin::Journal { reader, end, only } => Ok(next_written(reader, *end, only.as_ref())?),
            Origin::Kafka { reader, .. } => {
                while !reader.finished() {
                    let message = reader.next(WAIT).map_err(|error| Failure::Failed(format!("kafka: {error}")))?;
                    if let Some(message) = message {
                        return Ok(Some(Found::on_bus(message)));
                    }
                    // Signals have their turn, too.
                    yield_now().await;
                }
                Ok(None)
            }
            Origin::Nats(follower) => match follower.next().await {
                Some(Ok(event)) => Ok(Some(Found::on_bus(event.message))),
                Some(Err(error)) => Err(Failure::Failed(error)),
                None => Ok(None),
            },
        }
    }
}

impl Found {
    fn on_bus(message: Message) -> Self {
        Found { written: None, body: message.body.clone(), message: Some(message) }
    }
}

fn next_written(reader: &mut Reader, end: u64, only: Option<&Pattern>) -> io::Result<Option<Found>> {
    loop {
        let Some(entry) = reader.next()?.filter(|entry| entry.sequence <= end) else { return Ok(None) };
        let message = bus::message(entry.head, entry.body.clone());
        let wanted =
            only.is_none_or(|pattern| message.as_ref().is_some_and(|message| pattern.matches(message.route())));
        if wanted {
            return Ok(Some(Found { written: Some((entry.sequence, entry.recorded)), message, body: entry.body }));
        }
    }
}

fn quarantine() -> Result<Pattern, Failure> {
    QUARANTINE.parse().map_err(Failure::Failed)
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;
    use crate::{
        config::Source,
        envelope::{Attributes, attributes::Attribute},
        journal::{Journal, Keep, Options, Record},
        vendor::Vendor,
    };

    const COUNT: u64 = 60;

    fn fill(directory: PathBuf) {
        let options = Options {
            directory,
            segment_size: 8 << 10,
            max_size: 1 << 30,
            max_age: None,
            reserve: 0,
            keep: Keep::UntilOld,
            queue: 8,
        };
        let journal = Journal::open(options, Arc::new(())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for number in 0..COUNT {
            let mut head = Attributes::default();
            head.push(Attribute::Id, &number);
            let record = Record { head: head.into_encoded(), body: vec![b' '; 1000].into() };
            runtime.block_on(journal.append(record)).unwrap();
        }
        journal.close();
    }

    #[tokio::test]
    async fn what_retention_drops_under_a_replay_is_told() {
        let outer = tempfile::tempdir().unwrap();
        let directory = outer.path().to_owned();
        let here = directory.clone();
        tokio::task::spawn_blocking(move || fill(here)).await.unwrap();
        let mut config =
            Config::defaults(BusKind::Nats, vec![Source::defaults("payroll", Vendor::Audit1, "/a", Vec::new())]);
        config.journal.directory.clone_from(&directory);
        let mut origin = Origin::open(What::Journal, &config).await.unwrap();
        let mut found = 0;
        while found < 2 {
            assert!(origin.next().await.unwrap().is_some());
            found += 1;
        }
        assert_eq!(origin.missed(What::Journal), 0);
        let mut segments: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        segments.retain(|path| fs::metadata(path).unwrap().len() > 4000);
        segments.sort();
        assert!(segments.len() > 4, "{segments:?}");
        // Those before the newest two, as retention does; the first one is open.
        for segment in &segments[..segments.len() - 2] {
            fs::remove_file(segment).unwrap();
        }
        while origin.next().await.unwrap().is_some() {
            found += 1;
        }
        let missed = origin.missed(What::Journal);
        assert!(missed > 0 && found + missed == COUNT, "{found} found, {missed} missed");
    }
}
