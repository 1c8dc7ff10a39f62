//! The one thread that writes: group commit.
//!
//! In: the queue. Out: answers, each after the sync that covers its record. It waits for nothing but records and the
//! disk: what arrives during one sync is the next batch, so batches grow with the load and a lone record pays one sync.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    clock,
    outage::Outage,
    queue::{Answer, Health},
    record::{AppendError, Record},
    shared::Shared,
    store::Store,
};

/// Bytes of one batch; a larger record is a batch of its own.
const BATCH_BYTES: u64 = 4 * 1024 * 1024;
/// Between two beats; a disk that failed is tried again after 1 to 30 of them.
const BEAT: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1000 });
/// Between two looks for room: they are cheap, and acknowledgements make room at any time.
const BEAT_WHEN_FULL: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 100 });

/// Runs until the journal is closed and the queue is empty.
pub(super) fn run(store: Store) {
    // Dropped last, so that the lock is free when the journal counts as closed; also after a panic.
    let _end = End(Arc::clone(&store.shared));
    let mut committer = Committer::new(store);
    while committer.round() {}
    committer.store.finish();
}

/// The same as a task, whose disk takes the time that its machine says.
#[cfg(feature = "simulation")]
pub(super) async fn simulate(store: Store, machine: crate::simulation::Machine) {
    let _end = End(Arc::clone(&store.shared));
    let mut committer = Committer::new(store);
    loop {
        committer.shared.queue.news(committer.due).await;
        tokio::time::sleep(machine.latency()).await;
        if !committer.round() {
            break;
        }
    }
    committer.store.finish();
}

struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.queue.finish();
    }
}

struct Committer {
    shared: Arc<Shared>,
    store: Store,
    outage: Outage,
    records: Vec<Record>,
    answers: Vec<oneshot::Sender<Answer>>,
    /// When the next tick is.
    due: Instant,
}

impl Committer {
    fn new(store: Store) -> Committer {
        let mut committer = Committer {
            shared: Arc::clone(&store.shared),
            store,
            outage: Outage::new(BEAT),
            records: Vec::new(),
            answers: Vec::new(),
            due: clock::now(),
        };
        committer.log_outage();
        committer.due += committer.pause();
        committer
    }

    /// Sleeps until there is something to do, and does it. Whether there may be more.
    fn round(&mut self) -> bool {
        let (first, closed) = self.shared.queue.wait(self.due);
        self.shared.facts().beat = clock::now();
        match first {
            Some(length) => self.commit(length),
            None if closed => return false,
            None => {}
        }
        if clock::now() >= self.due {
            self.tick();
            self.due = clock::now() + self.pause();
        } else if self.health() != Health::Up {
            self.due = self.due.min(clock::now() + self.pause());
        }
        true
    }

    fn health(&self) -> Health {
        self.shared.queue.health().0
    }

    fn pause(&self) -> Duration {
        if self.health() == Health::Full { BEAT_WHEN_FULL } else { BEAT }
    }

    fn tick(&mut self) {
        let may_try = self.outage.may_try(clock::now());
        let health = self.store.tick(may_try);
        if health == Health::Failed && may_try {
            self.outage.disk_failed(clock::now());
        }
        self.shared.queue.set_health(health);
        self.log_outage();
    }

    fn log_outage(&mut self) {
        let (health, refused) = (self.health(), self.shared.queue.refused());
        self.outage.log(health, &self.shared.directory, self.store.trouble.as_ref(), refused, clock::now());
    }

    /// Writes one batch; its first frame has `length` bytes.
    fn commit(&mut self, length: u64) {
        if self.store.room() < length
            && let Err(error) = self.store.roll(length)
        {
            self.refuse(error);
            return;
        }
        let room = self.store.room().min(BATCH_BYTES.max(length));
        self.shared.queue.take(room, &mut self.records, &mut self.answers);
        let result = self.store.commit(&self.records);
        self.records.clear();
        if let Err(error) = result {
            // Before the answers: a caller whose append failed must find the journal refusing.
            self.refuse(error);
        }
        for (place, answer) in (0..).zip(self.answers.drain(..)) {
            // The record is written also when the caller has dropped its future.
            answer.send(result.map(|first| first + place)).ok();
        }
    }

    /// Appends fail at once from here on, until a tick can write again.
    fn refuse(&mut self, error: AppendError) {
        let health = if error == AppendError::Full { Health::Full } else { Health::Failed };
        if health == Health::Failed {
            self.outage.disk_failed(clock::now());
        }
        self.shared.queue.set_health(health);
        self.log_outage();
    }
}
