//! Keeps the memory of recent events over a restart, in front of a broker, on a thread beside the request path.
//!
//! In: events that the bus has acknowledged, over a bounded queue; one that does not fit is dropped, which costs a duplicate at
//! most. Out: their names in the [`MemoryFile`], and at the start its names in the memory, once the bus has said that it is the
//! incarnation that acknowledged them. An event of the spool comes here only when the bus has it: a spool that is lost
//! suppresses no retry.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{memory_file::MemoryFile, pending::Events, read_back::Names};
use crate::{
    bus::{Bus, Incarnation, tell_loss},
    envelope::{Attributes, Message},
    recent::Name,
};

/// Events that wait for the thread.
const QUEUE: usize = 8192;
/// Time between two writes: the thread is not woken for each event.
const PAUSE: Duration = Duration::from_millis(20);
/// Most events in the files, whatever the memory's own bound.
const MOST_EVENTS: usize = 200_000;

/// The thread's handle.
#[derive(Debug)]
pub(super) struct Keeper {
    queue: SyncSender<Kept>,
    stop: Arc<AtomicBool>,
    found_loss: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// An event to be kept, once the bus has it.
#[derive(Debug)]
pub(super) struct Kept {
    attributes: Attributes,
    /// Number of the bus's incarnation before the event was published.
    incarnation: u64,
}

impl Kept {
    pub(super) fn new(message: &Message, bus: &Bus) -> Self {
        Kept { attributes: message.attributes.clone(), incarnation: bus.incarnation_number() }
    }
}

impl Keeper {
    /// Reads the file in `directory` and starts the thread. `bound`: that of the memory.
    ///
    /// # Errors
    /// The disk, or the system gives no thread.
    pub(super) fn start(directory: &Path, bound: usize, bus: Bus, events: Arc<Events>) -> io::Result<Self> {
        let mut names = Vec::new();
        let (file, mark) = MemoryFile::open(directory, bound.min(MOST_EVENTS), |Names { source, id, fingerprint }| {
            names.push(events.recent.name(source, id, fingerprint, FIRST));
        })?;
        let (queue, kept) = sync_channel(QUEUE);
        let stop = Arc::<AtomicBool>::default();
        let found_loss = Arc::<AtomicBool>::default();
        let work = Work {
            file,
            kept,
            bus,
            events,
            incarnation: FIRST,
            saved: mark.map(|mark| (names, mark)),
            found_loss: Arc::clone(&found_loss),
        };
        let thread = {
            let stop = Arc::clone(&stop);
            thread::Builder::new().name("recent".into()).spawn(move || work.run(&stop))?
        };
        Ok(Keeper { queue, stop, found_loss, thread: Mutex::new(Some(thread)) })
    }

    /// The bus has acknowledged it.
    pub(super) fn stored(&self, kept: Kept) {
        self.queue.try_send(kept).ok();
    }

    /// Whether the bus had lost, before this process, what an earlier one knew it had.
    pub(super) fn found_loss(&self) -> bool {
        self.found_loss.load(Ordering::Acquire)
    }

    /// Writes what waits and ends the thread. Blocks for a write.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map(JoinHandle::join);
    }
}

/// The number of the incarnation that a process meets first.
const FIRST: u64 = 0;

struct Work {
    file: MemoryFile,
    kept: Receiver<Kept>,
    bus: Bus,
    events: Arc<Events>,
    /// The number of the incarnation whose events are in the file.
    incarnation: u64,
    /// What an earlier run has left, until the bus has said which incarnation it is.
    saved: Option<(Vec<Name>, Incarnation)>,
    found_loss: Arc<AtomicBool>,
}

impl Work {
    fn run(mut self, stop: &AtomicBool) {
        loop {
            let is_last = stop.load(Ordering::Acquire);
            if let Err(error) = self.round() {
                tracing::warn!(%error, "recent events are not kept for the next start: its retries may be published twice");
                return;
            }
            if is_last {
                return;
            }
            thread::sleep(PAUSE);
        }
    }

    fn round(&mut self) -> io::Result<()> {
        let number = self.bus.incarnation_number();
        if number != self.incarnation {
            (self.incarnation, self.saved) = (number, None);
            self.file.clear()?;
        }
        let Some(present) = self.bus.incarnation() else { return Ok(()) };
        if let Some((names, mark)) = self.saved.take() {
            if number == FIRST && present.continues(&mark) {
                tracing::info!(events = names.len(), "recent events read back");
                names.into_iter().for_each(|name| self.events.recent.remember(name));
            } else {
                if number == FIRST {
                    tell_loss();
                    self.found_loss.store(true, Ordering::Release);
                }
                self.file.clear()?;
            }
        }
        // The mark is taken after these were acknowledged. It must be of the same incarnation: one that begins in between
        // changes its mark first and its number last.
        let batch: Vec<Kept> = self.kept.try_iter().take(QUEUE).collect();
        let mark = self.bus.incarnation();
        let is_same = |mark: &Incarnation| mark.continues(&present) && self.bus.incarnation_number() == number;
        let (Some(mark), false) = (mark.filter(is_same), batch.is_empty()) else { return Ok(()) };
        for kept in batch.iter().filter(|kept| kept.incarnation == number) {
            if let Some(names) = Names::of(&kept.attributes) {
                self.file.add(&names);
            }
        }
        self.file.write(mark)
    }
}
