//! What hookbus is made of, alone: bare hyper and the bare producers of the benchmark, whose CPU time it divides by.

use std::{fs, path::Path};

use crate::{
    ROUNDS, SLOW,
    bare::{self, BARE},
    callgrind::{self, Work},
    events::Forge,
    kernel::{self, Perf, Seen},
    part::Part,
    subject::{Brokers, Bus},
    window::{Server, Window},
};

/// A part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    Hyper,
    Producer(Bus),
}

/// What an event costs it.
pub struct AloneCost {
    pub part: Alone,
    /// Round by round.
    pub work: Vec<Work>,
    pub switches: f64,
    pub seen: Seen,
}

impl Alone {
    pub fn label(self) -> &'static str {
        match self {
            Alone::Hyper => bare::HYPER,
            Alone::Producer(Bus::Kafka) => bare::KAFKA,
            Alone::Producer(_) => bare::NATS,
        }
    }

    /// Its command line. `loops`: hyper's event loops.
    fn words(self, loops: &str, brokers: &mut Brokers<'_>) -> Vec<String> {
        match self {
            Alone::Hyper => Part::words("hyper", loops),
            Alone::Producer(Bus::Kafka) => Part::words("kafka", &brokers.kafka().address()),
            Alone::Producer(_) => Part::words("nats", &brokers.nats().url()),
        }
    }
}

/// hyper, and the producers of these buses.
pub fn measure(
    buses: &[Bus],
    events: usize,
    folder: &Path,
    brokers: &mut Brokers<'_>,
    forge: &mut Forge,
) -> Vec<AloneCost> {
    let producers =
        buses.iter().filter(|bus| matches!(bus, Bus::JetStream | Bus::Kafka)).map(|bus| Alone::Producer(*bus));
    if buses.contains(&Bus::Kafka) {
        brokers.kafka().create(BARE);
    }
    let parts: Vec<_> = [Alone::Hyper].into_iter().chain(producers).collect();
    parts.into_iter().map(|part| cost(part, events, folder, brokers, forge)).collect()
}

fn cost(part: Alone, events: usize, folder: &Path, brokers: &mut Brokers<'_>, forge: &mut Forge) -> AloneCost {
    let (switches, seen) = Running::start(part, &part.words("2", brokers), folder).watched(events, folder, forge);
    let words = part.words("1", brokers);
    let counted: Vec<&str> = words.iter().map(String::as_str).collect();
    let directory = folder.join(format!("{part:?}-valgrind"));
    fs::create_dir(&directory).expect("a folder");
    let mut running = Running::start(part, &callgrind::words(&counted), &directory);
    let work = (0..ROUNDS).map(|_| running.instructions(&directory, forge)).collect();
    AloneCost { part, work, switches, seen }
}

/// A part that runs.
enum Running {
    Hyper(Part, Server),
    Producer(Part),
}

impl Running {
    fn start(part: Alone, words: &[String], folder: &Path) -> Self {
        let mut running = Part::start_as(words, folder);
        match part {
            Alone::Hyper => {
                let address = running.hear().parse().expect("an address");
                let server = Server { pid: running.pid(), address };
                Running::Hyper(running, server)
            }
            Alone::Producer(_) => Running::Producer(running),
        }
    }

    /// Context switches, and what perf sees, of each event.
    fn watched(mut self, events: usize, folder: &Path, forge: &mut Forge) -> (f64, Seen) {
        match &mut self {
            Running::Hyper(_, server) => {
                let mut window = Window::open(*server, SLOW.0, events, forge);
                let before = kernel::context_switches(server.pid);
                let seen = window.watched(folder).0;
                ((kernel::context_switches(server.pid) - before) / events as f64, seen)
            }
            Running::Producer(part) => {
                prepare(part, events);
                let pid = part.pid();
                let mut perf = Perf::attach(pid, folder);
                let before = kernel::context_switches(pid);
                perf.enable();
                produce(part);
                let seen = perf.finish();
                ((kernel::context_switches(pid) - before) / events as f64, seen.each(events as f64))
            }
        }
    }

    fn instructions(&mut self, folder: &Path, forge: &mut Forge) -> Work {
        match self {
            Running::Hyper(_, server) => Window::open(*server, SLOW.0, SLOW.1, forge).instructions(folder),
            Running::Producer(part) => {
                prepare(part, SLOW.1);
                callgrind::begin(part.pid());
                produce(part);
                callgrind::taken(part.pid(), folder).each(SLOW.1 as f64)
            }
        }
    }
}

/// A producer makes its events, and publishes as many before that do not count.
fn prepare(part: &mut Part, events: usize) {
    part.tell(&format!("{events} {events} {}", SLOW.0));
    assert_eq!(part.hear(), "ready");
}

fn produce(part: &mut Part) {
    part.tell("go");
    part.hear();
}
