//! Windows: a point's events go through its gateway while the clocks run.

use std::path::Path;

use crate::{
    body::body,
    bus::{Bus, Running},
    events::{Batch, Forge, path},
    kernel::context_switches,
    load::Load,
    process::{cpu_seconds, forget_peak, peak_rss},
    spread::Spread,
    sweep::{Point, Sweep},
    words::microseconds,
};

/// Events before anything counts: a broker whose code is not compiled yet is ten times dearer, and so is the first use of
/// each of its partitions.
const FIRST: usize = 10_000;

/// What one window gave. Counts are per event.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub per_second: f64,
    /// CPU seconds per 100,000 events, of the gateway and of its broker.
    pub cpu: f64,
    pub broker_cpu: Option<f64>,
    pub switches: f64,
    /// Events that one sync of the embedded bus made durable.
    pub group: Option<f64>,
    pub peak_rss: u64,
}

/// One bus in a sweep.
#[derive(Debug)]
pub struct Series {
    pub bus: Bus,
    /// Of each point, round by round.
    pub windows: Vec<Vec<Window>>,
    /// Bytes that an event takes where it is stored, of each point.
    pub stored: Vec<f64>,
}

impl Series {
    /// One value of a point, over all rounds.
    pub fn at(&self, point: usize, value: impl Fn(&Window) -> f64) -> Spread {
        Spread::of(self.windows[point].iter().map(value))
    }

    /// A point's CPU time over that of the base, round by round.
    pub fn ratio(&self, point: usize, base: usize) -> Spread {
        self.ratio_of(point, base, |window| window.cpu)
    }

    /// One value of a point over that of the base, round by round.
    pub fn ratio_of(&self, point: usize, base: usize, value: impl Fn(&Window) -> f64) -> Spread {
        let both = self.windows[point].iter().zip(&self.windows[base]);
        Spread::of(both.map(|(window, base)| value(window) / value(base)))
    }

    pub fn microseconds(&self, point: usize) -> f64 {
        microseconds(self.at(point, |window| window.cpu).median)
    }
}

/// All points of a sweep in turn, round by round, each round beginning with another one.
pub fn measure(sweep: &Sweep, rounds: usize, is_smoke: bool, folder: &Path, forge: &mut Forge) -> Vec<Series> {
    let places: Vec<(Bus, Point)> =
        sweep.buses.iter().flat_map(|bus| sweep.points.iter().map(|point| (*bus, *point))).collect();
    let mut running: Vec<Running> = places
        .iter()
        .map(|(bus, point)| {
            let name = format!("{:?}-{}-{}", sweep.what, bus.name(), point.value);
            let mut running = Running::start(*bus, point.shape, folder.join(name));
            if !is_smoke {
                send(&mut running, Point { events: point.events.min(FIRST), ..*point }, forge);
            }
            running
        })
        .collect();
    let mut windows: Vec<Vec<Window>> = places.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for turn in 0..places.len() {
            let place = (round + turn) % places.len();
            let (bus, point) = places[place];
            let window = send(&mut running[place], point, forge);
            eprintln!(
                "{}, round {}: {:<9} {:>8} {:>7.0} events/s, {:.2} CPU s / 100k",
                sweep.what.title(),
                round + 1,
                bus.name(),
                sweep.what.label(point.value),
                window.per_second,
                window.cpu
            );
            windows[place].push(window);
        }
    }
    let stored: Vec<f64> = running.iter().map(Running::check).collect();
    let points = sweep.points.len();
    let series = |(number, bus): (usize, &Bus)| Series {
        bus: *bus,
        windows: windows[number * points..(number + 1) * points].to_vec(),
        stored: stored[number * points..(number + 1) * points].to_vec(),
    };
    sweep.buses.iter().enumerate().map(series).collect()
}

/// A point's requests, its sources in turn.
fn requests(point: Point, count: usize, forge: &mut Forge) -> Batch {
    forge.requests_of(count, |forge, number| (path(number % point.shape.sources), body(forge, point.body)))
}

/// One window, after a twentieth of it that does not count.
fn send(running: &mut Running, point: Point, forge: &mut Forge) -> Window {
    let warm_up = (point.events / 20).max(point.connections * 2);
    let (first, all) = (requests(point, warm_up, forge), requests(point, point.events, forge));
    let (pid, broker) = (running.gateway.pid(), running.broker_pid());
    let mut load = Load::open(running.gateway.address, point.connections);
    forget_peak(pid);
    assert_eq!(load.run(first).refused, 0, "answers other than 2xx");
    let look = || (cpu_seconds(pid), broker.map(cpu_seconds), context_switches(pid));
    // Outside of what is counted: a gateway of many sources has a long list of metrics.
    let syncs_before = running.syncs();
    let before = look();
    let run = load.run(all);
    let after = look();
    let syncs = running.syncs().zip(syncs_before).map(|(after, before)| after - before);
    assert_eq!(run.refused, 0, "answers other than 2xx");
    let events = point.events as f64;
    let window = Window {
        per_second: events / run.seconds,
        cpu: (after.0 - before.0) * 1e5 / events,
        broker_cpu: after.1.zip(before.1).map(|(after, before)| (after - before) * 1e5 / events),
        switches: (after.2 - before.2) / events,
        group: syncs.map(|syncs| events / syncs.max(1) as f64),
        peak_rss: peak_rss(pid),
    };
    running.acknowledged += (warm_up + point.events) as u64;
    window
}
