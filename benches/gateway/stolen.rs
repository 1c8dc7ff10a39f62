//! Time that the hypervisor gave to others while a thread here wanted to run.

use std::{fs, time::Instant};

/// Since when it is counted.
#[derive(Debug)]
pub struct Stolen {
    begin: Instant,
    before: f64,
}

impl Stolen {
    pub fn begin() -> Self {
        Stolen { begin: Instant::now(), before: stolen().0 }
    }

    /// The share of the cores' time since.
    pub fn share(&self) -> f64 {
        let (now, cores) = stolen();
        (now - self.before) / (self.begin.elapsed().as_secs_f64() * cores as f64)
    }
}

/// Seconds since the machine's start, of all its cores together, and how many these are. The eighth number, in hundredths.
fn stolen() -> (f64, usize) {
    let text = fs::read_to_string("/proc/stat").expect("a file of the kernel");
    let ticks = text.lines().next().and_then(|line| line.split_ascii_whitespace().nth(8)).expect("eight numbers");
    // The first such line is the sum.
    let cores = text.lines().filter(|line| line.starts_with("cpu")).count() - 1;
    (ticks.parse::<f64>().expect("a number") / 100.0, cores)
}
