//! Many durations as a few numbers.

use std::time::Duration;

/// Milliseconds at three quantiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latencies {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

impl Latencies {
    pub fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let [p50, p99, p999] = [500, 990, 999].map(|per_mille| milliseconds(&latencies, per_mille));
        Latencies { p50, p99, p999 }
    }
}

/// One quantile of durations in order.
fn milliseconds(sorted: &[Duration], per_mille: usize) -> f64 {
    sorted[(sorted.len() * per_mille / 1000).min(sorted.len() - 1)].as_secs_f64() * 1e3
}
