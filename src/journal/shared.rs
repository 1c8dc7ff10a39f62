//! What the handles, the readers and the committer of one journal share.
//!
//! In: records from handles, facts from the committer. Out: the same, to the other side. No lock here is held while a
//! disk works.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};

use super::{
    AppendError, Keep, Observer, Options, Record,
    format::frame_length,
    ledger::Ledger,
    pending::Pending,
    segment::{Directory, Id},
};

/// The answer to one append.
pub(super) type Answer = Result<u64, AppendError>;

/// A record on its way to the committer.
#[derive(Debug)]
pub(super) struct Waiting {
    /// What is to be written.
    pub(super) record: Record,
    /// Who wants to know.
    pub(super) answer: oneshot::Sender<Answer>,
}

/// Whether appends are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// Yes.
    Up,
    /// No: there is no room.
    Full,
    /// No: the disk refuses.
    Failed,
}

impl Health {
    /// What an append answers meanwhile.
    pub(super) fn refusal(self) -> Option<AppendError> {
        match self {
            Health::Up => None,
            Health::Full => Some(AppendError::Full),
            Health::Failed => Some(AppendError::Failed),
        }
    }
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Waiting>,
    health: Health,
    closed: bool,
    finished: bool,
}

/// Numbers that the committer keeps for [`super::Stats`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Gauges {
    /// Bytes of all segments on the disk.
    pub(super) bytes: u64,
    /// Bytes that the file system still has.
    pub(super) free_bytes: u64,
    /// When the committer last went round.
    pub(super) beat: Instant,
}

/// The shared state of one open journal.
#[derive(Debug)]
pub(super) struct Shared {
    /// Where the segments lie.
    pub(super) directory: PathBuf,
    /// When records go.
    pub(super) keep: Keep,
    /// Sequences from here on were written by this run.
    pub(super) session: u64,
    /// The directory does not outlive a restart of the machine.
    pub(super) in_memory: bool,
    /// Who counts.
    pub(super) observer: Arc<dyn Observer>,
    /// The highest sequence that is durable.
    pub(super) durable: watch::Sender<u64>,
    /// The disk call that the committer is in.
    pub(super) pending: Arc<Pending>,
    ledger: Mutex<Ledger>,
    segments: Mutex<Vec<Id>>,
    gauges: Mutex<Gauges>,
    queue: Mutex<Queue>,
    changed: Condvar,
    depth: usize,
    largest: u64,
    damage: AtomicU64,
    appends: AtomicU64,
    refused: AtomicU64,
}

