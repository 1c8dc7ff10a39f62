//! Time that the hypervisor gave to others while a thread here wanted to run.

use std::{fs, thread, time::Instant};

/// Since when it is counted.
#[derive(Debug)]
pub struct Stolen {
    begin: Instant,
    before: f64,
}

impl Stolen {
    pub fn begin() -> Self {
        Stolen { begin: Instant::now(), before: stolen_seconds() }
    }

    /// The share of the cores' time since.
    pub fn share(&self) -> f64 {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        (stolen_seconds() - self.before) / (self.begin.elapsed().as_secs_f64() * cores as f64)
    }
}

/// Of all cores, since the machine's start: the eighth number, in hundredths of a second.
fn stolen_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").expect("a file of the kernel");
    let ticks = text.lines().next().and_then(|line| line.split_ascii_whitespace().nth(8)).expect("eight numbers");
    ticks.parse::<f64>().expect("a number") / 100.0
}
