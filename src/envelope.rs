//! The envelope: one CloudEvents 1.0 event, routed and ready for any bus.
//!
//! In: an [`Event`] of either vendor. Out: an [`Envelope`]: attributes, subject (or topic), message id, and the body's
//! own bytes. It never re-serialises the body: what arrived is what subscribers get (P3).

pub mod again;
pub mod attributes;
pub mod message;
pub mod route;
mod stamp;
pub mod traceparent;

use std::fmt::Display;

use self::{
    attributes::Attribute,
    route::{Fields, Template},
    traceparent::Traceparent,
};
pub use self::{attributes::Attributes, message::Message, stamp::Stamp};
use crate::{
    body::Body,
    vendor::{Event, Kind, Reading, Vendor},
};

/// What a source's vendor, name and configuration say about each of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Whose webhooks these are.
    pub vendor: Vendor,
    /// The source's configured name.
    pub name: String,
    /// CloudEvents `source`.
    pub ce_source: String,
    /// CloudEvents extension `tenant`.
    pub tenant: Option<String>,
}

/// An event in its envelope.
#[derive(Debug)]
pub struct Envelope {
    /// Everything about the event but its body.
    pub(crate) attributes: Attributes,
    /// The webhook's body with its share of the in-flight budget.
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
    pub fn new(event: Event, template: &Template, stamp: &Stamp) -> Self {
        let fingerprint = fingerprint(&event.verified.signed());
        let received = event.verified.into_received();
        let identity = &received.endpoint.identity;
        let incoming = received.headers.get(traceparent::HEADER).and_then(|value| Traceparent::parse(value.as_bytes()));
        let trace = incoming.unwrap_or_else(Traceparent::begin);
        let circumstances = Circumstances {
            origin: Origin { vendor: identity.vendor, source_name: &identity.name, tenant: identity.tenant.as_deref() },
            ce_source: &identity.ce_source,
            recorded: &format_args!("{:.6}", received.arrival),
            sequence: &stamp.next(),
            trace: &trace,
            hop: &trace.child(),
            fingerprint,
            telling: "",
        };
        let attributes = lay_out(&event.reading, &circumstances, template);
        Envelope { attributes, body: received.body, fingerprint }
    }
}

/// What makes a repeat a repeat: XXH3-64 of the signed bytes.
fn fingerprint(signed: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(signed)
}

/// Whose event it is.
#[derive(Clone, Copy)]
struct Origin<'a> {
    vendor: Vendor,
    source_name: &'a str,
    tenant: Option<&'a str>,
}

/// What an envelope says that does not stand in the body.
struct Circumstances<'a> {
    origin: Origin<'a>,
    ce_source: &'a str,
    recorded: &'a dyn Display,
    sequence: &'a dyn Display,
    trace: &'a dyn Display,
    hop: &'a dyn Display,
    fingerprint: u64,
    /// Ends the message id: what tells a second message about one event from the first, which a bus may know already.
    telling: &'a str,
}

/// Bytes for the attributes of nearly every event, so that the list does not grow while it is laid out.
const ROOM: usize = 1024;

fn lay_out(reading: &Reading, circumstances: &Circumstances<'_>, template: &Template) -> Attributes {
    let Circumstances { origin, ce_source, recorded, sequence, trace, hop, fingerprint, telling } = circumstances;
    let (vendor, source_name) = (origin.vendor.as_str(), origin.source_name);
    let mut attributes = Attributes::with_capacity(ROOM);
    attributes.push_parts(Attribute::Id, &[&reading.id]);
    attributes.push_parts(Attribute::Source, &[ce_source]);
    let event_type = reading.kind.event_type().unwrap_or("quarantine");
    attributes.push_parts(Attribute::Type, &["com.", vendor, ".", event_type]);
    push_some(&mut attributes, Attribute::Subject, reading.subject.as_deref());
    push_some(&mut attributes, Attribute::Time, reading.time.as_ref().map(|time| time.text.as_str()));
    let quarantine = match &reading.kind {
        Kind::Quarantined(reason) => Some(reason.as_str()),
        Kind::Documented(_) | Kind::Unlisted(_) => None,
    };
    let content_type = if quarantine.is_some() { "application/octet-stream" } else { "application/json" };
    attributes.push_parts(Attribute::DataContentType, &[content_type]);
    attributes.push_parts(Attribute::Vendor, &[vendor]);
    push_some(&mut attributes, Attribute::Form, reading.form.map(|form| form.as_str()));
    push_some(&mut attributes, Attribute::Tenant, origin.tenant);
    push_some(&mut attributes, Attribute::Entity, reading.entity);
    push_some(&mut attributes, Attribute::EntityPath, reading.entity_path);
    attributes.push(Attribute::RecordedTime, recorded);
    match &reading.subject {
        Some(entity_id) => {
            attributes.push_parts(Attribute::PartitionKey, &[vendor, "/", source_name, "/", entity_id]);
        }
        None => attributes.push_parts(Attribute::PartitionKey, &[&reading.id]),
    }
    attributes.push(Attribute::Sequence, sequence);
    attributes.push(Attribute::Traceparent, trace);
    push_some(&mut attributes, Attribute::QuarantineReason, quarantine);
    attributes.push_parts(Attribute::Route, &[&subject(&reading.kind, *origin, template)]);
    let message_id = format_args!("{vendor}/{source_name}/{}/{fingerprint:016x}{telling}", reading.id);
    attributes.push(Attribute::MessageId, &message_id);
    attributes.push(Attribute::Hop, hop);
    attributes
}

fn push_some(attributes: &mut Attributes, attribute: Attribute, value: Option<&str>) {
    if let Some(value) = value {
        attributes.push_parts(attribute, &[value]);
    }
}

/// Only a documented type reaches the template, or a routable one where the operator wants it; everything else has a
/// fixed subject (P6).
fn subject(kind: &Kind, origin: Origin<'_>, template: &Template) -> String {
    let Origin { vendor, source_name: source, tenant } = origin;
    let vendor = vendor.as_str();
    match kind {
        Kind::Documented(entry) => template.render(Fields { vendor, source, tenant, event_type: entry.event }),
        Kind::Unlisted(event_type) if template.routes_unknown() => {
            template.render(Fields { vendor, source, tenant, event_type })
        }
        Kind::Unlisted(_) => route::catch_all(vendor),
        Kind::Quarantined(_) => route::quarantine(vendor),
    }
}
