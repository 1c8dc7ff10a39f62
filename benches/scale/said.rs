//! What the figures of a sweep say, in sentences: made from them, so that they cannot say anything else.

use std::fmt::{self, Write as _};

use crate::{
    sweep::{Sweep, What},
    window::Series,
    words::{mebibytes, microseconds, times},
};

/// One line for each bus.
pub fn say(sweep: &Sweep, all: &[Series], page: &mut String) -> fmt::Result {
    writeln!(page)?;
    for series in all {
        let said = match sweep.what {
            What::Connections => connections(sweep, series),
            What::Sources => rising(sweep, series, "sources"),
            What::Subjects => rising(sweep, series, "subjects"),
            What::Body => bodies(sweep, series),
        };
        writeln!(page, "- **{}**: {said}", series.bus.name())?;
    }
    Ok(())
}

fn connections(sweep: &Sweep, series: &Series) -> String {
    let (first, base, last) = (0, sweep.base, sweep.points.len() - 1);
    let mut said = format!(
        "with {} connections an event takes {:.0} µs of CPU time. With 1 it takes {}, with {} it takes {}. ",
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

fn rising(sweep: &Sweep, series: &Series, name: &str) -> String {
    let last = sweep.points.len() - 1;
    let memory =
        |point: usize| mebibytes(series.windows[point].iter().map(|window| window.peak_rss).max().unwrap_or(0));
    let more = (sweep.points[last].value - sweep.points[sweep.base].value) as f64;
    let mut said = format!(
        "with {} {name} an event takes {} as with one. The gateway's memory is {:.0} MiB instead of {:.0} MiB: {:.0} KiB for each \
         source.",
        sweep.points[last].value,
        times(series.ratio(last, sweep.base)),
        memory(last),
        memory(sweep.base),
        (memory(last) - memory(sweep.base)) * 1024.0 / more,
    );
    let broker = |point: usize| series.at(point, |window| window.broker_cpu.unwrap_or_default()).median;
    if broker(sweep.base) > 0.0 {
        let _infallible = write!(
            said,
            " The broker takes {:.0} µs an event instead of {:.0} µs.",
            microseconds(broker(last)),
            microseconds(broker(sweep.base))
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
