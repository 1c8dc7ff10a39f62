//! The last requests, for the console: a copy of each one's line in memory.
//!
//! In: every [`RequestLine`], also those that the log leaves out. Out: the copies. The request path never waits here: a place
//! that is being read, or written by another worker, is left as it is, and the line counts as dropped. It allocates nothing once
//! a place has had its longest text, and no sender makes a copy longer than its bound.
//!
//! Requests with an event, which is signed, and those without have a ring each: what strangers send pushes out no event.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Mutex, MutexGuard, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use super::request::RequestLine;

/// Requests kept of each kind: with an event, and without.
pub const KEPT: usize = 1_000;
/// Most bytes of each text that are kept; as many as an event's id may have.
const MOST_TEXT: usize = 256;

/// A text of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// The source's name, or `none`.
    Source,
    /// Why, when not accepted; what, when a repeat or a conflict.
    Reason,
    /// The event's type.
    Type,
    /// The event's id.
    Id,
    /// The id of what the event is about.
    Entity,
    /// The path of a request that no source has.
    Path,
    /// The name of the secret that matched.
    Secret,
    /// W3C trace id.
    Trace,
}

/// How many texts there are.
const TEXTS: usize = Text::Trace as usize + 1;

/// The copy of one request.
#[derive(Debug, Clone)]
pub struct PastRequest {
    /// When it was answered.
    pub at: SystemTime,
    /// HTTP status.
    pub status: u16,
    /// `accepted`, `rejected`, `failed`, `abandoned`.
    pub outcome: &'static str,
    /// Who sent it.
    pub sender: IpAddr,
    /// Bytes of the body.
    pub bytes: usize,
    /// Head to answer.
    pub duration: Duration,
    /// Its number in the ring, from 1; 0 in a place without a request.
    number: u64,
    /// All texts, one after the other, and where each ends.
    texts: String,
    ends: [usize; TEXTS],
}

/// The last requests.
#[derive(Debug)]
pub struct History {
    with_event: Ring,
    without_event: Ring,
}

#[derive(Debug)]
struct Ring {
    places: Vec<Mutex<PastRequest>>,
    /// Requests so far.
    seen: AtomicU64,
    dropped: AtomicU64,
}

impl PastRequest {
    fn empty() -> Self {
        PastRequest {
            at: SystemTime::UNIX_EPOCH,
            status: 0,
            outcome: "",
            sender: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            bytes: 0,
            duration: Duration::ZERO,
            number: 0,
            texts: String::new(),
            ends: [0; TEXTS],
        }
    }

    /// One of its texts; `None` without one.
    pub fn text(&self, text: Text) -> Option<&str> {
        let end = *self.ends.get(text as usize)?;
        let start =
            (text as usize).checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        self.texts.get(start..end).filter(|text| !text.is_empty())
    }

    /// Takes a line over, in the room that it has.
    fn copy(&mut self, number: u64, line: &RequestLine<'_>) {
        let texts: [Option<&str>; TEXTS] = [
            Some(line.source),
            line.reason,
            line.event_type,
            line.event_id,
            line.entity,
            line.path,
            line.secret,
            line.trace_id,
        ];
        self.texts.clear();
        for (end, text) in self.ends.iter_mut().zip(texts) {
            let text = text.unwrap_or_default();
            self.texts.push_str(text.split_at(text.floor_char_boundary(MOST_TEXT)).0);
            *end = self.texts.len();
        }
        self.number = number;
        self.at = SystemTime::now();
        (self.status, self.outcome, self.sender) = (line.status, line.outcome, line.sender);
        (self.bytes, self.duration) = (line.bytes, line.duration);
    }
}

impl Ring {
    fn new() -> Self {
        let places = (0..KEPT).map(|_| Mutex::new(PastRequest::empty())).collect();
        Ring { places, seen: AtomicU64::new(0), dropped: AtomicU64::new(0) }
    }

    fn push(&self, line: &RequestLine<'_>) {
        let before = self.seen.fetch_add(1, Ordering::Relaxed);
        let place = usize::try_from(before).unwrap_or_default() % KEPT;
        match self.places.get(place).and_then(enter) {
            // A worker that was held up finds its place with a newer request.
            Some(mut place) if place.number <= before => place.copy(before + 1, line),
            _ => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// A place that is being written has the newest request, which comes with the next look.
    fn kept(&self) -> impl Iterator<Item = PastRequest> {
        self.places.iter().filter_map(enter).filter(|place| place.number > 0).map(|place| place.clone())
    }
}

/// Takes a place if nobody has it now.
fn enter(place: &Mutex<PastRequest>) -> Option<MutexGuard<'_, PastRequest>> {
    match place.try_lock() {
        Ok(place) => Some(place),
        // A copy broken off by a panic is a copy all the same: its texts lie within their ends, or are none.
        Err(TryLockError::Poisoned(place)) => Some(place.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Default for History {
    fn default() -> Self {
        History { with_event: Ring::new(), without_event: Ring::new() }
    }
}

impl History {
    /// Keeps a copy of a finished request. Never waits.
    pub fn push(&self, line: &RequestLine<'_>) {
        let ring = if line.event_id.is_some() { &self.with_event } else { &self.without_event };
        ring.push(line);
    }

    /// The copies, newest first.
    pub fn kept(&self) -> Vec<PastRequest> {
        let mut kept: Vec<_> = self.rings().into_iter().flat_map(Ring::kept).collect();
        kept.sort_unstable_by_key(|request| std::cmp::Reverse((request.at, request.number)));
        kept
    }

    /// Requests so far, also those that are no longer kept.
    pub fn seen(&self) -> u64 {
        self.rings().map(|ring| ring.seen.load(Ordering::Relaxed)).iter().sum()
    }

    /// Requests that were not copied, since their place was being read or written.
    pub fn dropped(&self) -> u64 {
        self.rings().map(|ring| ring.dropped.load(Ordering::Relaxed)).iter().sum()
    }

    fn rings(&self) -> [&Ring; 2] {
        [&self.with_event, &self.without_event]
    }
}

#[cfg(test)]
mod tests;
