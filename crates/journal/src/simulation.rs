//! A simulated machine, for tests of what is built on a journal: a disk that keeps over a power cut only what was synced,
//! its faults, and a wall clock that jumps. All of it follows from one seed.
//!
//! A journal that is opened on a thread with a machine ([`Machine::enter`]) works on its disk, as a task of the event loop
//! that it is opened in. That loop is to have a single thread and a paused clock.

use std::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

mod counts;
mod disk;
mod file;
pub mod system;

pub use counts::Counts;
use disk::Disk;

thread_local! {
    static HERE: RefCell<Option<Machine>> = const { RefCell::new(None) };
}

/// How the machine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// What was not synced is there, is not there, or is torn.
    PowerCut,
    /// The process ends: everything that was written is there.
    Kill,
}

/// What the disk does wrong: probabilities from 0 to 1 of each call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// A write fails, and leaves a part of itself.
    pub write: f64,
    /// A sync fails, and what it was to make durable is forgotten: the next sync proves nothing.
    pub sync: f64,
    /// A file cannot be made, renamed or removed, or its directory not be synced.
    pub names: f64,
    /// The rest of the disk belongs to others.
    pub full: bool,
    /// Most time that a round of the committer takes.
    pub latency: Duration,
}

/// The machine. It outlives what runs on it; clones are the same one.
#[derive(Clone)]
pub struct Machine(Arc<Mutex<State>>);

struct State {
    rng: fastrand::Rng,
    disk: Disk,
    faults: Faults,
    counts: Counts,
    /// Counts the starts: what was opened before this one is of no use.
    boot: u64,
    /// Nothing that is called has an effect, until the next start.
    stopped: bool,
    /// Syncs do nothing.
    lies: bool,
    /// Calls left until it stops in the middle of one.
    fuse: Option<u32>,
    /// The wall clock at some moment of the monotonic one.
    wall: u64,
    since: Option<Instant>,
}

/// The machine is this thread's until this is dropped.
#[derive(Debug)]
pub struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        HERE.set(None);
    }
}

impl Machine {
    /// One that is new, and running.
    pub fn new(seed: u64) -> Machine {
        Machine(Arc::new(Mutex::new(State {
            rng: fastrand::Rng::with_seed(seed),
            disk: Disk::default(),
            faults: Faults::default(),
            counts: Counts::default(),
            boot: 0,
            stopped: false,
            lies: false,
            fuse: None,
            wall: 1_700_000_000_000_000,
            since: None,
        })))
    }

    /// Makes it this thread's.
    pub fn enter(&self) -> Entered {
        HERE.set(Some(self.clone()));
        Entered(())
    }

    /// This thread's.
    pub fn here() -> Option<Machine> {
        HERE.with_borrow(Clone::clone)
    }

    /// What its disk does wrong from now on.
    pub fn set(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// From now on, syncs say that they have worked, and have not. No journal is safe on such a disk: a test must notice.
    pub fn lie(&self) {
        self.state().lies = true;
    }

    /// Stops it now.
    pub fn stop(&self) {
        self.state().stopped = true;
    }

    /// Stops it in the middle of the disk call that comes after so many others.
    pub fn stop_after(&self, calls: u32) {
        self.state().fuse = Some(calls);
    }

    /// Whether it has stopped: what runs on it does so without effect, and is to be dropped.
    pub fn has_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Starts it again, with what the stop has left on the disk.
    pub fn restart(&self, stop: Stop) {
        let mut state = self.state();
        let State { rng, disk, counts, .. } = &mut *state;
        if stop == Stop::PowerCut {
            disk.lose_power(rng, counts);
        }
        disk.unlock();
        (state.boot, state.stopped, state.fuse) = (state.boot + 1, false, None);
        state.since = None;
    }

    /// Sets the wall clock forwards or back.
    pub fn jump(&self, micros: i64) {
        let mut state = self.state();
        state.counts.jumps += 1;
        state.wall = state.wall.saturating_add_signed(micros);
    }

    /// Whether a file has these bytes, and would have them after a power cut.
    pub fn keeps(&self, bytes: &[u8]) -> bool {
        self.state().disk.keeps(bytes)
    }

    /// What has happened.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Its wall clock.
    pub fn wall_clock(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.wall(tokio::time::Instant::now().into_std()))
    }

    /// The same in Unix microseconds.
    pub(super) fn wall(&self, now: Instant) -> u64 {
        let mut state = self.state();
        let since = *state.since.get_or_insert(now);
        state.wall += now.saturating_duration_since(since).as_micros() as u64;
        state.since = Some(now);
        state.wall
    }

    /// What a round of the committer takes.
    pub(super) fn latency(&self) -> Duration {
        let mut state = self.state();
        let most = state.faults.latency;
        most.mul_f64(state.rng.f64())
    }

    /// The same future, whose task comes late now and then: so that any order of tasks is tried.
    pub fn stumble<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let machine = self.clone();
        let mut future = Box::pin(future);
        poll_fn(move |context| {
            if machine.random().is_multiple_of(4) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            future.as_mut().poll(context)
        })
    }

    pub(super) fn random(&self) -> u64 {
        self.state().rng.u64(..)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a call that changes the disk may do.
enum Leave {
    /// All of it.
    Whole,
    /// A part, and then fail.
    Part,
}

impl State {
    /// Whether a file that was opened in this boot may do anything.
    fn alive(&self, boot: u64) -> io::Result<()> {
        if self.stopped || boot != self.boot { Err(failed()) } else { Ok(()) }
    }

    /// A call that changes something begins. It is failed by `faults`, or the machine stops in it.
    fn begin(&mut self, boot: u64, fault: f64, stopped_in: fn(&mut Counts) -> &mut u64) -> io::Result<Leave> {
        self.alive(boot)?;
        if let Some(left) = &mut self.fuse {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => {
                    self.stopped = true;
                    *stopped_in(&mut self.counts) += 1;
                    return Ok(Leave::Part);
                }
            }
        }
        Ok(if fault > 0.0 && self.rng.f64() < fault { Leave::Part } else { Leave::Whole })
    }
}

fn failed() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}
