//! A connection's clock: which deadline runs now. Both listeners' connections have one, the webhooks' and the admin's.
//!
//! In: bytes that come and go, and what the service says. Out: when the connection has had its time, and doing what.
//!
//! hyper has one timer for two things, the wait for a request and the reading of its head. Here they are apart: an idle
//! connection may wait longer than any proxy's pool keeps it, while a head, from its first byte on, gets seconds, and so does
//! a connection that has never sent a byte. The socket sets the clock when bytes arrive, the service when a request begins
//! and ends. (The first bytes of a head that arrive together with the request before it are not noticed: such a connection
//! counts as waiting.)

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

/// How long each state of a connection may last.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From a head's first byte to its last, and from a connection's beginning to its first byte.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// From a request's head to its answer, or, where the service says so, to the answer's last byte.
    pub serving: Duration,
}

/// What a connection does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnState {
    /// Nothing has ever arrived.
    Silent,
    /// Between requests.
    Waiting,
    /// A head has begun and is not complete.
    ReadingHead,
    /// A request is being served; its own timers answer it. The deadline here is only their backstop.
    Serving,
    /// An answer is there and is being written: until all of it is with the system, for a client that reads nothing that long.
    Writing,
}

/// Shared by the socket, the service and the connection's loop, all of one task.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    state: AtomicU8,
    /// Milliseconds after `start`: when the state began.
    since: AtomicU64,
    /// Milliseconds after `start`.
    deadline: AtomicU64,
    /// Milliseconds that it may wait for a request.
    idle: AtomicU64,
    /// Bytes that have come since the connection waited for a request: the head's, and what came along with it.
    head_bytes: AtomicUsize,
    /// The last answer was given before its body was read.
    unread: AtomicBool,
    times: Times,
}

impl Clock {
    /// Of a connection that begins now.
    pub fn new(times: Times) -> Arc<Self> {
        let clock = Clock {
            start: Instant::now(),
            state: AtomicU8::new(ConnState::Silent as u8),
            since: AtomicU64::new(0),
            deadline: AtomicU64::new(0),
            idle: AtomicU64::new(millis(times.idle)),
            head_bytes: AtomicUsize::new(0),
            unread: AtomicBool::new(false),
            times,
        };
        clock.begin(ConnState::Silent);
        Arc::new(clock)
    }

    /// A state begins, and with it its time.
    pub fn begin(&self, state: ConnState) {
        let limit = match state {
            ConnState::Waiting => Duration::from_millis(self.idle.load(Ordering::Relaxed)),
            ConnState::Silent | ConnState::ReadingHead => self.times.head,
            ConnState::Serving | ConnState::Writing => self.times.serving,
        };
        let now = self.start.elapsed();
        self.state.store(state as u8, Ordering::Relaxed);
        self.since.store(millis(now), Ordering::Relaxed);
        self.deadline.store(millis(now + limit), Ordering::Relaxed);
    }

    /// A request is answered. `unread`: before its body was read to the end.
    pub fn answered(&self, unread: bool) {
        self.unread.store(unread, Ordering::Relaxed);
        self.begin(ConnState::Waiting);
    }

    /// An answer is given out, and the connection waits when all of it is written. One behind another gets no more time:
    /// who asks on and reads nothing would else hold the connection for ever.
    pub fn writes(&self) {
        if self.state() != ConnState::Writing {
            self.begin(ConnState::Writing);
        }
    }

    /// Whether the last answer was given before its body was read.
    pub fn unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Bytes of the head that is being read, and what came along with it.
    pub fn head_bytes(&self) -> usize {
        self.head_bytes.load(Ordering::Relaxed)
    }

    /// Bytes have arrived.
    fn received(&self, bytes: usize) {
        match self.state() {
            ConnState::Silent | ConnState::Waiting => {
                self.head_bytes.store(bytes, Ordering::Relaxed);
                self.begin(ConnState::ReadingHead);
            }
            ConnState::ReadingHead => drop(self.head_bytes.fetch_add(bytes, Ordering::Relaxed)),
            ConnState::Serving | ConnState::Writing => {}
        }
    }

    /// All that there was to write is written.
    fn flushed(&self) {
        if self.state() == ConnState::Writing {
            self.begin(ConnState::Waiting);
        }
    }

    /// From now on the connection waits for a request no longer than `idle`; one that waits already, since it began to.
    pub fn shorten_idle(&self, idle: Duration) {
        let shorter = millis(idle);
        let before = match self.state() {
            ConnState::Silent => millis(self.times.head),
            _ => self.idle.load(Ordering::Relaxed),
        };
        self.idle.fetch_min(shorter, Ordering::Relaxed);
        if matches!(self.state(), ConnState::Silent | ConnState::Waiting) {
            let deadline = self.deadline.load(Ordering::Relaxed);
            self.deadline.store(deadline.saturating_sub(before.saturating_sub(shorter)), Ordering::Relaxed);
        }
    }

    /// The state that is now has no longer than this, counted from its beginning.
    pub fn hurry(&self, limit: Duration) {
        let deadline = self.since.load(Ordering::Relaxed).saturating_add(millis(limit));
        self.deadline.fetch_min(deadline, Ordering::Relaxed);
    }

    /// What the connection does.
    pub fn state(&self) -> ConnState {
        match self.state.load(Ordering::Relaxed) {
            0 => ConnState::Silent,
            1 => ConnState::Waiting,
            2 => ConnState::ReadingHead,
            3 => ConnState::Serving,
            _ => ConnState::Writing,
        }
    }

    /// Until when it may.
    pub fn deadline(&self) -> Instant {
        self.start + Duration::from_millis(self.deadline.load(Ordering::Relaxed))
    }

    /// Whether the deadline has passed, and doing what. The timer is moved only when it must ring earlier, or when it rang for a
    /// deadline that has moved on since: a busy connection sets no timer per request.
    pub fn expired(&self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<ConnState> {
        loop {
            let deadline = self.deadline();
            if deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if deadline <= Instant::now() {
                return Poll::Ready(self.state());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A socket that sets the clock when the first byte of a head arrives, and when the last one of an answer has gone.
#[derive(Debug)]
pub struct Timed {
    /// The socket.
    pub stream: TcpStream,
    /// The clock of its connection.
    pub clock: Arc<Clock>,
}

impl AsyncRead for Timed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.clock.received(bytes);
        }
        poll
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        // hyper flushes the socket only once nothing is left that it would have to write before.
        if let Poll::Ready(Ok(())) = poll {
            self.clock.flushed();
        }
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
