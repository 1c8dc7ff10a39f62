//! Where the events lie that may be sent again: two journals on this disk, or the bus.
//!
//! In: the configuration. Out: what lay there when the reading began, oldest first, and nothing that came later, so that
//! no replay ever meets its own events. It takes no lock and changes nothing: the gateway may run beside it, or not.

use std::{
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

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
    /// Nothing lies there, not even the place itself.
    Nothing,
    Journal {
        reader: Box<Reader>,
        end: u64,
        only: Option<Pattern>,
    },
    Kafka {
        reader: Box<kafka::reader::Reader>,
        records: u64,
    },
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

/// The directory of a journal.
pub(super) fn directory(what: What, config: &Config) -> PathBuf {
    match what {
        What::DeadLetters => dead_letters::directory(config),
        What::Journal | What::Quarantine => config.journal.directory.clone(),
    }
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Origin::Nothing),
            Err(error) => Err(Failure::Failed(format!("{}: {error}", directory.display()))),
        }
    }

    /// How many records there are to look at, more or less: for a progress bar.
    pub(super) fn length(&self) -> u64 {
        match self {
            Origin::Nothing => 0,
            Origin::Journal { reader, end, .. } => end.saturating_sub(reader.position()),
            Origin::Kafka { records, .. } => *records,
            Origin::Nats(follower) => follower.left().unwrap_or_default(),
        }
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// It cannot be read any more.
    pub(super) async fn next(&mut self) -> Result<Option<Found>, Failure> {
        match self {
            Origin::Nothing => Ok(None),
            Origin::Journal { reader, end, only } => Ok(next_written(reader, *end, only.as_ref())?),
            Origin::Kafka { reader, .. } => {
                while !reader.finished() {
                    let message = reader.next(WAIT).map_err(|error| Failure::Failed(format!("kafka: {error}")))?;
                    if let Some(message) = message {
                        return Ok(Some(Found::on_bus(message)));
                    }
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