impl Shared {
    /// The state of a journal that is about to start.
    pub(super) fn new(
        options: &Options,
        observer: Arc<dyn Observer>,
        ledger: Ledger,
        session: u64,
        directory: &Directory,
    ) -> Shared {
        Shared {
            directory: directory.path.clone(),
            keep: options.keep,
            session,
            in_memory: directory.in_memory(),
            observer,
            pending: Arc::clone(&directory.pending),
            durable: watch::Sender::new(ledger.highest()),
            ledger: Mutex::new(ledger),
            segments: Mutex::default(),
            gauges: Mutex::new(Gauges { bytes: 0, free_bytes: 0, beat: Instant::now() }),
            queue: Mutex::new(Queue { waiting: VecDeque::new(), health: Health::Up, closed: false, finished: false }),
            changed: Condvar::new(),
            depth: options.queue.max(1),
            largest: options.max_size.min(super::MAX_RECORD_BYTES),
            damage: AtomicU64::new(0),
            appends: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Puts a record into the queue, if there is any hope for it.
    pub(super) fn enqueue(&self, record: Record) -> Result<oneshot::Receiver<Answer>, AppendError> {
        if frame_length(&record) + super::format::HEADER as u64 > self.largest {
            return Err(AppendError::TooLarge);
        }
        self.pending.notice();
        let (answer, receiver) = oneshot::channel();
        let mut queue = held(&self.queue);
        if queue.closed {
            return Err(AppendError::Closed);
        }
        if let Some(refusal) = queue.health.refusal() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(refusal);
        }
        if queue.waiting.len() >= self.depth {
            return Err(AppendError::Busy);
        }
        queue.waiting.push_back(Waiting { record, answer });
        // The committer sleeps only over an empty queue.
        if queue.waiting.len() == 1 {
            self.changed.notify_all();
        }
        Ok(receiver)
    }

    /// Sleeps until a record waits, the journal closes, or `until`. Gives the frame length of the first record, and
    /// whether the journal is closed.
    pub(super) fn wait(&self, until: Instant) -> (Option<u64>, bool) {
        let mut queue = held(&self.queue);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if !queue.waiting.is_empty() || queue.closed || left.is_zero() {
                return (queue.waiting.front().map(|first| frame_length(&first.record)), queue.closed);
            }
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes records from the front while their frames fit into `room` bytes.
    pub(super) fn take(&self, room: u64, records: &mut Vec<Record>, answers: &mut Vec<oneshot::Sender<Answer>>) {
        let mut queue = held(&self.queue);
        let mut left = room;
        while let Some(first) = queue.waiting.front()
            && let Some(rest) = left.checked_sub(frame_length(&first.record))
            && let Some(Waiting { record, answer }) = queue.waiting.pop_front()
        {
            left = rest;
            records.push(record);
            answers.push(answer);
        }
    }

    /// Says whether appends are taken; if not, answers all that wait.
    pub(super) fn set_health(&self, health: Health) {
        let mut queue = held(&self.queue);
        queue.health = health;
        if let Some(refusal) = health.refusal() {
            for Waiting { answer, .. } in queue.waiting.drain(..) {
                self.refused.fetch_add(1, Ordering::Relaxed);
                answer.send(Err(refusal)).ok();
            }
        }
    }

    /// Whether appends are taken, and whether the journal is still open.
    pub(super) fn health(&self) -> (Health, bool) {
        let queue = held(&self.queue);
        (queue.health, !queue.closed)
    }

    /// No more appends; the committer writes what waits, and ends.
    pub(super) fn close(&self) {
        held(&self.queue).closed = true;
        self.changed.notify_all();
    }

    /// The committer has ended: nobody will answer any more.
    pub(super) fn finish(&self) {
        self.close();
        self.set_health(Health::Failed);
        held(&self.queue).finished = true;
        self.changed.notify_all();
    }

    /// Waits for the committer's end, at most as long as `patience`.
    pub(super) fn wait_finished(&self, patience: Duration) -> bool {
        let queue = held(&self.queue);
        let waited = self.changed.wait_timeout_while(queue, patience, |queue| !queue.finished);
        waited.unwrap_or_else(PoisonError::into_inner).0.finished
    }

    /// The records that are held. The guard must not outlive a short computation.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        held(&self.ledger)
    }

    /// The segments, oldest first.
    pub(super) fn segments(&self) -> Vec<Id> {
        held(&self.segments).clone()
    }

    /// The segments are these, and they take so many bytes.
    pub(super) fn set_segments(&self, segments: Vec<Id>, bytes: u64) {
        *held(&self.segments) = segments;
        held(&self.gauges).bytes = bytes;
    }

    /// The committer lives.
    pub(super) fn beat(&self) {
        held(&self.gauges).beat = Instant::now();
    }

    /// The file system has so many bytes left.
    pub(super) fn set_free_bytes(&self, free_bytes: u64) {
        held(&self.gauges).free_bytes = free_bytes;
    }

    /// The committer's numbers.
    pub(super) fn gauges(&self) -> Gauges {
        *held(&self.gauges)
    }

    /// Records became durable.
    pub(super) fn appended(&self, records: u64) {
        self.appends.fetch_add(records, Ordering::Relaxed);
        self.observer.appended(records);
    }

    /// Records that became durable since the start.
    pub(super) fn appends(&self) -> u64 {
        self.appends.load(Ordering::Relaxed)
    }

    /// Appends refused since the start because the journal was full or failed.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Bytes were found that are no record any more.
    pub(super) fn damaged(&self, bytes: u64) {
        if bytes > 0 {
            self.damage.fetch_add(bytes, Ordering::Relaxed);
            self.observer.damage(bytes);
        }
    }

    /// Damaged bytes found since the start.
    pub(super) fn damage(&self) -> u64 {
        self.damage.load(Ordering::Relaxed)
    }
}

/// A panic elsewhere leaves these plain values usable, so a poisoned lock is taken all the same.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
