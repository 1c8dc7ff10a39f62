//! Lanes: one for each partition, in front of librdkafka, which is given no event that it may not send yet.
//!
//! In: the events of a partition. Out: the same to librdkafka, in their order. An idempotent producer of librdkafka sends a
//! partition nothing more while five events are under way there, and the broker's thread in it spins until their reports come
//! (`rd_kafka_toppar_producer_serve` in 2.12.1: the event that waits is due, so the poll's time-out is zero). Here the others
//! wait at no cost, and go over in one group, which may be one request, as soon as fewer than five are under way.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use rdkafka::{
    error::RDKafkaErrorCode,
    message::{OwnedHeaders, OwnedMessage},
};
use tokio::sync::oneshot;

use super::settings::{BATCH_SIZE, QueueBounds};

/// Events under way on a partition from which on librdkafka holds the next one back (`RD_KAFKA_IDEMP_MAX_INFLIGHT`).
const MOST_UNDER_WAY: usize = 5;
/// What an event takes beside its payload, at most, bytes: its headers and its key.
const WEIGHT: usize = 2 << 10;
/// Events that an empty lane keeps room for.
const ROOM: usize = 32;

/// librdkafka's producer.
pub(super) trait Client: Send + Sync {
    /// Gives it an event, which it copies.
    fn produce(&self, topic: &str, event: Outgoing<'_>, ticket: Box<Ticket>) -> Result<(), NotProduced>;
}

/// Why, and the ticket back.
pub(super) type NotProduced = (Option<RDKafkaErrorCode>, Box<Ticket>);

/// Where an event was stored, partition and offset, or why it was not.
pub(super) type Report = Result<(i32, i64), Failed>;

/// What became of an event.
#[derive(Debug)]
pub(super) enum Failed {
    /// librdkafka never had it.
    NotTaken(Option<RDKafkaErrorCode>),
    /// librdkafka's report, and the event.
    Reported(Option<RDKafkaErrorCode>, OwnedMessage),
    /// The producer ended before the report came: not known.
    Lost,
}

/// An event for one topic.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) payload: Cow<'a, [u8]>,
    pub(super) headers: OwnedHeaders,
}

/// What librdkafka keeps with an event, and gives back with its report.
pub(super) struct Ticket {
    report: oneshot::Sender<Report>,
    lane: Option<Arc<Lane>>,
}

/// What waits in all lanes of one producer. An event may wait while its events and librdkafka's are together within the bound of
/// librdkafka's queue, and its own bytes within as many again.
#[derive(Debug)]
pub(super) struct Waiting {
    /// At librdkafka, by way of the lanes: its own count has statistics and errors in it, too.
    under_way: AtomicUsize,
    events: AtomicUsize,
    /// Of payloads.
    bytes: AtomicUsize,
    most: QueueBounds,
}

/// One partition's.
pub(super) struct Lane {
    topic: Arc<str>,
    client: Weak<dyn Client>,
    waiting: Arc<Waiting>,
    state: Mutex<State>,
}

/// Something waits only while five events or more are under way: the report of one of them lets it go.
#[derive(Debug, Default)]
struct State {
    /// Events at librdkafka without a report.
    under_way: usize,
    waiting: VecDeque<(Outgoing<'static>, oneshot::Sender<Report>)>,
    /// Nothing waits any more.
    goes_through: bool,
}

/// The lanes of each topic, by partition.
pub(super) type Lanes = HashMap<Arc<str>, Vec<Arc<Lane>>>;

impl Ticket {
    pub(super) fn new(report: oneshot::Sender<Report>) -> Box<Self> {
        Box::new(Ticket { report, lane: None })
    }

    /// The report has come.
    pub(super) fn reported(self, report: Report) {
        let timed_out = matches!(report, Err(Failed::Reported(Some(RDKafkaErrorCode::MessageTimedOut), _)));
        // Nobody may wait for it any more.
        let _gone = self.report.send(report);
        if let Some(lane) = self.lane {
            lane.reported(timed_out);
        }
    }
}

impl Outgoing<'_> {
    fn into_owned(self) -> Outgoing<'static> {
        let Outgoing { key, payload, headers } = self;
        Outgoing { key: key.into_owned().into(), payload: payload.into_owned().into(), headers }
    }
}

impl Waiting {
    pub(super) fn within(most: QueueBounds) -> Self {
        Waiting { under_way: AtomicUsize::new(0), events: AtomicUsize::new(0), bytes: AtomicUsize::new(0), most }
    }

