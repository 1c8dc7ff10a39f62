//! hookbus on one bus, as a point of a sweep wants it, with a broker of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    brokers::{KafkaBroker, NatsServer, runtime},
    hookbus::{Gateway, Setup, Shape, source},
};

/// What makes an event durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    Journal,
    JetStream,
    Kafka,
}

impl Bus {
    pub fn name(self) -> &'static str {
        match self {
            Bus::Journal => "journal",
            Bus::JetStream => "JetStream",
            Bus::Kafka => "Kafka",
        }
    }
}

/// A gateway that runs, and the broker that only it uses.
pub struct Running {
    pub gateway: Gateway,
    broker: Broker,
    shape: Shape,
    folder: PathBuf,
    /// Events that were answered 2xx.
    pub acknowledged: u64,
}

enum Broker {
    None,
    Nats(NatsServer),
    Kafka(KafkaBroker),
}

impl Running {
    /// In a folder of its own, which is `folder`.
    pub fn start(bus: Bus, shape: Shape, folder: PathBuf) -> Self {
        fs::create_dir(&folder).expect("a folder");
        let (directory, beside) = (folder.join("gateway"), folder.join("broker"));
        let (setup, broker) = match bus {
            Bus::Journal => (Setup::on_journal_as(directory, shape), Broker::None),
            Bus::JetStream => {
                let server = NatsServer::start(beside);
                (Setup::on_nats_as(directory, &server, shape), Broker::Nats(server))
            }
            Bus::Kafka => {
                let broker = KafkaBroker::start(&beside);
                (Setup::on_kafka_as(directory, &broker, shape), Broker::Kafka(broker))
            }
        };
        Running { gateway: setup.start(), broker, shape, folder, acknowledged: 0 }
    }

    pub fn broker_pid(&self) -> Option<u32> {
        match &self.broker {
            Broker::None => None,
            Broker::Nats(server) => Some(server.pid()),
            Broker::Kafka(broker) => Some(broker.pid()),
        }
    }

    /// Syncs of the embedded bus so far.
    pub fn syncs(&self) -> Option<u64> {
        matches!(self.broker, Broker::None).then(|| self.gateway.metric("hookbus_journal_fsync_duration_seconds_count"))
    }

    /// Whether each acknowledged event is stored once, and how many bytes it takes on the broker's disk.
    pub fn check(&self) -> f64 {
        let (events, bytes) = match &self.broker {
            Broker::None => {
                (self.gateway.metric("hookbus_journal_records"), self.gateway.metric("hookbus_journal_bytes"))
            }
            Broker::Nats(server) => (server.stored("WEBHOOKS"), stream_bytes(server)),
            Broker::Kafka(broker) => {
                let topic = |number| {
                    let template = self.shape.subject.expect("topics by source");
                    template.replace("{vendor}", "1099policy").replace("{source}", &source(number))
                };
                let stored = (0..self.shape.sources).map(|number| broker.stored(&topic(number))).sum();
                (stored, logs(&self.folder.join("broker/data")))
            }
        };
        assert_eq!(events, self.acknowledged, "stored and acknowledged events");
        bytes as f64 / events as f64
    }
}

/// Bytes of the stream's messages, with what the server keeps beside each.
fn stream_bytes(server: &NatsServer) -> u64 {
    runtime().block_on(async {
        let client = async_nats::connect(server.url()).await.expect("a connection");
        let stream = async_nats::jetstream::new(client).get_stream("WEBHOOKS").await.expect("a stream");
        stream.cached_info().state.bytes
    })
}

/// Bytes of the records of all topics that are not the broker's own.
fn logs(data: &Path) -> u64 {
    let entries = |folder: &Path| fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let partitions = entries(data).filter(|path| path.is_dir() && !path.to_string_lossy().contains("/__"));
    let segments = partitions.flat_map(|partition| entries(&partition).collect::<Vec<_>>());
    let logs = segments.filter(|path| path.extension().is_some_and(|end| end == "log"));
    logs.map(|path| path.metadata().expect("a file").len()).sum()
}
