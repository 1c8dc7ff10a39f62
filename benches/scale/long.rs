//! A long run: does memory grow with the number of events?

use std::path::Path;

use crate::{
    bus::{Bus, Running},
    events::Forge,
    hookbus::Shape,
    load::Load,
    process::memory,
    sweep::CONNECTIONS,
};

/// Memory now.
const RSS: &str = "VmRSS:";
/// Looks at the memory in a run.
pub const LOOKS: usize = 20;
/// From so many bytes for each event on, memory grows with the number of events.
pub const GREW: f64 = 1.0;

/// One bus.
#[derive(Debug)]
pub struct Long {
    pub bus: Bus,
    /// One after the other.
    pub looks: Vec<Look>,
}

/// Memory after so many events, bytes.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub events: u64,
    pub gateway: u64,
    pub broker: Option<u64>,
}

impl Long {
    /// Bytes by which what `value` reads grew in the second half of the run, for each event. In the first half buffers and the
    /// memory of recent events may still fill.
    pub fn growth(&self, value: impl Fn(&Look) -> u64) -> f64 {
        let (from, to) = (&self.looks[self.looks.len() / 2 - 1], &self.looks[self.looks.len() - 1]);
        let grown = i128::from(value(to)) - i128::from(value(from));
        grown as f64 / (to.events - from.events) as f64
    }

    /// The same of the broker.
    pub fn broker_growth(&self) -> f64 {
        self.growth(|look| look.broker.unwrap_or_default())
    }
}

/// Sends so many events, and looks at the memory 20 times.
pub fn run(bus: Bus, events: usize, folder: &Path, forge: &mut Forge) -> Long {
    let running = Running::start(bus, Shape::default(), folder.join(format!("long-{}", bus.name())));
    let mut load = Load::open(running.gateway.address, CONNECTIONS);
    let (part, mut looks) = (events / LOOKS, Vec::new());
    for number in 1..=LOOKS {
        let refused = load.run(forge.requests(part)).refused;
        assert_eq!(refused, 0, "answers other than 2xx");
        let look = Look {
            events: (part * number) as u64,
            gateway: memory(running.gateway.pid(), RSS),
            broker: running.broker_pid().map(|pid| memory(pid, RSS)),
        };
        eprintln!("long run: {:<9} {:>9} events, {} MiB", bus.name(), look.events, look.gateway >> 20);
        looks.push(look);
    }
    // The embedded bus lets its oldest events go when `journal.max_size` is reached, so what is stored says nothing here.
    Long { bus, looks }
}
