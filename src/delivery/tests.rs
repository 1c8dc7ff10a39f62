//! Tests of the whole room, with a bus that does as a test says. A crash is a copy of the directory.

mod bounds;
mod kept;
mod refused;

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use journal::{
    AppendError, Journal, Keep, Options, Start,
    replay_log::{Place, Writer},
};

use super::{
    Delivery, Receipt, Undeliverable,
    dead_letters::DeadLetters,
    metrics::{DeliveryMetrics, EventMetrics},
    outcome::{Cause, Reason},
    spool::Spool,
};
use crate::{
    bus::{
        Ack, Bus, PublishError,
        fake::{Fake, Mode},
    },
    envelope::{Attributes, Envelope, Message, attributes::Attribute},
    metrics::{Families, Label as _},
    recent::Seen,
    request::Body,
};

const HEDGE: Duration = Duration::from_millis(40);
const AT_ONCE: Mode = Mode::Take(Duration::ZERO);
const DOWN: Mode = Mode::Refuse(PublishError::Refused);

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A gateway without HTTP.
struct House {
    delivery: Arc<Delivery>,
    spool: Arc<Spool>,
    bus: Arc<Fake>,
    metrics: Arc<DeliveryMetrics>,
    events: Arc<EventMetrics>,
    dead_letters: Journal,
}

fn options(directory: &Path, max_size: u64) -> Options {
    Options {
        directory: directory.to_owned(),
        segment_size: 64 << 10,
        max_size,
        max_age: None,
        reserve: 0,
        keep: Keep::UntilAcknowledged,
        queue: 4096,
    }
}

impl House {
    fn open(directory: &Path, mode: Mode) -> House {
        House::sized(directory, mode, 64 << 20)
    }

    fn sized(directory: &Path, mode: Mode, max_size: u64) -> House {
        House::giving_up(directory, mode, max_size, None)
    }

    fn giving_up(directory: &Path, mode: Mode, max_size: u64, dead_letter_after: Option<Duration>) -> House {
        let families = Families::default();
        let metrics = Arc::new(DeliveryMetrics::register(&families).unwrap());
        let events = Arc::new(EventMetrics::register(&families, std::iter::empty()).unwrap());
        let journal = Journal::open(options(&directory.join("spool"), max_size), Arc::new(())).unwrap();
        let dead_letters = Journal::open(options(&directory.join("dead-letters"), 64 << 20), Arc::new(())).unwrap();
        let log = DeadLetters::new(dead_letters.clone(), &directory.join("dead-letters"), Arc::clone(&metrics));
        let spool = Spool::new(journal, log, HEDGE, dead_letter_after, Arc::clone(&metrics));
        let bus = Fake::new(mode);
        let fake = Bus::Fake(Arc::clone(&bus));
        let patience = Duration::from_secs(8);
        let delivery = Delivery::new(fake, Some(Arc::clone(&spool)), 100_000, patience, Arc::clone(&metrics)).unwrap();
        House { delivery, spool, bus, metrics, events, dead_letters }
    }

    fn share(&self) -> House {
        House {
            delivery: Arc::clone(&self.delivery),
            spool: Arc::clone(&self.spool),
            bus: Arc::clone(&self.bus),
            metrics: Arc::clone(&self.metrics),
            events: Arc::clone(&self.events),
            dead_letters: self.dead_letters.clone(),
        }
    }

    async fn send(&self, id: &str, key: &str) -> Result<Receipt, Undeliverable> {
        self.send_body(id, key, Body::unbudgeted(body(id, 200))).await
    }

    async fn send_body(&self, id: &str, key: &str, body: Body) -> Result<Receipt, Undeliverable> {
        self.send_all(None, id, key, body).await
    }

    async fn send_on(&self, route: &str, id: &str, key: &str) -> Result<Receipt, Undeliverable> {
        self.send_all(Some(route), id, key, Body::unbudgeted(body(id, 200))).await
    }

