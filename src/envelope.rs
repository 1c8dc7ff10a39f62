//! The envelope: one CloudEvents 1.0 event, routed and ready for any bus.
//!
//! In: an [`Event`]. Out: an [`Envelope`]: attributes, subject (or topic), message id, and the body's
//! own bytes. It never re-serialises the body: what arrived is what subscribers get (P3).

pub mod attributes;
pub(crate) mod layout;
pub mod message;
pub mod route;
mod routes;
pub(crate) mod stamp;
pub mod traceparent;

pub use self::{
    attributes::Attributes,
    message::{Encoding, Message},
    routes::{Content, Route, TYPE, own_routes, routes},
    stamp::Stamp,
};
use self::{
    layout::{Circumstances, fingerprint},
    route::Template,
    traceparent::Traceparent,
};
use crate::{
    event::{Event, Kind},
    json,
    request::Body,
    text,
};

/// An event in its envelope.
#[derive(Debug)]
pub struct Envelope {
    /// Everything about the event but its body.
    pub(crate) attributes: Attributes,
    /// The webhook's body, without a byte order mark before its JSON text, with its share of the in-flight budget.
    pub(crate) body: Body,
    /// XXH3-64 of the signed bytes: what makes a repeat a repeat.
    pub(crate) fingerprint: u64,
}

impl Envelope {
    /// Everything about the event but its body.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Wraps an event.
    pub fn new(event: Event<'_>, template: &Template, stamp: &Stamp) -> Self {
        let fingerprint = fingerprint(&event.verified.signed());
        let (received, identity) = event.verified.into_parts();
        let incoming = received.headers.get(traceparent::HEADER).and_then(|value| Traceparent::parse(value.as_bytes()));
        let trace = incoming.unwrap_or_else(Traceparent::begin);
        let circumstances = Circumstances {
            source: &identity,
            recorded: &text::Microseconds(received.arrival),
            sequence: &stamp.next(),
            trace: &trace,
            hop: &trace.child(),
            fingerprint,
            suffix: "",
        };
        let attributes = circumstances.lay_out(&event.reading, template);
        let body = match event.reading.kind {
            Kind::Quarantined(_) => received.body,
            Kind::Documented(_) | Kind::Unlisted(_) => received.body.map(json::without_mark),
        };
        Envelope { attributes, body, fingerprint }
    }
}
