//! The measured part of `docs/scale.md`. The rest of that page is written by hand.

use std::fmt::{self, Write as _};

use crate::{
    brokers::{KafkaBroker, NatsServer},
    cluster,
    long::{GREW, Long},
    machine, said,
    spread::Spread,
    sweep::{CONNECTIONS, FOR_BODIES, Sweep, What},
    window::{Series, Window},
    words::{mebibytes, microseconds, whole},
};

/// Everything that was measured.
#[derive(Debug)]
pub struct Measured {
    pub sweeps: Vec<(Sweep, Vec<Series>)>,
    pub long: Vec<Long>,
}

/// The measured part.
pub fn measured(all: &Measured, rounds: usize, command: &str) -> String {
    let mut page = format!(
        "Made by `{command}` on {date}; {machine}; load generator, gateway and broker share it. hookbus {version} \
         ({revision}), rustc {rustc}, {nats}, {kafka}.\n\n\
         hookbus runs with its defaults, its request log read through a pipe; each point of a sweep has a gateway and, where one \
         is needed, a broker of its own, of one node. The points take turns, {rounds} rounds, so that all of them see the same \
         neighbours. CPU is user + system time of the process alone, the median of the rounds (least-most). \"To the base\" \
         compares within a round with the point in bold letters. After each sweep every acknowledged event was counted in the \
         journal, the stream or the topics.\n\n\
         ![CPU time of an event against that of the base point, and memory](scale.svg)\n",
        date = jiff::Timestamp::now().strftime("%Y-%m-%d"),
        machine = machine::machine(),
        version = env!("CARGO_PKG_VERSION"),
        revision = env!("HOOKBUS_REVISION"),
        rustc = env!("HOOKBUS_RUSTC"),
        nats = NatsServer::version(),
        kafka = KafkaBroker::version(),
    );
    // Writing to a String cannot fail.
    let _infallible = cluster::warn(all, &mut page);
    let _infallible = cluster::replica(all, &mut page);
    let _infallible = all.sweeps.iter().try_for_each(|(sweep, series)| table(sweep, series, &mut page));
    let _infallible = long(&all.long, &mut page);
    let _infallible = cluster::section(all, &mut page);
    page
}

fn table(sweep: &Sweep, all: &[Series], page: &mut String) -> fmt::Result {
    let is_of_bodies = sweep.what == What::Body;
    writeln!(page, "\n### {}\n", sweep.what.title())?;
    if is_of_bodies {
        writeln!(page, "With {FOR_BODIES} connections, so its base is dearer than in the other tables.\n")?;
    }
    write!(page, "| bus | {} | events/s | CPU s / 100k | to the base |", sweep.what.title().to_lowercase())?;
    write!(page, "{}", if is_of_bodies { " CPU ms / MiB of bodies |" } else { "" })?;
    writeln!(page, " broker's CPU s / 100k | context switches / event | events / sync | peak RSS MiB |")?;
    writeln!(page, "|---|---|---|---|---|{}---|---|---|---|", if is_of_bodies { "---|" } else { "" })?;
    for series in all {
        for (number, point) in sweep.points.iter().enumerate() {
            let of = |value: fn(&Window) -> f64| series.at(number, value);
            let if_any = |value: fn(&Window) -> Option<f64>, digits: usize| {
                let values: Vec<f64> = series.windows[number].iter().filter_map(value).collect();
                let median = (!values.is_empty()).then(|| Spread::of(values.into_iter()).median);
                median.map_or_else(|| "-".into(), |median| format!("{median:.digits$}"))
            };
            let label = sweep.what.label(point.value);
            let label = if number == sweep.base { format!("**{label}**") } else { label };
            let cpu = of(|window| window.cpu);
            write!(page, "| {} | {label} | {} | {cpu} |", series.bus.name(), of(|window| window.per_second))?;
            write!(page, " {} |", series.ratio(number, sweep.base))?;
            if is_of_bodies {
                write!(page, " {:.2} |", microseconds(cpu.median) / 1000.0 / mebibytes(point.body as u64))?;
            }
            writeln!(
                page,
                " {} | {:.2} | {} | {:.0} |",
                if_any(|window| window.broker_cpu, 2),
                of(|window| window.switches).median,
                if_any(|window| window.group, 1),
                of(|window| mebibytes(window.peak_rss)).most,
            )?;
        }
    }
    said::say(sweep, all, page)
}

fn long(all: &[Long], page: &mut String) -> fmt::Result {
    let Some(last) = all.first().and_then(|long| long.looks.last()) else { return Ok(()) };
    let events = whole(last.events as f64);
    writeln!(page, "\n### Memory over a long run\n\n{events} events, {CONNECTIONS} connections; RSS in MiB.\n")?;
    let names = all.iter().map(|long| {
        let has_broker = last_broker(long).is_some();
        format!(" hookbus, {} |{}", long.bus.name(), if has_broker { " its broker |" } else { "" })
    });
    writeln!(page, "| events |{}", names.collect::<String>())?;
    let columns = all.iter().map(|long| if last_broker(long).is_some() { "---|---|" } else { "---|" });
    writeln!(page, "|---|{}", columns.collect::<String>())?;
    for number in 0..all[0].looks.len() {
        write!(page, "| {} |", whole(all[0].looks[number].events as f64))?;
        for long in all {
            let look = long.looks[number];
            write!(page, " {:.1} |", mebibytes(look.gateway))?;
            look.broker.map_or(Ok(()), |broker| write!(page, " {:.1} |", mebibytes(broker)))?;
        }
        writeln!(page)?;
    }
    writeln!(page)?;
    for long in all {
        let half = long.looks[long.looks.len() - 1].events as f64 / 2.0;
        let grown = long.growth(|look| look.gateway);
        // Allocators give and take that much by themselves.
        let verdict = if grown * half < 1_048_576.0 { "flat" } else { "it grew" };
        writeln!(
            page,
            "- **hookbus, {}**: {verdict}; {grown:+.2} bytes for each event in the second half of the run.",
            long.bus.name()
        )?;
        if last_broker(long).is_some() {
            let grown = long.broker_growth();
            write!(page, "- **its broker**: {grown:+.0} bytes for each event in that half.")?;
            if grown >= GREW {
                write!(
                    page,
                    " Message ids are part of it: nats-server holds each for `bus.nats.provision.duplicate_window` (12 h)."
                )?;
            }
            writeln!(page)?;
        }
    }
    Ok(())
}

fn last_broker(long: &Long) -> Option<u64> {
    long.looks.last()?.broker
}
