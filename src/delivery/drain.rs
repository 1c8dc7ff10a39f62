//! The drain: sends on what is in the spool, in the order that the gate says, for as long as it takes.
//!
//! In: records of the journal. Out: the same on the bus or in the dead letters, then acknowledged in the journal. It has a
//! thread and an event loop of its own, since reading blocks for a moment. Its memory is the gate's window, however long an
//! outage was; it retries without end, with pauses. What the bus refuses while it takes others it reads again in rounds, and
//! gives up only when that has gone on for longer than `dead_letter_after`.

use std::{
    collections::HashMap,
    io, mem,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, SystemTime},
};

use journal::{Entry, Reader, Start};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

#[cfg(test)]
use super::planted::Planted;
use super::{
    flights::{Backoff, Flights},
    gate::{Fate, Landing, Target},
    outcome::Reason,
    outlet::Outlet,
    spool::{Spool, seen},
};
use crate::{envelope::Message, health::Beat, wake};

/// Records read before what has landed is looked at again.
const BATCH: usize = 64;
/// Longest pauses after the first failure in a row and after many.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long the end waits for what is in flight: an acknowledgement that is not seen is a duplicate after the start.
const PATIENCE: Duration = Duration::from_secs(2);

/// The running drain.
#[derive(Debug)]
pub(super) struct Drain {
    /// Grows old when the drain is stuck, or has panicked.
    pub(super) beat: Beat,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl Drain {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread or no event loop.
    pub(super) fn start(spool: Arc<Spool>, outlet: Outlet) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let beat = Beat::start();
        #[cfg(feature = "simulation")]
        if let Some(machine) = journal::simulation::Machine::here() {
            // It has no threads.
            tokio::spawn(machine.stumble(Worker::new(spool, outlet).run(stopped)));
            return Ok(Drain { beat, stop, thread: Mutex::new(None) });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let beats = beat.clone();
        let work = move || {
            runtime.spawn(beats.run());
            runtime.spawn(wake::serve());
            runtime.block_on(Worker::new(spool, outlet).run(stopped));
        };
        let thread = thread::Builder::new().name("drain".into()).spawn(work)?;
        Ok(Drain { beat, stop, thread: Mutex::new(Some(thread)) })
    }

    /// Ends it; blocks while something is in flight, at most two seconds.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the drain has panicked; what is spooled is sent after the next start");
        }
    }
}

/// A record that the gate keeps.
#[derive(Debug, Clone)]
struct Kept {
    message: Message,
    /// It was refused for too long.
    is_doomed: bool,
}

struct Worker {
    spool: Arc<Spool>,
    outlet: Outlet,
    reader: Reader,
    durable: watch::Receiver<u64>,
    /// Nothing more to read until more is durable.
    exhausted: bool,
    /// The second reader, of a round under way.
    round: Option<Reader>,
    /// What the gate keeps, by sequence.
    messages: HashMap<u64, Kept>,
    flights: Flights<Landing>,
    /// During a pause nothing is published or read.
    backoff: Backoff,
    /// Whether the bus took the last one.
    takes: bool,
}

