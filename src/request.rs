//! A request as received, and the reading of its body within its limits: bytes, time, and a share of the in-flight
//! budget.
//!
//! In: hyper's incoming body. Out: a [`Body`], or the [`BodyError`] that stopped it. Memory is taken from the budget
//! before it is allocated, as bytes arrive: a head that only *declares* five megabytes holds none. A body that comes
//! in one piece, as nearly all do, is not copied.

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use jiff::Timestamp;
use tokio::time::{Instant, timeout, timeout_at};

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
/// The same of heads.
const SMALL_HEAD_BYTES: usize = 4 * 1024;
/// Most bytes of an unwanted body that are read to keep its connection.
const SKIP_BYTES: usize = 64 * 1024;
/// Longest wait for them.
const SKIP_PATIENCE: Duration = Duration::from_secs(1);

/// A whole request, its signature unchecked: no code may interpret its body yet.
#[derive(Debug)]
pub struct Received<'h> {
    /// The request's headers, lent by what reads requests.
    pub headers: Cow<'h, HeaderMap>,
    /// The body as received.
    pub body: Body,
    /// When its head was complete.
    pub arrival: Timestamp,
}

/// Bytes that all requests may hold together, heads and bodies.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Budget(Arc::new(Account { limit, used: AtomicUsize::new(0) }))
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// A share that holds nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { bytes: 0, budget: self.clone() }
    }
}

/// A request's part of the budget, given back when its event is durable or it is refused.
#[derive(Debug)]
pub(crate) struct Share {
    bytes: usize,
    budget: Budget,
}

impl Share {
    /// Holds `bytes` in all, which may use all of the budget.
    fn hold(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.grow(bytes, self.budget.0.limit)
    }

    /// The same for what may shut out nothing small: it can use three quarters of the budget.
    pub(crate) fn hold_large(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.grow(bytes, self.budget.0.limit / 4 * 3)
    }

    fn grow(&mut self, bytes: usize, limit: usize) -> Result<(), BodyError> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        let fits = |used: usize| used.checked_add(more).filter(|total| *total <= limit);
        let used = &self.budget.0.used;
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| BodyError::Overloaded)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Gives all of it back.
    pub(crate) fn clear(&mut self) {
        if self.bytes > 0 {
            self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
            self.bytes = 0;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A whole request body and its share of the budget.
#[derive(Debug)]
pub struct Body {
    bytes: Bytes,
    _share: Option<Share>,
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

    /// A part of it, which holds the same share. `part` gives a part of what it is given.
    pub(crate) fn map(self, part: fn(&[u8]) -> &[u8]) -> Self {
        Body { bytes: self.bytes.slice_ref(part(&self.bytes)), _share: self._share }
    }

    /// A body that holds its share of a budget, without a request.
    #[cfg(test)]
    pub(crate) fn budgeted(bytes: Bytes, budget: &Budget) -> Option<Self> {
        let mut share = budget.share();
        share.hold(bytes.len()).ok()?;
        Some(Body { bytes, _share: Some(share) })
    }

    /// A body outside any budget, for what is not a request.
    pub fn unbudgeted(bytes: Bytes) -> Self {
        Body { bytes, _share: None }
    }
}

/// The limits of one body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
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

/// Reads a body to its end. `head`: the headers that are held with it.
///
/// # Errors
/// See [`BodyError`]. Nothing of the body is kept then.
pub async fn read_body(
    head: &HeaderMap,
    incoming: &mut Incoming,
    limits: BodyLimits,
    budget: &Budget,
) -> Result<Body, BodyError> {
    let declared = incoming.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if declared.is_some_and(|bytes| bytes > limits.max_body) {
        return Err(BodyError::TooLarge);
    }
    let mut buffer = Buffer { whole: Vec::new(), head: weight(head), share: budget.share() };
    buffer.hold(0)?;
    let mut pace = Pace::begin(limits);
    let Some(first) = pace.next(incoming).await? else {
        return Ok(Body { bytes: Bytes::new(), _share: Some(buffer.share) });
    };
    check_size(first.len(), limits)?;
    if incoming.is_end_stream() {
        buffer.hold(first.len())?;
        return Ok(Body { bytes: first, _share: Some(buffer.share) });
    }
    let most = declared.unwrap_or(limits.max_body);
    buffer.append(first, most)?;
    while let Some(piece) = pace.next(incoming).await? {
        check_size(buffer.whole.len() + piece.len(), limits)?;
        buffer.append(piece, most)?;
    }
    Ok(Body { bytes: Bytes::from(buffer.whole), _share: Some(buffer.share) })
}

/// Reads an unwanted body to its end, so that its connection can be kept, if that end is near; `false`: it is not. A sender
/// that asks before it sends (`Expect`) gets no `100 Continue`.
pub async fn skip_body(head: &HeaderMap, incoming: &mut Incoming, budget: &Budget) -> bool {
    if incoming.is_end_stream() {
        return true;
    }
    let far = incoming.size_hint().lower() > u64::try_from(SKIP_BYTES).unwrap_or(u64::MAX);
    let mut share = budget.share();
    if far || head.contains_key(header::EXPECT) || share.hold_large(weight(head)).is_err() {
        return false;
    }
    let skip = async {
        let mut left = SKIP_BYTES;
        while let Some(frame) = incoming.frame().await {
            let bytes = frame.ok()?.data_ref().map_or(0, Bytes::len);
            left = left.checked_sub(bytes)?;
        }
        Some(())
    };
    timeout(SKIP_PATIENCE, skip).await.is_ok_and(|end| end.is_some())
}

/// Bytes of a head, nearly: what is between its parts does not count.
fn weight(head: &HeaderMap) -> usize {
    head.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// A body that comes in several pieces.
struct Buffer {
    whole: Vec<u8>,
    head: usize,
    share: Share,
}

impl Buffer {
    /// The budget's share of so many bytes, and of the head.
    fn hold(&mut self, body: usize) -> Result<(), BodyError> {
        let (bytes, large) = (self.head + body, body > SMALL_BODY_BYTES || self.head > SMALL_HEAD_BYTES);
        if large { self.share.hold_large(bytes) } else { self.share.hold(bytes) }
    }

    /// Grows by doubling up to the most it can need, each step first taken from the budget: a body holds at most twice what
    /// has come of it. The piece goes: it may be a byte in a buffer of many that hyper has read.
    fn append(&mut self, piece: Bytes, most: usize) -> Result<(), BodyError> {
        let needed = self.whole.len() + piece.len();
        if needed > self.whole.capacity() {
            let capacity = (self.whole.capacity() * 2).min(most).max(needed);
            self.hold(capacity)?;
            // Exactly what was taken, not the next power of two.
            self.whole.reserve_exact(capacity - self.whole.len());
        }
        self.whole.extend_from_slice(&piece);
        drop(piece);
        Ok(())
    }
}

fn check_size(bytes: usize, limits: BodyLimits) -> Result<(), BodyError> {
    if bytes > limits.max_body { Err(BodyError::TooLarge) } else { Ok(()) }
}

/// The pace at which a body must come.
struct Pace {
    limits: BodyLimits,
    /// When [`PROGRESS_BYTES`] more must be here.
    due: Instant,
    /// Bytes since the last progress.
    since: usize,
    pieces: usize,
    bytes: usize,
}

impl Pace {
    fn begin(limits: BodyLimits) -> Self {
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
