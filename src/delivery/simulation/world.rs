//! One seed: a machine, a broker, senders, and some lives of the process.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use journal::{
    Start,
    simulation::{Faults, Machine, Stop},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    broker::Broker,
    counts::{Counts, Happened},
    house::{House, Plan},
    ledger::{Found, Ledger},
    weather,
};
use crate::{
    delivery::{Reason, Receipt, Undeliverable, outcome::Cause},
    envelope::{Message, attributes::Attribute},
    metrics::Label as _,
    recent::Seen,
};

/// How long the last life may take, which is without faults: the longest pause of a disk and of the drain, many times over.
const PATIENCE: Duration = Duration::from_secs(600);

/// What senders, lives and the oracle share.
#[derive(Debug)]
struct Shared {
    machine: Machine,
    broker: Arc<Broker>,
    ledger: Mutex<Ledger>,
    counts: Mutex<Counts>,
    /// Posted and not answered: (key, number).
    unanswered: Mutex<Vec<(usize, usize)>>,
    wrong: Mutex<Option<String>>,
    tickets: std::sync::atomic::AtomicU64,
}

pub(super) struct World {
    rng: Rng,
    shared: Arc<Shared>,
    plan: Plan,
    keys: usize,
    senders: usize,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let mut rng = Rng::with_seed(seed);
        let machine = Machine::new(rng.u64(..));
        let broker = Broker::new(machine.clone(), rng.fork());
        let shared = Shared {
            machine,
            broker,
            ledger: Mutex::default(),
            counts: Mutex::default(),
            unanswered: Mutex::default(),
            wrong: Mutex::default(),
            tickets: 0.into(),
        };
        let plan = Plan::new(&mut rng);
        let (keys, senders) = (rng.usize(1..4), rng.usize(1..6));
        World { rng, shared: Arc::new(shared), plan, keys, senders }
    }

    /// The disk leaves out each sync.
    pub(super) fn lie(self) -> World {
        self.shared.machine.lie();
        self
    }

    /// All lives; then the oracle.
    pub(super) fn run(mut self) -> Result<Counts, String> {
        let machine = self.shared.machine.clone();
        let _machine = machine.enter();
        for _ in 0..self.rng.usize(1..6) {
            let runtime = runtime();
            let stop = runtime.block_on(self.live());
            tracing::info!(?stop, "the process has ended");
            drop(runtime);
            self.shared.is_right()?;
            self.shared.broker.lose_client();
            machine.restart(stop);
        }
        machine.set(Faults::default());
        self.shared.broker.heal();
        let runtime = runtime();
        let dead_letters = runtime.block_on(self.live_well())?;
        self.shared.is_right()?;
        self.shared.ledger().judge(&self.shared.broker.stored(), &dead_letters)?;
        Ok(self.counts())
    }

    fn fork(&mut self) -> Rng {
        self.rng.fork()
    }

    /// One life, and how it ends.
    async fn live(&mut self) -> Stop {
        let machine = self.shared.machine.clone();
        let faults = if self.rng.u8(..6) == 0 { weather::faults(&mut self.rng) } else { Faults::default() };
        machine.set(faults);
        if self.rng.u8(..6) == 0 {
            machine.stop_after(self.rng.u32(..40));
        }
        let stop = if self.rng.u8(..3) == 0 { Stop::Kill } else { Stop::PowerCut };
        let house = match House::open(&self.plan, &self.shared.broker) {
            Ok(house) => Arc::new(house),
            Err(error) => {
                tracing::info!(%error, "no start");
                self.shared.note(Happened::FailedStarts);
                machine.stop();
                return self.end(stop);
            }
        };
        self.shared.look_at_start(&house);
        if self.rng.bool() {
            machine.stop_after(self.rng.u32(..200));
        }
        let senders = self.senders(&house);
        let (broker, rng) = (Arc::clone(&self.shared.broker), self.fork());
        tokio::spawn(weather::blow(machine.clone(), broker, rng, self.keys));
        let most = [10, 40, 120][self.rng.usize(..3)];
        let slices = self.rng.usize(1..most);
        for _ in 0..slices {
            sleep(Duration::from_millis(250)).await;
            if machine.has_stopped() {
                return self.end(stop);
            }
        }
        if self.rng.u8(..3) == 0 {
            stop_in_order(&house, senders).await;
            self.shared.note(Happened::OrderlyStops);
            machine.stop();
            return Stop::Kill;
        }
        machine.stop();
        self.end(stop)
    }

    fn end(&self, stop: Stop) -> Stop {
        self.shared.note(if stop == Stop::Kill { Happened::Kills } else { Happened::PowerCuts });
        stop
    }

    fn senders(&mut self, house: &Arc<House>) -> Vec<JoinHandle<()>> {
        let think = Duration::from_millis([2, 50, 400][self.rng.usize(..3)]);
        (0..self.senders)
            .map(|place| {
                let sender = Sender {
                    shared: Arc::clone(&self.shared),
                    house: Arc::clone(house),
                    rng: self.fork(),
                    key: place % self.keys,
                    think,
                };
                tokio::spawn(self.shared.machine.stumble(sender.run(50)))
            })
            .collect()
    }

    /// The last life, without faults: everything gets out. Gives the dead letters.
    async fn live_well(&mut self) -> Result<Vec<Found>, String> {
        let house = House::open(&self.plan, &self.shared.broker).map_err(|error| format!("no start: {error}"))?;
        let house = Arc::new(house);
        self.shared.look_at_start(&house);
        let before = self.shared.ledger().accepted();
        let mut senders = Vec::new();
        for key in 0..self.keys {
            let (shared, house, rng) = (Arc::clone(&self.shared), Arc::clone(&house), self.fork());
            let sender = Sender { shared, house, rng, key, think: Duration::from_secs(1) };
            senders.push(tokio::spawn(sender.run(3)));
        }
        for sender in senders {
            sender.await.map_err(|error| error.to_string())?;
        }
        let drained = async {
            while !house.is_drained() {
                sleep(Duration::from_millis(500)).await;
            }
        };
        timeout(PATIENCE, drained)
            .await
            .map_err(|_| format!("never drained: {:?} {:?}", house.spool, house.spool.stats()))?;
        if self.shared.ledger().accepted() == before {
            return Err("a house without faults takes nothing".into());
        }
        self.shared.counts().note(Happened::Drained, *house.spool.journal().durable().borrow());
        Ok(dead_letters(&house))
    }

    fn counts(&self) -> Counts {
        let mut counts = *self.shared.counts();
        counts.add(&self.shared.broker.counts());
        let spooled = |cause| self.plan.metrics.spooled.get(cause).map_or(0, |count| count.get());
        counts.note(Happened::Hedged, spooled(Cause::Hedge));
        counts.note(Happened::Refused, spooled(Cause::Refused));
        counts.note(Happened::BehindTheGate, spooled(Cause::Gate));
        for (reason, _) in Reason::all() {
            counts
                .note(Happened::DeadLetters, self.plan.metrics.dead_letters.get(reason).map_or(0, |count| count.get()));
        }
        let disk = self.shared.machine.counts();
        for (what, times) in [
            (Happened::StoppedInWrite, disk.stopped_in_write),
            (Happened::StoppedInSync, disk.stopped_in_sync),
            (Happened::StoppedInNames, disk.stopped_in_names),
            (Happened::TornBlocks, disk.torn),
            (Happened::DroppedBlocks, disk.dropped),
            (Happened::UndoneNames, disk.names_undone),
            (Happened::FailedWrites, disk.failed_writes),
            (Happened::FailedSyncs, disk.failed_syncs),
            (Happened::FailedNames, disk.failed_names),
            (Happened::FullDisks, disk.full),
            (Happened::ClockJumps, disk.jumps),
        ] {
            counts.note(what, times);
        }
        counts
    }
}

