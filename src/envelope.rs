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

fn lay_out(reading: &Reading, circumstances: &Circumstances<'_>, template: &Template) -> Attributes {
    let Circumstances { origin, ce_source, recorded, sequence, trace, hop, fingerprint, telling } = circumstances;
    let (vendor, source_name) = (origin.vendor.as_str(), origin.source_name);
    let mut attributes = Attributes::with_capacity(640);
    let mut set = |attribute, value: &dyn Display| attributes.push(attribute, value);
    set(Attribute::Id, &reading.id);
    set(Attribute::Source, ce_source);
    set(Attribute::Type, &format_args!("com.{vendor}.{}", reading.kind.event_type().unwrap_or("quarantine")));
    set_some(&mut set, Attribute::Subject, reading.subject.as_ref());
    set_some(&mut set, Attribute::Time, reading.time.as_ref().map(|time| &time.text));
    let quarantine = match &reading.kind {
        Kind::Quarantined(reason) => Some(reason.as_str()),
        Kind::Documented(_) | Kind::Unlisted(_) => None,
    };
    let content_type = if quarantine.is_some() { "application/octet-stream" } else { "application/json" };
    set(Attribute::DataContentType, &content_type);
    set(Attribute::Vendor, &vendor);
    set_some(&mut set, Attribute::Form, reading.form.map(|form| form.as_str()));
    set_some(&mut set, Attribute::Tenant, origin.tenant);
    set_some(&mut set, Attribute::Entity, reading.entity);
    set_some(&mut set, Attribute::EntityPath, reading.entity_path);
    set(Attribute::RecordedTime, recorded);
    match &reading.subject {
        Some(entity_id) => set(Attribute::PartitionKey, &format_args!("{vendor}/{source_name}/{entity_id}")),
        None => set(Attribute::PartitionKey, &reading.id),
    }
    set(Attribute::Sequence, sequence);
    set(Attribute::Traceparent, trace);
    set_some(&mut set, Attribute::QuarantineReason, quarantine);
    set(Attribute::Route, &subject(&reading.kind, *origin, template));
    set(Attribute::MessageId, &format_args!("{vendor}/{source_name}/{}/{fingerprint:016x}{telling}", reading.id));
    set(Attribute::Hop, hop);
    attributes
}

fn set_some<T: Display>(set: &mut impl FnMut(Attribute, &dyn Display), attribute: Attribute, value: Option<T>) {
    if let Some(value) = value {
        set(attribute, &value);
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