    async fn send_all(&self, route: Option<&str>, id: &str, key: &str, body: Body) -> Result<Receipt, Undeliverable> {
        let mut attributes = Attributes::with_capacity(128);
        route.into_iter().for_each(|route| attributes.push(Attribute::Route, &route));
        attributes.push(Attribute::Id, &id);
        attributes.push(Attribute::PartitionKey, &key);
        attributes.push(Attribute::Sequence, &format_args!("test-{}", COUNTER.fetch_add(1, SeqCst)));
        let envelope = Envelope { attributes, body, fingerprint: 1 };
        let counters = Arc::clone(self.events.of("unknown"));
        self.delivery.deliver(envelope, "acme", counters).await
    }

    async fn drained(&self) {
        self.eventually("the gate opens", || self.spool.is_open() && self.spool.stats().records == 0).await;
    }

    async fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(20), "never: {what}; {:?}", self.spool);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn spooled(&self, cause: Cause) -> u64 {
        self.metrics.spooled.get(cause).unwrap().get()
    }
}

fn body(id: &str, padding: usize) -> Bytes {
    format!("{{\"id\":\"{id}\",\"pad\":\"{}\"}}", "x".repeat(padding)).into()
}

fn crash(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            crash(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Ids are `<key>/<number>`: the first copies of each key must come in the order of their numbers, without a gap. Gives
/// how many there are of each key.
fn order(stored: &[String]) -> HashMap<&str, usize> {
    let mut next: HashMap<&str, usize> = HashMap::new();
    for id in stored {
        let (key, number) = id.split_once('/').unwrap();
        let expected = next.entry(key).or_default();
        let number: usize = number.parse().unwrap();
        assert!(number <= *expected, "{key}: {number} before {expected}");
        *expected = (*expected).max(number + 1);
    }
    next
}

fn assert_order(stored: &[String], per_key: usize) {
    let counts = order(stored);
    assert!(counts.values().all(|count| *count == per_key), "{counts:?}");
}

/// What the event waits for comes from another thread, to a task that did not exist when it began to wait.
#[tokio::test]
async fn an_event_whose_sender_leaves_becomes_durable_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let house = House::open(directory.path(), DOWN);
    tokio::spawn(crate::wake::serve());
    tokio::task::yield_now().await;
    for number in 0..20 {
        let (sender, id) = (house.share(), number.to_string());
        let sending = tokio::spawn(async move { sender.send(&id, "k").await });
        tokio::task::yield_now().await;
        sending.abort();
        assert!(sending.await.is_err(), "it was waiting for the disk");
    }
    house.eventually("all are durable", || house.delivery.remembered() == 20).await;
    house.eventually("none is pending", || house.delivery.under_way() == 0).await;
}

#[tokio::test]
async fn an_open_gate_leaves_the_disk_alone() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), AT_ONCE);
    house.send("a", "k").await.unwrap();
    assert_eq!(house.bus.stored(), ["a"]);
    assert_eq!(house.spool.stats().appends, 0);
    assert!(house.spool.is_open());
    assert_eq!(house.delivery.under_way(), 0);
}

#[tokio::test]
async fn a_late_ack_retires_the_spooled_copy_and_nothing_overtakes() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), Mode::Hold);
    let started = Instant::now();
    house.send("a", "k").await.unwrap();
    assert!(started.elapsed() >= HEDGE && started.elapsed() < Duration::from_secs(2), "answered by the spool");
    assert!(!house.spool.is_open());
    house.bus.set(AT_ONCE);
    house.send("b", "k").await.unwrap();
    house.send("c", "other").await.unwrap();
    house.eventually("another key passes", || house.bus.stored() == ["c"]).await;
    tokio::time::sleep(HEDGE).await;
    assert_eq!(house.bus.stored(), ["c"], "b waits for a, which the client has");
    assert!(house.bus.release(Ok(Ack::Stored)));
    house.drained().await;
    assert_eq!(house.bus.stored(), ["c", "a", "b"]);
    assert_eq!(house.bus.calls(), 3, "a was published once");
    assert_eq!((house.spooled(Cause::Hedge), house.spooled(Cause::Gate), house.spooled(Cause::Refused)), (1, 2, 0));
    house.send("d", "k").await.unwrap();
    assert_eq!(house.spool.stats().appends, 3, "open again");
}