impl Worker {
    fn new(spool: Arc<Spool>, outlet: Outlet) -> Self {
        Worker {
            reader: spool.journal.reader(Start::Oldest),
            durable: spool.journal.durable(),
            exhausted: false,
            round: None,
            messages: HashMap::new(),
            flights: Flights::default(),
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
            takes: true,
            spool,
            outlet,
        }
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let spool = Arc::clone(&self.spool);
        // What is not acknowledged at the end stays in the spool, so there is nothing to detach for.
        self.outlet.bus.attach().await;
        loop {
            let pause = self.backoff.is_pause();
            // Both, one after the other: neither waits for the end of the other.
            let more = !pause && (self.read().await | self.read_again().await);
            if !pause {
                self.publish();
            }
            let next = self.next_round();
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some((sequence, landing)) = self.flights.landed() => {
                    self.landed(sequence, landing.unwrap_or(Landing::Failed));
                }
                () = spool.moved.notified() => self.forget(),
                // An error is a journal that has gone: there is nothing more to read, ever.
                Ok(()) = self.durable.changed() => self.exhausted = false,
                () = self.backoff.over(), if pause => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if !pause && next.is_some() => {}
                () = tokio::task::yield_now(), if more => {}
            }
        }
        self.land_all().await;
    }

    /// Reads while the gate has room. Gives whether there may be more at once.
    async fn read(&mut self) -> bool {
        for _ in 0..BATCH {
            if self.exhausted || !self.spool.gate().window().has_room() {
                return false;
            }
            let durable = *self.durable.borrow_and_update();
            match self.reader.next() {
                Ok(Some(entry)) => self.take(entry).await,
                Ok(None) => {
                    self.exhausted = true;
                    self.spool.gate().passed(durable);
                    self.forget();
                }
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be read");
                    self.backoff.failed();
                    return true;
                }
            }
        }
        true
    }

    async fn take(&mut self, entry: Entry) {
        let Entry { sequence, head, body, .. } = entry;
        match Message::decode(head.clone(), body.clone()) {
            Some(message) => {
                let fate = self.spool.gate().read(seen(sequence, &message));
                self.keep(sequence, message, fate);
            }
            // Only another version could have written it. If the dead letters do not take it, the next start finds it.
            None => {
                if self.spool.dead_letters.append_unreadable(head, body).await.is_ok() {
                    self.spool.journal.acknowledge(sequence);
                }
            }
        }
    }

    fn keep(&mut self, sequence: u64, message: Message, fate: Fate) {
        match fate {
            Fate::Kept | Fate::Doomed => {
                self.messages.insert(sequence, Kept { message, is_doomed: fate == Fate::Doomed });
            }
            Fate::Done => self.spool.journal.acknowledge(sequence),
            Fate::Left => {}
        }
    }

    /// When a round is to begin; none while one is under way.
    fn next_round(&self) -> Option<Instant> {
        if self.round.is_some() { None } else { self.spool.gate().next_round(Instant::now()) }
    }

    /// Reads again what the bus has refused, while the gate has room. Gives whether there may be more at once.
    async fn read_again(&mut self) -> bool {
        if self.round.is_none() {
            let from = self.spool.gate().begin_round(Instant::now());
            self.round = from.map(|from| self.spool.journal.reader(Start::After(from.saturating_sub(1))));
        }
        for _ in 0..BATCH {
            let Some(reader) = &mut self.round else { return false };
            if !self.spool.gate().window().has_room() {
                return false;
            }
            let read = reader.next();
            match read {
                Ok(Some(entry)) => self.take_again(entry),
                Ok(None) => {
                    self.round = None;
                    self.spool.gate().end_round(Instant::now());
                }
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be read");
                    self.backoff.failed();
                    return true;
                }
            }
        }
        true
    }

    fn take_again(&mut self, entry: Entry) {
        let Entry { sequence, recorded, head, body } = entry;
        // What cannot be read was met before.
        let Some(message) = Message::decode(head, body) else { return };
        let age = wall_clock().duration_since(recorded).unwrap_or_default();
        let fate = self.spool.gate().read_again(seen(sequence, &message), age, Instant::now());
        match fate {
            Some(fate) => self.keep(sequence, message, fate),
            None => self.round = None,
        }
    }

    /// Hands over what may fly.
    fn publish(&mut self) {
        loop {
            let next = self.spool.gate().next();
            let Some(sequence) = next else { return };
            let Some(Kept { message, is_doomed }) = self.messages.get(&sequence).cloned() else {
                self.spool.landed(sequence, Landing::Stored);
                continue;
            };
            let (spool, outlet) = (Arc::clone(&self.spool), self.outlet.clone());
            #[cfg(test)]
            if Planted::DroppedAck.is_here() {
                spool.journal.acknowledge(sequence);
            }
            // Handed over inside the task: those that fly have no order among them, and a panic ends that task only.
            self.flights.begin(sequence, async move {
                if is_doomed {
                    let target = Target::Key(message.order());
                    return bury(&spool, message, Reason::Refused, Some(target)).await;
                }
                match wake::gather(outlet.publish(message.clone())).await {
                    Ok(_) => Landing::Stored,
                    Err(error) => {
                        let target = spool.target(&message, error);
                        match Reason::of(error) {
                            Some(reason) => bury(&spool, message, reason, target).await,
                            None => target.map_or(Landing::Failed, Landing::Refused),
                        }
                    }
                }
            });
        }
    }

    fn landed(&mut self, sequence: u64, landing: Landing) {
        self.spool.landed(sequence, landing);
        match landing {
            Landing::Stored | Landing::DeadLetter => {
                self.messages.remove(&sequence);
                self.backoff.succeeded();
                self.bus_takes(true);
            }
            Landing::Failed => {
                self.backoff.failed();
                self.bus_takes(false);
            }
            Landing::Refused(_) => self.forget(),
        }
    }

    /// One line for each change: a broker that has frozen keeps its connections, and no other line tells of it.
    fn bus_takes(&mut self, takes: bool) {
        if mem::replace(&mut self.takes, takes) == takes {
            return;
        }
        let records = self.spool.journal.stats().records;
        if takes {
            tracing::info!(records, "the bus takes events again: the spool drains");
        } else {
            tracing::warn!(records, "the bus takes no event now: events wait in the spool");
        }
    }

    /// Forgets what a late acknowledgement has retired, and what was parked.
    fn forget(&mut self) {
        let gate = self.spool.gate();
        if self.messages.len() > gate.window().len() {
            self.messages.retain(|sequence, _| gate.window().holds(*sequence));
        }
    }

    async fn land_all(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(Some((sequence, landing))) = timeout_at(deadline, self.flights.landed()).await {
            self.landed(sequence, landing.unwrap_or(Landing::Failed));
        }
    }
}

