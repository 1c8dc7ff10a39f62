//! No sleeps: a test waits for what it needs, with a deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longest wait for anything that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until something is so, at most [`PATIENCE`].
pub fn wait_until(what: &str, done: impl FnMut() -> bool) {
    wait_at_most(PATIENCE, what, done);
}

/// The same with a limit of its own.
pub fn wait_at_most(limit: Duration, what: &str, done: impl FnMut() -> bool) {
    assert!(try_at_most(limit, done), "waited in vain for {what}");
}

/// Whether something is so within a time.
pub fn try_at_most(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !done() {
        if deadline <= Instant::now() {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}
