//! The subjects: what is measured, each running in a process of its own for the whole bench, one window at a time.

use std::{net::SocketAddr, path::Path};

use crate::{
    bare::{self, BARE},
    brokers::{KafkaBroker, NatsServer},
    events::{Forge, TYPE},
    hookbus::{Gateway, Setup},
    load::Load,
    part::Part,
    process::{cpu_seconds, forget_peak, peak_rss},
    quantiles::Latencies,
    stolen::Stolen,
};

/// Everything that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    BareHyper,
    BareNats,
    BareKafka,
    Journal,
    JetStream,
    Kafka,
    Spool,
}

impl Kind {
    pub const ALL: [Kind; 7] =
        [Kind::BareHyper, Kind::BareNats, Kind::BareKafka, Kind::Journal, Kind::JetStream, Kind::Kafka, Kind::Spool];

    pub fn label(self) -> &'static str {
        match self {
            Kind::BareHyper => bare::HYPER,
            Kind::BareNats => bare::NATS,
            Kind::BareKafka => bare::KAFKA,
            Kind::Journal => "hookbus, journal",
            Kind::JetStream => "hookbus, JetStream",
            Kind::Kafka => "hookbus, Kafka",
            Kind::Spool => "hookbus, spool (broker stopped)",
        }
    }

    pub fn is_hookbus(self) -> bool {
        matches!(self, Kind::Journal | Kind::JetStream | Kind::Kafka | Kind::Spool)
    }

    pub fn speaks_http(self) -> bool {
        self.is_hookbus() || self == Kind::BareHyper
    }
}

/// The brokers that the subjects publish to.
pub struct Brokers {
    pub nats: NatsServer,
    pub kafka: KafkaBroker,
    /// The one that is stopped while the spool is measured.
    pub stopped: NatsServer,
}

impl Brokers {
    pub fn start(directory: &Path) -> Self {
        Brokers {
            kafka: KafkaBroker::start(&directory.join("kafka")),
            nats: NatsServer::start(directory.join("nats")),
            stopped: NatsServer::start(directory.join("stopped")),
        }
    }
}

/// One window's size.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Connections, or publications in flight.
    pub parallel: usize,
    pub events: usize,
}

impl Size {
    /// Events before the clock starts.
    fn warm_up(self) -> usize {
        (self.events / 20).max(self.parallel * 2)
    }
}

/// What one window gave.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub per_second: f64,
    pub latencies: Latencies,
    /// CPU seconds per 100,000 events, of the subject and of its broker.
    pub cpu: f64,
    pub broker_cpu: Option<f64>,
    pub peak_rss: u64,
    pub refused: usize,
}

/// What one window of an open loop gave.
#[derive(Debug, Clone, Copy)]
pub struct Paced {
    pub latencies: Latencies,
    /// The generator's own delay in sending at 99 %, milliseconds.
    pub late: f64,
    /// The share of the time in which the generator was busy.
    pub busy: f64,
    /// The share of the cores' time that the hypervisor gave to others.
    pub stolen: f64,
    pub refused: usize,
}

/// A running subject.
pub struct Subject {
    pub kind: Kind,
    door: Door,
    broker: Option<u32>,
    /// Events it has acknowledged.
    acknowledged: u64,
}

enum Door {
    Hyper(Part, SocketAddr),
    Producer(Part),
    Hookbus(Gateway),
}

impl Subject {
    pub fn start(kind: Kind, directory: &Path, brokers: &mut Brokers) -> Self {
        let directory = directory.join(format!("{kind:?}"));
        let (door, broker) = match kind {
            Kind::BareHyper => {
                let mut part = Part::start("hyper", "");
                let address = part.hear().parse().expect("an address");
                (Door::Hyper(part, address), None)
            }
            Kind::BareNats => (Door::Producer(Part::start("nats", &brokers.nats.url())), Some(brokers.nats.pid())),
            Kind::BareKafka => {
                brokers.kafka.create(BARE);
                (Door::Producer(Part::start("kafka", &brokers.kafka.address())), Some(brokers.kafka.pid()))
            }
            Kind::Journal => (Door::Hookbus(Setup::on_journal(directory).start()), None),
            Kind::JetStream => {
                let gateway = Setup::on_nats(directory, &brokers.nats).start();
                (Door::Hookbus(gateway), Some(brokers.nats.pid()))
            }
            Kind::Kafka => {
                let gateway = Setup::on_kafka(directory, &brokers.kafka).start();
                (Door::Hookbus(gateway), Some(brokers.kafka.pid()))
            }
            Kind::Spool => {
                let gateway = Setup::on_nats(directory, &brokers.stopped).start();
                brokers.stopped.stop();
                (Door::Hookbus(gateway), None)
            }
        };
        Subject { kind, door, broker, acknowledged: 0 }
    }

