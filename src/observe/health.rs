//! Health: what the kubelet and a load balancer ask.
//!
//! `/livez` asks whether the event loops and the journal's thread still beat, never whether a broker or a disk is well,
//! nor how long a recovery takes: a restart mends none of these. `/readyz` asks whether an event could be taken now.

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

    /// Moves on. From [`Stage::Serving`] on, the loops must beat.
    pub fn enter(&self, stage: Stage) {
        if stage == Stage::Serving {
            let now = self.elapsed_ms();
            self.0.beats.iter().for_each(|beat| beat.store(now, Ordering::Relaxed));
        }
        self.0.stage.store(stage as u8, Ordering::Release);
    }

    /// Whether the process has been asked to stop.
    pub fn draining(&self) -> bool {
        self.stage() == Stage::Draining as u8
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

    /// Whether every loop, and the journal's thread by the age of its beat, has beaten lately; while starting, always: the
    /// loops do not run before the journal is recovered, and a kubelet that killed a long recovery would begin it anew.
    pub fn live(&self, journal_beat: Duration) -> bool {
        if self.stage() == Stage::Starting as u8 {
            return true;
        }
        let now = self.elapsed_ms();
        let fresh = |beat: &AtomicU64| now.saturating_sub(beat.load(Ordering::Relaxed)) < millis(STUCK_AFTER);
        self.0.beats.iter().all(fresh) && journal_beat < STUCK_AFTER
    }

    /// Whether an event could be taken now. `durable`: whether the bus or the spool could make it so.
    pub fn ready(&self, durable: bool) -> bool {
        self.stage() == Stage::Serving as u8 && durable
    }

    fn stage(&self) -> u8 {
        self.0.stage.load(Ordering::Acquire)
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
        health.enter(Stage::Serving);
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

    #[tokio::test(start_paused = true)]
    async fn a_long_recovery_is_alive_and_its_loops_have_their_time_afterwards() {
        let health = Health::new(1);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(health.live(Duration::ZERO) && !health.ready(true));
        health.enter(Stage::Serving);
        assert!(health.live(Duration::ZERO));
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert!(!health.live(Duration::ZERO), "the loop never ran");
    }

    #[tokio::test]
    async fn ready_only_while_serving_and_durable() {
        let health = Health::new(0);
        assert!(!health.ready(true));
        health.enter(Stage::Serving);
        assert!(health.ready(true) && !health.ready(false));
        health.enter(Stage::Draining);
        assert!(!health.ready(true) && health.draining());
    }
}
