//! Either broker, for scenarios that do not care which one fails.

use crate::support::{
    brokers::{
        kafka::{Broker, FIXED_TOPICS, Record},
        nats::{NatsServer, Operator, Stored},
    },
    harness::Setup,
    oracle::Found,
};

/// The topics, or subjects, of a load's events.
pub const TOPICS: [&str; 2] = ["webhooks.1099policy.policy.active", "webhooks.audit1.file.processed"];

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Nats,
    Kafka,
}

/// One broker on one machine.
pub enum Either {
    Nats(NatsServer),
    Kafka(Broker),
}

impl Either {
    /// A running broker with all that events need. It takes no message above 100 kB (see [`Either::setup`]).
    pub fn start_new(kind: Kind) -> Self {
        match kind {
            Kind::Nats => {
                let server = NatsServer::start_with("max_payload: 100000");
                server.operator().create(Operator::settings());
                Either::Nats(server)
            }
            Kind::Kafka => {
                let mut broker = Broker::new();
                broker.start();
                broker.create(&[&TOPICS[..], &FIXED_TOPICS].concat());
                Either::Kafka(broker)
            }
        }
    }

    /// Starts it again.
    pub fn start(&mut self) {
        match self {
            Either::Nats(server) => server.run(),
            Either::Kafka(broker) => broker.start(),
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        match self {
            Either::Nats(server) => server.kill(),
            Either::Kafka(broker) => broker.kill(),
        }
    }

    pub fn signal(&self, signal: &str) {
        match self {
            Either::Nats(server) => server.signal(signal),
            Either::Kafka(broker) => broker.signal(signal),
        }
    }

    /// A gateway's folder, without a spool. `bus`: more keys of `[bus]`.
    pub fn setup(&self, bus: &str) -> Setup {
        match self {
            Either::Nats(server) => server.setup(bus, "ack_timeout = \"500ms\""),
            Either::Kafka(broker) => broker.setup("", bus, "properties = { \"message.max.bytes\" = 100000 }"),
        }
    }

    /// Everything on the bus.
    pub fn found(&self) -> Vec<Found> {
        match self {
            Either::Nats(server) => stored(&server.operator()),
            Either::Kafka(broker) => recorded(broker, &[&TOPICS[..], &FIXED_TOPICS].concat()),
        }
    }
}

/// Everything in the stream.
pub fn stored(operator: &Operator) -> Vec<Found> {
    let found = |message: Stored| Found {
        lane: "the stream".into(),
        key: message.attribute("partitionkey"),
        structured: message.headers.iter().any(|(name, _)| name == "content-type"),
        payload: message.payload,
    };
    operator.read().into_iter().map(found).collect()
}

/// Everything in some topics.
pub fn recorded(broker: &Broker, topics: &[&str]) -> Vec<Found> {
    let found = |topic: &str, record: Record| Found {
        lane: format!("{topic}/{}", record.partition),
        structured: record.header("content-type") == Some("application/cloudevents+json"),
        key: record.key,
        payload: record.payload,
    };
    let all = topics.iter().flat_map(|topic| broker.records(topic).into_iter().map(move |record| found(topic, record)));
    all.collect()
}
