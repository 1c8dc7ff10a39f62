//! hookbus on one bus, started so that it can be looked into.

use std::path::Path;

use crate::{
    brokers::{KafkaBroker, NatsServer},
    callgrind, copied,
    hookbus::{BINARY, Gateway, Setup},
};

/// What makes an event durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    Journal,
    JetStream,
    Kafka,
    /// The spool: in front of a JetStream that is stopped.
    Spool,
}

impl Bus {
    pub const ALL: [Bus; 4] = [Bus::Journal, Bus::JetStream, Bus::Kafka, Bus::Spool];

    /// As the budgets call it.
    pub fn name(self) -> &'static str {
        match self {
            Bus::Journal => "journal",
            Bus::JetStream => "jetstream",
            Bus::Kafka => "kafka",
            Bus::Spool => "spool",
        }
    }
}

/// How hookbus is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// This program: hookbus with an allocator that counts.
    Counted,
    /// The binary with copies that are counted, which slows it down.
    Copied,
    /// The binary with one worker, under valgrind.
    Callgrind,
}

/// The brokers, each started when a bus first needs it.
pub struct Brokers<'a> {
    folder: &'a Path,
    nats: Option<NatsServer>,
    kafka: Option<KafkaBroker>,
}

impl<'a> Brokers<'a> {
    pub fn in_folder(folder: &'a Path) -> Self {
        Brokers { folder, nats: None, kafka: None }
    }

    pub fn nats(&mut self) -> &NatsServer {
        self.nats.get_or_insert_with(|| NatsServer::start(self.folder.join("nats-server")))
    }

    pub fn kafka(&mut self) -> &KafkaBroker {
        self.kafka.get_or_insert_with(|| KafkaBroker::start(&self.folder.join("kafka-broker")))
    }

    /// A gateway with a folder of its own, which is `directory`.
    pub fn start(&mut self, bus: Bus, manner: Manner, directory: &Path) -> Gateway {
        let own = directory.to_owned();
        match bus {
            Bus::Journal => manner.start(Setup::on_journal(own)),
            Bus::JetStream => manner.start(Setup::on_nats(own, self.nats())),
            Bus::Kafka => manner.start(Setup::on_kafka(own, self.kafka())),
            Bus::Spool => {
                // Stopped when it is dropped, which is here.
                let server = NatsServer::start(directory.with_extension("stopped"));
                manner.start(Setup::on_nats(own, &server))
            }
        }
    }
}

impl Manner {
    fn start(self, setup: Setup) -> Gateway {
        let program = std::env::current_exe().expect("this program");
        let words = match self {
            Manner::Counted => vec![program.to_str().expect("a path in UTF-8").to_owned(), "serve".to_owned()],
            Manner::Copied => copied::words(BINARY),
            Manner::Callgrind => callgrind::words(&[BINARY, "serve"]),
        };
        setup.start_as(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }
}
