//! What goes wrong, and when.

use std::time::Duration;

use fastrand::Rng;
use journal::simulation::{Faults, Machine};
use tokio::time::sleep;

use super::broker::{Broker, Mood};
use crate::bus::PublishError;

const DAY: i64 = 86_400_000_000;

/// Changes the broker, the disk and the clock, without end.
pub(super) async fn blow(machine: Machine, broker: std::sync::Arc<Broker>, mut rng: Rng, keys: usize) {
    loop {
        change(&machine, &broker, &mut rng, keys);
        let calm = [Duration::from_millis(50), Duration::from_millis(500), Duration::from_secs(4)][rng.usize(..3)];
        sleep(calm.mul_f64(rng.f64())).await;
    }
}

fn change(machine: &Machine, broker: &Broker, rng: &mut Rng, keys: usize) {
    match rng.u8(..14) {
        0..=4 => broker.set(mood(rng)),
        5 => {
            let errors = [PublishError::SubjectFull, PublishError::Uncovered, PublishError::Unprovisioned];
            broker.refuse(rng.usize(..keys), errors[rng.usize(..3)]);
        }
        6 => {
            let errors = [PublishError::TooLarge, PublishError::Unroutable, PublishError::Unauthorized];
            broker.refuse(rng.usize(..keys), errors[rng.usize(..3)]);
        }
        7 => broker.heal(),
        8..=10 => machine.set(faults(rng)),
        11 | 12 => machine.set(Faults::default()),
        _ => machine.jump(rng.i64(-20 * DAY..20 * DAY)),
    }
}

fn mood(rng: &mut Rng) -> Mood {
    match rng.u8(..6) {
        0 | 1 => Mood::Fair,
        2 => Mood::Slow([Duration::from_millis(500), Duration::from_secs(7)][rng.usize(..2)]),
        3 => Mood::Lossy,
        4 => Mood::Silent,
        _ => Mood::Down,
    }
}

/// A disk with one or some faults.
pub(super) fn faults(rng: &mut Rng) -> Faults {
    let mut share = |most: f64| if rng.u8(..3) == 0 { rng.f64() * most } else { 0.0 };
    Faults {
        write: share(0.5),
        sync: share(0.5),
        names: share(0.3),
        full: rng.u8(..3) == 0,
        latency: [Duration::from_millis(4), Duration::from_millis(100), Duration::from_secs(3)][rng.usize(..3)],
    }
}
