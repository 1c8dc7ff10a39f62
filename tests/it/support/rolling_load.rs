//! Senders that post signed events, each with an id of its own, and write down how every single one ended.

use std::{
    collections::HashSet,
    net::{SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    client::{Connection, post_head, signature},
    harness::POLICY,
};

/// All of these send at the same moments, so that a proxy needs many connections at once.
const STEADY: usize = 32;
/// How often.
const PACE: Duration = Duration::from_millis(100);
/// As many again join them now and then: what a proxy opens for these lies idle in its pool meanwhile.
const PEAK: usize = 32;
/// How often.
const PEAK_PACE: Duration = Duration::from_secs(5);
/// Each sender numbers its events from its own multiple of this.
const SENDER: usize = 1_000_000;

/// A load on one address.
pub struct Load {
    pub target: SocketAddr,
    /// Whether a sender uses a connection for more than one request.
    pub keep_alive: bool,
}

/// A request that was not answered 200.
#[derive(Debug)]
pub struct Failure {
    pub at: Duration,
    pub event: String,
    pub what: String,
    /// What was going on meanwhile.
    pub during: String,
}

/// How all requests ended.
#[derive(Debug, Default)]
pub struct Tally {
    /// Ids of the events that were answered 200.
    pub accepted: HashSet<String>,
    pub failures: Vec<Failure>,
    latencies: Vec<Duration>,
}

impl Failure {
    /// As a line of text.
    pub fn line(&self) -> String {
        format!("  {:>7.2} s {} ({}): {}\n", self.at.as_secs_f64(), self.event, self.during, self.what)
    }
}

impl Load {
    /// Sends while `meanwhile` goes on, which says what it is doing through what it is given.
    pub fn during(&self, meanwhile: impl FnOnce(&Mutex<String>)) -> Tally {
        let (stop, now) = (AtomicBool::new(false), Mutex::new(String::new()));
        let begin = Instant::now();
        thread::scope(|scope| {
            let senders: Vec<_> = (0..STEADY + PEAK)
                .map(|sender| {
                    let (stop, now) = (&stop, &now);
                    scope.spawn(move || self.send(sender, begin, stop, now))
                })
                .collect();
            // A scenario that fails ends the load too.
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(&now)));
            stop.store(true, Ordering::Relaxed);
            let tallies = senders.into_iter().map(|sender| sender.join().unwrap()).collect::<Vec<_>>();
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let mut tally = tallies.into_iter().fold(Tally::default(), Tally::and);
            tally.failures.sort_by_key(|failure| failure.at);
            tally
        })
    }

    fn send(&self, sender: usize, begin: Instant, stop: &AtomicBool, now: &Mutex<String>) -> Tally {
        let mut tally = Tally::default();
        let pace = if sender < STEADY { PACE } else { PEAK_PACE };
        let mut connection = None;
        let mut due = begin + pace;
        for number in sender * SENDER.. {
            while Instant::now() < due && !stop.load(Ordering::Relaxed) {
                thread::sleep(due.saturating_duration_since(Instant::now()).min(PACE));
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
            // A sender that was held up does not catch up.
            due = (due + pace).max(Instant::now());
            let sent = Instant::now();
            let event = format!("evt_{number}");
            match self.post(&mut connection, sender, &event) {
                Ok(()) => drop(tally.accepted.insert(event)),
                Err(what) => {
                    let during = now.lock().unwrap().clone();
                    tally.failures.push(Failure { at: sent - begin, event, what, during });
                    connection = None;
                }
            }
            tally.latencies.push(sent.elapsed());
        }
        tally
    }

    /// One event, once.
    fn post(&self, kept: &mut Option<Connection>, sender: usize, event: &str) -> Result<(), String> {
        let body = format!(
            r#"{{"id":"{event}","type":"policy.active","data":{{"object":{{"id":"pl_{sender}","premium":1.50}}}}}}"#
        );
        let close = if self.keep_alive { "" } else { "Connection: close\r\n" };
        let head = post_head(POLICY, body.as_bytes(), &format!("{close}{}", signature(POLICY, body.as_bytes())));
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => TcpStream::connect(self.target).map(Connection::over).map_err(|error| error.to_string())?,
        };
        connection.try_send(&[head.as_bytes(), body.as_bytes()].concat()).map_err(|error| error.to_string())?;
        let answer = connection.answer().ok_or("closed without an answer")?;
        if self.keep_alive && answer.header("connection") != Some("close") {
            *kept = Some(connection);
        }
        // The body's beginning tells a proxy's 503 from a gateway's.
        let body = answer.body.lines().next().unwrap_or_default();
        if answer.status == 200 { Ok(()) } else { Err(format!("{} {body}", answer.status)) }
    }
}

impl Tally {
    fn and(mut self, other: Tally) -> Tally {
        self.accepted.extend(other.accepted);
        self.failures.extend(other.failures);
        self.latencies.extend(other.latencies);
        self
    }

    pub fn requests(&self) -> usize {
        self.latencies.len()
    }

    /// The latency that so many of a hundred requests did not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        latencies[(latencies.len() * percent).div_ceil(100).max(1) - 1]
    }
}
