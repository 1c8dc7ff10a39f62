//! One reader for every bus, for what reads it without consuming it: tail, forward, timeline, replay, reconcile.
//!
//! In: which events. Out: record after record. It takes no lock, joins no group, consumes and writes nothing: the gateway
//! may run beside it.

use std::{
    io,
    path::{self, Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::{task::yield_now, time::sleep};

use super::{
    beside::Both,
    kafka, nats,
    record::{Extent, Next, Record},
};
use crate::{
    config::{BusKind, Config},
    envelope::Message,
    subject::Pattern,
};

/// Longest wait of one step.
const WAIT: Duration = Duration::from_millis(50);
/// How long a broker may send nothing while records are known to be there.
const SILENCE: Duration = Duration::from_secs(15);

/// So many records of a journal are read in one go.
const TURN: u64 = 256;

/// Why nothing can be read any more.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A journal's files.
    #[error("journal {}: {error}", directory.display())]
    Journal {
        /// The journal's directory, absolute.
        directory: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Kafka.
    #[error("kafka: {0}")]
    Kafka(#[from] kafka::reader::ReadError),
    /// A stream.
    #[error(transparent)]
    Nats(#[from] nats::reader::ReadError),
    /// A broker.
    #[error("the broker is silent, and not everything has been read")]
    Silent,
}

/// Reads a bus, or a journal that is none.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    /// Routes that are wanted; `None` wants also what cannot be read as an event.
    pattern: Option<Pattern>,
    length: u64,
    /// Since when the broker has sent nothing, while it must.
    silent: Option<Instant>,
}

#[derive(Debug)]
enum Source {
    Journal { reader: Box<Both>, directory: PathBuf, read: u64 },
    Kafka(Box<kafka::reader::Reader>),
    Nats(Box<nats::reader::Reader>),
}

impl Reader {
    /// Opens the configured bus, for events on the routes of `pattern`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn open(config: &Config, pattern: Pattern, extent: Extent) -> Result<Self, ReadError> {
        let (source, length) = match config.bus.kind {
            BusKind::Journal => return Self::files(&config.journal.directory, Some(pattern), extent, true),
            BusKind::Kafka => {
                let (reader, length) = kafka::reader::Reader::open(config, &pattern, extent)?;
                (Source::Kafka(Box::new(reader)), length)
            }
            BusKind::Nats => {
                let (reader, length) = nats::reader::Reader::open(&config.bus.nats, &pattern, extent).await?;
                (Source::Nats(Box::new(reader)), length)
            }
        };
        Ok(Reader { source, pattern: Some(pattern), length, silent: None })
    }

    /// Opens a journal that need not be the bus.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn journal(directory: &Path, pattern: Option<Pattern>, extent: Extent) -> Result<Self, ReadError> {
        Self::files(directory, pattern, extent, false)
    }

    /// `beside`: also what other processes than the gateway have published.
    fn files(directory: &Path, pattern: Option<Pattern>, extent: Extent, beside: bool) -> Result<Self, ReadError> {
        // A relative directory is another one in each working directory.
        let directory = path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        let start = if extent == Extent::New { journal::Start::Newest } else { journal::Start::Oldest };
        let reader = Both::open(&directory, start, extent == Extent::UntilNow, beside)
            .map_err(|error| ReadError::Journal { directory: directory.clone(), error })?;
        let length = reader.length();
        let source = Source::Journal { reader: Box::new(reader), directory, read: 0 };
        Ok(Reader { source, pattern, length, silent: None })
    }

    /// How many records there were to read at the start, more or less; 0 when it never ends.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many records retention has dropped since the last call, before they could be read. Only a journal counts them.
    pub fn missed(&mut self) -> u64 {
        match &mut self.source {
            Source::Journal { reader, .. } => reader.missed(),
            Source::Kafka(_) | Source::Nats(_) => 0,
        }
    }

    /// Topics with a part of which all records are gone, when everything until now is read; of other buses none is known.
    pub fn emptied(&self) -> impl Iterator<Item = String> {
        let emptied = match &self.source {
            Source::Kafka(reader) => reader.emptied(),
            Source::Journal { .. } | Source::Nats(_) => Vec::new(),
        };
        emptied.into_iter()
    }

    /// The next record that is wanted. Waits for it a moment; dropping the wait loses nothing.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn next(&mut self) -> Result<Next, ReadError> {
        loop {
            let next = self.source.next().await?;
            match &next {
                Next::Record(record) => {
                    self.silent = None;
                    if !self.wants(record) {
                        continue;
                    }
                }
                Next::Idle => self.check_silence()?,
                Next::End => {}
            }
            return Ok(next);
        }
    }

    fn wants(&self, record: &Record) -> bool {
        let Some(pattern) = &self.pattern else { return true };
        record.message.as_ref().is_some_and(|message| pattern.matches(message.route()))
    }

    fn check_silence(&mut self) -> Result<(), ReadError> {
        let is_bounded = 0 < self.length;
        let silent = self.silent.get_or_insert_with(Instant::now).elapsed();
        if is_bounded && SILENCE <= silent { Err(ReadError::Silent) } else { Ok(()) }
    }
}

impl Source {
    async fn next(&mut self) -> Result<Next, ReadError> {
        match self {
            Source::Journal { reader, directory, read } => {
                // Signals and other tasks must have their turn, also beside a long journal.
                *read += 1;
                if *read % TURN == 0 {
                    yield_now().await;
                }
                let failed = |error| ReadError::Journal { directory: directory.clone(), error };
                match reader.next().map_err(failed)? {
                    Some(entry) => Ok(Next::Record(written(entry))),
                    None if reader.is_bounded() => Ok(Next::End),
                    None => {
                        sleep(WAIT).await;
                        Ok(Next::Idle)
                    }
                }
            }
            Source::Kafka(reader) => {
                // The client blocks, and signals must have their turn.
                yield_now().await;
                Ok(reader.next(WAIT)?)
            }
            Source::Nats(reader) => Ok(reader.next(WAIT).await?),
        }
    }
}

pub(super) fn written(entry: journal::Entry) -> Record {
    let message = Message::decode(entry.head, entry.body.clone());
    Record {
        written: Some((entry.sequence, entry.recorded)),
        message,
        is_behind_a_gap: false,
        payload: entry.body,
        is_structured: false,
    }
}
