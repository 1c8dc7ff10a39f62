//! The process's own metrics. The `prometheus` crate gives them, but cuts CPU time to whole seconds, of which the rate of
//! a gateway that is hardly busy is noise; here it has the clock's own grain.

use prometheus::{
    core::{Collector, Desc},
    process_collector::ProcessCollector,
    proto::{Counter, MetricFamily},
};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The name of CPU time among what the crate collects.
const CPU_SECONDS: &str = "process_cpu_seconds_total";
/// Nanoseconds of a second.
const NANOS: f64 = 1e9;

/// Collects them.
pub(super) struct Process(ProcessCollector);

impl Process {
    /// Of the calling process.
    pub(super) fn own() -> Self {
        Process(ProcessCollector::for_self())
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        let cpu = families.iter_mut().filter(|family| family.name() == CPU_SECONDS);
        for series in cpu.flat_map(MetricFamily::mut_metric) {
            let mut used = Counter::default();
            used.set_value(seconds(clock_gettime(ClockId::ProcessCPUTime)));
            series.set_counter(used);
        }
        families
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^52 ns are 52 days; after that it is off by nanoseconds")]
fn seconds(time: Timespec) -> f64 {
    time.tv_sec as f64 + time.tv_nsec as f64 / NANOS
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use prometheus::core::Collector as _;

    use super::{CPU_SECONDS, Process};

    /// Of each family its first value.
    fn value(name: &str) -> f64 {
        let families = Process::own().collect();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let series = &family.get_metric()[0];
        series.get_counter().get_value() + series.get_gauge().get_value()
    }

    #[test]
    fn cpu_time_counts_parts_of_a_second() {
        let before = value(CPU_SECONDS);
        let begin = Instant::now();
        while value(CPU_SECONDS) < before + 0.001 {
            assert!(begin.elapsed() < Duration::from_secs(30), "no millisecond of CPU time was counted");
        }
        assert!(value(CPU_SECONDS) < before + 0.5, "a loop that ends at the first change has used little");
        assert!(value("process_resident_memory_bytes") > 0.0, "the others are there as before");
    }
}
