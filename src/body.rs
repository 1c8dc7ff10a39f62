//! Reading a request's body within its limits: bytes, time, and the share of the in-flight budget.
//!
//! In: hyper's incoming body. Out: a [`Body`], or the [`BodyError`] that stopped it. Memory is taken from the budget
//! before it is allocated, as bytes arrive: a head that only *declares* five megabytes holds none. A body that comes
//! in one piece, as nearly all do, is not copied.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};

/// First buffer of a body that arrives in several pieces; later ones double it.
const FIRST_BUFFER_BYTES: usize = 16 * 1024;
/// What must arrive within each `body_timeout`, or the rest of the body if that is less: a trickle is a stall.
const PROGRESS_BYTES: usize = 16 * 1024;
/// A body of more pieces than this must have [`MIN_PIECE_BYTES`] in each on average: chunks of one byte cost a hundred
/// times their weight in work.
const FREE_PIECES: usize = 4096;
/// See [`FREE_PIECES`].
const MIN_PIECE_BYTES: usize = 64;
/// Bodies up to this size may use the whole budget, larger ones three quarters of it: a few senders of huge bodies
/// cannot shut out the many that are small.
const SMALL_BODY_BYTES: usize = 64 * 1024;

/// Bytes that all request bodies may hold together.
#[derive(Debug, Clone)]
pub struct Budget {
    limit: usize,
    used: Arc<AtomicUsize>,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Budget { limit, used: Arc::default() }
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// An empty share, unless nothing is left for any body.
    fn open(&self) -> Result<Share, BodyError> {
        if self.used() >= self.limit {
            return Err(BodyError::Overloaded);
        }
        Ok(Share { bytes: 0, used: Arc::clone(&self.used) })
    }

    /// Makes `share` hold `bytes` in all.
    fn grow(&self, share: &mut Share, bytes: usize) -> Result<(), BodyError> {
        let more = bytes.saturating_sub(share.bytes);
        let limit = if bytes > SMALL_BODY_BYTES { self.limit / 4 * 3 } else { self.limit };
        let fits = |used: usize| used.checked_add(more).filter(|total| *total <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| BodyError::Overloaded)?;
        share.bytes += more;
        Ok(())
    }
}

/// A body's part of the budget, given back when the event is durable or refused.
#[derive(Debug)]
struct Share {
    bytes: usize,
    used: Arc<AtomicUsize>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A whole request body and its share of the budget.
#[derive(Debug)]
pub struct Body {
    bytes: Bytes,
    _share: Share,
}

impl Body {
    /// The bytes as received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A handle on the same bytes, without a copy. They stay counted as long as this body lives.
    pub fn share(&self) -> Bytes {
        self.bytes.clone()
    }

    /// A body outside any budget, for what is not a request.
    pub fn unbudgeted(bytes: Bytes) -> Self {
        Body { bytes, _share: Share { bytes: 0, used: Arc::default() } }
    }
}

/// The limits of one body.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes.
    pub max_body: usize,
    /// Longest time for 16 KiB of it, or for the rest.
    pub body_timeout: Duration,
    /// When the whole request must be here.
    pub deadline: Instant,
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the limit, declared or sent.
    #[error("too large")]
    TooLarge,
    /// A longer pause than `body_timeout`.
    #[error("body stalled")]
    Stalled,
    /// Not complete within `request_timeout`.
    #[error("request too slow")]
    TooSlow,
    /// No budget left.
    #[error("in-flight budget used up")]
    Overloaded,
    /// The client went away, or its chunks are malformed.
    #[error("broken off")]
    Broken,
}

/// Reads a body to its end.
///
/// # Errors
/// See [`BodyError`]. Nothing of the body is kept then.
pub async fn read(mut incoming: Incoming, limits: Limits, budget: &Budget) -> Result<Body, BodyError> {
    let declared = incoming.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if declared.is_some_and(|bytes| bytes > limits.max_body) {
        return Err(BodyError::TooLarge);
    }
    let mut share = budget.open()?;
    let mut pace = Pace::begin(limits);
    let Some(first) = pace.next(&mut incoming).await? else {
        return Ok(Body { bytes: Bytes::new(), _share: share });
    };
    check_size(first.len(), limits)?;
    budget.grow(&mut share, first.len())?;
    if incoming.is_end_stream() {
        return Ok(Body { bytes: first, _share: share });
    }
    let most = declared.unwrap_or(limits.max_body);
    let mut whole = Vec::new();
    let mut piece = Some(first);
    while let Some(bytes) = piece {
        check_size(whole.len() + bytes.len(), limits)?;
        append(&mut whole, &bytes, most, budget, &mut share)?;
        piece = pace.next(&mut incoming).await?;
    }
    Ok(Body { bytes: Bytes::from(whole), _share: share })
}

/// Grows the buffer by doubling up to the most it can need, each step first taken from the budget.
fn append(whole: &mut Vec<u8>, piece: &[u8], most: usize, budget: &Budget, share: &mut Share) -> Result<(), BodyError> {
    let needed = whole.len() + piece.len();
    if needed > whole.capacity() {
        let capacity = (whole.capacity() * 2).max(FIRST_BUFFER_BYTES).min(most).max(needed);
        budget.grow(share, capacity)?;
        // Exactly what was taken, not the next power of two.
        whole.reserve_exact(capacity - whole.len());
    }
    whole.extend_from_slice(piece);
    Ok(())
}

fn check_size(bytes: usize, limits: Limits) -> Result<(), BodyError> {
    if bytes > limits.max_body { Err(BodyError::TooLarge) } else { Ok(()) }
}

/// The pace at which a body must come.
struct Pace {
    limits: Limits,
    /// When [`PROGRESS_BYTES`] more must be here.
    due: Instant,
    /// Bytes since the last progress.
    since: usize,
    pieces: usize,
    bytes: usize,
}

impl Pace {
    fn begin(limits: Limits) -> Self {
        Pace { limits, due: Instant::now() + limits.body_timeout, since: 0, pieces: 0, bytes: 0 }
    }

    /// The next piece of data; trailers are passed over, `None` is the end.
    async fn next(&mut self, incoming: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
        loop {
            let deadline = self.limits.deadline;
            let frame = timeout_at(self.due.min(deadline), incoming.frame())
                .await
                .map_err(|_| if deadline <= self.due { BodyError::TooSlow } else { BodyError::Stalled })?;
            match frame {
                None => return Ok(None),
                Some(Err(_)) => return Err(BodyError::Broken),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.count(data.len())?;
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.pieces += 1;
        self.bytes += bytes;
        self.since += bytes;
        if self.since >= PROGRESS_BYTES {
            self.since = 0;
            self.due = Instant::now() + self.limits.body_timeout;
        }
        if self.pieces > FREE_PIECES && self.bytes / self.pieces < MIN_PIECE_BYTES {
            return Err(BodyError::Broken);
        }
        Ok(())
    }
}
