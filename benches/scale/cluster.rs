//! From the measured costs to sizes of clusters, step by step.

use std::fmt::{self, Write as _};

use crate::{
    bus::Bus,
    need::{BROKER, BUSY, COPIES, Costs, FEWEST_REPLICAS, Need, READERS, WORKERS},
    page::Measured,
    spread::Spread,
    steps,
    sweep::What,
    window::Series,
    words::{is_steady, microseconds, whole},
};

/// The sizes that the page names.
pub const SIZES: [(&str, f64); 4] = [("small", 1e3), ("medium", 1e4), ("large", 1e5), ("very large", 1e6)];
/// Partitions of a topic that `hookbus provision` makes by default, which is what the topics of the sweep have.
pub const PARTITIONS: f64 = 3.0;
/// What a partition or a stream of three copies is planned to take, of what one of one copy took here.
pub const REPLICATED: f64 = 0.5;
/// Seconds.
pub const DAY: f64 = 86_400.0;
/// Bytes on the wire were counted, not timed, by another bench.
const COUNTED: &str = include_str!("../../docs/cost.md");

/// The points that a replica and a cluster are reckoned from.
fn bases(all: &Measured) -> impl Iterator<Item = (&Series, usize)> {
    let of = |bus| {
        // Kafka is measured by topics alone; its base has as many connections.
        series(all, What::Connections, bus).or_else(|| series(all, What::Subjects, bus))
    };
    [Bus::Journal, Bus::JetStream, Bus::Kafka].into_iter().filter_map(of)
}