    pub(super) fn events(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether there is room for one more.
    fn has_room(&self, event: &Outgoing<'_>) -> bool {
        let events = self.events() + 1;
        let bytes = self.bytes() + event.payload.len() + events * WEIGHT;
        events + self.under_way.load(Ordering::Relaxed) <= self.most.events && bytes <= self.most.bytes
    }

    fn add(&self, event: &Outgoing<'_>) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(event.payload.len(), Ordering::Relaxed);
    }

    fn take(&self, event: &Outgoing<'_>) {
        self.events.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(event.payload.len(), Ordering::Relaxed);
    }
}

impl Lane {
    pub(super) fn new(topic: Arc<str>, client: Weak<dyn Client>, waiting: Arc<Waiting>) -> Arc<Self> {
        Arc::new(Lane { topic, client, waiting, state: Mutex::default() })
    }

    /// Gives an event to librdkafka, or lets it wait. Calls keep their order.
    ///
    /// # Errors
    /// librdkafka does not take it, or there is no room to wait.
    pub(super) fn hand_over(
        self: &Arc<Self>,
        client: &dyn Client,
        event: Outgoing<'_>,
        report: oneshot::Sender<Report>,
    ) -> Result<(), Option<RDKafkaErrorCode>> {
        let mut state = self.state();
        if state.goes_through || state.under_way < MOST_UNDER_WAY {
            return self.produce(&mut state, client, event, report).map_err(|(code, _report)| code);
        }
        if !self.waiting.has_room(&event) {
            return Err(Some(RDKafkaErrorCode::QueueFull));
        }
        self.waiting.add(&event);
        state.waiting.push_back((event.into_owned(), report));
        Ok(())
    }

    /// Lets nothing wait any more, and gives what waits to librdkafka.
    pub(super) fn let_all_through(self: &Arc<Self>) {
        let mut state = self.state();
        state.goes_through = true;
        self.let_go(&mut state);
    }

    /// Gives back what waits.
    pub(super) fn give_back(&self) {
        let mut state = self.state();
        state.goes_through = true;
        self.refuse(&mut state, Some(RDKafkaErrorCode::QueueFull));
    }

    fn reported(self: &Arc<Self>, timed_out: bool) {
        let mut state = self.state();
        state.under_way -= 1;
        self.waiting.under_way.fetch_sub(1, Ordering::Relaxed);
        if MOST_UNDER_WAY <= state.under_way || state.waiting.is_empty() {
            return;
        }
        if timed_out {
            // What waited as long as this one would wait as long again.
            self.refuse(&mut state, Some(RDKafkaErrorCode::QueueFull));
        } else {
            self.let_go(&mut state);
        }
    }

    fn let_go(self: &Arc<Self>, state: &mut State) {
        let Some(client) = self.client.upgrade() else { return self.refuse(state, Some(RDKafkaErrorCode::QueueFull)) };
        let mut bytes = 0;
        // What does not fit into one request would wait in librdkafka, and whoever hands over another event waits for this loop.
        while state.goes_through || state.under_way < MOST_UNDER_WAY || bytes < BATCH_SIZE {
            let Some((event, report)) = state.waiting.pop_front() else { break };
            self.waiting.take(&event);
            bytes += event.payload.len() + WEIGHT;
            if let Err((code, report)) = self.produce(state, &*client, event, report) {
                let _gone = report.send(Err(Failed::NotTaken(code)));
                if code != Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                    // It comes again: what stands behind it must not overtake it.
                    self.refuse(state, code);
                }
            }
        }
        if state.waiting.is_empty() {
            state.waiting.shrink_to(ROOM);
        }
    }

    fn refuse(&self, state: &mut State, code: Option<RDKafkaErrorCode>) {
        for (event, report) in state.waiting.drain(..) {
            self.waiting.take(&event);
            let _gone = report.send(Err(Failed::NotTaken(code)));
        }
        state.waiting.shrink_to(ROOM);
    }

