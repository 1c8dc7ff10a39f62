//! The producer: librdkafka's, a thread that takes its reports, and the lanes in front of it.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::ArcSwap;
use rdkafka::{
    ClientConfig,
    error::{KafkaResult, RDKafkaErrorCode},
    metadata::{Metadata, MetadataTopic},
    producer::{BaseProducer, BaseRecord, Producer as _, PurgeConfig},
};
use tokio::sync::oneshot;

use super::{
    context::Context,
    lanes::{Client, Lane, Lanes, NotProduced, Outgoing, Report, Ticket, Waiting},
    partitioner::partition,
    settings::{OpenError, queue_bounds},
    signal::Signal,
};
use crate::bus::metrics::BusMetrics;

/// Between two looks at whether the thread must end.
const POLL: Duration = Duration::from_millis(100);

/// librdkafka's producer with its thread and its lanes; dropping it ends the thread.
pub(super) struct Producer {
    client: Arc<BaseProducer<Context>>,
    lanes: ArcSwap<Lanes>,
    waiting: Arc<Waiting>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Producer {
    /// # Errors
    /// librdkafka refuses the settings, or there is no thread left.
    pub(super) fn new(settings: &ClientConfig, signal: Arc<Signal>, metrics: BusMetrics) -> Result<Self, OpenError> {
        let waiting = Arc::new(Waiting::within(queue_bounds(settings)?));
        let context = Context::new(signal, metrics, Arc::clone(&waiting));
        let client: Arc<BaseProducer<Context>> = Arc::new(settings.create_with_context(context)?);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = take_reports(Arc::clone(&client), Arc::clone(&stop))?;
        Ok(Producer { client, lanes: ArcSwap::default(), waiting, stop, thread: Some(thread) })
    }

    /// Takes an event on its way to a topic. The report comes through what it returns.
    ///
    /// # Errors
    /// It was not handed over.
    pub(super) fn send(
        &self,
        topic: &str,
        event: Outgoing<'_>,
    ) -> Result<oneshot::Receiver<Report>, Option<RDKafkaErrorCode>> {
        let (report, reported) = oneshot::channel();
        let lanes = self.lanes.load();
        match lanes.get(topic) {
            Some(lanes) => {
                lanes[partition(event.key.as_bytes(), lanes.len())].hand_over(&*self.client, event, report)?;
            }
            None => self.client.produce(topic, event, Ticket::new(report)).map_err(|(code, _ticket)| code)?,
        }
        Ok(reported)
    }

    /// Brokers have told which partitions these topics have.
    pub(super) fn told(&self, metadata: &Metadata, topics: &BTreeSet<String>) {
        let before = self.lanes.load();
        let count = |topic: &MetadataTopic| topic.partitions().len();
        let told = metadata.topics().iter().filter(|topic| 0 < count(topic) && topics.contains(topic.name()));
        let told: Vec<_> = told.map(|topic| (topic.name(), count(topic))).collect();
        if told.iter().all(|(topic, count)| before.get(*topic).is_some_and(|lanes| lanes.len() == *count)) {
            return;
        }
        let mut lanes = Lanes::clone(&before);
        for (topic, count) in told {
            let known = before.get(topic);
            if known.is_some_and(|known| known.len() == count) {
                continue;
            }
            // Other lanes from here on: no event may overtake one that waits in these.
            known.into_iter().flatten().for_each(Lane::let_all_through);
            let topic: Arc<str> = topic.into();
            let client: Weak<dyn Client> = Arc::<BaseProducer<Context>>::downgrade(&self.client);
            let new = || Lane::new(Arc::clone(&topic), Weak::clone(&client), Arc::clone(&self.waiting));
            lanes.insert(Arc::clone(&topic), (0..count).map(|_| new()).collect());
        }
        self.lanes.store(Arc::new(lanes));
    }

    /// For questions to brokers.
    pub(super) fn client(&self) -> &rdkafka::client::Client<Context> {
        self.client.client()
    }

    /// Events without a report.
    pub(super) fn under_way(&self) -> usize {
        usize::try_from(self.client.in_flight_count()).unwrap_or(0) + self.waiting.events()
    }

    /// Waits until every event has its report.
    ///
    /// # Errors
    /// Not within `limit`.
    pub(super) fn flush(&self, limit: Duration) -> KafkaResult<()> {
        self.lanes.load().values().flatten().for_each(Lane::let_all_through);
        self.client.flush(limit)
    }

    /// Gives every event back.
    pub(super) fn give_back(&self, limit: Duration) {
        self.lanes.load().values().flatten().for_each(|lane| lane.give_back());
        self.client.purge(PurgeConfig::default().queue().inflight());
        // Whatever comes of it, every event has its report.
        let _reported = self.client.flush(limit);
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.lanes.load().values().flatten().for_each(|lane| lane.give_back());
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // One that panicked has nothing left to take.
            let _panicked = thread.join();
        }
    }
}

