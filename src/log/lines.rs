//! The bounded buffer of lines, and the thread that writes it to standard error.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use super::request::RequestLine;
use crate::config::LogLevel;

/// Bytes of lines that wait for standard error; more are dropped.
pub(super) const MAX_WAITING_BYTES: usize = 1024 * 1024;
/// After a write, lines gather for this long: under load that is one system call for hundreds of lines.
const GATHER: Duration = Duration::from_millis(2);
/// How often it is said how many lines were left out.
const SECOND: Duration = Duration::from_secs(1);
/// In each second so many lines about requests that brought no durable event are all written: refused, failed, unknown path,
/// ping. Of more only a sample is.
const ALL_LINES_WITHOUT_EVENT: u32 = 100;

/// The bounded buffer and its writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lines {
    pub(super) shared: Arc<Shared>,
    pub(super) level: Level,
}

#[derive(Debug)]
pub(super) struct Shared {
    start: Instant,
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) bytes: Vec<u8>,
    dropped: u64,
    writing: bool,
    /// The current second since the start, and the requests without an event in it.
    second: u64,
    without_event: u32,
    pub(super) left_out: Option<LeftOut>,
}

/// Lines that are in no log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// In which second since the start the first was.
    second: u64,
    /// Of requests without an event, beside the sample.
    pub(super) unsampled: u64,
    /// Of all kinds: standard error was blocked, and the buffer full.
    pub(super) blocked: u64,
    /// That of the gravest.
    pub(super) level: Level,
}

impl LeftOut {
    /// Says how many.
    fn say(self) {
        let LeftOut { unsampled, blocked, level, .. } = self;
        // `log.level` may leave out warnings; lines of which none would have been written are not counted here.
        match level {
            Level::ERROR => tracing::error!(unsampled, blocked, "log lines left out"),
            _ => tracing::warn!(unsampled, blocked, "log lines left out"),
        }
    }
}

impl Waiting {
    fn leave_out(&mut self, second: u64, level: Level) -> &mut LeftOut {
        self.dropped += 1;
        let left_out = self.left_out.get_or_insert(LeftOut { second, unsampled: 0, blocked: 0, level });
        left_out.level = left_out.level.min(level);
        left_out
    }
}

/// Whether the `number`-th line of a second is written: each of the first hundred, every tenth of the first thousand, every
/// hundredth of the first ten thousand, and so on. What is rare in a flood has its share, and ten times the flood is 90 lines
/// more.
pub(super) fn is_in_sample(number: u32) -> bool {
    number <= ALL_LINES_WITHOUT_EVENT || number.is_multiple_of(10_u32.pow(number.ilog10() - 1))
}

/// Writes lines as they come, on a thread of its own.
pub(super) fn write_out(shared: &Shared) {
    let mut batch = Vec::new();
    loop {
        let mut waiting = shared.lock();
        waiting.writing = false;
        while waiting.bytes.is_empty() && !shared.is_due(&waiting) {
            waiting = match waiting.left_out {
                None => shared.more.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(_) => shared.more.wait_timeout(waiting, SECOND).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        if shared.is_due(&waiting) {
            let left_out = waiting.left_out.take();
            drop(waiting);
            left_out.inspect(|left_out| left_out.say());
            continue;
        }
        waiting.writing = true;
        std::mem::swap(&mut waiting.bytes, &mut batch);
        drop(waiting);
        // That standard error is gone can be written nowhere.
        let _gone = io::stderr().write_all(&batch);
        batch.clear();
        thread::sleep(GATHER);
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current second since the start.
    fn second(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    /// Whether lines were left out in a second that is over.
    fn is_due(&self, waiting: &Waiting) -> bool {
        waiting.left_out.is_some_and(|left_out| left_out.second < self.second())
    }

    /// Whether the line of another request without an event is written; leaves it out if not.
    fn samples(&self, level: Level) -> bool {
        let now = self.second();
        let mut waiting = self.lock();
        if waiting.second != now {
            waiting.second = now;
            waiting.without_event = 0;
        }
        waiting.without_event = waiting.without_event.saturating_add(1);
        let is_written = is_in_sample(waiting.without_event);
        if !is_written {
            if waiting.left_out.is_none() {
                // The writer may wait without an end, and has to say it.
                self.more.notify_one();
            }
            waiting.leave_out(now, level).unsampled += 1;
        }
        is_written
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.len() + line.len() > MAX_WAITING_BYTES {
            waiting.leave_out(self.second(), Level::WARN).blocked += 1;
            return;
        }
        waiting.bytes.extend_from_slice(line);
        if !waiting.writing {
            self.more.notify_one();
        }
    }
}

impl Lines {
    /// A buffer that nothing writes out yet. `level`: the least severe that is written.
    pub fn new(level: LogLevel) -> Self {
        let level = match level {
            LogLevel::Error => Level::ERROR,
            LogLevel::Warn => Level::WARN,
            LogLevel::Info => Level::INFO,
            LogLevel::Debug => Level::DEBUG,
        };
        let shared = Shared { start: Instant::now(), waiting: Mutex::default(), more: Condvar::new() };
        Lines { shared: Arc::new(shared), level }
    }

    /// Lines dropped so far.
    pub fn dropped(&self) -> u64 {
        self.shared.lock().dropped
    }

    /// Waits until everything is written, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let rounds = limit.as_millis() / 2;
        for _ in 0..rounds {
            let mut waiting = self.shared.lock();
            let left_out = waiting.left_out.take();
            if left_out.is_none() && waiting.bytes.is_empty() && !waiting.writing {
                return;
            }
            drop(waiting);
            left_out.inspect(|left_out| left_out.say());
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(super) fn push(&self, line: &[u8]) {
        self.shared.push(line);
    }

    /// Emits the event of a finished request. Of those of requests that brought no durable event a second has a sample: every
    /// stranger can send those, and neither a flood nor an outage may fill the disk or the buffer.
    pub fn request(&self, line: &RequestLine<'_>) {
        if line.level() <= self.level && (line.has_event() || self.shared.samples(line.level())) {
            line.emit();
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { shared: &self.shared }
    }
}

/// One line on its way into the buffer; `tracing` writes each in one piece.
#[derive(Debug)]
pub struct Line<'a> {
    shared: &'a Shared,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