    fn produce(
        self: &Arc<Self>,
        state: &mut State,
        client: &dyn Client,
        event: Outgoing<'_>,
        report: oneshot::Sender<Report>,
    ) -> Result<(), (Option<RDKafkaErrorCode>, oneshot::Sender<Report>)> {
        let ticket = Box::new(Ticket { report, lane: Some(Arc::clone(self)) });
        client.produce(&self.topic, event, ticket).map_err(|(code, ticket)| (code, ticket.report))?;
        state.under_way += 1;
        self.waiting.under_way.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most bytes of a payload.
    const LARGE: usize = BATCH_SIZE;

    /// Takes events while it has room and is well, and keeps their tickets until the test reports.
    struct FakeClient {
        room: usize,
        failed: Mutex<Option<RDKafkaErrorCode>>,
        events: Mutex<VecDeque<(String, Box<Ticket>)>>,
    }

    impl Client for FakeClient {
        fn produce(&self, _topic: &str, event: Outgoing<'_>, ticket: Box<Ticket>) -> Result<(), NotProduced> {
            let mut events = self.events.lock().unwrap();
            if events.len() == self.room {
                return Err((Some(RDKafkaErrorCode::QueueFull), ticket));
            }
            if let Some(code) = *self.failed.lock().unwrap() {
                return Err((Some(code), ticket));
            }
            if event.payload.len() > LARGE {
                return Err((Some(RDKafkaErrorCode::MessageSizeTooLarge), ticket));
            }
            events.push_back((event.key.into_owned(), ticket));
            Ok(())
        }
    }

    impl FakeClient {
        fn new(room: usize) -> Arc<Self> {
            Arc::new(FakeClient { room, failed: Mutex::default(), events: Mutex::default() })
        }

        fn keys(&self) -> Vec<String> {
            self.events.lock().unwrap().iter().map(|(key, _)| key.clone()).collect()
        }

        /// The oldest event's report has come.
        fn report(&self, report: Report) {
            let (_, ticket) = self.events.lock().unwrap().pop_front().unwrap();
            ticket.reported(report);
        }
    }

    struct Setup {
        client: Arc<FakeClient>,
        lane: Arc<Lane>,
        waiting: Arc<Waiting>,
    }

    /// A client with so much room, and lanes that hold so much with it.
    fn setup(room: usize, most: usize) -> Setup {
        let client = FakeClient::new(room);
        let waiting = Arc::new(Waiting::within(QueueBounds { events: most, bytes: usize::MAX }));
        let weak: Weak<FakeClient> = Arc::downgrade(&client);
        Setup { lane: Lane::new("t".into(), weak, Arc::clone(&waiting)), client, waiting }
    }

    impl Setup {
        fn hand_over(&self, key: usize) -> Result<oneshot::Receiver<Report>, Option<RDKafkaErrorCode>> {
            self.hand_over_of(key, 10)
        }

        fn hand_over_of(
            &self,
            key: usize,
            bytes: usize,
        ) -> Result<oneshot::Receiver<Report>, Option<RDKafkaErrorCode>> {
            let (report, reported) = oneshot::channel();
            let (key, payload) = (key.to_string().into(), vec![0; bytes].into());
            let event = Outgoing { key, payload, headers: OwnedHeaders::new() };
            self.lane.hand_over(&*self.client, event, report).map(|()| reported)
        }

        fn all(&self, keys: std::ops::Range<usize>) -> Vec<oneshot::Receiver<Report>> {
            keys.map(|key| self.hand_over(key).unwrap()).collect()
        }
    }

    fn keys(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|key| key.to_string()).collect()
    }

    const STORED: Report = Ok((0, 0));

    fn not_taken(report: oneshot::Receiver<Report>) -> Option<RDKafkaErrorCode> {
        match report.blocking_recv().unwrap() {
            Err(Failed::NotTaken(code)) => code,
            other => panic!("{other:?}"),
        }
    }

    fn timed_out() -> Report {
        let message = OwnedMessage::new(None, None, "t".into(), rdkafka::Timestamp::NotAvailable, 0, 0, None);
        Err(Failed::Reported(Some(RDKafkaErrorCode::MessageTimedOut), message))
    }

    #[test]
    fn the_sixth_event_waits_for_one_report_and_goes_with_those_behind_it() {
        let setup = setup(usize::MAX, 1000);
        let _reports = setup.all(0..12);
        assert_eq!((setup.client.keys(), setup.waiting.events(), setup.waiting.bytes()), (keys(0..5), 7, 70));
        setup.client.report(STORED);
        assert_eq!((setup.client.keys(), setup.waiting.events(), setup.waiting.bytes()), (keys(1..12), 0, 0));
        let _more = setup.all(12..14);
        (0..6).for_each(|_| setup.client.report(STORED));
        assert_eq!((setup.client.keys(), setup.waiting.events()), (keys(7..12), 2), "five are under way still");
        setup.client.report(STORED);
        assert_eq!((setup.client.keys(), setup.waiting.events()), (keys(8..14), 0));
        (0..2).for_each(|_| setup.client.report(STORED));
        let _last = setup.all(14..15);
        assert_eq!(setup.client.keys(), keys(10..15), "fewer than five are under way");
    }

