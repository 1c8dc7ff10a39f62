//! Publishes candidates, several at once, and keeps the order of each key.
//!
//! In: candidates. Out: each of them again, with the last result of the bus. What is refused for now is tried again for a
//! while, with the window and the pauses of the spool's drain ([`crate::delivery::window`]).

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::candidate::Candidate;
use crate::{
    bus::{Ack, Bus, PublishError},
    delivery::{
        Reason,
        flights::{Backoff, Flights},
        window::{Limits, Window},
    },
};

/// Most candidates in memory, all of them in flight while all goes well.
const WINDOW: Limits = Limits { records: 256, bytes: 16 << 20, flying: 256 };
/// How long candidates are tried again while the bus takes none.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest pauses after the first refusal in a row and after many.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// What is not on the bus yet.
pub(super) struct Sender {
    bus: Bus,
    window: Window,
    /// What the window holds, by the numbers of their calls.
    candidates: HashMap<u64, Candidate>,
    next: u64,
    flights: Flights<Result<Ack, PublishError>>,
    backoff: Backoff,
    /// When the bus took one, or when the first one was sent after a rest.
    taken: Instant,
    stopped: bool,
}

/// A candidate and the last result of the bus.
pub(super) struct Landed {
    pub(super) candidate: Candidate,
    pub(super) result: Result<Ack, PublishError>,
}

impl Sender {
    pub(super) fn new(bus: Bus) -> Self {
        Sender {
            bus,
            window: Window::new(WINDOW),
            candidates: HashMap::new(),
            next: 0,
            flights: Flights::default(),
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
            taken: Instant::now(),
            stopped: false,
        }
    }

    /// Whether this candidate may be sent now. None overtakes one that waits for its key: while all goes well, what is sent
    /// lies on the bus in the order of the calls.
    pub(super) fn has_room(&self, candidate: &Candidate) -> bool {
        self.window.has_room() && !self.window.holds_key(candidate.message.order())
    }

    /// How many have no final result yet.
    pub(super) fn waiting(&self) -> usize {
        self.window.len()
    }

    /// Sends a candidate in its turn.
    pub(super) fn send(&mut self, candidate: Candidate) {
        if self.window.is_empty() {
            self.taken = Instant::now();
        }
        self.next += 1;
        self.window.push(self.next, candidate.message.order(), candidate.message.body.len(), false);
        self.candidates.insert(self.next, candidate);
        self.publish();
    }

    /// Publishes nothing any more.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// How many were published and have no result.
    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// The next candidate that is on the bus or given up; `None` when there is none, after [`Sender::stop`] when none is in
    /// flight.
    pub(super) async fn landed(&mut self) -> Option<Landed> {
        loop {
            self.publish();
            if self.flights.is_empty() {
                if self.stopped || self.window.is_empty() {
                    return None;
                }
                self.backoff.over().await;
                continue;
            }
            tokio::select! {
                biased;
                Some((number, result)) = self.flights.landed() => {
                    // It panicked: not known to be on the bus.
                    let result = result.unwrap_or(Err(PublishError::Error));
                    if let Some(landed) = self.take(number, result) {
                        return Some(landed);
                    }
                }
                () = self.backoff.over(), if self.backoff.is_pause() => {}
            }
        }
    }

    fn publish(&mut self) {
        while !self.stopped && !self.backoff.is_pause() {
            let Some(number) = self.window.take_next() else { return };
            let Some(candidate) = self.candidates.get(&number) else { return };
            // Here and not in the task, so that the order is that of the calls.
            self.flights.begin(number, self.bus.publish(candidate.message.clone()));
        }
    }

    fn take(&mut self, number: u64, result: Result<Ack, PublishError>) -> Option<Landed> {
        match result {
            Ok(_) => {
                self.taken = Instant::now();
                self.backoff.succeeded();
            }
            Err(error) if may_pass(error) => {
                self.backoff.failed();
                if !self.stopped && self.taken.elapsed() < PATIENCE {
                    self.window.published(number, false);
                    return None;
                }
            }
            // This candidate's own matter.
            Err(_) => {}
        }
        self.window.published(number, true);
        self.candidates.remove(&number).map(|candidate| Landed { candidate, result })
    }
}

/// Whether the same candidate may be taken a moment later. A stream that is not there is made by an operator.
fn may_pass(error: PublishError) -> bool {
    Reason::of(error).is_none()
        && !matches!(error, PublishError::Unprovisioned | PublishError::Uncovered | PublishError::Unsafe)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use super::*;
    use crate::{
        bus::{
            Record,
            fake::{Fake, Mode},
        },
        commands::replay::options::What,
        config::{BusKind, Config, SourceConfig},
        envelope::{Attributes, Message, attributes::Attribute},
        vendors::Vendor,
    };

    fn candidate(number: u64) -> Candidate {
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Id, &number);
        attributes.push(Attribute::PartitionKey, &number);
        let message = Message { attributes, body: "{}".into() };
        let found = Record {
            written: Some((number, SystemTime::now())),
            payload: message.body.clone(),
            message: Some(message),
            is_behind_a_gap: false,
            is_structured: false,
        };
        let sources = vec![SourceConfig::defaults("payroll", Vendor::Audit1, "/a", Vec::new())];
        Candidate::new(found, What::Journal, &Config::defaults(BusKind::Nats, sources))
    }

    async fn send_all(bus: &Arc<Fake>, count: u64) -> Vec<Result<Ack, PublishError>> {
        let mut sender = Sender::new(Bus::Fake(Arc::clone(bus)));
        let mut results = Vec::new();
        for candidate in (0..count).map(candidate) {
            while !sender.has_room(&candidate) {
                results.push(sender.landed().await.unwrap().result);
            }
            sender.send(candidate);
        }
        while let Some(landed) = sender.landed().await {
            results.push(landed.result);
        }
        results
    }

    /// As a stream does that is short of memory: it refuses a batch of which it would take each candidate.
    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_its_company_goes_alone() {
        let bus = Fake::new(Mode::Alone(Duration::from_millis(200)));
        let results = send_all(&bus, 300).await;
        assert_eq!(results, vec![Ok(Ack::Stored); 300]);
        let mut stored = bus.stored();
        stored.sort_unstable();
        stored.dedup();
        assert_eq!(stored.len(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bus_that_takes_nothing_ends_it() {
        let bus = Fake::new(Mode::Refuse(PublishError::Refused));
        let began = Instant::now();
        let results = send_all(&bus, 3).await;
        assert_eq!(results, vec![Err(PublishError::Refused); 3]);
        assert!(began.elapsed() <= 2 * PATIENCE, "{:?}", began.elapsed());
    }
}