/// A line if the rounds differ too much to plan with.
pub fn warn(all: &Measured, page: &mut String) -> fmt::Result {
    let mut found = Vec::new();
    for (series, base) in bases(all) {
        let mut look = |what: &str, rounds: Spread| {
            if !is_steady(rounds) {
                found.push(format!("{} {what} {rounds}", series.bus.name()));
            }
        };
        look("CPU s / 100k", series.at(base, |window| window.cpu));
        if series.bus != Bus::Journal {
            look("broker's CPU s / 100k", series.at(base, |window| window.broker_cpu.unwrap_or_default()));
            look("events/s", series.at(base, |window| window.per_second));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let found = found.join("; ");
    writeln!(page, "\n**These figures vary by more than two within the run: do not size from them.** {found}.")
}

/// What a core and a replica carry.
pub fn replica(all: &Measured, page: &mut String) -> fmt::Result {
    let connections = crate::sweep::CONNECTIONS;
    writeln!(page, "\n### One replica\n")?;
    writeln!(
        page,
        "With {connections} connections and bodies of 714 bytes. A core that does nothing else carries 1,000,000 µs / (µs an event); a \
         replica of {WORKERS:.0} workers that is {:.0} % busy carries {WORKERS:.0} x {BUSY} times that. \"Seen here\" shared its cores with the load \
         generator and the broker.\n",
        BUSY * 100.0
    )?;
    writeln!(
        page,
        "| bus | CPU µs / event | events/s of one core | events/s of a replica, half busy | events/s seen here |"
    )?;
    writeln!(page, "|---|---|---|---|---|")?;
    for (series, base) in bases(all) {
        let each = series.microseconds(base);
        writeln!(
            page,
            "| {} | {each:.1} | {} | {} | {} |",
            series.bus.name(),
            whole(1e6 / each),
            whole(1e6 / each * WORKERS * BUSY),
            whole(series.at(base, |window| window.per_second).median),
        )?;
    }
    Ok(())
}

/// The section, if all of it was measured.
pub fn section(all: &Measured, page: &mut String) -> fmt::Result {
    // Read in the short form, too: that page is made by another bench.
    let wire = [Bus::JetStream, Bus::Kafka].map(on_the_wire);
    let (Some(jetstream), Some(kafka)) = (jetstream(all, wire[0]), kafka(all, wire[1])) else { return Ok(()) };
    let topics = kafka.topics;
    let (cores, network, disk) = BROKER;
    writeln!(page, "\n### Sizes of clusters\n")?;
    writeln!(
        page,
        "Reckoned from the tables above, not measured as a whole. Planned so: cores, networks and disks are {:.0} % busy; a \
         replica has {WORKERS:.0} workers; the brokers hold {COPIES:.0} copies and are machines of {cores:.0} cores, \
         {:.0} Gbit/s and {:.0} MB/s to disk; {READERS:.0} group of subscribers reads everything. Bodies of 714 bytes. \
         Kafka's two rows are its ends: large batches with 1 topic, small ones with {topics}. Steps 6 and 7 say which of them \
         holds.\n",
        BUSY * 100.0,
        network / 1e9,
        disk / 1e6
    )?;
    let rows = [
        ("JetStream".to_owned(), &jetstream, ""),
        ("Kafka, 1 topic".to_owned(), &kafka.one, ""),
        // The bytes with the broker were counted with one topic; smaller batches have more of them.
        (format!("Kafka, {topics} topics"), &kafka.many, "at least "),
    ];
    sizes(&rows, page)?;
    steps::on_kafka(&kafka, page)?;
    steps::on_jetstream(&jetstream, all, page)
}

/// Of each row: the name of the bus, its costs, and what stands before the bytes with its brokers.
fn sizes(costs: &[(String, &Costs, &str)], page: &mut String) -> fmt::Result {
    writeln!(
        page,
        "| cluster | events/s | bus | gateway cores | replicas | from senders Gbit/s | with brokers Gbit/s | broker cores | broker disks MB/s | stored a day TB | brokers | partitions, or streams |"
    )?;
    writeln!(page, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
    for (name, per_second) in SIZES {
        for (bus, costs, at_least) in costs {
            let need = Need::of(costs, per_second);
            writeln!(
                page,
                "| {name} | {} | {} | {} | {} | {:.3} | {at_least}{:.3} | {} | {} | {:.2} | {} | {} |",
                whole(per_second),
                bus,
                whole(need.gateway_cores),
                whole(need.replicas),
                need.front / 1e9,
                need.back / 1e9,
                whole(need.broker_cores),
                whole(need.disk / 1e6),
                need.stored * DAY / 1e12,
                whole(need.brokers),
                whole(need.shards),
            )?;
        }
    }
    Ok(())
}

fn series(all: &Measured, what: What, bus: Bus) -> Option<(&Series, usize)> {
    let (sweep, series) = all.sweeps.iter().find(|(sweep, _)| sweep.what == what)?;
    Some((series.iter().find(|series| series.bus == bus)?, sweep.base))
}

fn jetstream(all: &Measured, wire: Wire) -> Option<Costs> {
    let (series, base) = series(all, What::Connections, Bus::JetStream)?;
    let rates = (0..series.windows.len()).map(|point| series.at(point, |window| window.per_second).median);
    let costs = costs(series, base, rates.fold(0.0, f64::max) * REPLICATED, wire);
    // Each server of a stream has a Raft log beside the stream's own store. A client is connected to any server, so most of
    // its publications take one more hop to the leader. A stream is a release, and that has two replicas.
    Some(Costs { writes: 2.0, hops: 1.0, replicas_per_shard: FEWEST_REPLICAS, ..costs })
}

/// Kafka's two ends: each partition of each topic has batches of its own, large or small.
#[derive(Debug)]
pub struct Kafka {
    pub one: Costs,
    pub many: Costs,
    /// How many those are.
    pub topics: usize,
}

fn kafka(all: &Measured, wire: Wire) -> Option<Kafka> {
    let (series, base) = series(all, What::Subjects, Bus::Kafka)?;
    let (sweep, _) = all.sweeps.iter().find(|(sweep, _)| sweep.what == What::Subjects)?;
    let last = sweep.points.len() - 1;
    let shard = series.at(base, |window| window.per_second).median / PARTITIONS * REPLICATED;
    let of = |point: usize| {
        let topics = sweep.points[point].value as f64;
        Costs { fewest_shards: topics * PARTITIONS, ..costs(series, point, shard, wire) }
    };
    Some(Kafka { one: of(base), many: of(last), topics: sweep.points[last].value })
}

/// One write, no hop, one shard, replicas that all publish to all shards: what another bus has is the caller's to say.
fn costs(series: &Series, point: usize, shard: f64, wire: Wire) -> Costs {
    let broker = series.at(point, |window| window.broker_cpu.expect("a bus with a broker")).median;
    Costs {
        gateway: series.microseconds(point),
        broker: microseconds(broker),
        stored: series.stored[point],
        writes: 1.0,
        front: wire.front,
        back: wire.back,
        hops: 0.0,
        shard,
        fewest_shards: 1.0,
        replicas_per_shard: 0.0,
    }
}

/// Bytes of an event on the network.
#[derive(Debug, Clone, Copy)]
struct Wire {
    front: f64,
    back: f64,
}

/// At 64 connections: with the sender and with the broker, the last two cells of the bus' row.
fn on_the_wire(bus: Bus) -> Wire {
    let begin = format!("| {} | 64 | **", bus.name().to_lowercase());
    let row = COUNTED.lines().find(|line| line.starts_with(&begin)).expect("docs/cost.md has a row of the bus");
    let cells: Vec<&str> = row.trim_matches([' ', '|']).split(" | ").collect();
    let [.., front, back] = cells[..] else { panic!("docs/cost.md: {row}") };
    let bytes = |cell: &str| cell.parse().expect("a number of bytes");
    Wire { front: bytes(front), back: bytes(back) }
}
