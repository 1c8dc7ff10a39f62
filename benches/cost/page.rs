//! The counts as a page.

use std::fmt::{self, Write as _};

use crate::{
    alone::{Alone, AloneCost},
    brokers::{KafkaBroker, NatsServer},
    callgrind::Work,
    kernel::{Seen, Wire},
    subject::Bus,
    window::Light,
};

/// What an event costs on one bus.
pub struct Cost {
    pub bus: Bus,
    pub rows: Vec<Row>,
    /// Bytes, round by round.
    pub copied: Vec<f64>,
    /// Round by round.
    pub work: Vec<Work>,
}

/// The same at one number of connections.
pub struct Row {
    pub parallel: usize,
    /// Round by round.
    pub light: Vec<Light>,
    pub seen: Seen,
    pub wire: Wire,
}

/// The first counts, of revision f9cd02e966ab: allocations and their bytes at 64 connections, and instructions.
const FIRST: [(Bus, f64, f64, f64); 4] = [
    (Bus::Journal, 18.00, 3852.0, 85_599.0),
    (Bus::JetStream, 45.67, 8877.0, 127_769.0),
    (Bus::Kafka, 24.23, 5865.0, 126_868.0),
    (Bus::Spool, 17.01, 3584.0, 86_695.0),
];

/// Calls rarer than this are in none of the tables, per event.
const RARE: f64 = 0.005;

/// The whole page. `events`: in a window.
pub fn page(costs: &[Cost], parts: &[AloneCost], events: usize) -> String {
    let mut page = format!(
        "# What an event costs\n\n\
         Made by `make cost` on {date}: hookbus {version} ({revision}), rustc {rustc}, {nats}, {kafka}. Counts, not times: a busy \
         machine changes them little. Signed bodies of 714 bytes, each with an id of its own; hookbus with its defaults on two \
         workers, its request log read through a pipe, real brokers; {events} events in a window, after as many that do not \
         count. All counts are per event. Several: median (least-most) of the windows.\n\n\
         CI holds the allocations at 64 connections to `benches/cost/budgets.toml`.\n",
        date = jiff::Timestamp::now().strftime("%Y-%m-%d"),
        version = env!("CARGO_PKG_VERSION"),
        revision = env!("HOOKBUS_REVISION"),
        rustc = env!("HOOKBUS_RUSTC"),
        nats = NatsServer::version(),
        kafka = KafkaBroker::version(),
    );
    // Writing to a String cannot fail.
    let _infallible = since_the_first(costs, &mut page);
    let _infallible = whole(costs, &mut page);
    let _infallible = instructions(costs, &mut page);
    let _infallible = alone(costs, parts, &mut page);
    let _infallible = calls(costs, &mut page);
    page
}

fn since_the_first(costs: &[Cost], page: &mut String) -> fmt::Result {
    writeln!(page, "\n## Since the first count\n\nRevision f9cd02e966ab, and now, at 64 connections: medians.\n")?;
    writeln!(page, "| bus | allocations | bytes allocated | instructions |\n|---|---|---|---|")?;
    for Cost { bus, rows, work, .. } in costs {
        let Some((_, allocations, bytes, instructions)) = FIRST.into_iter().find(|(first, ..)| first == bus) else {
            continue;
        };
        let light = |value: fn(&Light) -> f64| median(rows[0].light.iter().map(value).collect());
        writeln!(
            page,
            "| {} | {allocations:.2} → **{:.2}** | {bytes:.0} → {:.0} | {instructions:.0} → **{:.0}** |",
            bus.name(),
            light(|light| light.allocations),
            light(|light| light.bytes),
            median(work.iter().map(|work| work.instructions).collect()),
        )?;
    }
    Ok(())
}

fn whole(costs: &[Cost], page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "\n## Memory, threads, network\n\nAllocations and their bytes are Rust's, of all threads; an allocation that grows \
         counts again, its bytes by what it grew. Bytes on the wire are those of TCP, both ways.\n"
    )?;
    writeln!(
        page,
        "| bus | connections | allocations | bytes allocated | context switches | wake-ups of a thread by another | system calls | bytes with the sender | bytes with the broker |"
    )?;
    writeln!(page, "|---|---|---|---|---|---|---|---|---|")?;
    for Cost { bus, rows, .. } in costs {
        for Row { parallel, light, seen, wire } in rows {
            let of = |value: fn(&Light) -> f64| light.iter().map(value).collect::<Vec<_>>();
            writeln!(
                page,
                "| {} | {parallel} | **{}** | {} | {} | {:.2} | {:.2} | {:.0} | {:.0} |",
                bus.name(),
                spread(of(|light| light.allocations), 2),
                spread(of(|light| light.bytes), 0),
                spread(of(|light| light.switches), 2),
                seen.wakes,
                seen.all_calls,
                wire.front,
                wire.back,
            )?;
        }
    }
    Ok(())
}