#[tokio::test]
async fn a_late_failure_makes_the_spooled_copy_go_first() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), Mode::Hold);
    house.send("a", "k").await.unwrap();
    house.bus.set(AT_ONCE);
    house.send("b", "k").await.unwrap();
    assert!(house.bus.release(Err(PublishError::Timeout)));
    house.drained().await;
    assert_eq!(house.bus.stored(), ["a", "b"]);
}

#[tokio::test]
async fn what_is_durable_is_remembered_and_nothing_else() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), DOWN);
    house.send("a", "k").await.unwrap();
    assert_eq!(house.send("a", "k").await.unwrap().seen(), Seen::Repeat);
    assert_eq!(house.spool.stats().appends, 1);
    house.spool.journal().close();
    house.send("b", "k").await.unwrap_err();
    assert_eq!(house.send("b", "k").await, Err(Undeliverable::Spool(AppendError::Closed)), "not a repeat");
}

#[tokio::test]
async fn an_outage_of_ten_thousand_drains_in_order_with_little_memory() {
    const KEYS: usize = 500;
    const PER_KEY: usize = 20;
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), DOWN);
    let sender = async |number: usize| {
        let mut sends = tokio::task::JoinSet::new();
        for key in 0..KEYS {
            let house = house.share();
            sends.spawn(async move { house.send(&format!("{key}/{number}"), &key.to_string()).await.unwrap() });
        }
        sends.join_all().await;
    };
    for number in 0..PER_KEY {
        sender(number).await;
    }
    assert_eq!(house.bus.stored_count(), 0);
    assert_eq!(house.spool.stats().records, 10_000);
    house.bus.set(Mode::Take(Duration::from_millis(2)));
    let started = Instant::now();
    let mut most_held = 0;
    // And more arrive while it drains.
    sender(PER_KEY).await;
    while !(house.spool.is_open() && house.bus.stored_count() >= KEYS * (PER_KEY + 1)) {
        most_held = most_held.max(house.spool.gate().window().len());
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", house.spool);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "10,500 drained in {:?}; most in memory {most_held}, most in flight {}",
        started.elapsed(),
        house.bus.most_flying()
    );
    assert!(most_held <= 2048, "the window is the memory: {most_held}");
    assert!(house.bus.most_flying() > 100, "pipelined");
    let stored = house.bus.stored();
    assert_eq!(stored.len(), KEYS * (PER_KEY + 1), "each once");
    assert_order(&stored, PER_KEY + 1);
}

#[tokio::test]
async fn a_crash_loses_nothing_and_the_next_start_sends_the_old_ones_first() {
    let outer = tempfile::tempdir().unwrap();
    let (live, copy) = (outer.path().join("live"), outer.path().join("copy"));
    fs::create_dir(&live).unwrap();
    let house = House::open(&live, DOWN);
    for number in 0..100 {
        house.send(&format!("k/{number}"), "k").await.unwrap();
    }
    crash(&live, &copy);
    let again = House::open(&copy, Mode::Hold);
    assert!(!again.spool.is_open(), "closed from the start");
    again.bus.set(AT_ONCE);
    again.send("k/100", "k").await.unwrap();
    while again.bus.release(Err(PublishError::Timeout)) {}
    again.drained().await;
    assert_order(&again.bus.stored(), 101);

    // An orderly end with a full spool, and a start.
    let third = outer.path().join("third");
    fs::create_dir(&third).unwrap();
    let house = House::open(&third, DOWN);
    house.send("k/0", "k").await.unwrap();
    house.delivery.close();
    drop(house);
    let again = House::open(&third, AT_ONCE);
    again.drained().await;
    assert_eq!(again.bus.stored(), ["k/0"]);
    again.delivery.close();
    drop(again);
    let empty = House::open(&third, AT_ONCE);
    assert!(empty.spool.is_open(), "nothing comes back");
}

