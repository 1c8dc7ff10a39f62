//! A broker that the weather moves: it answers late, in another order, never, or no; it outlives the process.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use fastrand::Rng;
use journal::simulation::Machine;
use tokio::{sync::oneshot, time::sleep};

use super::{
    counts::{Counts, Happened},
    ledger::Found,
};
use crate::{
    bus::{Ack, Boxed, PublishError, fake::Script},
    envelope::{Message, attributes::Attribute},
};

/// How long a client waits for an acknowledgement.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);

/// What the broker does with all messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Takes them within milliseconds.
    Fair,
    /// Takes them within this time, in any order.
    Slow(Duration),
    /// Takes most; now and then an answer is lost, or a message.
    Lossy,
    /// Answers nothing; it may have taken them.
    Silent,
    /// Refuses all.
    Down,
}

/// The broker.
#[derive(Debug)]
pub(super) struct Broker {
    machine: Machine,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    rng: Rng,
    mood: Mood,
    /// Keys of which it takes nothing, and why.
    refused: Vec<(usize, PublishError)>,
    /// Whether it knows the ids that it has stored (JetStream) or stores each copy (Kafka).
    knows_ids: bool,
    stored: Vec<Found>,
    numbers: HashSet<usize>,
    /// On their way.
    network: BTreeMap<u64, Found>,
    sent: u64,
    counts: Counts,
}

/// What is going to become of a message.
enum Fate {
    Answer(Duration, PublishError),
    /// It arrives after the first time; the answer comes after the second: an acknowledgement, or this.
    Arrive(Duration, Duration, Option<PublishError>),
}

impl Broker {
    pub(super) fn new(machine: Machine, mut rng: Rng) -> Arc<Broker> {
        let knows_ids = rng.bool();
        let inner = Inner {
            rng,
            mood: Mood::Fair,
            refused: Vec::new(),
            knows_ids,
            stored: Vec::new(),
            numbers: HashSet::new(),
            network: BTreeMap::new(),
            sent: 0,
            counts: Counts::default(),
        };
        Arc::new(Broker { machine, inner: Mutex::new(inner) })
    }

    pub(super) fn set(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    pub(super) fn refuse(&self, key: usize, error: PublishError) {
        self.lock().refused.push((key, error));
    }

    pub(super) fn heal(&self) {
        let mut inner = self.lock();
        inner.refused.clear();
        inner.mood = Mood::Fair;
    }

    /// The process has ended: what was on its way arrives, or does not.
    pub(super) fn lose_client(&self) {
        let mut inner = self.lock();
        for (_, found) in std::mem::take(&mut inner.network) {
            if inner.rng.bool() {
                inner.counts.note(Happened::StoredAfterTheEnd, 1);
                inner.store(found);
            }
        }
    }

    pub(super) fn has(&self, number: usize) -> bool {
        self.lock().numbers.contains(&number)
    }

    pub(super) fn stored(&self) -> Vec<Found> {
        self.lock().stored.clone()
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn arrive(&self, place: u64) -> Ack {
        let mut inner = self.lock();
        let found = inner.network.remove(&place).expect("each arrives once");
        inner.store(found)
    }
}

impl Inner {
    fn store(&mut self, found: Found) -> Ack {
        if !self.numbers.insert(found.number) {
            self.counts.note(Happened::Duplicates, 1);
            if self.knows_ids {
                return Ack::Duplicate;
            }
        }
        self.counts.note(Happened::StoredByBus, 1);
        tracing::info!(number = found.number, key = found.key, "stored by the bus");
        self.stored.push(found);
        Ack::Stored
    }

    fn within(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.rng.f64())
    }

    fn fate(&mut self, key: usize) -> Fate {
        let soon = Duration::from_millis(8);
        if let Some((_, error)) = self.refused.iter().find(|(refused, _)| *refused == key) {
            let error = *error;
            let for_good = super::super::Reason::of(error).is_some();
            self.counts.note(if for_good { Happened::RefusedForGood } else { Happened::RefusedKeys }, 1);
            return Fate::Answer(self.within(soon), error);
        }
        match self.mood {
            Mood::Fair => Fate::Arrive(self.within(soon), self.within(soon), None),
            Mood::Slow(most) => {
                let (arrival, answer) = (self.within(most), self.within(most));
                if Duration::from_millis(1500) < arrival + answer {
                    self.counts.note(Happened::LateAcks, 1);
                }
                Fate::Arrive(arrival, answer, None)
            }
            Mood::Down => Fate::Answer(Duration::ZERO, PublishError::Refused),
            Mood::Silent => self.silence(),
            Mood::Lossy => match self.rng.u8(..8) {
                0 => self.silence(),
                1 => {
                    self.counts.note(Happened::LostAcks, 1);
                    Fate::Arrive(self.within(soon), self.within(soon), Some(PublishError::Error))
                }
                2 => Fate::Answer(self.within(soon), PublishError::Refused),
                _ => Fate::Arrive(self.within(soon), self.within(soon), None),
            },
        }
    }

    fn silence(&mut self) -> Fate {
        self.counts.note(Happened::Timeouts, 1);
        if self.rng.bool() {
            return Fate::Answer(CLIENT_PATIENCE, PublishError::Timeout);
        }
        let arrival = self.within(CLIENT_PATIENCE);
        Fate::Arrive(arrival, CLIENT_PATIENCE - arrival, Some(PublishError::Timeout))
    }
}

/// The broker, as one life of the process sees it.
#[derive(Debug)]
pub(super) struct Connection(pub(super) Arc<Broker>);

impl Script for Connection {
    fn publish(&self, message: &Message) -> Boxed {
        let broker = Arc::clone(&self.0);
        if broker.machine.has_stopped() {
            // What runs on is no process any more.
            return Box::pin(std::future::pending());
        }
        let number = message.get(Attribute::Id).parse().expect("a number");
        let key = message.get(Attribute::PartitionKey).parse().expect("a number");
        let mut inner = broker.lock();
        let (arrival, answer, error) = match inner.fate(key) {
            Fate::Answer(after, error) => {
                return Box::pin(async move {
                    sleep(after).await;
                    Err(error)
                });
            }
            Fate::Arrive(arrival, answer, error) => (arrival, answer, error),
        };
        inner.sent += 1;
        let place = inner.sent;
        inner.network.insert(place, Found { number, key, body: message.body.clone() });
        drop(inner);
        let (tx, rx) = oneshot::channel();
        // Dropping the publication takes nothing back.
        tokio::spawn(async move {
            sleep(arrival).await;
            if broker.machine.has_stopped() {
                return;
            }
            let ack = broker.arrive(place);
            sleep(answer).await;
            tx.send(error.map_or(Ok(ack), Err)).ok();
        });
        Box::pin(async move { rx.await.unwrap_or(Err(PublishError::Error)) })
    }
}
