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
    AppendError, Record,
    alarm::Alarm,
    shared::{Answer, Health, Shared},
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
    // Dropped last, so that the lock is free when the end is told; also after a panic.
    let _end = End(Arc::clone(store.shared()));
    let mut committer = Committer {
        shared: Arc::clone(store.shared()),
        store,
        alarm: Alarm::new(BEAT),
        records: Vec::new(),
        answers: Vec::new(),
    };
    committer.work();
}

struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.finish();
    }
}

struct Committer {
    shared: Arc<Shared>,
    store: Store,
    alarm: Alarm,
    records: Vec<Record>,
    answers: Vec<oneshot::Sender<Answer>>,
}

impl Committer {
    fn work(&mut self) {
        self.tell();
        let mut due = Instant::now() + self.pause();
        loop {
            let (first, closed) = self.shared.wait(due);
            self.shared.beat();
            match first {
                Some(length) => self.commit(length),
                None if closed => break,
                None => {}
            }
            if Instant::now() >= due {
                self.tick();
                due = Instant::now() + self.pause();
            } else if self.shared.health().0 != Health::Up {
                due = due.min(Instant::now() + self.pause());
            }
        }
        self.store.finish();
    }

    fn pause(&self) -> Duration {
        if self.shared.health().0 == Health::Full { BEAT_WHEN_FULL } else { BEAT }
    }

    fn tick(&mut self) {
        let may_try = self.alarm.may_try(Instant::now());
        let health = self.store.tick(may_try);
        if health == Health::Failed && may_try {
            self.alarm.failed(Instant::now());
        }
        self.shared.set_health(health);
        self.tell();
    }

    fn tell(&mut self) {
        let (health, refused) = (self.shared.health().0, self.shared.refused());
        self.alarm.tell(health, &self.shared.directory, self.store.trouble(), refused, Instant::now());
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
        self.shared.take(room, &mut self.records, &mut self.answers);
        let result = self.store.commit(&self.records);
        self.records.clear();
        if let Err(error) = result {
            // Before the answers: who hears of a failure must find the journal refusing.
            self.refuse(error);
        }
        for (place, answer) in (0..).zip(self.answers.drain(..)) {
            // Whoever has gone away still has the record written.
            answer.send(result.map(|first| first + place)).ok();
        }
    }

    /// Appends fail at once from here on, until a beat finds the disk willing.
    fn refuse(&mut self, error: AppendError) {
        let health = if error == AppendError::Full { Health::Full } else { Health::Failed };
        if health == Health::Failed {
            self.alarm.failed(Instant::now());
        }
        self.shared.set_health(health);
        self.tell();
    }
}
