//! The event room: what a verified body means.
//!
//! In: a [`Verified`] request. Out: an [`Event`]: the same with its [`Reading`], which is the event's id, type, form, time
//! and the thing that it is about. It never refuses a body (what is odd is unlisted or quarantined), and never copies, changes
//! or re-encodes one.

mod entity;
#[cfg(test)]
mod header_tests;
mod id;
pub(crate) mod members;
mod quarantine;
mod reading;
#[cfg(test)]
mod tests;
mod time;

pub use self::{
    id::derived_id,
    quarantine::Quarantine,
    reading::{Kind, Reading, read},
    time::EventTime,
};

use crate::verify::Verified;

/// A verified request and what its body says.
#[derive(Debug)]
pub struct Event<'h> {
    /// The request.
    pub(crate) verified: Verified<'h>,
    /// Its meaning.
    pub(crate) reading: Reading,
}

impl<'h> Event<'h> {
    /// Reads a verified body: the only door from a request into this room (P2).
    pub fn new(verified: Verified<'h>) -> Self {
        let identity = verified.identity();
        let mut reading = read(identity.vendor, &identity.name, verified.received().body.bytes());
        if reading.id_is_derived && verified.proof().compacted {
            reading.id = derived_id(identity.vendor, &identity.name, &verified.signed());
        }
        Event { verified, reading }
    }

    /// Whether an unsigned header says another type than the body.
    pub fn contradicts_header(&self) -> bool {
        let name = self.verified.identity().vendor.profile().type_header;
        let header = name.and_then(|name| self.verified.received().headers.get(name));
        header.is_some_and(|said| self.reading.kind.event_type().is_none_or(|read| read.as_bytes() != said.as_bytes()))
    }
}
