//! The spool: carries an event through the gate, by the bus or by the journal, whichever makes it durable.
//!
//! In: a message and the sender's pending answer. Out: that answer, once the message is durable and no sooner; and a journal
//! that holds in order what the bus has not acknowledged. It publishes no spooled record: that is the drain's work. The gate
//! decides; this file only waits for disks, buses and clocks, and reports to the gate.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use journal::{AppendError, Journal, Record, Stats};
use log_once::LogOnce;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

#[cfg(test)]
use super::planted::Planted;
use super::{
    dead_letters::DeadLetters,
    gate::{Gate, Landing, Lane, Read, Target, Way},
    metrics::DeliveryMetrics,
    outcome::{Cause, Reason},
    outlet::{Outlet, Publishing},
    pending::{Answer, Pending},
    turns::Turns,
    window::Limits,
    work::Done,
};
use crate::{
    bus::{Ack, PublishError, Scope},
    envelope::{Message, attributes::Attribute},
};

/// Most spooled records in memory, and of them in flight, while they drain. A thousand at a round trip of 10 ms are
/// 100,000 a second.
const WINDOW: Limits = Limits { records: 2048, bytes: 16 << 20, flying: 1024 };

/// Most refused keys with a place of their own in memory, about 100 bytes each. Beyond, keys share as many places again.
const MOST_KEYS: usize = 100_000;

/// Between two log lines on one refusal.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Most refused subjects and topics whose last line is remembered.
const MOST_SAID: usize = 1_000;

/// The journal behind its gate.
pub struct Spool {
    // A std Mutex: held for one step of the gate, never across an await.
    gate: Mutex<Gate>,
    pub(super) journal: Journal,
    pub(super) dead_letters: DeadLetters,
    hedge_after: Duration,
    /// Wakes the drain when a first publication or a direct one has ended, which appends nothing to the journal.
    pub(super) moved: Notify,
    turns: Turns,
    /// What was last said of each refused subject or topic, by its hash.
    said: Mutex<HashMap<u64, LogOnce<PublishError>>>,
    metrics: Arc<DeliveryMetrics>,
}

impl Spool {
    /// `journal`: one that keeps until acknowledged. What is in it already closes the gate. `hedge_after`: how long a
    /// publication may take before its event is spooled. `dead_letter_after`: how old an event becomes that the bus refuses
    /// while it takes others.
    pub fn new(
        journal: Journal,
        dead_letters: DeadLetters,
        hedge_after: Duration,
        dead_letter_after: Option<Duration>,
        metrics: Arc<DeliveryMetrics>,
    ) -> Arc<Self> {
        let highest = if journal.stats().records == 0 { 0 } else { *journal.durable().borrow() };
        let gate = Mutex::new(Gate::new(WINDOW, highest, dead_letter_after, MOST_KEYS));
        let (moved, turns) = (Notify::new(), Turns::default());
        Arc::new(Spool { gate, journal, dead_letters, hedge_after, moved, turns, said: Mutex::default(), metrics })
    }

    /// Carries one event until it is durable; what is left is to wait until the client has done with it.
    pub(super) async fn carry(self: &Arc<Self>, outlet: &Outlet, message: Message, pending: Pending) -> Done {
        let deadline = Instant::now() + self.hedge_after;
        if let Some(lane) = self.lane(&message, deadline).await {
            let cause = if lane == Lane::Common { Cause::Gate } else { Cause::Refused };
            #[cfg(test)]
            if Planted::EarlyAnswer.is_here() {
                let append = self.append(message, lane, None, cause);
                return Done::before(pending.durable(), async move {
                    append.await.ok();
                });
            }
            return pending.settle(self.append(message, lane, None, cause).await).into();
        }
        let kept = message.clone();
        let mut publication = outlet.publish(message);
        match timeout_at(deadline, &mut publication).await {
            Ok(Ok(_)) => pending.durable().into(),
            // Boxed, as all that is rare: each event's future has the size of its largest step.
            Ok(Err(error)) => Box::pin(self.refused(kept, error, pending)).await.into(),
            Err(_) => Box::pin(self.hedge(kept, publication, pending)).await,
        }
    }

    /// Where an event is to be appended; `None`: it goes direct. It may wait for its turn, but not beyond the deadline.
    async fn lane(&self, message: &Message, deadline: Instant) -> Option<Lane> {
        let (key, route) = (message.order(), message.route_hash());
        let mut way = self.gate().arrived(key, route);
        loop {
            match way {
                Way::Direct => return None,
                Way::Spool(lane) => return Some(lane),
                Way::Wait => {}
            }
            // Before the gate is asked again: a turn that comes between is not missed.
            let turn = self.turns.of(key).notified();
            way = self.gate().arrived(key, route);
            if way == Way::Wait && Box::pin(timeout_at(deadline, turn)).await.is_err() {
                return Some(self.gate().waited(key, route));
            }
        }
    }

