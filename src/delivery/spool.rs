//! The spool: what carries an event through the gate, by the bus or by the journal, whichever makes it durable.
//!
//! In: a message and somebody who waits. Out: word to that somebody, once it is durable, and no sooner; and a journal in
//! which whatever the bus has not got lies in order. It publishes nothing that is spooled: that is the drain's work.
//! The gate decides; this room only waits for disks, buses and clocks, and tells the gate.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::{
    Outlet, Pending,
    dead_letters::{DeadLetters, Reason},
    gate::{Fate, Gate, Limits, Read, Way},
};
use crate::{
    bus::{Ack, PublishError},
    envelope::{Message, attributes::Attribute},
    journal::{AppendError, Journal, Record, Stats},
    observe::metrics::Metrics,
};

/// Most spooled records in memory, and of them in flight, while they drain. A thousand at a round trip of 10 ms are
/// 100,000 a second.
const WINDOW: Limits = Limits { records: 2048, bytes: 16 << 20, flying: 1024 };

/// Why an event went into the spool. The labels of `spool_events_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Not acknowledged after `hedge_after`.
    Hedge,
    /// Refused for now.
    Refused,
    /// Older events are in the spool.
    Gate,
}

impl Cause {
    /// Every cause and its label.
    pub const ALL: [(Cause, &str); 3] = [(Cause::Hedge, "hedge"), (Cause::Refused, "refused"), (Cause::Gate, "gate")];
}

/// The journal behind its gate.
pub struct Spool {
    // A std Mutex: held for one step of the gate, never across an await.
    gate: Mutex<Gate>,
    pub(super) journal: Journal,
    pub(super) dead_letters: DeadLetters,
    hedge_after: Duration,
    /// The drain may have something to do that the journal does not tell it.
    pub(super) moved: Notify,
    metrics: Arc<Metrics>,
}

impl Spool {
    /// `journal`: one that keeps until acknowledged. What is in it already closes the gate. `hedge_after`: how long a
    /// publication may take before its event is spooled.
    pub fn new(journal: Journal, dead_letters: DeadLetters, hedge_after: Duration, metrics: Arc<Metrics>) -> Arc<Self> {
        let highest = if journal.stats().records == 0 { 0 } else { *journal.durable().borrow() };
        let gate = Mutex::new(Gate::new(WINDOW, highest));
        Arc::new(Spool { gate, journal, dead_letters, hedge_after, moved: Notify::new(), metrics })
    }

    /// Carries one event until it is durable, and past that until the client has done with it.
    pub(super) async fn carry(&self, outlet: &Outlet, message: Message, pending: Pending) {
        if self.gate().arrived(message.order()) == Way::Spool {
            return pending.settle(self.append(message, None, Cause::Gate).await);
        }
        let kept = message.clone();
        let mut publication = Box::pin(outlet.publish(message));
        match timeout(self.hedge_after, &mut publication).await {
            Ok(Ok(_)) => pending.durable(),
            Ok(Err(error)) => self.refused(kept, error, pending).await,
            Err(_) => self.hedge(kept, publication, pending).await,
        }
    }

    async fn refused(&self, message: Message, error: PublishError, pending: Pending) {
        if let Some(reason) = Reason::of(error) {
            return match self.dead_letters.bury(message, reason).await {
                Ok(()) => pending.durable(),
                Err(_) => pending.failed(error.into()),
            };
        }
        self.gate().refused();
        pending.settle(self.append(message, None, Cause::Refused).await);
    }

