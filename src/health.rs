//! Health: what the kubelet and a load balancer ask.
//!
//! `/livez` asks whether the event loops, the drain and the journal's thread still beat, never whether a broker or a disk is
//! well, nor how long a recovery takes: a restart mends none of these. `/readyz` asks whether an event could be taken now.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::metrics::Label;

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

impl Label for Stage {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [(Stage::Starting, "starting"), (Stage::Serving, "serving"), (Stage::Draining, "draining")]
    }
}

/// Shared by the event loops, the admin listener and the request path. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stage: AtomicU8,
    /// One per event loop.
    beats: Vec<Beat>,
}

/// When an event loop was last seen turning. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Beat(Arc<(Instant, AtomicU64)>);

impl Beat {
    /// Beaten now.
    #[must_use]
    pub fn start() -> Self {
        Beat(Arc::new((Instant::now(), AtomicU64::new(0))))
    }

    /// Beats for the event loop that polls it, until that ends.
    pub async fn run(self) -> Infallible {
        let mut ticks = tokio::time::interval(BEAT);
        loop {
            ticks.tick().await;
            self.beat();
        }
    }

    fn beat(&self) {
        let (started, last) = &*self.0;
        last.store(millis(started.elapsed()), Ordering::Relaxed);
    }

    /// Time since the last one.
    #[must_use]
    pub fn age(&self) -> Duration {
        let (started, last) = &*self.0;
        started.elapsed().saturating_sub(Duration::from_millis(last.load(Ordering::Relaxed)))
    }
}

impl Health {
    /// For `loops` event loops.
    pub fn new(loops: usize) -> Self {
        Health(Arc::new(Inner {
            stage: AtomicU8::new(Stage::Starting as u8),
            beats: (0..loops).map(|_| Beat::start()).collect(),
        }))
    }

    /// Moves on. From [`Stage::Serving`] on, the loops must beat.
    pub fn enter(&self, stage: Stage) {
        if stage == Stage::Serving {
            self.0.beats.iter().for_each(Beat::beat);
        }
        self.0.stage.store(stage as u8, Ordering::Release);
    }

    /// Whether the process has been asked to stop.
    pub fn draining(&self) -> bool {
        self.stage() == Stage::Draining
    }

    /// The beat of one event loop, counted from zero.
    #[must_use]
    pub fn beat(&self, number: usize) -> Option<Beat> {
        self.0.beats.get(number).cloned()
    }

    /// Whether every loop, and everything else by the age of its beat, has beaten lately; while starting, always: the loops do
    /// not run before the journal is recovered, and a kubelet that killed a long recovery would begin it anew.
    pub fn live(&self, others: impl IntoIterator<Item = Duration>) -> bool {
        self.stage() == Stage::Starting || self.0.beats.iter().map(Beat::age).chain(others).all(|age| age < STUCK_AFTER)
    }

    /// Whether an event could be taken now. `durable`: whether the bus or the spool could make it so.
    pub fn ready(&self, durable: bool) -> bool {
        self.stage() == Stage::Serving && durable
    }

    /// Where the process is.
    pub fn stage(&self) -> Stage {
        let number = self.0.stage.load(Ordering::Acquire);
        // Only stages are stored, so that one of them has the number.
        Stage::all().into_iter().find(|(stage, _)| *stage as u8 == number).map_or(Stage::Starting, |(stage, _)| stage)
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
        let first = tokio::spawn(health.beat(0).unwrap().run());
        let second = tokio::spawn(health.beat(1).unwrap().run());
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(health.live([]) && health.live([Duration::ZERO]));
        assert!(!health.live([Duration::ZERO, STUCK_AFTER]), "the journal's thread is stuck");
        second.abort();
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert!(!health.live([]), "one loop is stuck");
        first.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_recovery_is_alive_and_its_loops_have_their_time_afterwards() {
        let health = Health::new(1);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(health.live([]) && !health.ready(true));
        health.enter(Stage::Serving);
        assert!(health.live([]));
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert!(!health.live([]), "the loop never ran");
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
