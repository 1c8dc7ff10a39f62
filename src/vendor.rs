//! The vendor room: what a verified body means.
//!
//! In: a vendor, a source's name and the exact bytes of a body. Out: a [`Reading`]: the event's id, type, form, time and
//! the thing it speaks of. Form is a label found by structure, never by a vendor's version number. This room never
//! refuses a body (what is odd is unlisted or quarantined), and never copies, changes or re-encodes one.

pub mod catalogue;
mod entity;
mod id;
mod members;
mod quarantine;
mod reading;
pub mod sample;
#[cfg(test)]
mod tests;
mod time;

pub use id::derived_id;
pub use quarantine::Quarantine;
pub use reading::{Kind, Reading, read};
pub use time::EventTime;

use std::{fmt, str::FromStr};

use crate::verify::Verified;

/// The unsigned header in which Audit1 repeats the event's type (portal guide). It is compared, and chooses nothing.
const AUDIT1_TYPE_HEADER: &str = "x-audit1-event";

/// A verified request and what its body says.
#[derive(Debug)]
pub struct Event {
    /// The request.
    pub(crate) verified: Verified,
    /// Its meaning.
    pub(crate) reading: Reading,
}

impl Event {
    /// Whether an unsigned header says another type than the body.
    pub fn contradicts_header(&self) -> bool {
        let received = self.verified.received();
        let header = match received.endpoint.identity.vendor {
            Vendor::Policy1099 => None,
            Vendor::Audit1 => received.headers.get(AUDIT1_TYPE_HEADER),
        };
        header.is_some_and(|said| self.reading.kind.event_type().is_none_or(|read| read.as_bytes() != said.as_bytes()))
    }
}

/// Reads a verified body: the only door from a request into this room (P2).
pub fn normalise(verified: Verified) -> Event {
    let received = verified.received();
    let identity = &received.endpoint.identity;
    let mut reading = read(identity.vendor, &identity.name, received.body.bytes());
    if reading.id_is_derived && verified.proof().compacted {
        reading.id = derived_id(identity.vendor, &identity.name, &verified.signed());
    }
    Event { verified, reading }
}

/// The two vendors whose webhooks hookbus understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Vendor {
    /// 1099Policy (label `1099policy`).
    Policy1099,
    /// Audit1 (label `audit1`).
    Audit1,
}

impl Vendor {
    /// Every vendor.
    pub const ALL: [Vendor; 2] = [Vendor::Policy1099, Vendor::Audit1];

    /// The name in configuration, subjects, types and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Vendor::Policy1099 => "1099policy",
            Vendor::Audit1 => "audit1",
        }
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Errors say what is wrong with the name, in words for the operator.
impl FromStr for Vendor {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Vendor::ALL
            .into_iter()
            .find(|vendor| vendor.as_str() == name)
            .ok_or_else(|| format!("unknown vendor `{}`: use 1099policy or audit1", name.escape_debug()))
    }
}

/// The shape of a body. Each vendor documents three, and says nowhere which of them an account gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// 1099Policy: `id`, and `data.object` is an object (1099Policy: certificate webhooks).
    Nested,
    /// 1099Policy: no `id`, the object's fields stand in `data` (1099Policy: tracking compliance).
    Flat,
    /// 1099Policy: `id`, the fields stand in `data`, and `data.object` is a word (docs.1099policy.com API reference).
    EventApi,
    /// Audit1: the type is `event`, names are `snake_case`, no `id` (Audit1: portal guide).
    Snake,
    /// Audit1: the type is `type`, names are `camelCase`, with `id` (Audit1: developer tutorial).
    Camel,
    /// Audit1: the type is `event_type`, everything stands at the root (docs.audit1.com/docs/payments-webhooks).
    Payments,
}

impl Form {
    /// Every form.
    pub const ALL: [Form; 6] = [Form::Nested, Form::Flat, Form::EventApi, Form::Snake, Form::Camel, Form::Payments];

    /// The name in the envelope and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Nested => "nested",
            Form::Flat => "flat",
            Form::EventApi => "event_api",
            Form::Snake => "snake",
            Form::Camel => "camel",
            Form::Payments => "payments",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Errors say what is wrong with the name, in words for the operator.
impl FromStr for Form {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Form::ALL.into_iter().find(|form| form.as_str() == name).ok_or_else(|| {
            format!(
                "unknown form `{}`: use nested, flat or event_api (1099policy), snake, camel or payments (audit1)",
                name.escape_debug()
            )
        })
    }
}