    /// The publication goes on beside the append; the first of them that ends well answers the sender. A refusal for
    /// good that comes this late is left to the drain, which meets it again.
    async fn hedge(
        &self,
        message: Message,
        mut publication: Pin<Box<impl Future<Output = Result<Ack, PublishError>>>>,
        pending: Pending,
    ) {
        let ticket = message.get(Attribute::Sequence).to_owned();
        self.gate().hedged(&ticket);
        let first = First { spool: self, ticket: &ticket, acked: false };
        let mut append = Box::pin(self.append(message, Some(&ticket), Cause::Hedge));
        tokio::select! {
            result = &mut publication => {
                first.ended(result);
                if result.is_ok() {
                    pending.durable();
                    self.retire(append.await);
                } else {
                    pending.settle(append.await);
                }
            }
            appended = &mut append => {
                let waits = if appended.is_ok() { pending.durable(); None } else { Some(pending) };
                let result = publication.await;
                first.ended(result);
                if result.is_ok() {
                    self.retire(appended);
                }
                if let Some(pending) = waits {
                    pending.settle(result);
                }
            }
        }
    }

    /// Appends what the gate counts as on its way. The place in the journal is taken by the call.
    fn append<'a>(
        &'a self,
        message: Message,
        ticket: Option<&'a str>,
        cause: Cause,
    ) -> impl Future<Output = Result<u64, AppendError>> + use<'a> {
        let appending = Appending { spool: self, ticket, place: None };
        let durable = self.journal.append(Record { head: message.attributes.into_encoded(), body: message.body });
        async move {
            let sequence = durable.await?;
            appending.ended(sequence);
            self.metrics.spooled(cause);
            Ok(sequence)
        }
    }

    /// The bus has it: the record is not needed any more.
    fn retire(&self, appended: Result<u64, AppendError>) {
        if let Ok(sequence) = appended {
            self.journal.acknowledge(sequence);
        }
    }

    /// For the drain: a record it has read, and whether it is to be kept for publication.
    pub(super) fn read(&self, sequence: u64, message: &Message) -> bool {
        let bytes = message.attributes.encoded().len() + message.body.len();
        let record = Read { sequence, key: message.order(), ticket: message.get(Attribute::Sequence), bytes };
        let fate = self.gate().read(record);
        if fate == Fate::Done {
            self.journal.acknowledge(sequence);
        }
        fate == Fate::Kept
    }

    /// For the drain: a record is on the bus or in the dead letters.
    pub(super) fn done(&self, sequence: u64) {
        self.journal.acknowledge(sequence);
        self.gate().published(sequence, true);
    }

    /// The gate, for one step.
    pub(super) fn gate(&self) -> MutexGuard<'_, Gate> {
        // A panic between two of its steps leaves it whole: each step is a method without a way to fail.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is held back, so that all events go direct.
    pub fn is_open(&self) -> bool {
        self.gate().open()
    }

    /// The journal.
    pub fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// The journal's state.
    pub fn stats(&self) -> Stats {
        self.journal.stats()
    }

    /// Writes what waits, and closes; blocks, at most twenty seconds.
    pub(super) fn close(&self) {
        self.journal.close();
        self.dead_letters.close();
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("gate", &self.gate).finish_non_exhaustive()
    }
}

/// A record on its way into the journal. However this ends, the gate hears of it, or it would stay closed for ever.
struct Appending<'a> {
    spool: &'a Spool,
    ticket: Option<&'a str>,
    place: Option<u64>,
}

impl Appending<'_> {
    // Takes the whole: a block that only sets the field would capture a copy of the field, and drop the rest early.
    fn ended(mut self, sequence: u64) {
        self.place = Some(sequence);
    }
}

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        match self.place {
            Some(sequence) => self.spool.gate().appended(self.ticket, sequence),
            None => self.spool.gate().not_appended(self.ticket),
        }
    }
}

/// A hedged event's first publication. However this ends, the gate hears of it, or its record would never be drained.
struct First<'a> {
    spool: &'a Spool,
    ticket: &'a str,
    acked: bool,
}

impl First<'_> {
    fn ended(mut self, result: Result<Ack, PublishError>) {
        self.acked = result.is_ok();
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        if self.acked {
            self.spool.gate().first_acked(self.ticket);
        } else {
            self.spool.gate().first_failed(self.ticket);
        }
        self.spool.moved.notify_one();
    }
}