fn instructions(costs: &[Cost], page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "\n## Instructions and copies\n\nIn user space, all threads, librdkafka's included, with 64 connections. Instructions are \
         counted by valgrind with one worker, and by the way calls of the C library's allocator and atomic instructions (`lock` or \
         `xchg` on x86-64): a mutex takes two, a shared counter one, a reference count one for each that comes and goes. Bytes copied \
         are those of calls of `memcpy` and `memmove`; a copy that the compiler wrote out is none.\n"
    )?;
    writeln!(
        page,
        "| bus | instructions | of them SHA-512 | allocator calls | atomic instructions | bytes copied |\n|---|---|---|---|---|---|"
    )?;
    for Cost { bus, copied, work, .. } in costs {
        let instructions = spread(work.iter().map(|work| work.instructions).collect(), 0);
        let allocations = spread(work.iter().map(|work| work.allocations).collect(), 2);
        let atomic = spread(work.iter().map(|work| work.atomic).collect(), 1);
        writeln!(
            page,
            "| {} | **{instructions}** | {:.0} | {allocations} | {atomic} | {} |",
            bus.name(),
            median(work.iter().map(|work| work.hash).collect()),
            spread(copied.clone(), 0)
        )?;
    }
    Ok(())
}

fn alone(costs: &[Cost], parts: &[AloneCost], page: &mut String) -> fmt::Result {
    let of = |work: &[Work], value: fn(&Work) -> f64| median(work.iter().map(value).collect());
    writeln!(
        page,
        "\n## What it is made of, alone\n\nThe bare server and the bare producers that `docs/benchmark.md` divides by, with 64 \
         connections or publications in flight: instructions with one event loop, calls and switches once, while perf watches, with \
         two. They publish the body; hookbus publishes an envelope of twice its bytes. What they cost includes this bench's \
         allocator, which counts, and, for a producer, its clock: that makes the parts dearer and the ratios smaller.\n"
    )?;
    writeln!(page, "| part | instructions | allocator calls | context switches | system calls | calls |")?;
    writeln!(page, "|---|---|---|---|---|---|")?;
    for AloneCost { part, work, switches, seen } in parts {
        writeln!(
            page,
            "| {} | **{}** | {:.2} | {switches:.2} | {:.2} | {} |",
            part.label(),
            spread(work.iter().map(|work| work.instructions).collect(), 0),
            of(work, |work| work.allocations),
            seen.all_calls,
            often(seen),
        )?;
    }
    writeln!(
        page,
        "\nOn the journal and on the spool the part is bare hyper alone.\n\n\
         | bus | instructions | bare hyper + bare producer | ratio | ratio without SHA-512's block function |\n|---|---|---|---|---|"
    )?;
    let bare = |part: Alone| {
        let part = parts.iter().find(|bare| bare.part == part)?;
        Some(of(&part.work, |work| work.instructions))
    };
    for Cost { bus, work, .. } in costs {
        let producer = if matches!(bus, Bus::JetStream | Bus::Kafka) { bare(Alone::Producer(*bus)) } else { Some(0.0) };
        let Some(bare) = bare(Alone::Hyper).zip(producer).map(|(hyper, producer)| hyper + producer) else { continue };
        let (own, hash) = (of(work, |work| work.instructions), of(work, |work| work.hash));
        writeln!(
            page,
            "| {} | {own:.0} | {bare:.0} | **{:.2}** | {:.2} |",
            bus.name(),
            own / bare,
            (own - hash) / bare
        )?;
    }
    Ok(())
}

fn calls(costs: &[Cost], page: &mut String) -> fmt::Result {
    writeln!(page, "\n## System calls\n\nSeen by perf, which slows the gateway down by little.\n")?;
    writeln!(page, "| bus | connections | calls |\n|---|---|---|")?;
    for Cost { bus, rows, .. } in costs {
        for Row { parallel, seen, .. } in rows {
            writeln!(page, "| {} | {parallel} | {} |", bus.name(), often(seen))?;
        }
    }
    Ok(())
}

/// The calls that are not rare.
fn often(seen: &Seen) -> String {
    let often = seen.calls.iter().filter(|(_, count)| *count >= RARE);
    often.map(|(name, count)| format!("{name} {count:.2}")).collect::<Vec<_>>().join(", ")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Median (least-most).
fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (least, median, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    format!("{median:.digits$} ({least:.digits$}-{most:.digits$})")
}
