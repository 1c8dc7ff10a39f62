//! The disk call that the committer is in.
//!
//! In: its begin and its end. Out: its age, for those who wait, and one line a minute when it is long. The committer
//! cannot say that its disk hangs, because it hangs with it: callers notice.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{DISK_PATIENCE, segment::Id};

/// Between two lines about the same trouble.
const QUIET: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Call {
    since: Instant,
    kind: &'static str,
    segment: Option<Id>,
}

#[derive(Debug, Default)]
struct State {
    call: Option<Call>,
    said: Option<Instant>,
}

/// The call, if there is one.
#[derive(Debug)]
pub(super) struct Pending {
    directory: PathBuf,
    state: Mutex<State>,
}

/// The call runs until this is dropped.
#[derive(Debug)]
pub(super) struct Entered<'a>(&'a Pending);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.state().call = None;
    }
}

impl Pending {
    /// No call runs.
    pub(super) fn new(directory: PathBuf) -> Pending {
        Pending { directory, state: Mutex::default() }
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

    /// Warns about a call that is too long; tells whether it did.
    pub(super) fn notice(&self) -> bool {
        let mut state = self.state();
        let Some(call) = state.call.filter(|call| call.since.elapsed() > DISK_PATIENCE) else { return false };
        if state.said.is_some_and(|said| said.elapsed() < QUIET) {
            return false;
        }
        state.said = Some(Instant::now());
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