#[tokio::test]
async fn a_refusal_for_good_goes_to_the_dead_letters_and_blocks_no_other() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), AT_ONCE);
    house.bus.poison("big", PublishError::TooLarge);
    house.send("big", "k").await.unwrap();
    assert_eq!(house.send("big", "k").await.unwrap().seen(), Seen::Repeat);
    assert!(house.spool.is_open(), "it closes no gate");

    house.bus.poison("lost", PublishError::Unroutable);
    house.bus.set(DOWN);
    for id in ["a", "lost", "b"] {
        house.send(id, "k").await.unwrap();
    }
    house.bus.set(AT_ONCE);
    house.drained().await;
    assert_eq!(house.bus.stored(), ["a", "b"]);
    assert_eq!(house.delivery.dead_letters(), 2);
    let dead_letters = |reason| house.metrics.dead_letters.get(reason).unwrap().get();
    assert_eq!((dead_letters(Reason::TooLarge), dead_letters(Reason::Unroutable)), (1, 1));
    let mut reader = house.dead_letters.reader(Start::Oldest);
    for (id, reason) in [("big", Reason::TooLarge), ("lost", Reason::Unroutable)] {
        let entry = reader.next().unwrap().unwrap();
        let message = Message::decode(entry.head, entry.body).unwrap();
        assert_eq!((message.get(Attribute::Id), message.get(Attribute::DeadLetterReason)), (id, reason.as_str()));
        assert!(message.body.starts_with(format!("{{\"id\":\"{id}\"").as_bytes()), "its bytes are whole");
    }
    house.dead_letters.close();
    house.bus.poison("late", PublishError::TooLarge);
    house.send("late", "k").await.unwrap_err();
}

/// The memory of `hookbus replay` retires records of a running gateway: those at their place and time, and no others.
#[tokio::test]
async fn dead_letters_that_were_replayed_are_forgotten_and_no_others() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), AT_ONCE);
    for id in ["a", "b", "c", "d"] {
        house.bus.poison(id, PublishError::TooLarge);
        house.send(id, "k").await.unwrap();
    }
    let mut places = Vec::new();
    let mut reader = house.dead_letters.reader(Start::Oldest);
    while let Some(entry) = reader.next().unwrap() {
        let micros = entry.recorded.duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
        places.push(Place { sequence: entry.sequence, recorded: u64::try_from(micros).unwrap() });
    }
    let mut writer = Writer::open(&outer.path().join("dead-letters")).unwrap();
    let mut replayed = |place| {
        writer.note(place);
        writer.flush().unwrap();
        house.delivery.forget_replayed();
        house.delivery.dead_letters()
    };
    assert_eq!(replayed(places[1]), 3);
    assert_eq!(replayed(places[1]), 3);
    assert_eq!(replayed(Place { recorded: 5, ..places[2] }), 3, "the memory of another log");
    assert_eq!(replayed(Place { sequence: 1_000_000, ..places[2] }), 3);
    assert_eq!(replayed(places[0]), 2);
    let left: Vec<_> = {
        let mut reader = house.dead_letters.reader(Start::Oldest);
        std::iter::from_fn(|| reader.next().unwrap()).map(|entry| entry.sequence).collect()
    };
    assert_eq!(left, [places[2].sequence, places[3].sequence]);
}

#[tokio::test]
async fn one_record_that_always_fails_holds_up_its_own_key_only() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), DOWN);
    house.bus.poison("sick", PublishError::Rejected);
    for (id, key) in [("sick", "k"), ("behind", "k"), ("a", "a"), ("b", "b"), ("c", "c")] {
        house.send(id, key).await.unwrap();
    }
    house.bus.set(AT_ONCE);
    house.eventually("the others pass", || house.bus.stored() == ["a", "b", "c"]).await;
    house.eventually("the gate opens for the others", || house.spool.is_open()).await;
    house.send("d", "d").await.unwrap();
    house.send("last", "k").await.unwrap();
    assert_eq!((house.spool.stats().records, house.spooled(Cause::Refused)), (3, 4), "d went direct, last did not");
    house.bus.cure();
    house.drained().await;
    assert_eq!(house.bus.stored(), ["a", "b", "c", "d", "sick", "behind", "last"]);
    house.send("direct", "k").await.unwrap();
    assert_eq!(house.spool.stats().appends, 6);
}

#[tokio::test]
async fn a_bus_that_panics_stops_neither_the_drain_nor_the_gate() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), Mode::Panic);
    assert_eq!(house.send("a", "k").await, Err(Undeliverable::BrokenOff));
    assert!(house.spool.is_open() && house.delivery.under_way() == 0);
    house.bus.set(DOWN);
    house.send("b", "k").await.unwrap();
    house.bus.set(Mode::Panic);
    let calls = house.bus.calls();
    house.eventually("the drain tries", || house.bus.calls() > calls + 1).await;
    house.bus.set(AT_ONCE);
    house.drained().await;
    assert_eq!(house.bus.stored(), ["b"]);
}

