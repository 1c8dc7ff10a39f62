//! Events that wait for the records of their key to leave the spool.

use tokio::sync::Notify;

/// Keys share these: one that is woken for another key's sake waits on.
const PLACES: u64 = 64;

/// Where they wait.
#[derive(Debug)]
pub(super) struct Turns([Notify; PLACES as usize]);

impl Default for Turns {
    fn default() -> Self {
        Turns([const { Notify::const_new() }; PLACES as usize])
    }
}

impl Turns {
    /// Where those of a key wait.
    pub(super) fn of(&self, key: u64) -> &Notify {
        &self.0[(key % PLACES) as usize]
    }

    /// Wakes those of a key, if there is one.
    pub(super) fn comes(&self, key: Option<u64>) {
        if let Some(key) = key {
            self.of(key).notify_waiters();
        }
    }
}
