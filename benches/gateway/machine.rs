//! The machine that all of it ran on.

use std::fs;

/// Its processor, cores and memory.
pub fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).expect("a file of the kernel");
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory =
        field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<f64>().expect("a number") / 1_048_576.0;
    format!("{}, {cores} cores, {memory:.0} GiB", field("/proc/cpuinfo", "model name"))
}
