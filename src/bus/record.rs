//! What a bus gives back to a reader.

use std::time::SystemTime;

use bytes::Bytes;

use super::read;
use crate::envelope::{
    Message,
    message::{Binding, CONTENT_TYPE},
};

/// Which events are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Every event that comes from now on.
    New,
    /// Every event, the oldest first, and those that come later.
    All,
    /// Every event that lies there now, and none that comes later: no replay ever meets its own events.
    UntilNow,
}

/// One step of a reader.
#[derive(Debug)]
pub enum Next {
    /// The next record.
    Record(Record),
    /// No record came within the wait.
    Idle,
    /// There is no more.
    End,
}

/// One record.
#[derive(Debug)]
pub struct Record {
    /// Its sequence and time, in a journal.
    pub written: Option<(u64, SystemTime)>,
    /// The event; `None` for a record that this version cannot read as one.
    pub message: Option<Message>,
    /// Whether records before it are gone, of the same stream, partition or journal, as far as the bus shows it: retention or
    /// somebody has removed them. Only of a whole bus that is read until now.
    pub is_behind_a_gap: bool,
    /// The record's payload: a structured event, or the body.
    pub payload: Bytes,
    /// Whether the payload is a structured event.
    pub is_structured: bool,
}

impl Record {
    /// A record of a broker. `header`: the value of a header.
    pub(super) fn of<'a>(
        binding: Binding,
        route: &str,
        header: impl Fn(&str) -> Option<&'a str>,
        payload: Bytes,
    ) -> Self {
        let is_structured = read::is_structured(header(CONTENT_TYPE));
        let message = read::message(binding, route, header, &payload);
        Record { written: None, message, is_behind_a_gap: false, payload, is_structured }
    }

    /// The whole event as JSON: as it lies there, or laid out now.
    pub fn json(&self) -> Option<Bytes> {
        let message = self.message.as_ref()?;
        Some(if self.is_structured { self.payload.clone() } else { message.structured().into() })
    }
}
