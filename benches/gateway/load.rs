//! The load generator: keep-alive HTTP/1.1 over raw sockets, one request at a time on each, on one thread.
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
};

use crate::events::Batch;

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

/// Whether an answer is 2xx; `None` until all of it is here.
fn whole(answer: &[u8]) -> Option<bool> {
    let head = memmem::find(answer, b"\r\n\r\n")?;
    let text = std::str::from_utf8(&answer[..head]).expect("a head in ASCII");
    let (_, length) = text.split_once("content-length: ").expect("a length");
    let length: usize = length.lines().next().and_then(|length| length.parse().ok()).expect("a length");
    (answer.len() >= head + 4 + length).then(|| text.starts_with("HTTP/1.1 2"))
}