/// The clock that the journal dates its records by.
fn wall_clock() -> SystemTime {
    #[cfg(feature = "simulation")]
    if let Some(machine) = journal::simulation::Machine::here() {
        return machine.wall_clock();
    }
    SystemTime::now()
}

/// Puts a message into the dead letters; `target`: what stands against it if they do not take it.
async fn bury(spool: &Spool, message: Message, reason: Reason, target: Option<Target>) -> Landing {
    match spool.dead_letters.append(message, reason).await {
        Ok(()) => Landing::DeadLetter,
        Err(_) => target.map_or(Landing::Failed, Landing::Refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::{Journal, Keep, Options};

    use crate::{
        bus::{
            Bus,
            fake::{Fake, Mode},
        },
        delivery::{dead_letters::DeadLetters, metrics::DeliveryMetrics},
        metrics::Families,
    };

    fn worker(directory: &std::path::Path) -> Worker {
        let metrics = Arc::new(DeliveryMetrics::register(&Families::default()).unwrap());
        let open = |name| {
            let options = Options {
                directory: directory.join(name),
                segment_size: 64 << 10,
                max_size: 1 << 20,
                max_age: None,
                reserve: 0,
                keep: Keep::UntilAcknowledged,
                queue: 8,
            };
            Journal::open(options, Arc::new(())).unwrap()
        };
        let dead_letters = DeadLetters::new(open("dead-letters"), directory, Arc::clone(&metrics));
        let spool = Spool::new(open("spool"), dead_letters, Duration::from_secs(1), None, Arc::clone(&metrics));
        let bus = Bus::Fake(Fake::new(Mode::Take(Duration::ZERO)));
        Worker::new(spool, Outlet::new(bus, metrics))
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_a_single_failure_costs_a_short_pause() {
        let outer = tempfile::tempdir().unwrap();
        let mut worker = worker(outer.path());
        let fail = async |worker: &mut Worker| {
            let began = Instant::now();
            worker.landed(1, Landing::Failed);
            worker.backoff.over().await;
            began.elapsed()
        };
        let mut pause = Duration::ZERO;
        for _ in 0..10 {
            pause = fail(&mut worker).await;
        }
        assert!(pause >= PAUSES.1 / 2, "{pause:?}");
        worker.landed(1, Landing::Stored);
        let pause = fail(&mut worker).await;
        // The clock counts in milliseconds.
        assert!(pause <= PAUSES.0 + Duration::from_millis(1), "{pause:?}");
    }
}
