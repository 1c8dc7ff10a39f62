//! One size step by step, as a reader would reckon it.

use std::fmt::{self, Write as _};

use crate::{
    bus::Bus,
    cluster::{DAY, Kafka, PARTITIONS, REPLICATED, SIZES},
    need::{BROKER, BUSY, COPIES, Costs, Need, WORKERS},
    page::Measured,
    words::whole,
};

/// The size.
const PER_SECOND: f64 = 1e6;

pub fn on_kafka(kafka: &Kafka, page: &mut String) -> fmt::Result {
    let need = first_steps("Kafka", &kafka.one, page)?;
    writeln!(
        page,
        "6. **Partitions.** One took at least {} events a second here, on a broker that shared two cores with everything else: \
         **{} partitions** for those topics that carry the load, together.",
        whole(kafka.one.lane),
        whole(need.lanes)
    )?;
    let many = Need::of(&kafka.many, PER_SECOND);
    writeln!(
        page,
        "7. **If batches are small.** All this is for one topic of a few partitions. With {} topics the 64 connections had {} partitions, so that nearly each \
         event was a batch of its own. It took {:.0} µs in the gateway and {:.0} µs at the broker, not {:.0} µs and {:.0} µs: {} gateway cores and {} brokers. What you get \
         lies between, by how many events a replica has for a partition within `bus.kafka.linger`. Few topics, fewer and \
         larger replicas (`listener.workers`) and a longer linger keep batches large.",
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
         releases, each in a NATS account of its own.",
        whole(costs.lane / REPLICATED),
        REPLICATED * 100.0,
        whole(costs.lane),
        whole(need.lanes)
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
        "1. **Gateways.** {rate} x {gateway:.0} µs = {:.0} s of CPU time in each second. {:.0} % busy: **{} cores**, which are **{} \
         replicas** of {WORKERS:.0} workers, {} events a second each.",
        need.gateway_busy,
        BUSY * 100.0,
        whole(need.gateway_cores),
        whole(need.replicas),
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
    let Costs { broker, stored, .. } = *costs;
    let (cores, network, disk) = BROKER;
    writeln!(
        page,
        "3. **Disks of the brokers.** {rate} x {} B x {COPIES:.0} copies = {} MB/s. That is {:.0} TB a day, and {:.1} PB in the seven \
         days that are the default: keep them for less.",
        whole(stored),
        whole(need.disk / 1e6),
        need.disk * DAY / 1e12,
        need.disk * DAY * 7.0 / 1e15
    )?;
    writeln!(
        page,
        "4. **CPU of the brokers.** {rate} x {broker:.0} µs x {COPIES:.0} copies = {:.0} s in each second. {:.0} % busy: {} cores. A copy is \
         taken to cost as much as the first, which is more than it does.",
        need.broker_busy,
        BUSY * 100.0,
        whole(need.broker_cores)
    )?;
    writeln!(
        page,
        "5. **Brokers.** Their cores ask for {:.0}, their network ({:.0} Gbit/s: each event comes in once, goes from its leader to two \
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
    let grown = long.growth(|look| look.broker.unwrap_or_default());
    if grown < 1.0 {
        return Ok(());
    }
    let gigabytes = |per_second: f64, hours: f64| whole((per_second * hours * 3600.0 * grown / 1e9).ceil());
    let sizes = SIZES.map(|(name, per_second)| {
        let (long, short) = (gigabytes(per_second, 12.0), gigabytes(per_second, 2.0 / 60.0));
        format!("{name} {long} GB or {short} GB")
    });
    writeln!(
        page,
        "7. **Memory for message ids.** The long run took {grown:.0} B for each event, on each server that has a copy. A window of 12 h (the \
         default) or of 2 min takes in all: {}.",
        sizes.join(", ")
    )
}