/// Its timers are of the simulation alone: it sleeps by going on at once.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// As the server does.
async fn stop_in_order(house: &House, senders: Vec<JoinHandle<()>>) {
    senders.iter().for_each(JoinHandle::abort);
    house.delivery.stop_drain();
    sleep(Duration::from_secs(3)).await;
    house.delivery.close();
    sleep(Duration::from_secs(5)).await;
}

fn dead_letters(house: &House) -> Vec<Found> {
    let mut reader = house.dead_letters.reader(Start::Oldest);
    let mut found = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        let message = Message::decode(entry.head, entry.body).unwrap();
        assert_ne!(message.get(Attribute::DeadLetterReason), "");
        let number = message.get(Attribute::Id).parse().unwrap();
        found.push(Found { number, key: message.get(Attribute::PartitionKey).parse().unwrap(), body: message.body });
    }
    found
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap()
    }

    fn note(&self, what: Happened) {
        self.counts().note(what, 1);
    }

    fn is_right(&self) -> Result<(), String> {
        self.wrong.lock().unwrap().take().map_or(Ok(()), Err)
    }

    fn look_at_start(&self, house: &House) {
        let stats = house.spool.stats();
        tracing::info!(dead_letters = house.dead_letters.stats().records, "dead letters");
        if tracing::enabled!(tracing::Level::INFO) {
            let mut reader = house.spool.journal().reader(Start::Oldest);
            let mut held = Vec::new();
            while let Ok(Some(entry)) = reader.next() {
                let number =
                    Message::decode(entry.head, entry.body).map(|message| message.get(Attribute::Id).to_owned());
                held.push((entry.sequence, number.unwrap_or_default()));
            }
            tracing::info!(?held, "the process starts");
        }
        self.counts().note(Happened::DamagedTails, u64::from(0 < stats.damage_bytes));
        self.counts().note(Happened::RecordsFoundAtStart, stats.records);
    }
}

