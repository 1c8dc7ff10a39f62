//! Wakes the thread that sleeps over a queue. With the feature `simulation`, on a simulated machine, which has no threads:
//! a task.

use std::{
    sync::{Condvar, MutexGuard, PoisonError},
    time::Duration,
};

/// What a thread sleeps over.
#[derive(Debug)]
pub(super) struct Bell {
    changed: Condvar,
    #[cfg(feature = "simulation")]
    simulated: Option<tokio::sync::Notify>,
}

impl Bell {
    /// A silent one.
    pub(super) fn new() -> Bell {
        Bell {
            changed: Condvar::new(),
            #[cfg(feature = "simulation")]
            simulated: crate::simulation::Machine::here().map(|_| tokio::sync::Notify::new()),
        }
    }

    /// Wakes all that sleep.
    pub(super) fn ring(&self) {
        self.changed.notify_all();
        #[cfg(feature = "simulation")]
        self.simulated.iter().for_each(tokio::sync::Notify::notify_one);
    }

    /// Sleeps while this holds, at most as long as `patience`.
    pub(super) fn sleep<'a, T>(
        &self,
        state: MutexGuard<'a, T>,
        patience: Duration,
        holds: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        // The task has slept already, and a wait for it would never end.
        #[cfg(feature = "simulation")]
        let patience = if self.simulated.is_some() { Duration::ZERO } else { patience };
        let waited = self.changed.wait_timeout_while(state, patience, holds);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Sleeps as a task until the next ring.
    #[cfg(feature = "simulation")]
    pub(super) async fn rung(&self) {
        match &self.simulated {
            Some(simulated) => simulated.notified().await,
            None => std::future::pending().await,
        }
    }
}
