//! Health: what the kubelet and a load balancer ask.
//!
//! `/livez` asks whether the event loops and the journal's thread still beat, never whether a broker or a disk is well:
//! a restart mends neither. `/readyz` asks whether an event could be taken now.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// How often an event loop beats.
pub const BEAT: Duration = Duration::from_secs(1);
/// A loop that has not beaten for this long is stuck. Longer than a disk's worst fsync under load.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Where the process is between start and stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Not yet listening.
    Starting,
    /// Listening.
    Serving,
    /// Asked to stop: unready, still finishing.
    Draining,
}

/// Shared by the event loops, the admin listener and the request path. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stage: AtomicU8,
    started: Instant,
    /// Milliseconds since `started`, one per event loop.
    beats: Vec<AtomicU64>,
}

impl Health {
    /// For `loops` event loops.
    pub fn new(loops: usize) -> Self {
        Health(Arc::new(Inner {
            stage: AtomicU8::new(Stage::Starting as u8),
            started: Instant::now(),
            beats: (0..loops).map(|_| AtomicU64::new(0)).collect(),
        }))
    }

    /// Moves on.
    pub fn enter(&self, stage: Stage) {
        self.0.stage.store(stage as u8, Ordering::Release);
    }

    /// Whether the process has been asked to stop.
    pub fn draining(&self) -> bool {
        self.0.stage.load(Ordering::Acquire) == Stage::Draining as u8
    }

    /// Beats for one event loop until it ends.
    pub async fn beat(self, number: usize) {
        let mut ticks = tokio::time::interval(BEAT);
        loop {
            ticks.tick().await;
            if let Some(beat) = self.0.beats.get(number) {
                beat.store(self.elapsed_ms(), Ordering::Relaxed);
            }
        }
    }

    /// Whether every loop, and the journal's thread by the age of its beat, has beaten lately.
    pub fn live(&self, journal_beat: Duration) -> bool {
        let now = self.elapsed_ms();
        let fresh = |beat: &AtomicU64| now.saturating_sub(beat.load(Ordering::Relaxed)) < millis(STUCK_AFTER);
        self.0.beats.iter().all(fresh) && journal_beat < STUCK_AFTER
    }

    /// Whether an event could be taken now. `durable`: there is a place that would make it so.
    pub fn ready(&self, durable: bool) -> bool {
        self.0.stage.load(Ordering::Acquire) == Stage::Serving as u8 && durable
    }

    fn elapsed_ms(&self) -> u64 {
        millis(self.0.started.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn live_while_all_loops_beat() {
        let health = Health::new(2);
        let first = tokio::spawn(health.clone().beat(0));
        let second = tokio::spawn(health.clone().beat(1));
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(health.live(Duration::ZERO));
        assert!(!health.live(STUCK_AFTER), "the journal's thread is stuck");
        second.abort();
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert!(!health.live(Duration::ZERO), "one loop is stuck");
        first.abort();
    }

    #[tokio::test]
    async fn ready_only_while_serving_with_a_journal() {
        let health = Health::new(0);
        assert!(!health.ready(true));
        health.enter(Stage::Serving);
        assert!(health.ready(true) && !health.ready(false));
        health.enter(Stage::Draining);
        assert!(!health.ready(true) && health.draining());
    }
}