    async fn refused(self: &Arc<Self>, message: Message, error: PublishError, pending: Pending) -> Answer {
        if let Some(reason) = Reason::of(error) {
            return match self.dead_letters.append(message, reason).await {
                Ok(()) => pending.durable(),
                Err(_) => pending.failed(error.into()),
            };
        }
        let lane = match self.target(&message, error) {
            Some(target) => self.gate().refused(message.order(), target, Instant::now()),
            None => self.gate().failed(),
        };
        self.moved.notify_one();
        pending.settle(self.append(message, lane, None, Cause::Refused).await)
    }

    /// The publication goes on beside the append; the first of them that ends well answers the sender. A refusal for
    /// good that comes this late is left to the drain, which meets it again.
    async fn hedge(self: &Arc<Self>, message: Message, mut publication: Publishing, pending: Pending) -> Done {
        let ticket: Arc<str> = message.get(Attribute::Sequence).into();
        let lane = self.gate().hedged(&ticket);
        let spool = Arc::clone(self);
        let first = First { spool: Arc::clone(self), ticket: Arc::clone(&ticket), acked: false };
        let mut append = Box::pin(self.append(message, lane, Some(ticket), Cause::Hedge));
        tokio::select! {
            biased;
            result = &mut publication => {
                first.ended(result);
                if result.is_ok() {
                    return Done::before(pending.durable(), async move { spool.retire(append.await) });
                }
                pending.settle(append.await).into()
            }
            appended = &mut append => {
                let end = async move {
                    let result = publication.await;
                    first.ended(result);
                    if result.is_ok() {
                        spool.retire(appended);
                    }
                    result
                };
                if appended.is_ok() {
                    return Done::before(pending.durable(), async move {
                        end.await.ok();
                    });
                }
                pending.settle(end.await).into()
            }
        }
    }

    /// Appends what the gate counts as on its way. The place in the journal is taken by the call.
    fn append(
        self: &Arc<Self>,
        message: Message,
        lane: Lane,
        ticket: Option<Arc<str>>,
        cause: Cause,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send + use<> {
        let appending = Appending { spool: Arc::clone(self), lane, ticket, place: None };
        let record = Record { head: message.attributes.into_encoded(), body: message.body };
        let durable = self.journal.append(record);
        let spool = Arc::clone(self);
        async move {
            let sequence = durable.await?;
            appending.ended(sequence);
            spool.metrics.spooled.inc(cause);
            Ok(sequence)
        }
    }

    /// The bus has it: the record is not needed any more.
    fn retire(&self, appended: Result<u64, AppendError>) {
        if let Ok(sequence) = appended {
            self.journal.acknowledge(sequence);
        }
    }

    /// What a failure stands against, if the bus may take other messages; says so.
    pub(super) fn target(&self, message: &Message, error: PublishError) -> Option<Target> {
        let target = match error.scope() {
            Scope::Bus => return None,
            Scope::Route => Target::Route(message.route_hash()),
            Scope::Message => Target::Key(message.order()),
        };
        if Reason::of(error).is_none() && self.is_to_be_said(message.route_hash(), error) {
            let route = message.route();
            tracing::warn!(route, %error, "the bus refuses this and takes others: such events wait in the spool");
        }
        Some(target)
    }

    fn is_to_be_said(&self, route: u64, error: PublishError) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= MOST_SAID {
            said.clear();
        }
        said.entry(route).or_insert_with(|| LogOnce::repeated(SAY_AGAIN)).is_new(error)
    }

    /// For the drain: a record is on the bus or in the dead letters, or is not.
    pub(super) fn landed(&self, sequence: u64, landing: Landing) {
        if matches!(landing, Landing::Stored | Landing::DeadLetter) {
            self.journal.acknowledge(sequence);
        }
        let key = self.gate().landed(sequence, landing, Instant::now());
        self.turns.comes(key);
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

/// How the gate sees a record of the journal.
pub(super) fn seen(sequence: u64, message: &Message) -> Read<'_> {
    let bytes = message.attributes.encoded().len() + message.body.len();
    let (key, route) = (message.order(), message.route_hash());
    Read { sequence, key, route, ticket: message.get(Attribute::Sequence), bytes }
}

/// A record on its way into the journal. However this ends, it is reported to the gate, which would stay closed otherwise.
struct Appending {
    spool: Arc<Spool>,
    lane: Lane,
    ticket: Option<Arc<str>>,
    place: Option<u64>,
}

impl Appending {
    // Takes the whole: a block that only sets the field would capture a copy of the field, and drop the rest early.
    fn ended(mut self, sequence: u64) {
        self.place = Some(sequence);
    }
}

impl Drop for Appending {
    fn drop(&mut self) {
        self.spool.gate().appended(self.lane, self.ticket.as_deref(), self.place);
    }
}

/// A hedged event's first publication. However this ends, it is reported to the gate, or the record would never be drained.
struct First {
    spool: Arc<Spool>,
    ticket: Arc<str>,
    acked: bool,
}

impl First {
    fn ended(mut self, result: Result<Ack, PublishError>) {
        self.acked = result.is_ok();
    }
}

impl Drop for First {
    fn drop(&mut self) {
        if self.acked {
            let key = self.spool.gate().first_acked(&self.ticket);
            self.spool.turns.comes(key);
        } else {
            self.spool.gate().first_failed(&self.ticket);
        }
        self.spool.moved.notify_one();
    }
}
