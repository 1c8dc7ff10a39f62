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
        Record { written: None, message: read::message(binding, route, header, &payload), payload, is_structured }
    }

    /// The whole event as JSON: as it lies there, or laid out now.
    pub fn json(&self) -> Option<Bytes> {
        let message = self.message.as_ref()?;
        Some(if self.is_structured { self.payload.clone() } else { message.structured().into() })
    }
}
