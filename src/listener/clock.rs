//! A connection's clock: which deadline runs now.
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
    time::Instant,
};

use crate::config::ListenerConfig;

/// What a connection does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ConnState {
    /// Nothing has ever arrived.
    Silent,
    /// Between requests.
    Waiting,
    /// A head has begun and is not complete.
    ReadingHead,
    /// A request is being served; its own timers answer it. The deadline here is only their backstop.
    Serving,
}

/// Shared by the socket, the service and the connection's loop, all of one task.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    state: AtomicU8,
    /// Milliseconds after `start`.
    deadline: AtomicU64,
    /// Milliseconds that it may wait for a request.
    idle: AtomicU64,
    /// Bytes that have come since the connection waited for a request: the head's, and what came along with it.
    head_bytes: AtomicUsize,
    /// The last answer was given before its body was read.
    unread: AtomicBool,
    head_timeout: Duration,
    serving_timeout: Duration,
}

impl Clock {
    pub(super) fn new(listener: &ListenerConfig) -> Arc<Self> {
        let clock = Clock {
            start: Instant::now(),
            state: AtomicU8::new(ConnState::Silent as u8),
            deadline: AtomicU64::new(0),
            idle: AtomicU64::new(millis(listener.idle_timeout)),
            head_bytes: AtomicUsize::new(0),
            unread: AtomicBool::new(false),
            head_timeout: listener.head_timeout,
            serving_timeout: listener.request_timeout + listener.answer_timeout + Duration::from_secs(1),
        };
        clock.begin(ConnState::Silent);
        Arc::new(clock)
    }

    pub(super) fn begin(&self, state: ConnState) {
        let limit = match state {
            ConnState::Waiting => Duration::from_millis(self.idle.load(Ordering::Relaxed)),
            ConnState::Silent | ConnState::ReadingHead => self.head_timeout,
            ConnState::Serving => self.serving_timeout,
        };
        self.state.store(state as u8, Ordering::Relaxed);
        self.deadline.store(millis(self.start.elapsed() + limit), Ordering::Relaxed);
    }

    /// A request is answered. `unread`: before its body was read to the end.
    pub(super) fn answered(&self, unread: bool) {
        self.unread.store(unread, Ordering::Relaxed);
        self.begin(ConnState::Waiting);
    }

    pub(super) fn unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    pub(super) fn head_bytes(&self) -> usize {
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
            ConnState::Serving => {}
        }
    }

    /// From now on the connection waits for a request no longer than `idle`; one that waits already, since it began to.
    pub(super) fn shorten_idle(&self, idle: Duration) {
        let shorter = millis(idle);
        let before = match self.state() {
            ConnState::Silent => millis(self.head_timeout),
            _ => self.idle.load(Ordering::Relaxed),
        };
        self.idle.fetch_min(shorter, Ordering::Relaxed);
        if matches!(self.state(), ConnState::Silent | ConnState::Waiting) {
            let deadline = self.deadline.load(Ordering::Relaxed);
            self.deadline.store(deadline.saturating_sub(before.saturating_sub(shorter)), Ordering::Relaxed);
        }
    }

    pub(super) fn state(&self) -> ConnState {
        match self.state.load(Ordering::Relaxed) {
            0 => ConnState::Silent,
            1 => ConnState::Waiting,
            2 => ConnState::ReadingHead,
            _ => ConnState::Serving,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.start + Duration::from_millis(self.deadline.load(Ordering::Relaxed))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A socket that sets the clock when the first byte of a head arrives.
#[derive(Debug)]
pub(super) struct Timed {
    pub(super) stream: TcpStream,
    pub(super) clock: Arc<Clock>,
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
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