#[tokio::test]
async fn a_full_journal_refuses_until_the_drain_makes_room() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::sized(outer.path(), DOWN, 256 << 10);
    let mut taken = 0;
    let error = loop {
        match house.send(&format!("k/{taken}"), "k").await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Undeliverable::Spool(AppendError::Full));
    assert!(taken > 100, "{taken}");
    house.bus.set(AT_ONCE);
    house.drained().await;
    house.send(&format!("k/{taken}"), "k").await.unwrap();
    assert_order(&house.bus.stored(), taken + 1);
}

#[tokio::test]
async fn without_a_journal_the_direct_path_goes_on() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), AT_ONCE);
    house.spool.journal().close();
    house.send("a", "k").await.unwrap();
    assert!(house.delivery.can_take());
    // Slower than the hedge, which finds no disk: the acknowledgement still counts.
    house.bus.set(Mode::Take(HEDGE * 3));
    house.send("b", "k").await.unwrap();
    assert!(house.spool.is_open());
    house.bus.set(DOWN);
    assert_eq!(house.send("c", "k").await, Err(Undeliverable::Spool(AppendError::Closed)));
    assert!(!house.delivery.can_take());
    house.bus.set(AT_ONCE);
    house.send("d", "k").await.unwrap();
    assert_eq!(house.bus.stored(), ["a", "b", "d"]);
}

#[tokio::test]
async fn no_event_slips_through_while_the_gate_opens_and_closes() {
    const THREADS: usize = 4;
    const KEYS: usize = 50;
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), AT_ONCE);
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (house, stop) = (house.share(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut sent = 0;
                    while !stop.load(SeqCst) {
                        let key = format!("{thread}-{}", sent % KEYS);
                        house.send(&format!("{key}/{}", sent / KEYS), &key).await.unwrap();
                        sent += 1;
                    }
                    // What the client still has needs its event loop.
                    tokio::time::sleep(HEDGE * 4).await;
                    sent
                })
            })
        })
        .collect();
    let mut swings = 0;
    while swings < 200 && (swings < 5 || house.spool.stats().appends < 500) {
        for (mode, ms) in [
            (DOWN, 10),
            (AT_ONCE, 80),
            (Mode::Refuse(PublishError::Timeout), 10),
            (Mode::Take(Duration::from_millis(1)), 80),
        ] {
            house.bus.set(mode);
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        swings += 1;
    }
    stop.store(true, SeqCst);
    let sent: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    house.drained().await;
    let stored = house.bus.stored();
    let spooled = house.spool.stats().appends;
    let direct = sent as u64 - spooled;
    println!("{swings} swings, {direct} direct, {spooled} spooled");
    assert!(direct > 100 && spooled > 100, "both ways were taken");
    assert_eq!(stored.len(), sent, "each once");
    assert_eq!(order(&stored).len(), THREADS * KEYS);
}

/// A bus that has lost what it held gets again what comes again, also when the acknowledgement was on its way meanwhile.
#[tokio::test]
async fn a_bus_that_was_wiped_gets_a_repeat_again() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), AT_ONCE);
    house.send("a", "k").await.unwrap();
    assert_eq!(house.send("a", "k").await.unwrap().seen(), Seen::Repeat);
    house.bus.wipe();
    assert_eq!(house.send("a", "k").await.unwrap().seen(), Seen::New);
    assert_eq!(house.bus.stored(), ["a"]);

    house.bus.set(Mode::Hold);
    let sender = house.share();
    let late = tokio::spawn(async move { sender.send("late", "k").await });
    house.eventually("it is with the bus", || house.bus.calls() == 3).await;
    house.bus.wipe();
    house.bus.release(Ok(Ack::Stored));
    house.bus.set(AT_ONCE);
    late.await.unwrap().unwrap();
    assert_eq!(house.send("late", "k").await.unwrap().seen(), Seen::New);
    house.drained().await;
}
