//! When requests are due that wait for no answer: at fixed instants, by a timer of the kernel. tokio's own timer counts
//! whole milliseconds, which is longer than most answers take.

use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::{io::AsyncReadExt as _, net::unix::pipe::Receiver};

/// The due instants: `interval` apart, the first one `interval` after the beginning.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    begin: Instant,
    interval: Duration,
}

impl Pace {
    pub fn new(begin: Instant, per_second: f64) -> Self {
        Pace { begin, interval: Duration::from_secs_f64(1.0 / per_second) }
    }

    /// When a request is due, by its number from 0. Multiplied, not added up: no error grows.
    pub fn due(&self, number: usize) -> Instant {
        let intervals = u32::try_from(number + 1).expect("fewer requests than that");
        self.begin + self.interval * intervals
    }
}

/// A timer that rings at each due instant. It reads like a pipe, which is how tokio waits for it.
#[derive(Debug)]
pub struct Timer(Receiver);

impl Timer {
    /// Starts it, and the pace with it.
    pub fn start(per_second: f64) -> (Pace, Self) {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK).expect("a timer");
        // Looked at before the timer starts: what lies between counts as the generator's own delay.
        let pace = Pace::new(Instant::now(), per_second);
        let interval =
            Timespec { tv_sec: pace.interval.as_secs().cast_signed(), tv_nsec: pace.interval.subsec_nanos().into() };
        let rings = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &rings).expect("a timer is set");
        (pace, Timer(Receiver::from_owned_fd_unchecked(timer).expect("a timer to wait for")))
    }

    /// Waits until it rings; how often it has rung since it was last asked.
    pub async fn rung(&mut self) -> usize {
        let mut count = [0; size_of::<u64>()];
        self.0.read_exact(&mut count).await.expect("a timer is read");
        usize::try_from(u64::from_ne_bytes(count)).expect("a count")
    }
}
