//! The time that decides what is too old.
//!
//! In: the wall clock and the monotonic one. Out: the wall clock's time while both go alike, and none after a jump: a
//! clock that is a week ahead for a second must not erase a week of records.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// More microseconds than this between the clocks are a jump.
const JUMP: u64 = 60_000_000;
/// Less is drift, and is followed at one part in so many of the time that passes: small steps must not add up to a jump.
const DRIFT: u64 = 20;
/// A wall clock that jumped once and went evenly for so long is believed: it was set right, or the machine slept.
const STEADY: Duration = Duration::from_secs(3600);

/// The monotonic clock.
pub(super) fn now() -> Instant {
    // The paused clock of a simulation, or the same as the other.
    #[cfg(feature = "simulation")]
    return tokio::time::Instant::now().into_std();
    #[cfg(not(feature = "simulation"))]
    Instant::now()
}

/// The wall clock in Unix microseconds; 0 before 1970.
pub(super) fn unix_micros() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(machine) = crate::simulation::Machine::here() {
        return machine.wall(now());
    }
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    wall: u64,
    at: Instant,
}

impl Anchor {
    fn passed(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.at).as_micros() as u64
    }

    fn agrees(&self, wall: u64, at: Instant) -> bool {
        wall.abs_diff(self.wall.saturating_add(self.passed(at))) <= JUMP
    }

    /// The anchor a while later, drawn a little to the wall clock.
    fn drawn(&self, wall: u64, at: Instant) -> Anchor {
        let passed = self.passed(at);
        let (expected, drift) = (self.wall.saturating_add(passed), passed / DRIFT);
        Anchor { wall: wall.clamp(expected.saturating_sub(drift), expected.saturating_add(drift)), at }
    }
}

/// A wall clock, in Unix microseconds, that is believed only as long as it does not jump.
#[derive(Debug)]
pub(super) struct Clock {
    /// Both clocks, when they last agreed.
    believed: Anchor,
    /// Both clocks, right after the last jump.
    jumped: Option<Anchor>,
}

impl Clock {
    /// A clock that is believed from the first, or only after an hour: how long the process was away is known from the
    /// wall clock alone.
    pub(super) fn new(wall: u64, at: Instant, doubtful: bool) -> Clock {
        let here = Anchor { wall, at };
        if doubtful {
            tracing::warn!("journal: by the wall clock every record is too old: retention by age waits for an hour");
        }
        // The time before 1970 agrees with no later one.
        let believed = if doubtful { Anchor { wall: 0, at } } else { here };
        Clock { believed, jumped: doubtful.then_some(here) }
    }

    /// The time, if it is believed.
    pub(super) fn now(&mut self, wall: u64, at: Instant) -> Option<u64> {
        if self.believed.agrees(wall, at) {
            self.believe(self.believed.drawn(wall, at));
            return Some(wall);
        }
        match self.jumped {
            Some(jumped) if jumped.agrees(wall, at) => {
                if at.saturating_duration_since(jumped.at) < STEADY {
                    return None;
                }
                self.believe(Anchor { wall, at });
                return Some(wall);
            }
            Some(_) => {}
            None => {
                let (seconds, from) = (wall / 1_000_000, self.believed.wall / 1_000_000);
                tracing::warn!(from, to = seconds, "journal: the wall clock jumped, retention by age is suspended");
            }
        }
        self.jumped = Some(Anchor { wall, at });
        None
    }

    fn believe(&mut self, here: Anchor) {
        if self.jumped.take().is_some() {
            tracing::info!("journal: the wall clock is steady, retention by age goes on");
        }
        self.believed = here;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const START: u64 = 1_700_000_000 * SECOND;
    const EIGHT_DAYS: u64 = 8 * 86_400 * SECOND;

    fn later(at: Instant, seconds: u64) -> Instant {
        at + Duration::from_secs(seconds)
    }

    #[test]
    fn a_jump_is_not_believed_and_its_end_is() {
        let at = Instant::now();
        let mut clock = Clock::new(START, at, false);
        assert_eq!(clock.now(START + SECOND, later(at, 1)), Some(START + SECOND));
        for second in 2..30 {
            assert_eq!(clock.now(START + EIGHT_DAYS + second * SECOND, later(at, second)), None);
        }
        assert_eq!(clock.now(START + 30 * SECOND, later(at, 30)), Some(START + 30 * SECOND));
        assert_eq!(clock.now(START - EIGHT_DAYS, later(at, 31)), None, "backwards is a jump too");
    }

    #[test]
    fn drift_is_followed_and_a_steady_new_time_is_believed_after_an_hour() {
        let at = Instant::now();
        let mut clock = Clock::new(START, at, false);
        for minute in 1..1000 {
            let wall = START + minute * 62 * SECOND;
            assert_eq!(clock.now(wall, later(at, minute * 60)), Some(wall), "two seconds in each minute");
        }
        let (mut clock, set) = (Clock::new(START, at, false), START + EIGHT_DAYS);
        for second in 0..3600 {
            assert_eq!(clock.now(set + second * SECOND, later(at, second)), None);
        }
        assert_eq!(clock.now(set + 3600 * SECOND, later(at, 3600)), Some(set + 3600 * SECOND));
    }

    #[test]
    fn each_jump_begins_the_hour_again() {
        let at = Instant::now();
        let mut clock = Clock::new(START, at, false);
        assert_eq!(clock.now(START + EIGHT_DAYS, at), None);
        let set = START + 2 * EIGHT_DAYS;
        assert_eq!(clock.now(set, later(at, 3000)), None);
        assert_eq!(clock.now(set + 3599 * SECOND, later(at, 6599)), None);
        assert_eq!(clock.now(set + 3600 * SECOND, later(at, 6600)), Some(set + 3600 * SECOND));
    }

    #[test]
    fn small_steps_do_not_add_up_to_a_jump() {
        let at = Instant::now();
        for (step, expected) in [(50, 1), (25, 2)] {
            let mut clock = Clock::new(START, at, false);
            let believed = (1..10).filter(|n| clock.now(START + n * step * SECOND, later(at, *n)).is_some()).count();
            assert_eq!(believed, expected, "steps of {step} s");
        }
    }

    #[test]
    fn a_doubtful_start_waits() {
        let at = Instant::now();
        let mut clock = Clock::new(START, at, true);
        assert_eq!(clock.now(START, at), None);
        assert_eq!(clock.now(START + 3600 * SECOND, later(at, 3600)), Some(START + 3600 * SECOND));
    }
}
