//! What a real broker does too seldom to wait for, with the mock cluster that comes with librdkafka.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    error::RDKafkaErrorCode,
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use super::{publication::meaning, *};
use crate::{
    bus::{
        metrics::BusMetrics,
        outcome::{Ack, PublishError},
    },
    config::{BusKind, SourceConfig},
    envelope::{Attributes, attributes::Attribute},
    metrics::Families,
    vendors::Vendor,
};

pub(super) const TOPIC: &str = "webhooks.audit1.file.processed";
/// The topics of each cluster here.
const TOPICS: [&str; 2] = [TOPIC, "webhooks.audit1.unknown"];

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    durability::block_on(future).unwrap()
}

pub(super) type Cluster = MockCluster<'static, DefaultProducerContext>;

pub(super) fn open(prepare: impl FnOnce(&Cluster)) -> (Cluster, Kafka) {
    open_with(&[], prepare)
}

fn open_with(properties: &[(&str, &str)], prepare: impl FnOnce(&Cluster)) -> (Cluster, Kafka) {
    let cluster = MockCluster::new(1).unwrap();
    for topic in TOPICS {
        cluster.create_topic(topic, 3, 1).unwrap();
    }
    prepare(&cluster);
    let mut config = config();
    config.bus.kafka.brokers = vec![cluster.bootstrap_servers()];
    config.bus.kafka.properties =
        properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let kafka = Kafka::open(&config, BusMetrics::register(&Families::default()).unwrap()).unwrap();
    (cluster, kafka)
}

pub(super) fn config() -> Config {
    let source = SourceConfig::defaults("acme", Vendor::Audit1, "/hook", vec![PathBuf::from("none")]);
    Config::defaults(BusKind::Kafka, vec![source])
}

pub(super) fn message(topic: &str, number: usize) -> Message {
    let mut attributes = Attributes::with_capacity(0);
    for (attribute, value) in [
        (Attribute::Id, format!("evt_{number}")),
        (Attribute::DataContentType, "application/json".into()),
        (Attribute::Vendor, "audit1".into()),
        (Attribute::PartitionKey, "audit1/acme/1".into()),
        (Attribute::Route, topic.into()),
    ] {
        attributes.push(attribute, &value);
    }
    Message { attributes, body: Bytes::from_static(b"{}") }
}

/// Publishes until it works; what came before.
fn publish_until_stored(kafka: &Kafka) -> Vec<PublishError> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut errors = Vec::new();
    loop {
        match block_on(kafka.publish(&message(TOPIC, 1))) {
            Ok(_) => return errors,
            Err(error) => errors.push(error),
        }
        assert!(Instant::now() < deadline, "{errors:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_producer_that_failed_for_good_is_replaced() {
    let (_cluster, kafka) = open(|cluster| {
        let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
        cluster.request_errors(RDKafkaApiKey::InitProducerId, &[refused]);
        // No topic is missing, so that one look is enough, and the producer is still the first.
        for topic in topics::expected(&config()).iter().filter(|topic| !TOPICS.contains(&topic.as_str())) {
            cluster.create_topic(topic, 1, 1).unwrap();
        }
    });
    let first = Arc::as_ptr(&kafka.0.shared.producer.load_full());
    // Nothing hangs, and nothing but a new producer mends it.
    publish_until_stored(&kafka);
    assert_ne!(Arc::as_ptr(&kafka.0.shared.producer.load_full()), first);
    kafka.close();
}

/// An event that is under way when its producer fails is given back, and what comes later is stored.
#[test]
fn an_event_in_a_failed_producer_is_given_back() {
    let (cluster, kafka) = open(|_| ());
    publish_until_stored(&kafka);
    let disorder = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    cluster.request_errors(RDKafkaApiKey::Produce, &[disorder; 4]);
    let first = Arc::as_ptr(&kafka.0.shared.producer.load_full());
    assert_eq!(block_on(kafka.publish(&message(TOPIC, 2))), Err(PublishError::Error));
    cluster.clear_request_errors(RDKafkaApiKey::Produce);
    publish_until_stored(&kafka);
    assert_ne!(Arc::as_ptr(&kafka.0.shared.producer.load_full()), first);
    kafka.close();
}

/// An error that passes stays inside the client: it sends again, and the caller gets an acknowledgement.
#[test]
fn passing_errors_are_not_the_callers() {
    let (cluster, kafka) = open(|_| ());
    publish_until_stored(&kafka);
    let passing = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    ];
    cluster.request_errors(RDKafkaApiKey::Produce, &passing);
    assert_eq!(block_on(kafka.publish(&message(TOPIC, 2))), Ok(Ack::Stored));
    kafka.close();
}

