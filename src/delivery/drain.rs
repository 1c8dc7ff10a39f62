//! The drain: sends on what is in the spool, in the order that the gate says, for as long as it takes.
//!
//! In: records of the journal. Out: the same on the bus or in the dead letters, then acknowledged in the journal. A thread
//! and an event loop of its own, since reading blocks for a moment. Its memory is the gate's window, however long an
//! outage was; it retries without end, with pauses, and gives nothing up that may still succeed.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use super::{Outlet, dead_letters::Reason, spool::Spool};
use crate::{
    bus,
    envelope::Message,
    journal::{Entry, Reader, Start},
    observe::health::Beat,
    wake,
};

/// Records read before what has landed is looked at again.
const BATCH: usize = 64;
/// Pauses after the first failure in a row and after many.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let beat = Beat::start();
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

struct Worker {
    spool: Arc<Spool>,
    outlet: Outlet,
    reader: Reader,
    durable: watch::Receiver<u64>,
    /// Nothing more to read until more is durable.
    exhausted: bool,
    /// What the gate keeps, by sequence.
    messages: HashMap<u64, Message>,
    flying: JoinSet<bool>,
    flights: HashMap<Id, u64>,
    failures: u32,
    /// Nothing is published before then, and nothing read after an error.
    pause: Option<Instant>,
}

impl Worker {
    fn new(spool: Arc<Spool>, outlet: Outlet) -> Self {
        Worker {
            reader: spool.journal.reader(Start::Oldest),
            durable: spool.journal.durable(),
            exhausted: false,
            messages: HashMap::new(),
            flying: JoinSet::new(),
            flights: HashMap::new(),
            failures: 0,
            pause: None,
            spool,
            outlet,
        }
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let spool = Arc::clone(&self.spool);
        // What is not acknowledged at the end stays in the spool, so there is nothing to detach for.
        self.outlet.bus.attach().await;
        loop {
            if self.pause.is_some_and(|until| until <= Instant::now()) {
                self.pause = None;
            }
            let more = self.pause.is_none() && self.read().await;
            if self.pause.is_none() {
                self.publish();
            }
            let pause = self.pause;
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                Some(landed) = self.flying.join_next_with_id() => self.landed(landed),
                () = spool.moved.notified() => self.forget(),
                // An error is a journal that has gone: there is nothing more to read, ever.
                Ok(()) = self.durable.changed() => self.exhausted = false,
                () = sleep_until(pause.unwrap_or_else(Instant::now)), if pause.is_some() => {}
                () = tokio::task::yield_now(), if more => {}
            }
        }
        self.land_all().await;
    }

    /// Reads while the gate has room. Gives whether there may be more at once.
    async fn read(&mut self) -> bool {
        for _ in 0..BATCH {
            if self.exhausted || !self.spool.gate().has_room() {
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
                    self.rest();
                }
            }
            if self.pause.is_some() {
                return false;
            }
        }
        true
    }

    async fn take(&mut self, entry: Entry) {
        let Entry { sequence, head, body, .. } = entry;
        match bus::message(head.clone(), body.clone()) {
            Some(message) => {
                if self.spool.read(sequence, &message) {
                    self.messages.insert(sequence, message);
                }
            }
            // Only another version could have written it. If the dead letters do not take it, the next start finds it.
            None => {
                if self.spool.dead_letters.bury_unreadable(head, body).await.is_ok() {
                    self.spool.journal.acknowledge(sequence);
                }
            }
        }
    }

    /// Hands over what may fly.
    fn publish(&mut self) {
        loop {
            let next = self.spool.gate().next();
            let Some(sequence) = next else { return };
            let Some(message) = self.messages.get(&sequence).cloned() else {
                self.spool.done(sequence);
                continue;
            };
            let (spool, outlet) = (Arc::clone(&self.spool), self.outlet.clone());
            // Handed over inside the task: those that fly have no order among them, and a panic ends that task only.
            let flight = self.flying.spawn(async move {
                match outlet.publish(message.clone()).await {
                    Ok(_) => true,
                    Err(error) => match Reason::of(error) {
                        Some(reason) => spool.dead_letters.bury(message, reason).await.is_ok(),
                        None => false,
                    },
                }
            });
            self.flights.insert(flight.id(), sequence);
        }
    }

    fn landed(&mut self, landed: Result<(Id, bool), JoinError>) {
        let (id, done) = match landed {
            Ok((id, done)) => (id, done),
            // It panicked: not known to be on the bus.
            Err(error) => (error.id(), false),
        };
        let Some(sequence) = self.flights.remove(&id) else { return };
        if done {
            self.messages.remove(&sequence);
            self.spool.done(sequence);
            self.failures = 0;
        } else {
            self.spool.gate().published(sequence, false);
            self.rest();
        }
    }

    /// Forgets what a late acknowledgement has retired.
    fn forget(&mut self) {
        let gate = self.spool.gate();
        if self.messages.len() > gate.held() {
            self.messages.retain(|sequence, _| gate.holds(*sequence));
        }
    }

    /// A pause before the next try, the longer the more failed in a row; many that fail together count as one.
    fn rest(&mut self) {
        if self.pause.is_some() {
            return;
        }
        let longest = PAUSE.0.saturating_mul(1 << self.failures.min(16)).min(PAUSE.1);
        self.failures = self.failures.saturating_add(1);
        self.pause = Some(Instant::now() + longest.mul_f64(0.5 + fastrand::f64() / 2.0));
    }

    async fn land_all(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(Some(landed)) =
            timeout(deadline.saturating_duration_since(Instant::now()), self.flying.join_next_with_id()).await
        {
            self.landed(landed);
        }
    }
}
