//! The load generator: keep-alive HTTP/1.1 over raw sockets, one request at a time on each, on one thread.
//!
//! In a closed loop a connection sends its next request when its last one is answered: that finds the full load. In an open
//! loop requests are due at fixed instants, whatever the answers do: that finds latencies, since a server that stops for a
//! while delays also what was due meanwhile.
//!
//! It shares the machine with what it measures, so it does as little as an honest client can: requests are made before
//! the clock starts, answers are looked at just far enough to know their status and their end.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::{Builder, Runtime},
    sync::Semaphore,
};

use self::pace::{Pace, Timer};
use crate::events::Batch;

// The path: other benches name this file by its own.
#[path = "pace.rs"]
mod pace;

/// Open connections to one server.
pub struct Load {
    runtime: Runtime,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// What a run gave.
#[derive(Debug)]
pub struct Run {
    pub seconds: f64,
    /// Of each event.
    pub latencies: Vec<Duration>,
    /// Events answered with another status than 2xx.
    pub refused: usize,
}

/// What a run in an open loop gave.
#[derive(Debug)]
pub struct PacedRun {
    /// Of each event, from the instant at which it was due to its answer.
    pub latencies: Vec<Duration>,
    /// Of each event, from the instant at which it was due and a connection was free until it was written: the sending half
    /// of the generator's own delay. How long an answer waits to be read is not in it.
    pub late: Vec<Duration>,
    /// The share of the time in which the generator's thread ran or waited for a core: near 1 it was at its own limit.
    pub busy: f64,
    pub refused: usize,
}

impl Load {
    pub fn open(address: SocketAddr, connections: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let connections = (0..connections).map(|_| runtime.block_on(Connection::open(address))).collect();
        Load { runtime, connections }
    }

    /// Sends the whole batch: each connection takes the next request when its last one is answered.
    pub fn run(&mut self, requests: Batch) -> Run {
        let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
        let begin = Instant::now();
        let senders: Vec<_> = self
            .connections
            .drain(..)
            .map(|connection| self.runtime.spawn(connection.send(Arc::clone(&requests), Arc::clone(&next))))
            .collect();
        let mut run = Run { seconds: 0.0, latencies: Vec::with_capacity(requests.len()), refused: 0 };
        for sender in senders {
            let (connection, latencies, refused) = self.runtime.block_on(sender).expect("answers");
            self.connections.push(connection);
            run.latencies.extend(latencies);
            run.refused += refused;
        }
        run.seconds = begin.elapsed().as_secs_f64();
        run
    }

    /// Sends the whole batch at that rate. A due request takes the next free connection, and its wait for one counts.
    pub fn run_at(&mut self, per_second: f64, requests: Batch) -> PacedRun {
        let _inside = self.runtime.enter();
        let (count, spare) = (requests.len(), self.connections.len());
        let (requests, next, due) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (begin, before) = (Instant::now(), thread_seconds());
        let (pace, mut timer) = Timer::start(per_second);
        let send = |connection: Connection| {
            connection.send_when_due(Arc::clone(&requests), Arc::clone(&next), Arc::clone(&due), pace)
        };
        let senders: Vec<_> = self.connections.drain(..).map(|one| self.runtime.spawn(send(one))).collect();
        self.runtime.block_on(async {
            let mut rung = 0;
            while rung < count {
                let more = timer.rung().await;
                rung += more;
                due.add_permits(more);
            }
            // Each connection finds nothing left to send.
            due.add_permits(spare);
        });
        let mut run =
            PacedRun { latencies: Vec::with_capacity(count), late: Vec::with_capacity(count), busy: 0.0, refused: 0 };
        for sender in senders {
            let (connection, part) = self.runtime.block_on(sender).expect("answers");
            self.connections.push(connection);
            run.latencies.extend(part.latencies);
            run.late.extend(part.late);
            run.refused += part.refused;
        }
        run.busy = (thread_seconds() - before) / begin.elapsed().as_secs_f64();
        run
    }
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Connection { stream, answer: Vec::with_capacity(1024) }
    }

    async fn send(mut self, requests: Arc<Batch>, next: Arc<AtomicUsize>) -> (Self, Vec<Duration>, usize) {
        let (mut latencies, mut refused) = (Vec::new(), 0);
        while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begin = Instant::now();
            self.stream.write_all(request).await.expect("a request is taken");
            refused += usize::from(!self.is_accepted().await);
            latencies.push(begin.elapsed());
        }
        (self, latencies, refused)
    }

    async fn send_when_due(
        mut self,
        requests: Arc<Batch>,
        next: Arc<AtomicUsize>,
        due: Arc<Semaphore>,
        pace: Pace,
    ) -> (Self, PacedRun) {
        let mut run = PacedRun { latencies: Vec::new(), late: Vec::new(), busy: 0.0, refused: 0 };
        loop {
            let free = Instant::now();
            // Fair: who has waited longest gets the next one.
            due.acquire().await.expect("never closed").forget();
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = requests.get(number) else { return (self, run) };
            let due = pace.due(number);
            self.stream.write_all(request).await.expect("a request is taken");
            run.late.push(due.max(free).elapsed());
            run.refused += usize::from(!self.is_accepted().await);
            run.latencies.push(due.elapsed());
        }
    }

    /// Reads one answer to its end.
    async fn is_accepted(&mut self) -> bool {
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await.expect("an answer");
            assert!(read > 0, "closed without an answer");
            if let Some(accepted) = whole(&self.answer) {
                return accepted;
            }
        }
    }
}

/// For how long this thread has run or waited for a core so far.
fn thread_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a thread");
    text.split(' ').take(2).map(|part| part.parse::<f64>().expect("nanoseconds")).sum::<f64>() / 1e9
}

/// Whether an answer is 2xx; `None` until all of it is here.
fn whole(answer: &[u8]) -> Option<bool> {
    let head = memmem::find(answer, b"\r\n\r\n")?;
    let text = std::str::from_utf8(&answer[..head]).expect("a head in ASCII");
    let (_, length) = text.split_once("content-length: ").expect("a length");
    let length: usize = length.lines().next().and_then(|length| length.parse().ok()).expect("a length");
    (answer.len() >= head + 4 + length).then(|| text.starts_with("HTTP/1.1 2"))
}