/// One that posts events of one key, each after the answer to the last.
struct Sender {
    shared: Arc<Shared>,
    house: Arc<House>,
    rng: Rng,
    key: usize,
    /// Longest pause between two posts.
    think: Duration,
}

impl Sender {
    async fn run(mut self, most: usize) {
        for _ in 0..most {
            sleep(self.think.mul_f64(self.rng.f64())).await;
            let number = self.next();
            let body = self.shared.ledger().posted[number].body.clone();
            let ticket = self.shared.tickets.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let house = Arc::clone(&self.house);
            let post = house.post(number, self.key, body, ticket);
            let result = if self.rng.u8(..12) == 0 {
                timeout(Duration::from_secs(3).mul_f64(self.rng.f64()), post).await
            } else {
                Ok(post.await)
            };
            // The answer of a machine that has stopped goes nowhere.
            if self.shared.machine.has_stopped() {
                self.shared.unanswered.lock().unwrap().push((self.key, number));
                return;
            }
            self.answered(number, result);
        }
    }

    /// The next event: one that was posted before and not answered, or a new one.
    fn next(&mut self) -> usize {
        let mut unanswered = self.shared.unanswered.lock().unwrap();
        let again = unanswered.iter().position(|(key, _)| *key == self.key).filter(|_| self.rng.u8(..4) != 0);
        if let Some(place) = again {
            self.shared.note(Happened::PostedAgain);
            return unanswered.swap_remove(place).1;
        }
        self.shared.note(Happened::Posted);
        let most = if self.rng.u8(..4) == 0 { 1500 } else { 40 };
        let padding = "x".repeat(self.rng.usize(..most));
        let body = |number| Bytes::from(format!("{{\"id\":\"{number}\",\"pad\":\"{padding}\"}}"));
        self.shared.ledger().post(self.key, body)
    }

    fn answered<E>(&mut self, number: usize, result: Result<Result<Receipt, Undeliverable>, E>) {
        let receipt = match result {
            Ok(Ok(receipt)) => receipt,
            failed => {
                self.shared.note(match failed {
                    Err(_) => Happened::SendersGone,
                    Ok(Err(Undeliverable::TooSlow)) => Happened::TooSlow,
                    _ => Happened::NotDurable,
                });
                self.shared.unanswered.lock().unwrap().push((self.key, number));
                return;
            }
        };
        let mut ledger = self.shared.ledger();
        let is_durable = self.shared.broker.has(number) || self.shared.machine.keeps(&ledger.posted[number].body);
        if !is_durable {
            let what = format!("{number} was answered before it was durable ({receipt:?})");
            self.shared.wrong.lock().unwrap().get_or_insert(what);
        }
        tracing::info!(number, ?receipt, on_bus = self.shared.broker.has(number), "answered 200");
        ledger.accept(number);
        self.shared.note(Happened::Answered);
        if receipt.seen() == Seen::Repeat {
            self.shared.note(Happened::Repeats);
        }
    }
}
