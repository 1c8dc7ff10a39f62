//! What the figures of a sweep say, in sentences: made from them.

use std::fmt::{self, Write as _};

use crate::{
    bus::Bus,
    sweep::{Sweep, What},
    window::{Series, Window},
    words::{mebibytes, microseconds, times},
};

/// One line for each bus.
pub fn say(sweep: &Sweep, all: &[Series], page: &mut String) -> fmt::Result {
    writeln!(page)?;
    for series in all {
        let said = match sweep.what {
            What::Connections => connections(sweep, series),
            What::Sources => rising(sweep, series, "sources", "source"),
            What::Subjects if series.bus == Bus::Kafka => rising(sweep, series, "topics", "source and topic"),
            What::Subjects => rising(sweep, series, "subjects", "source and subject"),
            What::Body => bodies(sweep, series),
        };
        writeln!(page, "- **{}**: {said}", series.bus.name())?;
    }
    Ok(())
}

fn connections(sweep: &Sweep, series: &Series) -> String {
    let (first, base, last) = (0, sweep.base, sweep.points.len() - 1);
    let mut said = format!(
        "with {} connections an event takes {:.0} µs of CPU time. With 1 it takes {}. With {} it takes {}. ",
        sweep.points[base].value,
        series.microseconds(base),
        times(series.ratio(first, base)),
        sweep.points[last].value,
        times(series.ratio(last, base)),
    );
    let switches = |point| series.at(point, |window| window.switches).median;
    // Writing to a String cannot fail.
    let _infallible = write!(
        said,
        "The kernel switches the gateway's threads {:.2} times for an event with 1 connection, {:.2} times with {}.",
        switches(first),
        switches(base),
        sweep.points[base].value
    );
    let group = |point: usize| series.at(point, |window| window.group.unwrap_or_default()).median;
    if group(base) > 0.0 {
        let _infallible = write!(
            said,
            " One sync of the disk serves {:.1} events with 1 connection, {:.1} with {}, {:.1} with {}.",
            group(first),
            group(base),
            sweep.points[base].value,
            group(last),
            sweep.points[last].value
        );
    }
    said
}

/// `many` and `each`: the name of what is varied, and of what each of them has memory for.
fn rising(sweep: &Sweep, series: &Series, many: &str, each: &str) -> String {
    let last = sweep.points.len() - 1;
    let memory =
        |point: usize| mebibytes(series.windows[point].iter().map(|window| window.peak_rss).max().unwrap_or(0));
    let more = (sweep.points[last].value - sweep.points[sweep.base].value) as f64;
    let mut said = format!(
        "with {} {many} instead of one an event takes {}. The gateway's memory is {:.0} MiB instead of {:.0} MiB",
        sweep.points[last].value,
        times(series.ratio(last, sweep.base)),
        memory(last),
        memory(sweep.base),
    );
    let kibibytes = (memory(last) - memory(sweep.base)) * 1024.0 / more;
    if kibibytes > 0.0 {
        let _infallible = write!(said, ": {kibibytes:.0} KiB for each {each}");
    }
    said.push('.');
    let broker = |window: &Window| window.broker_cpu.unwrap_or_default();
    let median = |point: usize| series.at(point, broker).median;
    if median(sweep.base) > 0.0 {
        let _infallible = write!(
            said,
            " The broker takes {}. Its medians are {:.0} µs an event, and {:.0} µs with one.",
            times(series.ratio_of(last, sweep.base, broker)),
            microseconds(median(last)),
            microseconds(median(sweep.base))
        );
    }
    said
}

fn bodies(sweep: &Sweep, series: &Series) -> String {
    let (first, last) = (0, sweep.points.len() - 1);
    let more = (sweep.points[last].body - sweep.points[first].body) as f64 / 1024.0;
    let each = (series.microseconds(last) - series.microseconds(first)) / more;
    format!(
        "an event of {} takes {:.0} µs of CPU time, and each KiB more about {each:.1} µs: {:.1} ms for a body of {}.",
        sweep.what.label(sweep.points[first].value),
        series.microseconds(first),
        series.microseconds(last) / 1000.0,
        sweep.what.label(sweep.points[last].value),
    )
}