    pub fn pid(&self) -> u32 {
        match &self.door {
            Door::Hyper(part, _) | Door::Producer(part) => part.pid(),
            Door::Hookbus(gateway) => gateway.pid(),
        }
    }

    /// Sends a window's events through it.
    pub fn measure(&mut self, size: Size, forge: &mut Forge) -> Window {
        let (pid, broker) = (self.pid(), self.broker);
        forget_peak(pid);
        let cpu = || (cpu_seconds(pid), broker.map(cpu_seconds));
        let (before, seconds, latencies, refused) = match &mut self.door {
            Door::Producer(part) => {
                part.tell(&format!("{} {} {}", size.warm_up(), size.events, size.parallel));
                assert_eq!(part.hear(), "ready");
                let before = cpu();
                part.tell("go");
                let numbers: Vec<f64> = part.hear().split(' ').map(|word| word.parse().expect("a number")).collect();
                let [seconds, p50, p99, p999] = numbers[..] else { panic!("four numbers, not {numbers:?}") };
                (before, seconds, Latencies { p50, p99, p999 }, 0)
            }
            Door::Hyper(_, address) | Door::Hookbus(Gateway { address, .. }) => {
                let (warm_up, requests) = (forge.requests(size.warm_up()), forge.requests(size.events));
                let mut load = Load::open(*address, size.parallel);
                let warmed = load.run(warm_up);
                let before = cpu();
                let run = load.run(requests);
                (before, run.seconds, Latencies::of(run.latencies), warmed.refused + run.refused)
            }
        };
        let after = cpu();
        self.acknowledged += (size.warm_up() + size.events - refused) as u64;
        let per_100k = 1e5 / size.events as f64;
        Window {
            per_second: size.events as f64 / seconds,
            latencies,
            cpu: (after.0 - before.0) * per_100k,
            broker_cpu: after.1.zip(before.1).map(|(after, before)| (after - before) * per_100k),
            peak_rss: peak_rss(pid),
            refused,
        }
    }

    /// Offers it so many events a second for a while.
    pub fn pace(&mut self, connections: usize, per_second: f64, seconds: f64, forge: &mut Forge) -> Paced {
        let address = match &self.door {
            Door::Hyper(_, address) | Door::Hookbus(Gateway { address, .. }) => *address,
            Door::Producer(_) => panic!("{} speaks no HTTP", self.kind.label()),
        };
        let events = (per_second * seconds).ceil() as usize;
        let size = Size { parallel: connections, events };
        let (warm_up, requests) = (forge.requests(size.warm_up()), forge.requests(events));
        let mut load = Load::open(address, connections);
        let warmed = load.run(warm_up);
        let stolen = Stolen::begin();
        let run = load.run_at(per_second, requests);
        let stolen = stolen.share();
        let refused = warmed.refused + run.refused;
        self.acknowledged += (size.warm_up() + events - refused) as u64;
        let (latencies, late) = (Latencies::of(run.latencies), Latencies::of(run.late).p99);
        Paced { latencies, late, busy: run.busy, stolen, refused }
    }

    /// Whether what it has acknowledged is stored, each event once: nothing it said was for show.
    pub fn check(&self, brokers: &Brokers) {
        let stored = match (self.kind, &self.door) {
            (Kind::BareNats, _) => brokers.nats.stored(BARE),
            (Kind::BareKafka, _) => brokers.kafka.stored(BARE),
            (Kind::JetStream, _) => brokers.nats.stored("WEBHOOKS"),
            (Kind::Kafka, _) => brokers.kafka.stored(&format!("webhooks.1099policy.{TYPE}")),
            (_, Door::Hookbus(gateway)) => gateway.metric("hookbus_journal_records"),
            _ => return,
        };
        assert_eq!(stored, self.acknowledged, "{}: stored and acknowledged events", self.kind.label());
    }

    /// Events it has acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }
}
