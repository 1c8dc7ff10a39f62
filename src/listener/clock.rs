//! A connection's clock: which deadline runs now.
//!
//! hyper has one timer for two things, the wait for a request and the reading of its head. Here they are apart: an idle
//! connection may wait longer than any proxy's pool keeps it, while a head, from its first byte on, gets seconds. The
//! socket tells the clock when bytes arrive, the service when a request begins and ends. (The first bytes of a head that
//! came along with the request before it are not seen apart: such a connection counts as waiting.)

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use crate::config::Listener;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Doing {
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
    doing: AtomicU8,
    /// Milliseconds after `start`.
    deadline: AtomicU64,
    /// Milliseconds that it may wait for a request.
    idle: AtomicU64,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    head: Duration,
    serving: Duration,
}

impl Clock {
    pub(super) fn new(listener: &Listener) -> Arc<Self> {
        let serving = listener.request_timeout + listener.answer_timeout + Duration::from_secs(1);
        let limits = Limits { head: listener.head_timeout, serving };
        let clock = Clock {
            start: Instant::now(),
            doing: AtomicU8::new(Doing::Waiting as u8),
            deadline: AtomicU64::new(0),
            idle: AtomicU64::new(millis(listener.idle_timeout)),
            limits,
        };
        clock.begin(Doing::Waiting);
        Arc::new(clock)
    }

    pub(super) fn begin(&self, doing: Doing) {
        let limit = match doing {
            Doing::Waiting => Duration::from_millis(self.idle.load(Ordering::Relaxed)),
            Doing::ReadingHead => self.limits.head,
            Doing::Serving => self.limits.serving,
        };
        self.doing.store(doing as u8, Ordering::Relaxed);
        self.deadline.store(millis(self.start.elapsed() + limit), Ordering::Relaxed);
    }

    /// From now on the connection waits for a request no longer than `idle`; one that waits already, since it began to.
    pub(super) fn shorten_idle(&self, idle: Duration) {
        let shorter = millis(idle);
        let before = self.idle.fetch_min(shorter, Ordering::Relaxed);
        if self.doing() == Doing::Waiting {
            let deadline = self.deadline.load(Ordering::Relaxed);
            self.deadline.store(deadline.saturating_sub(before.saturating_sub(shorter)), Ordering::Relaxed);
        }
    }

    pub(super) fn doing(&self) -> Doing {
        match self.doing.load(Ordering::Relaxed) {
            0 => Doing::Waiting,
            1 => Doing::ReadingHead,
            _ => Doing::Serving,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.start + Duration::from_millis(self.deadline.load(Ordering::Relaxed))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A socket that tells the clock when the first byte of a head arrives.
#[derive(Debug)]
pub(super) struct Timed {
    pub(super) stream: TcpStream,
    pub(super) clock: Arc<Clock>,
}

impl AsyncRead for Timed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before && self.clock.doing() == Doing::Waiting {
            self.clock.begin(Doing::ReadingHead);
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
