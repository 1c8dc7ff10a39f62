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

/// First reservation for a body that arrives in several pieces; later ones double it.
const FIRST_RESERVATION_BYTES: usize = 16 * 1024;

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

    fn take(&self, bytes: usize) -> Result<Share, BodyError> {
        let mut share = Share { bytes: 0, used: Arc::clone(&self.used) };
        self.grow(&mut share, bytes).map(|()| share)
    }

    /// Makes `share` hold `bytes` in all.
    fn grow(&self, share: &mut Share, bytes: usize) -> Result<(), BodyError> {
        let more = bytes.saturating_sub(share.bytes);
        let fits = |used: usize| used.checked_add(more).filter(|total| *total <= self.limit);
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
    /// Longest pause between two pieces.
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
    let mut share = budget.take(declared.unwrap_or(FIRST_RESERVATION_BYTES).min(FIRST_RESERVATION_BYTES))?;
    let Some(first) = piece(&mut incoming, limits).await? else {
        return Ok(Body { bytes: Bytes::new(), _share: share });
    };
    if incoming.is_end_stream() {
        check_size(first.len(), limits)?;
        budget.grow(&mut share, first.len())?;
        return Ok(Body { bytes: first, _share: share });
    }
    let mut whole = Vec::new();
    append(&mut whole, &first, declared, limits, budget, &mut share)?;
    drop(first);
    while let Some(next) = piece(&mut incoming, limits).await? {
        append(&mut whole, &next, declared, limits, budget, &mut share)?;
    }
    Ok(Body { bytes: Bytes::from(whole), _share: share })
}

/// The next piece of data; trailers are passed over, `None` is the end.
async fn piece(incoming: &mut Incoming, limits: Limits) -> Result<Option<Bytes>, BodyError> {
    loop {
        let stalls = Instant::now() + limits.body_timeout;
        let frame = timeout_at(stalls.min(limits.deadline), incoming.frame())
            .await
            .map_err(|_| if limits.deadline <= stalls { BodyError::TooSlow } else { BodyError::Stalled })?;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(BodyError::Broken),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Grows the buffer by doubling up to the declared length, each step first taken from the budget.
fn append(
    whole: &mut Vec<u8>,
    piece: &[u8],
    declared: Option<usize>,
    limits: Limits,
    budget: &Budget,
    share: &mut Share,
) -> Result<(), BodyError> {
    let needed = whole.len() + piece.len();
    check_size(needed, limits)?;
    if needed > whole.capacity() {
        let most = declared.unwrap_or(limits.max_body);
        let capacity = (whole.capacity() * 2).max(FIRST_RESERVATION_BYTES).min(most).max(needed);
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
