//! One size step by step, as a reader would reckon it.

use std::fmt::{self, Write as _};

use crate::{
    bus::Bus,
    cluster::{DAY, Kafka, PARTITIONS, REPLICATED, SIZES},
    long::GREW,
    need::{BROKER, BUSY, COPIES, Costs, Need, WORKERS},
    page::Measured,
    words::{up, whole},
};

/// The size.
const PER_SECOND: f64 = 1e6;
/// Below so many events a second of a replica for a partition, most find no other one to share a batch with: a batch is
/// acknowledged within some milliseconds.
const BATCHES: f64 = 100.0;

pub fn on_kafka(kafka: &Kafka, page: &mut String) -> fmt::Result {
    let need = first_steps("Kafka", &kafka.one, page)?;
    let each = PER_SECOND / need.replicas / need.shards;
    writeln!(
        page,
        "6. **Partitions.** One took at least {} events a second here, as one copy, on a broker that shared two cores with \
         everything else. Planned is {:.0} % of that for one of three copies, {} a second: at most **{} partitions** for those \
         topics that carry the load, together. Measure yours: with so many, each of the {} replicas has {each:.0} events a second \
         for a partition{}.",
        whole(kafka.one.shard / REPLICATED),
        REPLICATED * 100.0,
        whole(kafka.one.shard),
        whole(need.shards),
        whole(need.replicas),
        if each < BATCHES { ", which is no batch; then step 7 holds" } else { "" },
    )?;
    let many = Need::of(&kafka.many, PER_SECOND);
    writeln!(
        page,
        "7. **If batches are small.** All this is for one topic of a few partitions. With {} topics the 64 connections had {} partitions, so that nearly each \
         event was a batch of its own. It took {:.1} µs in the gateway and {:.1} µs at the broker, not {:.1} µs and {:.1} µs: \
         {} gateway cores and at least {} brokers. Few topics, fewer and larger replicas (`listener.workers`) and a longer \
         `bus.kafka.linger` keep batches large.",
        kafka.topics,
        kafka.topics * PARTITIONS as usize,
        kafka.many.gateway,
        kafka.many.broker,
        kafka.one.gateway,
        kafka.one.broker,
        whole(many.gateway_cores),
        whole(many.brokers)
    )
}

pub fn on_jetstream(costs: &Costs, all: &Measured, page: &mut String) -> fmt::Result {
    let need = first_steps("JetStream", costs, page)?;
    writeln!(
        page,
        "6. **Streams.** One took at least {} events a second here, as one copy, on a server that shared two cores with everything \
         else. Planned is {:.0} % of that for one of three copies, {} a second: **{} streams**, which are as many \
         releases, those of one vendor each in a NATS account of its own.",
        whole(costs.shard / REPLICATED),
        REPLICATED * 100.0,
        whole(costs.shard),
        whole(need.shards)
    )?;
    ids(all, page)
}

/// Those that are the same on both.
fn first_steps(bus: &str, costs: &Costs, page: &mut String) -> Result<Need, fmt::Error> {
    let need = Need::of(costs, PER_SECOND);
    let Costs { gateway, front, back, .. } = *costs;
    let rate = whole(PER_SECOND);
    writeln!(page, "\n#### {rate} events a second on {bus}, step by step\n")?;
    writeln!(
        page,
        "1. **Gateways.** {rate} x {gateway:.1} µs = {:.1} s of CPU time in each second. {:.0} % busy: **{} cores**, at least **{} \
         replicas** of {WORKERS:.0} workers{}, {} events a second each.",
        need.gateway_busy,
        BUSY * 100.0,
        whole(need.gateway_cores),
        whole(need.replicas),
        if costs.replicas_per_shard > 0.0 { " (two or more for each release of step 6)" } else { "" },
        whole(PER_SECOND / need.replicas)
    )?;
    writeln!(
        page,
        "2. **Network of the gateways.** With the senders {rate} x {} B = {:.1} Gbit/s, with the brokers {rate} x {} B = \
         {:.1} Gbit/s; {:.2} Gbit/s for a replica.",
        whole(front),
        need.front / 1e9,
        whole(back),
        need.back / 1e9,
        (need.front + need.back) / need.replicas / 1e9
    )?;
    brokers(costs, &need, &rate, page)?;
    Ok(need)
}

fn brokers(costs: &Costs, need: &Need, rate: &str, page: &mut String) -> fmt::Result {
    let Costs { broker, stored, writes, hops, .. } = *costs;
    let written = if writes > 1.0 {
        format!(
            " Each copy is written {writes:.0} times, to the Raft log and to the stream's store: {} MB/s.",
            whole(need.disk / 1e6)
        )
    } else {
        String::new()
    };
    let way = if hops > 0.0 { "comes in at any server, goes on to its leader" } else { "comes in at its leader" };
    let (cores, network, disk) = BROKER;
    writeln!(
        page,
        "3. **Disks of the brokers.** {rate} x {} B x {COPIES:.0} copies = {} MB/s. That is {:.0} TB a day, and {:.1} PB in the seven \
         days that are the default: keep them for less.{written}",
        whole(stored),
        whole(need.stored / 1e6),
        need.stored * DAY / 1e12,
        need.stored * DAY * 7.0 / 1e15
    )?;
    writeln!(
        page,
        "4. **CPU of the brokers.** {rate} x {broker:.1} µs x {COPIES:.0} copies = {:.1} s in each second. {:.0} % busy: {} cores. A copy is \
         taken to cost as much as the first.",
        need.broker_busy,
        BUSY * 100.0,
        whole(need.broker_cores)
    )?;
    writeln!(
        page,
        "5. **Brokers.** Their cores ask for {:.0}, their network ({:.0} Gbit/s: each event {way}, goes from there to two \
         others, and out to its readers) for {:.0}, their disks for {:.0}: **{} brokers**.",
        (need.broker_cores / cores).ceil(),
        need.traffic / 1e9,
        (need.traffic / (network * BUSY)).ceil(),
        (need.disk / (disk * BUSY)).ceil(),
        whole(need.brokers)
    )
}

/// Memory for message ids, by the length of the window.
fn ids(all: &Measured, page: &mut String) -> fmt::Result {
    let Some(long) = all.long.iter().find(|long| long.bus == Bus::JetStream) else { return Ok(()) };
    let grown = long.broker_growth();
    if grown < GREW {
        return Ok(());
    }
    let gigabytes = |per_second: f64, hours: f64| up(per_second * hours * 3600.0 * grown / 1e9);
    let sizes = SIZES.map(|(name, per_second)| {
        let (long, short) = (gigabytes(per_second, 12.0), gigabytes(per_second, 2.0 / 60.0));
        format!("{name} {long} GB or {short} GB")
    });
    writeln!(
        page,
        "7. **Memory for message ids.** The long run took {grown:.0} B for each event. A window of 12 h (the default) or of 2 min takes, \
         for each of the {COPIES:.0} copies: {}. The number of brokers above does not count it.",
        sizes.join(", ")
    )
}
