//! The schema room: what a subscriber may rely on, as documents that machines read.
//!
//! In: the catalogue, the envelope's code, and where a configuration sends events. Out: an AsyncAPI 3 document, a JSON
//! Schema of the envelope and one of each documented event's payload. Nothing here is written by hand twice: an
//! attribute, an event or a header that the code has and the documents have not does not compile or fails a test. It
//! describes and never checks an event: what is odd is published all the same (P8).

mod asyncapi;
mod attributes;
mod channels;
mod envelope;
mod headers;
mod infer;
mod own;
mod payload;
mod root;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

pub use self::{
    channels::Scope,
    root::{Drift, Root, visit},
};
use crate::vendors::Vendor;

/// One document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// Every topic or subject with its messages, as AsyncAPI 3.
    AsyncApi,
    /// The envelope in structured mode, as JSON Schema 2020-12.
    Envelope,
    /// The payload of one event type in all its forms, as JSON Schema 2020-12.
    Payload(Vendor, &'static str),
}

impl Document {
    /// Every document.
    pub fn all() -> impl Iterator<Item = Document> {
        let payloads = Vendor::ALL
            .into_iter()
            .flat_map(|vendor| vendor.profile().event_types().map(move |event| Document::Payload(vendor, event)));
        [Document::AsyncApi, Document::Envelope].into_iter().chain(payloads)
    }

    /// The document of a name, as [`Display`](fmt::Display) writes it.
    pub fn named(name: &str) -> Option<Document> {
        Self::all().find(|document| document.to_string() == name)
    }

    /// Where it stands among the others, as a relative path.
    pub fn path(self) -> String {
        match self {
            Document::AsyncApi => "asyncapi.json".into(),
            Document::Envelope => "envelope.schema.json".into(),
            Document::Payload(vendor, event) => format!("payloads/{vendor}/{event}.schema.json"),
        }
    }

    /// Its text: JSON with an end of line.
    pub fn text(self, scope: &Scope) -> String {
        let value: Value = match self {
            Document::AsyncApi => asyncapi::document(scope),
            Document::Envelope => envelope::document(),
            Document::Payload(vendor, event) => payload::document(vendor, event),
        };
        format!("{value:#}\n")
    }
}

/// The name on the command line: `asyncapi`, `envelope`, or vendor and type, such as `audit1/file.processed`.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Document::AsyncApi => f.write_str("asyncapi"),
            Document::Envelope => f.write_str("envelope"),
            Document::Payload(vendor, event) => write!(f, "{vendor}/{event}"),
        }
    }
}