    #[test]
    fn a_group_is_no_more_than_a_batch() {
        let group = BATCH_SIZE.div_ceil(10 + WEIGHT);
        let setup = setup(usize::MAX, 1000);
        let _reports = setup.all(0..group + 10);
        setup.client.report(STORED);
        assert_eq!((setup.client.keys().len(), setup.waiting.events()), (4 + group, 5));
        (0..group).for_each(|_| setup.client.report(STORED));
        assert_eq!((setup.client.keys().len(), setup.waiting.events()), (9, 0));
        let _large: Vec<_> = (0..3).map(|key| setup.hand_over_of(key, LARGE).unwrap()).collect();
        (0..5).for_each(|_| setup.client.report(STORED));
        assert_eq!((setup.client.keys().len(), setup.waiting.events()), (5, 2), "a large event is a group");
        setup.lane.let_all_through();
        assert_eq!((setup.client.keys().len(), setup.waiting.events()), (7, 0));
    }

    #[test]
    fn what_the_client_does_not_take_is_refused_with_all_behind_it() {
        let full = setup(9, 1000);
        let mut reports = full.all(0..12);
        full.client.report(STORED);
        // Five of the seven had room.
        assert_eq!((full.client.keys(), full.waiting.events()), (keys(1..10), 0));
        assert!(reports.drain(10..).all(|report| not_taken(report) == Some(RDKafkaErrorCode::QueueFull)));

        let failed = setup(usize::MAX, 1000);
        let mut reports = failed.all(0..7);
        *failed.client.failed.lock().unwrap() = Some(RDKafkaErrorCode::Fatal);
        failed.client.report(STORED);
        assert!(reports.drain(5..).all(|report| not_taken(report) == Some(RDKafkaErrorCode::Fatal)));
    }

    #[test]
    fn an_event_that_is_too_large_costs_those_behind_it_nothing() {
        let setup = setup(usize::MAX, 1000);
        let _reports = setup.all(0..5);
        let large = setup.hand_over_of(5, LARGE + 1).unwrap();
        let _behind = setup.all(6..9);
        (0..2).for_each(|_| setup.client.report(STORED));
        assert_eq!(setup.client.keys(), [keys(2..5), keys(6..9)].concat());
        assert_eq!(not_taken(large), Some(RDKafkaErrorCode::MessageSizeTooLarge));
    }

    #[test]
    fn events_behind_one_that_timed_out_do_not_wait_as_long_again() {
        let setup = setup(usize::MAX, 1000);
        let mut reports = setup.all(0..7);
        setup.client.report(timed_out());
        assert!(reports.drain(5..).all(|report| not_taken(report) == Some(RDKafkaErrorCode::QueueFull)));
        assert_eq!((setup.client.keys(), setup.waiting.events()), (keys(1..5), 0));
        let _next = setup.hand_over(7).unwrap();
        assert_eq!(setup.client.keys().len(), 5);
    }

    #[test]
    fn no_more_wait_than_the_clients_queue_may_have() {
        let setup = setup(usize::MAX, 8);
        let _reports = setup.all(0..8);
        assert_eq!(setup.hand_over(8).unwrap_err(), Some(RDKafkaErrorCode::QueueFull));
        (0..2).for_each(|_| setup.client.report(STORED));
        setup.hand_over(9).unwrap();
        let bytes = Waiting::within(QueueBounds { events: 10, bytes: 3 * WEIGHT });
        let event =
            |payload| Outgoing { key: "k".into(), payload: vec![0; payload].into(), headers: OwnedHeaders::new() };
        assert!(bytes.has_room(&event(2 * WEIGHT)) && !bytes.has_room(&event(2 * WEIGHT + 1)));
        bytes.add(&event(WEIGHT));
        assert!(bytes.has_room(&event(0)) && !bytes.has_room(&event(1)));
    }

    #[test]
    fn a_client_that_is_gone_leaves_nobody_waiting() {
        let mut setup = setup(usize::MAX, 1000);
        let mut reports = setup.all(0..7);
        let gone = std::mem::replace(&mut setup.client, FakeClient::new(0));
        let tickets: Vec<_> = gone.events.lock().unwrap().drain(..).collect();
        drop(gone);
        tickets.into_iter().for_each(|(_, ticket)| ticket.reported(STORED));
        assert!(reports.drain(5..).all(|report| not_taken(report) == Some(RDKafkaErrorCode::QueueFull)));
    }
}
