//! Senders under load: they post signed events one after the other, each again and again until it is answered 200, as a
//! vendor does, and remember every answer.
//!
//! In: a gateway's address. Out: what was sent and answered when. A body can be made again from its number, so that
//! nothing is kept of it. What becomes of the events is for the [oracle](crate::support::oracle) to say.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    client::{Connection, post_head, signature},
    harness::{AUDIT, Gateway, POLICY},
    oracle::Found,
    wait::wait_at_most,
};

/// Longest wait for more answers: a broker may have to come back first, on a machine that is busy.
pub const LONG: Duration = Duration::from_secs(120);

/// The long form's value, or that of every day.
pub fn soak_or<T>(long: T, short: T) -> T {
    if std::env::var_os("HOOKBUS_SOAK").is_some() { long } else { short }
}

/// Waits until the spool is empty.
pub fn wait_for_drain(gateway: &Gateway) {
    wait_at_most(soak_or(10, 1) * LONG, "an empty spool", || gateway.metric("journal_records") == 0.0);
}

/// Before a sender comes again. Vendors take longer.
const RETRY: Duration = Duration::from_millis(20);

/// Each sender numbers its events from its own multiple of this.
const SENDER: u64 = 1_000_000;

/// Stands before an event's number in its body.
const MARK: &str = r#""mark":"#;

/// What the senders do.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub senders: u64,
    /// Entities of each vendor, shared by all its senders, so that requests of one key overlap, too.
    pub keys: u64,
    /// Filler of a body.
    pub bytes: usize,
    /// Every so many-th event has so many bytes more.
    pub large: Option<(u64, usize)>,
    /// Between an answer and the next event.
    pub pause: Duration,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { senders: 8, keys: 16, bytes: 300, large: None, pause: Duration::from_millis(10) }
    }
}

/// Senders, and what they remember.
pub struct Load {
    pub name: &'static str,
    shape: Shape,
    targets: Mutex<Vec<SocketAddr>>,
    stop: AtomicBool,
    pub accepted: AtomicUsize,
    pub posted: Mutex<HashMap<u64, Posted>>,
    answers: Mutex<Vec<Answered>>,
}

/// What a sender knows of one event.
#[derive(Debug, Clone, Copy)]
pub struct Posted {
    /// First byte of the first attempt.
    pub sent: Instant,
    /// The last of the targets has answered 200.
    pub accepted: Option<Instant>,
}

/// One attempt.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    pub sent: Instant,
    pub took: Duration,
    /// 0: the connection ended without an answer.
    pub status: u16,
}