impl Client for BaseProducer<Context> {
    fn produce(&self, topic: &str, event: Outgoing<'_>, ticket: Box<Ticket>) -> Result<(), NotProduced> {
        let record = BaseRecord::with_opaque_to(topic, ticket).key(&*event.key).payload(&event.payload[..]);
        self.send(record.headers(event.headers))
            .map_err(|(error, record)| (error.rdkafka_error_code(), record.delivery_opaque))
    }
}

fn take_reports(client: Arc<BaseProducer<Context>>, stop: Arc<AtomicBool>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("kafka-reports".into()).spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            client.poll(POLL);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Instant};

    use super::{
        super::{
            lanes::Failed,
            settings,
            tests::{Cluster, TOPIC, block_on, config, open},
        },
        *,
    };
    use crate::metrics::Families;

    /// How long each answer of the broker takes.
    const ROUND_TRIP: Duration = Duration::from_millis(300);

    fn producer_at(cluster: &Cluster) -> Producer {
        let mut config = config().bus.kafka;
        config.brokers = vec![cluster.bootstrap_servers()];
        let metrics = BusMetrics::register(&Families::default()).unwrap();
        Producer::new(&settings::producer(&config).unwrap(), Arc::default(), metrics).unwrap()
    }

    fn tell(producer: &Producer, metadata: &Metadata) {
        producer.told(metadata, &[TOPIC.to_owned()].into());
    }

    fn metadata(producer: &Producer) -> Metadata {
        producer.client().fetch_metadata(None, Duration::from_secs(10)).unwrap()
    }

    /// A producer that knows its lanes, at a broker that is slow from here on.
    fn producer() -> (Cluster, Producer) {
        let (cluster, kafka) = open(|_| ());
        kafka.close();
        let producer = producer_at(&cluster);
        tell(&producer, &metadata(&producer));
        // Its first event asks for an id of the producer, too.
        assert_eq!(offsets(vec![send(&producer, "first")]), [0]);
        cluster.broker_round_trip_time(1, ROUND_TRIP).unwrap();
        (cluster, producer)
    }

    fn send(producer: &Producer, key: &str) -> oneshot::Receiver<Report> {
        let headers = rdkafka::message::OwnedHeaders::new();
        producer.send(TOPIC, Outgoing { key: key.into(), payload: b"{}".into(), headers }).unwrap()
    }

    /// Of events of one key.
    fn offsets(reports: Vec<oneshot::Receiver<Report>>) -> Vec<i64> {
        let mut partitions = HashSet::new();
        let reports = reports.into_iter().map(|report| block_on(report).unwrap().unwrap());
        let offsets = reports.map(|(partition, offset)| (partitions.insert(partition), offset).1).collect();
        assert_eq!(partitions.len(), 1);
        offsets
    }

    #[test]
    fn what_may_not_be_sent_yet_waits_outside_and_keeps_its_order() {
        let (_cluster, producer) = producer();
        let reports: Vec<_> = (0..40).map(|_| send(&producer, "first")).collect();
        assert_eq!(producer.waiting.events(), 35);
        // Those of another partition do not wait for them.
        let other = (0..100).map(|n| n.to_string()).find(|key| partition(key.as_bytes(), 3) != partition(b"first", 3));
        let other = send(&producer, &other.unwrap());
        assert_eq!(producer.waiting.events(), 35);
        assert_eq!(offsets(reports), (1..=40).collect::<Vec<_>>());
        block_on(other).unwrap().unwrap();
        assert_eq!((producer.waiting.events(), producer.waiting.bytes()), (0, 0));
    }

    /// Here the topic has other partitions at another cluster.
    #[test]
    fn what_waits_goes_over_before_other_lanes_take_their_place() {
        let (_cluster, producer) = producer();
        let other = Cluster::new(1).unwrap();
        other.create_topic(TOPIC, 7, 1).unwrap();
        let (same, other) = (metadata(&producer), metadata(&producer_at(&other)));
        let mut reports: Vec<_> = (0..10).map(|_| send(&producer, "first")).collect();
        tell(&producer, &same);
        assert_eq!(producer.waiting.events(), 5, "the same lanes");
        tell(&producer, &other);
        assert_eq!((producer.waiting.events(), producer.lanes.load()[TOPIC].len()), (0, 7));
        reports.extend((0..10).map(|_| send(&producer, "first")));
        assert_eq!(offsets(reports), (1..=20).collect::<Vec<_>>());
    }

    #[test]
    fn a_producer_that_is_given_up_gives_back_what_waits() {
        let (cluster, producer) = producer();
        cluster.broker_down(1).unwrap();
        let mut reports: Vec<_> = (0..8).map(|_| send(&producer, "first")).collect();
        producer.give_back(Duration::from_secs(5));
        let last = reports.split_off(5);
        for report in last {
            assert!(matches!(block_on(report).unwrap(), Err(Failed::NotTaken(Some(RDKafkaErrorCode::QueueFull)))));
        }
        for report in reports {
            assert!(matches!(block_on(report).unwrap(), Err(Failed::Reported(Some(_), _))), "it may be stored");
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while producer.under_way() != 0 {
            assert!(Instant::now() < deadline, "{} are left", producer.under_way());
            thread::sleep(Duration::from_millis(10));
        }
    }
}
