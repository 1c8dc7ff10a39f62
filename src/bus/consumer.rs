//! A durable consumer of any bus: events once they are there, each again until it is acknowledged.
//!
//! In: a name, and the routes. Out: event after event, in no order that matters. What was acknowledged stands at the broker
//! (a durable consumer of the stream, a group of Kafka), or in a file beside the embedded bus; whoever is killed meets the
//! rest again. Two processes with one name share the events.

mod cursor;

use std::{collections::BTreeSet, future::pending, io, path::PathBuf, time::Duration};

use self::cursor::Cursor;
use super::{kafka, marks::Marks, nats, record::Record};
use crate::config::{BusKind, Config};

/// How often [`Consumer::keep`] wants to be called.
pub const KEEP_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for a record of the embedded bus.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why nothing can be consumed now. Another try may do.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The embedded bus, or the file of its cursor.
    #[error("{}: {error}", path.display())]
    Journal {
        /// Its directory, or the file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Kafka.
    #[error("kafka: {0}")]
    Kafka(#[from] kafka::consumer::ConsumeError),
    /// A stream.
    #[error(transparent)]
    Nats(#[from] nats::consumer::ConsumeError),
}

/// What acknowledges an event.
#[derive(Debug)]
pub struct Ticket(Place);

/// Where it stands.
#[derive(Debug)]
enum Place {
    Journal(u64),
    Kafka(kafka::consumer::Place),
    Nats(u64),
}

/// Consumes a bus.
#[derive(Debug)]
pub struct Consumer(Source);

#[derive(Debug)]
enum Source {
    Journal(Box<Embedded>),
    Kafka(Box<kafka::consumer::Consumer>),
    Nats(Box<nats::consumer::Consumer>),
}

impl Consumer {
    /// Opens it. One that is new begins with the oldest event. `most`: so many events are out at once.
    ///
    /// # Errors
    /// See [`ConsumeError`].
    pub async fn open(
        config: &Config,
        name: &str,
        routes: &BTreeSet<String>,
        most: usize,
    ) -> Result<Self, ConsumeError> {
        Ok(Consumer(match config.bus.kind {
            BusKind::Journal => Source::Journal(Box::new(Embedded::open(config, name, routes)?)),
            BusKind::Kafka => {
                Source::Kafka(Box::new(kafka::consumer::Consumer::open(&config.bus.kafka, name, routes)?))
            }
            BusKind::Nats => {
                Source::Nats(Box::new(nats::consumer::Consumer::open(&config.bus.nats, name, routes, most).await?))
            }
        }))
    }

    /// The next record, with what acknowledges it. It waits for ever while `has_room` is false: it must be polled even then,
    /// since a broker takes who does not ask for one that has gone. Dropping the wait loses nothing.
    ///
    /// # Errors
    /// See [`ConsumeError`]; then it is to be opened anew.
    pub async fn next(&mut self, has_room: bool) -> Result<(Record, Ticket), ConsumeError> {
        Ok(match &mut self.0 {
            Source::Kafka(consumer) => {
                let (record, place) = consumer.next(has_room).await?;
                (record, Ticket(Place::Kafka(place)))
            }
            Source::Journal(_) if !has_room => pending().await,
            Source::Journal(embedded) => {
                let (record, sequence) = embedded.next().await?;
                (record, Ticket(Place::Journal(sequence)))
            }
            Source::Nats(consumer) => {
                let (record, number) = consumer.next(has_room).await?;
                (record, Ticket(Place::Nats(number)))
            }
        })
    }

    /// An event is done with.
    ///
    /// # Errors
    /// See [`ConsumeError`]; it comes again.
    pub async fn acknowledge(&mut self, ticket: Ticket) -> Result<(), ConsumeError> {
        match (&mut self.0, ticket.0) {
            (Source::Journal(embedded), Place::Journal(sequence)) => embedded.marks.done(sequence),
            (Source::Kafka(consumer), Place::Kafka(place)) => consumer.acknowledge(&place),
            (Source::Nats(consumer), Place::Nats(number)) => consumer.acknowledge(number).await?,
            // Of another consumer: it has none of this place.
            _ => {}
        }
        Ok(())
    }

    /// Tells the bus that what is out is still worked on, and stores what was acknowledged. Call it every [`KEEP_EVERY`], and
    /// at the end.
    ///
    /// # Errors
    /// See [`ConsumeError`].
    pub async fn keep(&mut self) -> Result<(), ConsumeError> {
        match &mut self.0 {
            Source::Journal(embedded) => embedded.store()?,
            Source::Kafka(consumer) => consumer.commit().await?,
            Source::Nats(consumer) => consumer.keep().await?,
        }
        Ok(())
    }
}

/// The embedded bus: its files, and a cursor.
#[derive(Debug)]
struct Embedded {
    reader: journal::Reader,
    directory: PathBuf,
    cursor: Cursor,
    marks: Marks,
    routes: BTreeSet<String>,
}

impl Embedded {
    fn open(config: &Config, name: &str, routes: &BTreeSet<String>) -> Result<Self, ConsumeError> {
        let directory = config.journal.directory.clone();
        let failed = |error| ConsumeError::Journal { path: directory.clone(), error };
        let newest = journal::Reader::open(&directory, journal::Start::Newest).map_err(failed)?.position();
        let cursor = Cursor::open(&directory, name).map_err(failed)?;
        // A journal that was made anew counts from the start.
        let start = cursor.stored().filter(|stored| *stored <= newest);
        let from = start.map_or(journal::Start::Oldest, journal::Start::After);
        let reader = journal::Reader::open(&directory, from).map_err(failed)?;
        Ok(Embedded { reader, cursor, marks: Marks::default(), routes: routes.clone(), directory })
    }

    /// Passes over what is not wanted.
    async fn next(&mut self) -> Result<(Record, u64), ConsumeError> {
        loop {
            let failed = |error| ConsumeError::Journal { path: self.directory.clone(), error };
            let Some(entry) = self.reader.next().map_err(failed)? else {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            };
            let sequence = entry.sequence;
            let record = super::reader::written(entry);
            self.marks.taken(sequence);
            if record.message.as_ref().is_some_and(|message| self.routes.contains(message.route())) {
                return Ok((record, sequence));
            }
            self.marks.done(sequence);
            // The turn of others, also beside a long journal.
            tokio::task::yield_now().await;
        }
    }

    fn store(&mut self) -> Result<(), ConsumeError> {
        // The cursor is the last sequence that is done with.
        let Some(next) = self.marks.next() else { return Ok(()) };
        let stored = self.cursor.store(next.saturating_sub(1));
        stored.map_err(|error| ConsumeError::Journal { path: self.cursor.path().to_owned(), error })
    }
}
