//! The queue between the callers that append and the thread that writes, and whether appends are taken.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    bell::Bell,
    clock,
    format::{HEADER, frame_length},
    options::Options,
    record::{AppendError, MAX_RECORD_BYTES, Record},
};

/// The answer to one append: the record's sequence.
pub(super) type Answer = Result<u64, AppendError>;

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
    fn refusal(self) -> Option<AppendError> {
        match self {
            Health::Up => None,
            Health::Full => Some(AppendError::Full),
            Health::Failed => Some(AppendError::Failed),
        }
    }
}

/// A record on its way to the committer.
#[derive(Debug)]
struct Waiting {
    record: Record,
    answer: oneshot::Sender<Answer>,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Waiting>,
    health: Health,
    closed: bool,
    finished: bool,
}

/// Records that wait for the committer, in the order of the calls.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Bell,
    depth: usize,
    largest: u64,
    refused: AtomicU64,
}

impl Queue {
    /// An empty queue that takes appends.
    pub(super) fn new(options: &Options) -> Queue {
        Queue {
            state: Mutex::new(State { waiting: VecDeque::new(), health: Health::Up, closed: false, finished: false }),
            changed: Bell::new(),
            depth: options.queue.max(1),
            largest: options.max_size.min(MAX_RECORD_BYTES),
            refused: AtomicU64::new(0),
        }
    }

    /// Puts a record into the queue, unless its append must fail.
    pub(super) fn push(&self, record: Record) -> Result<oneshot::Receiver<Answer>, AppendError> {
        if frame_length(&record) + HEADER as u64 > self.largest {
            return Err(AppendError::TooLarge);
        }
        let (answer, receiver) = oneshot::channel();
        let mut state = self.state();
        if state.closed {
            return Err(AppendError::Closed);
        }
        if let Some(refusal) = state.health.refusal() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(refusal);
        }
        if state.waiting.len() >= self.depth {
            return Err(AppendError::Busy);
        }
        state.waiting.push_back(Waiting { record, answer });
        // The committer sleeps only over an empty queue.
        if state.waiting.len() == 1 {
            self.changed.ring();
        }
        Ok(receiver)
    }

    /// Sleeps until a record waits, the journal closes, or `until`. Gives the frame length of the first record, and
    /// whether the journal is closed.
    pub(super) fn wait(&self, until: Instant) -> (Option<u64>, bool) {
        let left = until.saturating_duration_since(clock::now());
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let state = self.changed.sleep(self.state(), left, idle);
        (state.waiting.front().map(|first| frame_length(&first.record)), state.closed)
    }

    /// As [`Queue::wait`], for a task: it sleeps, and looks at nothing.
    #[cfg(feature = "simulation")]
    pub(super) async fn news(&self, until: Instant) {
        tokio::select! {
            biased;
            () = self.changed.rung() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    /// Takes records from the front while their frames fit into `room` bytes.
    pub(super) fn take(&self, room: u64, records: &mut Vec<Record>, answers: &mut Vec<oneshot::Sender<Answer>>) {
        let mut state = self.state();
        let mut left = room;
        while let Some(first) = state.waiting.front()
            && let Some(rest) = left.checked_sub(frame_length(&first.record))
            && let Some(Waiting { record, answer }) = state.waiting.pop_front()
        {
            left = rest;
            records.push(record);
            answers.push(answer);
        }
    }

    /// Sets whether appends are taken; if not, answers all that wait.
    pub(super) fn set_health(&self, health: Health) {
        let mut state = self.state();
        state.health = health;
        if let Some(refusal) = health.refusal() {
            for Waiting { answer, .. } in state.waiting.drain(..) {
                self.refused.fetch_add(1, Ordering::Relaxed);
                answer.send(Err(refusal)).ok();
            }
        }
    }

    /// Whether appends are taken, and whether the journal is still open.
    pub(super) fn health(&self) -> (Health, bool) {
        let state = self.state();
        (state.health, !state.closed)
    }

    /// Appends refused since the start because the journal was full or failed.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// No more appends; the committer writes what waits, and ends.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.ring();
    }

    /// The committer has ended, and answers no append any more.
    pub(super) fn finish(&self) {
        self.close();
        self.set_health(Health::Failed);
        self.state().finished = true;
        self.changed.ring();
    }

    /// Waits for the committer's end, at most as long as `patience`.
    pub(super) fn wait_finished(&self, patience: Duration) -> bool {
        self.changed.sleep(self.state(), patience, |state| !state.finished).finished
    }

    /// A panic elsewhere leaves these plain values usable, so a poisoned lock is taken all the same.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{options, record};

    #[test]
    fn the_committer_sleeps_until_a_record_comes() {
        let queue = Queue::new(&options("/j".as_ref()));
        let (start, while_idle) = (Instant::now(), Duration::from_millis(50));
        assert_eq!(queue.wait(start + while_idle), (None, false));
        assert!(start.elapsed() >= while_idle);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.wait(start + Duration::from_secs(60)));
            std::thread::sleep(while_idle);
            let _answer = queue.push(record("x")).unwrap();
            assert_eq!(waiting.join().unwrap(), (Some(frame_length(&record("x"))), false));
        });
        assert!(start.elapsed() < Duration::from_secs(30), "woken at once");
    }
}
