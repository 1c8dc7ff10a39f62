//! Deterministic simulation: the gate, the spool, the drain, the journals and their committers as they are, on a simulated
//! machine before a scripted broker, under one seed.
//!
//! A seed is a history of some lives of one process. In each, senders post events and post again what was not answered, while
//! the broker, the disk and the wall clock go wrong; it ends in a power cut or a kill, often in the middle of a disk call,
//! or in order. A last life without faults lets everything out. Then the oracle judges with the rules of
//! `tests/it/support/oracle.rs`; P1 is judged at each answer, against what the disk would keep over a power cut.
//!
//! `make simulate SEEDS=100000` runs many; a seed that fails is printed, and `HOOKBUS_SIMULATE=17 make simulate` plays it once
//! more with its log.

#![cfg(feature = "simulation")]

mod broker;
mod counts;
mod house;
mod ledger;
mod weather;
mod world;

use std::{
    env,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use self::{counts::Counts, world::World};
use super::planted::Planted;

/// One seed or, as `from..to`, many.
const SEEDS: &str = "HOOKBUS_SIMULATE";
/// Without that.
const MOST: u64 = 10_000;
/// Seeds in which a planted mistake must show.
const SOON: u64 = 100;

/// What is wrong with a mistake planted, or the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    Planted(Planted),
    /// A sync that is left out looks from outside like one that the disk leaves out.
    SkippedSync,
}

/// Runs one seed. What is wrong, or what has happened.
fn run(seed: u64, mistake: Mistake) -> Result<Counts, String> {
    fastrand::seed(seed);
    Planted::plant(match mistake {
        Mistake::Planted(planted) => Some(planted),
        Mistake::None | Mistake::SkippedSync => None,
    });
    let run = catch_unwind(AssertUnwindSafe(|| {
        let world = World::new(seed);
        if mistake == Mistake::SkippedSync { world.lie().run() } else { world.run() }
    }));
    Planted::plant(None);
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    })
}

/// Runs many on all cores.
fn run_all(seeds: Range<u64>) -> (Counts, Vec<(u64, String)>) {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new((Counts::default(), Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seeds.end <= seed {
                return;
            }
            let result = run(seed, Mistake::None);
            let (counts, wrong) = &mut *found.lock().unwrap();
            match result {
                Ok(more) => counts.add(&more),
                Err(what) => {
                    eprintln!("{SEEDS}={seed}: {what}");
                    wrong.push((seed, what));
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, Into::into) {
            scope.spawn(work);
        }
    });
    found.into_inner().unwrap()
}

fn wanted() -> Range<u64> {
    let Ok(text) = env::var(SEEDS) else { return 0..MOST };
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{SEEDS} is a seed, or from..to"));
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    }
}

#[test]
fn every_seed_keeps_the_promises() {
    let seeds = wanted();
    if seeds.end - seeds.start == 1 {
        let log = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .with_max_level(tracing::Level::DEBUG)
            .finish();
        tracing::subscriber::with_default(log, || println!("{}", run(seeds.start, Mistake::None).unwrap().lines()));
        return;
    }
    let (counts, wrong) = run_all(seeds.clone());
    println!("{} seeds\n{}", seeds.end - seeds.start, counts.lines());
    assert!(
        wrong.is_empty(),
        "{} seeds are wrong: {:?}",
        wrong.len(),
        wrong.iter().map(|(seed, _)| seed).collect::<Vec<_>>()
    );
    if MOST <= seeds.end - seeds.start {
        counts.everything_has_happened();
    }
}

#[test]
fn a_seed_is_the_same_history_each_time() {
    for seed in 0..20 {
        assert_eq!(run(seed, Mistake::None), run(seed, Mistake::None), "{seed}");
    }
}

#[test]
fn planted_mistakes_are_seen() {
    for (mistake, expected) in [
        (Mistake::Planted(Planted::DroppedAck), "lost"),
        (Mistake::Planted(Planted::EarlyAnswer), "before it was durable"),
        (Mistake::Planted(Planted::WrongOrder), "inverted"),
        (Mistake::SkippedSync, "before it was durable"),
    ] {
        let first = (0..SOON).find_map(|seed| run(seed, mistake).err().map(|what| (seed, what)));
        let (seed, what) = first.unwrap_or_else(|| panic!("{mistake:?} is not seen in {SOON} seeds"));
        println!("{mistake:?}: seed {seed}: {what}");
        assert!(what.contains(expected), "{mistake:?}: seed {seed}: {what}");
    }
}
