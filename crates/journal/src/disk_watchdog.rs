//! The disk call that the committer is in, and a warning when it takes too long.
//!
//! The committer cannot report that its disk hangs, because it hangs with it: callers look here instead.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use log_once::LogOnce;

use super::format::Id;

/// A disk call that takes longer than this makes the journal count as down.
pub(super) const DISK_PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 2000 });
/// Between two warnings.
const QUIET: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Call {
    since: Instant,
    kind: &'static str,
    segment: Option<Id>,
}

#[derive(Debug)]
struct State {
    call: Option<Call>,
    warned: LogOnce<()>,
}

/// The call, if there is one.
#[derive(Debug)]
pub(super) struct DiskWatchdog {
    directory: PathBuf,
    state: Mutex<State>,
    #[cfg(test)]
    pub(super) faults: Faults,
}

/// What tests do to a journal's disk and clock.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// How many of the next data syncs fail.
    pub(super) syncs: std::sync::atomic::AtomicU32,
    /// How long each data sync takes at least, in milliseconds.
    pub(super) slow: std::sync::atomic::AtomicU64,
    /// The file system says that it has no blocks.
    pub(super) no_blocks: std::sync::atomic::AtomicBool,
    /// How far the wall clock is ahead, in microseconds.
    pub(super) ahead: std::sync::atomic::AtomicU64,
}

/// The call runs until this is dropped.
#[derive(Debug)]
pub(super) struct Entered<'a>(&'a DiskWatchdog);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.state().call = None;
    }
}

impl DiskWatchdog {
    /// No call runs.
    pub(super) fn new(directory: PathBuf) -> DiskWatchdog {
        DiskWatchdog {
            directory,
            state: Mutex::new(State { call: None, warned: LogOnce::repeated(QUIET) }),
            #[cfg(test)]
            faults: Faults::default(),
        }
    }

    /// A call begins.
    pub(super) fn enter(&self, kind: &'static str, segment: Option<Id>) -> Entered<'_> {
        self.state().call = Some(Call { since: Instant::now(), kind, segment });
        Entered(self)
    }

    /// How long the call has been running.
    pub(super) fn age(&self) -> Option<Duration> {
        self.state().call.map(|call| call.since.elapsed())
    }

    /// Warns about a call that takes too long, once a minute. Whether it did.
    pub(super) fn warn(&self) -> bool {
        let mut state = self.state();
        let Some(call) = state.call.filter(|call| call.since.elapsed() > DISK_PATIENCE) else { return false };
        if !state.warned.is_new(()) {
            return false;
        }
        drop(state);
        let path = call.segment.map_or_else(|| self.directory.clone(), |id| id.path(&self.directory));
        let (kind, path, seconds) = (call.kind, path.display(), call.since.elapsed().as_secs_f32());
        tracing::warn!("journal: {kind} of {path} pending for {seconds:.1} s: the disk is slow or hung");
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;
    use crate::tests::logged;

    #[test]
    fn a_long_call_is_warned_about_once_and_a_short_one_not() {
        let watchdog = DiskWatchdog::new("/j".into());
        assert!(watchdog.age().is_none() && !watchdog.warn());
        let call = watchdog.enter("fdatasync", None);
        assert!(!watchdog.warn());
        sleep(DISK_PATIENCE + Duration::from_millis(1));
        let log = logged(|| assert!(watchdog.warn()));
        assert!(log.contains("fdatasync of /j pending for 0.2 s"), "{log}");
        assert!(watchdog.age() > Some(DISK_PATIENCE) && !watchdog.warn(), "once a minute");
        drop(call);
        assert!(watchdog.age().is_none());
    }
}