impl Load {
    /// `name`: tells its events from those of every other load.
    pub fn new(name: &'static str, shape: Shape) -> Self {
        Load {
            name,
            shape,
            targets: Mutex::default(),
            stop: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            posted: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// Where the senders post from now on. With several targets each event goes to all of them, one after the other.
    pub fn aim(&self, targets: &[SocketAddr]) -> &Self {
        *self.targets.lock().unwrap() = targets.to_vec();
        self
    }

    /// Posts for as long as `meanwhile` takes.
    pub fn run<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        self.stop.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            // Also when `meanwhile` panics.
            let _stop = StopAtEnd(self);
            for sender in 0..self.shape.senders {
                scope.spawn(move || self.send(sender));
            }
            meanwhile()
        })
    }

    fn send(&self, sender: u64) {
        let mut connections = HashMap::new();
        // A second run goes on where the first has ended.
        let first = self.posted.lock().unwrap().keys().filter(|number| *number / SENDER == sender).max().copied();
        for number in first.map_or(sender * SENDER, |number| number + 1).. {
            if self.stopped() {
                return;
            }
            let event = self.event(number);
            self.posted.lock().unwrap().insert(number, Posted { sent: Instant::now(), accepted: None });
            if !self.post(&event, &mut connections) {
                return;
            }
            self.posted.lock().unwrap().get_mut(&number).unwrap().accepted = Some(Instant::now());
            self.accepted.fetch_add(1, Ordering::Relaxed);
            if !self.shape.pause.is_zero() {
                thread::sleep(self.shape.pause);
            }
        }
    }

    /// Posts to each target until it answers 200, as a vendor does. `false`: told to stop before.
    fn post(&self, event: &Event, connections: &mut HashMap<SocketAddr, Connection>) -> bool {
        for place in 0.. {
            loop {
                // The gateway may have moved.
                let target = self.targets.lock().unwrap().get(place).copied();
                match target {
                    Some(target) if self.attempt(target, event, connections) == 200 => break,
                    // All of them have it.
                    None if 0 < place => return true,
                    Some(_) | None => {}
                }
                if self.stopped() {
                    return false;
                }
                thread::sleep(RETRY);
            }
        }
        true
    }

    fn attempt(&self, target: SocketAddr, event: &Event, connections: &mut HashMap<SocketAddr, Connection>) -> u16 {
        let head = post_head(event.path, &event.body, &signature(event.path, &event.body));
        let Some(mut connection) = connections.remove(&target).or_else(|| Connection::try_open(target).ok()) else {
            return 0;
        };
        let sent = Instant::now();
        let wrote = connection.try_send(&[head.as_bytes(), &event.body].concat());
        let answer = wrote.ok().and_then(|()| connection.answer());
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        self.answers.lock().unwrap().push(Answered { sent, took: sent.elapsed(), status });
        if answer.is_some_and(|answer| answer.header("connection") != Some("close")) {
            connections.insert(target, connection);
        }
        status
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Events answered 200 so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Waits until so many more events are answered 200.
    pub fn wait_for(&self, more: usize) {
        let wanted = self.accepted() + more;
        wait_at_most(LONG, &format!("{more} more answers of {wanted}"), || self.accepted() >= wanted);
    }

    /// What was answered to what was sent between two moments.
    pub fn times(&self, from: Instant, to: Instant) -> Times {
        let answers = self.answers.lock().unwrap();
        let mut within: Vec<_> = answers.iter().filter(|answer| (from..to).contains(&answer.sent)).copied().collect();
        within.sort_by_key(|answer| answer.took);
        Times(within)
    }

    /// What was answered to everything.
    pub fn all_times(&self) -> Times {
        let mut answers = self.answers.lock().unwrap().clone();
        answers.sort_by_key(|answer| answer.took);
        Times(answers)
    }

    /// The event of a number, always the same.
    pub fn event(&self, number: u64) -> Event {
        let Shape { keys, bytes, large, .. } = self.shape;
        let more = large.filter(|(every, _)| number % every == every - 1).map_or(0, |(_, more)| more);
        let (name, fill) = (self.name, "x".repeat(bytes + more));
        let policy = (number / SENDER).is_multiple_of(2);
        let entity = format!("{name}_{}", number % SENDER % keys);
        // What a careless way through a parser would change: white space, a trailing zero, a key twice, escapes.
        let rest = format!(
            r#" "amount": 148320.50,"amount":1.0e2,"name":"Zo\u00eb é\/","fill":"{fill}"}} , {MARK}"{name}-{number}"}}"#
        );
        let (path, key, body) = if policy {
            let head = format!(r#"{{"id":"evt_{name}_{number}","type":"policy.active","data":{{"id":"{entity}","#);
            (POLICY, format!("1099policy/acme/{entity}"), head + &rest)
        } else {
            let head = format!(r#"{{"event":"file.processed","data":{{"file_id":"{entity}","#);
            (AUDIT, format!("audit1/payroll/{entity}"), head + &rest)
        };
        Event { path, key, large: 0 < more, body: body.into_bytes() }
    }

    /// Whether an event is one of the large ones.
    pub fn is_large(&self, found: &Found) -> bool {
        self.number(&found.payload).is_some_and(|number| self.event(number).large)
    }

    /// Large events answered 200.
    pub fn large_accepted(&self) -> usize {
        let posted = self.posted.lock().unwrap();
        posted.iter().filter(|(number, posted)| posted.accepted.is_some() && self.event(**number).large).count()
    }

    /// The number of this load's event in a payload.
    pub fn number(&self, payload: &[u8]) -> Option<u64> {
        let mark = format!("{MARK}\"{}-", self.name);
        let place = payload.windows(mark.len()).rposition(|window| window == mark.as_bytes())?;
        let digits = payload[place + mark.len()..].split(|byte| *byte == b'"').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

struct StopAtEnd<'a>(&'a Load);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// One event as its sender has it.
pub struct Event {
    path: &'static str,
    pub key: String,
    large: bool,
    pub body: Vec<u8>,
}

/// Answers, the quickest first.
#[derive(Debug)]
pub struct Times(Vec<Answered>);

impl Times {
    /// Those with another status than 200, or none.
    pub fn failed(&self) -> usize {
        self.0.iter().filter(|answer| answer.status != 200).count()
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn median(&self) -> Duration {
        self.0.get(self.0.len() / 2).map_or(Duration::ZERO, |answer| answer.took)
    }

    pub fn slowest(&self) -> Duration {
        self.0.last().map_or(Duration::ZERO, |answer| answer.took)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p99 = self.0.get(self.0.len() * 99 / 100).map_or(Duration::ZERO, |answer| answer.took);
        let (count, failed) = (self.count(), self.failed());
        write!(
            f,
            "{count} answers, {failed} not 200, median {:?}, p99 {p99:?}, slowest {:?}",
            self.median(),
            self.slowest()
        )
    }
}
