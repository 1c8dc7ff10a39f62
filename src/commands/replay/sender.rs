//! Publishes letters, several at once, and keeps the order of each key.
//!
//! In: letters. Out: each of them again, with the bus' word. Hand-overs follow the order of the calls, and of one key at
//! most one is in flight, as in the drain of the spool. What is refused for now is tried again for a while, one
//! letter at a time: a bus may refuse many together of which it would take each.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync,
    task::{Id, JoinSet},
    time::{Instant, sleep, timeout_at},
};

use super::letter::Letter;
use crate::{
    bus::{Ack, Bus, PublishError},
    delivery::dead_letters::Reason,
    envelope::Message,
};

/// Most letters in flight.
const LETTERS: usize = 256;
/// Most bytes of them; one always fits.
const BYTES: usize = 16 << 20;
/// How long letters are tried again while the bus takes none.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest pause before a try when the last one was refused; jitter takes off up to half of it.
const PAUSE: Duration = Duration::from_millis(500);

/// What is in flight.
pub(super) struct Sender {
    bus: Bus,
    flying: JoinSet<Result<Ack, PublishError>>,
    letters: HashMap<Id, Letter>,
    keys: HashSet<u64>,
    bytes: usize,
    mood: Arc<Mood>,
}

/// How the bus takes letters, known to all that are in flight.
#[derive(Debug)]
struct Mood {
    /// Held by the one letter that is tried again.
    turn: sync::Mutex<()>,
    last: Mutex<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    /// Its last word was that it takes none now.
    refused: bool,
    /// When it took one, or when the first was sent.
    taken: Instant,
}

/// A letter and the bus' last word on it.
pub(super) struct Landed {
    pub(super) letter: Letter,
    pub(super) result: Result<Ack, PublishError>,
}

impl Sender {
    pub(super) fn new(bus: Bus) -> Self {
        Sender {
            bus,
            flying: JoinSet::new(),
            letters: HashMap::new(),
            keys: HashSet::new(),
            bytes: 0,
            mood: Arc::new(Mood::new()),
        }
    }

    /// Whether this letter may fly now.
    pub(super) fn has_room(&self, letter: &Letter) -> bool {
        let fits = self.bytes == 0 || self.bytes + letter.message.body.len() <= BYTES;
        let most = if self.mood.last().refused { 1 } else { LETTERS };
        fits && self.flying.len() < most && !self.keys.contains(&letter.key())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flying.len()
    }

    /// Hands a letter over.
    pub(super) fn send(&mut self, letter: Letter) {
        self.keys.insert(letter.key());
        self.bytes += letter.message.body.len();
        // Here and not in the task, so that the order is that of the calls.
        let first = self.bus.publish(letter.message.clone());
        let (bus, message, mood) = (self.bus.clone(), letter.message.clone(), Arc::clone(&self.mood));
        if self.flying.is_empty() && !mood.last().refused {
            // It may have been idle for long.
            mood.note(&Ok(Ack::Stored));
        }
        let flight = self.flying.spawn(async move {
            let first = first.await;
            mood.note(&first);
            if first.is_err_and(may_pass) { mood.try_again(first, &bus, &message).await } else { first }
        });
        self.letters.insert(flight.id(), letter);
    }

    /// The next letter that has its answer; `None` when none is in flight.
    pub(super) async fn landed(&mut self) -> Option<Landed> {
        let (id, result) = match self.flying.join_next_with_id().await? {
            Ok(landed) => landed,
            // It panicked: not known to be on the bus.
            Err(error) => (error.id(), Err(PublishError::Error)),
        };
        let letter = self.letters.remove(&id)?;
        self.keys.remove(&letter.key());
        self.bytes -= letter.message.body.len();
        Some(Landed { letter, result })
    }
}

impl Mood {
    fn new() -> Self {
        Mood { turn: sync::Mutex::new(()), last: Mutex::new(Last { refused: false, taken: Instant::now() }) }
    }

    fn last(&self) -> Last {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, result: &Result<Ack, PublishError>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => *last = Last { refused: false, taken: Instant::now() },
            Err(error) if may_pass(*error) => last.refused = true,
            // This letter's own matter.
            Err(_) => {}
        }
    }

    /// In turn with all others that were refused, until it is taken or patience ends.
    async fn try_again(
        &self,
        mut result: Result<Ack, PublishError>,
        bus: &Bus,
        message: &Message,
    ) -> Result<Ack, PublishError> {
        let began = Instant::now();
        let until = || self.last().taken.max(began) + PATIENCE;
        while result.is_err_and(may_pass) {
            let Ok(turn) = timeout_at(until(), self.turn.lock()).await else {
                // Others were taken meanwhile: its turn comes.
                if Instant::now() < until() { continue } else { break }
            };
            if self.last().refused {
                let pause = PAUSE.mul_f64(0.5 + fastrand::f64() / 2.0);
                if until() <= Instant::now() + pause {
                    break;
                }
                sleep(pause).await;
            }
            result = bus.publish(message.clone()).await;
            self.note(&result);
            drop(turn);
        }
        result
    }
}

/// Whether the same letter may be taken a moment later. A stream that is not there is made by an operator.
fn may_pass(error: PublishError) -> bool {
    Reason::of(error).is_none() && error != PublishError::Unprovisioned
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{
        commands::replay::{What, origin::Found},
        config::{BusKind, Config, Source},
        delivery::scripted::{Mode, Scripted},
        envelope::{Attributes, attributes::Attribute},
        vendor::Vendor,
    };

    fn letter(number: u64) -> Letter {
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Id, &number);
        attributes.push(Attribute::PartitionKey, &number);
        let message = Message { attributes, body: "{}".into() };
        let found =
            Found { written: Some((number, SystemTime::now())), body: message.body.clone(), message: Some(message) };
        let sources = vec![Source::defaults("payroll", Vendor::Audit1, "/a", Vec::new())];
        Letter::new(found, What::Journal, &Config::defaults(BusKind::Nats, sources))
    }

    async fn send_all(bus: &Arc<Scripted>, count: u64) -> Vec<Result<Ack, PublishError>> {
        let mut sender = Sender::new(Bus::Scripted(Arc::clone(bus)));
        let mut results = Vec::new();
        for letter in (0..count).map(letter) {
            while !sender.has_room(&letter) {
                results.push(sender.landed().await.unwrap().result);
            }
            sender.send(letter);
        }
        while let Some(landed) = sender.landed().await {
            results.push(landed.result);
        }
        results
    }

    /// As a stream does that is short of memory: it refuses a batch of which it would take each letter.
    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_its_company_goes_alone() {
        let bus = Scripted::new(Mode::Alone(Duration::from_millis(200)));
        let results = send_all(&bus, 300).await;
        assert_eq!(results, vec![Ok(Ack::Stored); 300]);
        let mut stored = bus.stored();
        stored.sort_unstable();
        stored.dedup();
        assert_eq!(stored.len(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bus_that_takes_nothing_ends_it() {
        let bus = Scripted::new(Mode::Refuse(PublishError::Refused));
        let began = Instant::now();
        let results = send_all(&bus, 3).await;
        assert_eq!(results, vec![Err(PublishError::Refused); 3]);
        assert!(began.elapsed() <= 2 * PATIENCE, "{:?}", began.elapsed());
    }
}
