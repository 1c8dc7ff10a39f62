//! What a broker may do to a gateway under load, and a gateway to itself, on NATS JetStream and on Apache Kafka. All is
//! judged by the one [oracle](crate::support::oracle). `make soak` runs the long forms.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    brokers::either::{Either, Kind},
    harness::{Gateway, Setup, resident},
    load::{LONG, Load, Shape, soak_or, wait_for_drain},
    oracle::{Fault, dead_letters},
    wait::wait_at_most,
};

/// What a bus promises.
fn promised(kind: Kind) -> &'static [Fault] {
    match kind {
        Kind::Nats => &Fault::ALL,
        Kind::Kafka => &Fault::BUT_DUPLICATED,
    }
}

/// SIGTERM: a clean end, before the drain deadline.
fn end_in_time(mut gateway: Gateway) -> Setup {
    let begin = Instant::now();
    gateway.signal("-TERM");
    let code = gateway.wait().code();
    println!("SIGTERM to exit: {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(code, Some(0), "{}", gateway.log_so_far());
    gateway.into_setup()
}

/// SIGKILL of the broker, twice, below a gateway with a spool and one without. The one with a spool never says anything
/// but 200; what is too large for the bus lies in the dead letters and has held nothing up, in the spool neither.
fn a_killed_broker(kind: Kind) {
    let mut broker = Either::start_new(kind);
    let spooled = broker.setup("").with_spool("hedge_after = \"500ms\"").start();
    let direct = broker.setup("encoding = \"binary\"").start();
    let through_spool = Load::new("spooled", Shape { large: Some((10, 120_000)), ..Shape::default() });
    let straight = Load::new("direct", Shape { senders: 4, ..Shape::default() });
    through_spool.aim(&[spooled.address]).run(|| {
        straight.aim(&[direct.address]).run(|| {
            for _ in 0..soak_or(10, 2) {
                straight.wait_for(200);
                through_spool.wait_for(200);
                broker.kill();
                spooled.wait_for_metric("bus_up", 0.0);
                through_spool.wait_for(300);
                assert_eq!(spooled.get_admin("/readyz").status, 200, "the spool takes events");
                broker.start();
                // The workers' connections may serve long before that of the process, which is counted below.
                [&spooled, &direct].into_iter().for_each(|gateway| gateway.wait_for_metric("bus_up", 1.0));
            }
            straight.wait_for(200);
        });
    });
    wait_for_drain(&spooled);
    let times = through_spool.all_times();
    println!("spooled: {times}");
    assert_eq!(times.failed(), 0, "{times}");
    assert!(spooled.metric(r#"spool_events_total{cause="gate"}"#) > 100.0);
    // The last one may be under way still.
    for gateway in [&spooled, &direct] {
        wait_at_most(LONG, "reconnections", || gateway.metric("bus_reconnects_total") >= 2.0);
    }
    direct.stop();
    let letters = dead_letters(&spooled.stop());
    let small: Vec<_> = letters.iter().filter(|letter| !through_spool.is_large(letter)).collect();
    assert!(
        small.is_empty(),
        "dead letters that are not large: {} of {}, such as {:?}",
        small.len(),
        letters.len(),
        small.first()
    );
    assert!(through_spool.large_accepted() <= letters.len() && 10 < letters.len(), "{}", letters.len());
    let bus = broker.found();
    straight.judge(&bus).has_none_of(promised(kind));
    through_spool.judge(&[bus, letters].concat()).has_none_of(promised(kind));
}

#[test]
fn nats_killed() {
    a_killed_broker(Kind::Nats);
}

#[test]
fn kafka_killed() {
    a_killed_broker(Kind::Kafka);
}

/// SIGSTOP of the broker. Every answer comes within 2.5 s (the hedge is 1.5 s), and once the gate is closed they come as
/// from a gateway beside it whose bus is the journal.
fn a_frozen_broker(kind: Kind) {
    let broker = Either::start_new(kind);
    let mut gateway = broker.setup("").with_spool("").start();
    let yardstick = Setup::new("", "").start();
    let load = Load::new("frozen", Shape::default());
    let beside = Load::new("journal", Shape::default());
    let (closed, thawed) = load.aim(&[gateway.address]).run(|| {
        beside.aim(&[yardstick.address]).run(|| {
            load.wait_for(200);
            broker.signal("-STOP");
            let frozen = Instant::now();
            wait_at_most(LONG, "a closed gate", || gateway.metric(r#"spool_events_total{cause="gate"}"#) > 0.0);
            // The hedges of what was under way when it closed are over.
            load.wait_for(50);
            let closed = Instant::now();
            thread::sleep(soak_or(Duration::from_secs(30), Duration::from_secs(8)).saturating_sub(frozen.elapsed()));
            let thawed = Instant::now();
            broker.signal("-CONT");
            load.wait_for(200);
            (closed, thawed)
        })
    });
    wait_for_drain(&gateway);
    let (all, journal) = (load.all_times(), beside.times(closed, thawed));
    let spool = load.times(closed, thawed);
    println!("all: {all}\nclosed gate: {spool}\nthe journal alone: {journal}");
    // A machine on which the journal alone takes long is no reason to blame the gate.
    let limit = Duration::from_millis(2500).max(Duration::from_millis(1500) + 2 * beside.all_times().slowest());
    assert!(all.failed() == 0 && all.slowest() < limit, "{all}");
    assert!(100 < spool.count() && spool.median() < 3 * journal.median() + Duration::from_millis(20), "{spool}");
    assert!(gateway.metric(r#"spool_events_total{cause="hedge"}"#) > 0.0);
    assert_eq!(gateway.metric("dead_letters"), 0.0);
    let log = gateway.log_so_far();
    assert!(log.contains("the bus takes no event now") || log.contains("no broker answers"), "{log}");
    gateway.stop();
    load.judge(&broker.found()).has_none_of(promised(kind));
}

#[test]
fn nats_frozen() {
    a_frozen_broker(Kind::Nats);
}

#[test]
fn kafka_frozen() {
    a_frozen_broker(Kind::Kafka);
}

/// The broker is away at the start, at the end and again at the end of the next run: starts and stops do not wait for it,
/// and the spool goes from one run to the next.
fn stopped_while_the_broker_is_down(kind: Kind) {
    let mut broker = Either::start_new(kind);
    broker.kill();
    let load = Load::new("stopped", Shape::default());
    let begin = Instant::now();
    let gateway = broker.setup("").with_spool("").start();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!((gateway.get_admin("/readyz").status, gateway.metric("bus_up")), (200, 0.0));
    let setup = load.aim(&[gateway.address]).run(|| {
        load.wait_for(200);
        end_in_time(gateway)
    });

    let gateway = setup.start();
    assert!(gateway.metric("journal_records") >= 200.0);
    let setup = load.aim(&[gateway.address]).run(|| {
        load.wait_for(200);
        broker.start();
        wait_at_most(LONG, "the drain", || gateway.metric(r#"bus_publish_total{result="ok"}"#) > 200.0);
        load.wait_for(200);
        broker.kill();
        // Most of what is under way has not been hedged yet.
        end_in_time(gateway)
    });
    broker.start();
    let gateway = setup.start();
    load.aim(&[gateway.address]).run(|| load.wait_for(50));
    wait_for_drain(&gateway);
    assert_eq!(gateway.metric("dead_letters"), 0.0);
    gateway.stop();
    load.judge(&broker.found()).has_none_of(promised(kind));
}

#[test]
fn nats_down_at_start_and_stop() {
    stopped_while_the_broker_is_down(Kind::Nats);
}

#[test]
fn kafka_down_at_start_and_stop() {
    stopped_while_the_broker_is_down(Kind::Kafka);
}

/// Kills or freezes the broker, and mends it, again and again until the test stops it.
fn flap(mut broker: Either, mut dice: fastrand::Rng, told: &mpsc::Receiver<()>) -> Either {
    while told.recv_timeout(Duration::from_millis(dice.u64(100..1500))) == Err(RecvTimeoutError::Timeout) {
        let down = Duration::from_millis(dice.u64(50..2000));
        if dice.bool() {
            broker.kill();
            thread::sleep(down);
            broker.start();
        } else {
            broker.signal("-STOP");
            thread::sleep(down);
            broker.signal("-CONT");
        }
    }
    broker
}

/// The gateway is killed again and again, at any moment, while the broker is killed or frozen at any moment.
fn killed_gateways(kind: Kind) {
    let broker = Either::start_new(kind);
    let load = Load::new("killed", Shape::default());
    let seed = soak_or(fastrand::u64(..), 7);
    println!("seed {seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut setup = broker.setup("").with_spool("hedge_after = \"300ms\"");
    let (quit, told) = mpsc::sync_channel(1);
    let fork = dice.fork();
    let flapper = thread::spawn(move || flap(broker, fork, &told));
    setup = load.run(|| {
        for _ in 0..soak_or(100, 6) {
            let gateway = setup.start();
            load.aim(&[gateway.address]).wait_for(50);
            thread::sleep(Duration::from_millis(dice.u64(0..2000)));
            setup = gateway.kill();
        }
        setup
    });
    drop(quit);
    let broker = flapper.join().unwrap();
    let gateway = setup.start();
    load.aim(&[gateway.address]).run(|| load.wait_for(100));
    wait_for_drain(&gateway);
    assert_eq!(gateway.metric("dead_letters"), 0.0);
    gateway.stop();
    load.judge(&broker.found()).has_none_of(promised(kind));
}

#[test]
fn nats_flaps_and_gateways_are_killed() {
    killed_gateways(Kind::Nats);
}

#[test]
fn kafka_flaps_and_gateways_are_killed() {
    killed_gateways(Kind::Kafka);
}

/// How a broker is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Out {
    Killed,
    Frozen,
}

/// A long outage costs disk and no memory, and when the broker is back the spool empties while events keep coming.
fn a_long_outage(kind: Kind, out: Out) {
    const FEW: usize = 5_000;
    let events = soak_or(100_000, 20_000);
    let mut broker = Either::start_new(kind);
    // The memory of recent events has its own bound: it is full before the first look.
    let gateway = broker.setup("recent_events = 1000").with_spool("").start();
    let load = Load::new("outage", Shape { senders: 16, keys: 500, bytes: 2000, large: None, pause: Duration::ZERO });
    load.aim(&[gateway.address]).run(|| {
        load.wait_for(500);
        match out {
            Out::Killed => broker.kill(),
            Out::Frozen => broker.signal("-STOP"),
        }
        let first = load.accepted();
        wait_at_most(10 * LONG, "the first events", || first + FEW <= load.accepted());
        let early = resident(gateway.pid());
        let mut most = early;
        wait_at_most(10 * LONG, "all events", || {
            most = most.max(resident(gateway.pid()));
            first + events <= load.accepted()
        });
        println!("resident after {FEW}: {early}, at most until {events}: {most}");
        // What was spooled meanwhile has about 2,500 bytes each: 37 MB, or 240. A frozen NATS costs up to 11 MB of copies
        // that the client holds, however long it is frozen.
        assert!(most < early + 20_000_000, "grown from {early} to {most}");

        let (backlog, accepted) = (gateway.metric("journal_records"), load.accepted());
        // A broker that freezes may have said its last words before.
        assert!(backlog > 0.9 * events as f64, "{backlog}");
        match out {
            Out::Killed => broker.start(),
            Out::Frozen => broker.signal("-CONT"),
        }
        let begin = Instant::now();
        wait_at_most(10 * LONG, "the drain", || gateway.metric("journal_records") < backlog / 20.0);
        let (took, came) = (begin.elapsed().as_secs_f64(), (load.accepted() - accepted) as f64);
        let went = backlog - gateway.metric("journal_records") + came;
        println!("drained {:.0}/s beside {:.0}/s coming in, {took:.1} s", went / took, came / took);
    });
    wait_for_drain(&gateway);
    assert_eq!((load.all_times().failed(), gateway.metric("dead_letters")), (0, 0.0));
    gateway.stop();
    load.judge(&broker.found()).has_none_of(promised(kind));
}

#[test]
fn nats_long_outage() {
    a_long_outage(Kind::Nats, Out::Killed);
}

#[test]
fn nats_long_freeze() {
    a_long_outage(Kind::Nats, Out::Frozen);
}

#[test]
fn kafka_long_outage() {
    a_long_outage(Kind::Kafka, Out::Killed);
}

#[test]
fn kafka_long_freeze() {
    a_long_outage(Kind::Kafka, Out::Frozen);
}