/// Brokers that answer each question, and take no event, are not up.
#[test]
fn a_broker_without_enough_replicas_is_not_up() {
    let (cluster, kafka) = open(|_| ());
    publish_until_stored(&kafka);
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 1000]);
    let waiting = kafka.publish(&message(TOPIC, 2));
    let wait_for = |up| {
        let deadline = Instant::now() + Duration::from_secs(40);
        while kafka.up() != up {
            assert!(Instant::now() < deadline, "never up = {up}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    wait_for(false);
    cluster.clear_request_errors(RDKafkaApiKey::Produce);
    assert_eq!(block_on(waiting), Ok(Ack::Stored));
    wait_for(true);
    kafka.close();
}

#[test]
fn a_full_queue_refuses_at_once_and_takes_again() {
    let (cluster, kafka) = open_with(&[("queue.buffering.max.messages", "10")], |_| ());
    block_on(kafka.publish(&message(TOPIC, 0))).unwrap();
    cluster.broker_down(1).unwrap();
    let begin = Instant::now();
    let waiting: Vec<_> = (0..11).map(|number| kafka.publish(&message(TOPIC, number))).collect();
    assert!(begin.elapsed() < Duration::from_secs(1));
    let mut waiting = waiting.into_iter();
    let eleventh = waiting.next_back().unwrap();
    assert_eq!(block_on(eleventh), Err(PublishError::Refused));
    cluster.broker_up(1).unwrap();
    let ends: Vec<_> = waiting.map(block_on).collect();
    // The client gives the place of the acknowledged message back a moment after it has told of it.
    let (taken, tenth) = ends.split_at(9);
    assert!(taken.iter().all(|end| *end == Ok(Ack::Stored)), "{ends:?}");
    assert!(matches!(tenth, [Ok(Ack::Stored) | Err(PublishError::Refused)]), "{ends:?}");
    kafka.close();
}

#[test]
fn every_error_has_its_meaning() {
    use RDKafkaErrorCode as Code;
    for (code, error) in [
        (Code::QueueFull, PublishError::Refused),
        (Code::Fatal, PublishError::Error),
        (Code::MessageSizeTooLarge, PublishError::TooLarge),
        (Code::TopicAuthorizationFailed, PublishError::Unauthorized),
        (Code::MessageTimedOut, PublishError::Timeout),
        (Code::UnknownTopic, PublishError::Unroutable),
        (Code::PurgeQueue, PublishError::Error),
        (Code::PurgeInflight, PublishError::Error),
        (Code::InvalidRecord, PublishError::Rejected),
        (Code::InvalidTimestamp, PublishError::Rejected),
        (Code::InvalidTopic, PublishError::Uncovered),
        (Code::ClusterAuthorizationFailed, PublishError::Refused),
        (Code::NotEnoughReplicas, PublishError::Error),
    ] {
        assert_eq!(meaning(Some(code)), error, "{code:?}");
    }
    assert_eq!(meaning(None), PublishError::Error);
}

/// What was never handed over comes again, but for what it is itself and what its topic's rights are.
#[test]
fn an_event_that_the_client_does_not_take_is_neither_unknown_nor_given_up() {
    use RDKafkaErrorCode as Code;
    let (_cluster, kafka) = open(|_| ());
    for (code, error) in [
        (Some(Code::QueueFull), PublishError::Refused),
        (Some(Code::Fatal), PublishError::Refused),
        (Some(Code::UnknownPartition), PublishError::Refused),
        (Some(Code::MessageTimedOut), PublishError::Refused),
        (Some(Code::UnknownTopic), PublishError::Uncovered),
        (Some(Code::UnknownTopicOrPartition), PublishError::Uncovered),
        (Some(Code::MessageSizeTooLarge), PublishError::TooLarge),
        (Some(Code::TopicAuthorizationFailed), PublishError::Unauthorized),
        (None, PublishError::Refused),
    ] {
        assert_eq!(kafka.0.shared.not_taken(code), error, "{code:?}");
    }
    kafka.close();
}

/// The client takes a topic for gone after one answer without it.
#[test]
fn a_topic_that_one_answer_leaves_out_is_not_given_up() {
    let (cluster, kafka) = open_with(&[("topic.metadata.propagation.max.ms", "0")], |_| ());
    publish_until_stored(&kafka);
    cluster.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut seen = Vec::new();
    // The second look ends it: then there is a catch-all.
    while kafka.0.shared.topics.load().as_ref().is_some_and(|known| known.contains(TOPIC)) {
        seen.push(block_on(kafka.publish(&message(TOPIC, 1))));
        assert!(Instant::now() < deadline, "{seen:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!seen.contains(&Err(PublishError::Unroutable)), "{seen:?}");
    assert!(seen.contains(&Err(PublishError::Uncovered)), "{seen:?}");
    kafka.close();
}
