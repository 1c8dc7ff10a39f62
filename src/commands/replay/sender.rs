//! Publishes letters, several at once, and keeps the order of each key.
//!
//! In: letters. Out: each of them again, with the bus' word. Hand-overs follow the order of the calls, and of one key at
//! most one is in flight, as in the drain of the spool. What is refused for now is tried again for a while.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::{
    task::{Id, JoinSet},
    time::{Instant, sleep},
};

use super::letter::Letter;
use crate::{
    bus::{Ack, Bus, PublishError},
    delivery::dead_letters::Reason,
};

/// Most letters in flight.
const LETTERS: usize = 256;
/// Most bytes of them; one always fits.
const BYTES: usize = 16 << 20;
/// How long a letter is tried again when it is refused for now.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// What is in flight.
pub(super) struct Sender {
    bus: Bus,
    flying: JoinSet<Result<Ack, PublishError>>,
    letters: HashMap<Id, Letter>,
    keys: HashSet<u64>,
    bytes: usize,
}

/// A letter and the bus' last word on it.
pub(super) struct Landed {
    pub(super) letter: Letter,
    pub(super) result: Result<Ack, PublishError>,
}

impl Sender {
    pub(super) fn new(bus: Bus) -> Self {
        Sender { bus, flying: JoinSet::new(), letters: HashMap::new(), keys: HashSet::new(), bytes: 0 }
    }

    /// Whether this letter may fly now.
    pub(super) fn has_room(&self, letter: &Letter) -> bool {
        let fits = self.bytes == 0 || self.bytes + letter.message.body.len() <= BYTES;
        fits && self.flying.len() < LETTERS && !self.keys.contains(&letter.key())
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
        let (bus, message) = (self.bus.clone(), letter.message.clone());
        let flight = self.flying.spawn(async move {
            let until = Instant::now() + PATIENCE;
            let mut result = first.await;
            while result.is_err_and(may_pass) && Instant::now() + PAUSE < until {
                sleep(PAUSE).await;
                result = bus.publish(message.clone()).await;
            }
            result
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

/// Whether the same letter may be taken a moment later. A stream that is not there is made by an operator.
fn may_pass(error: PublishError) -> bool {
    Reason::of(error).is_none() && error != PublishError::Unprovisioned
}
