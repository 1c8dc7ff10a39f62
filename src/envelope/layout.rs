//! Lays an event out as the attributes of a message, and routes it.
//!
//! In: what a body says, and what is known beside it. Out: the attributes, in the order of [`Attribute::ALL`].

use std::fmt::Display;

use super::{
    attributes::{Attribute, Attributes},
    route::{Address, Template, catch_all, quarantine},
};
use crate::{
    event::{Kind, Reading},
    source::Identity,
};

/// Bytes for the attributes of nearly every event, so that the list does not grow while it is laid out.
const ROOM: usize = 1024;

/// What makes a repeat a repeat: XXH3-64 of the signed bytes.
pub(crate) fn fingerprint(signed: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(signed)
}

/// Only a documented type reaches the template, or a routable one where the operator wants it; everything else has a
/// fixed subject (P6).
pub(crate) fn route<'a>(kind: &'a Kind, source: &'a Identity, template: &'a Template) -> Address<'a> {
    match kind {
        Kind::Documented(entry) => template.render(source, entry.event),
        Kind::Unlisted(event_type) if template.routes_unknown() => template.render(source, event_type),
        Kind::Unlisted(_) => catch_all(source.vendor.as_str()),
        Kind::Quarantined(_) => quarantine(source.vendor.as_str()),
    }
}

/// What an envelope says that does not stand in the body.
pub(crate) struct Circumstances<'a> {
    /// Whose event it is.
    pub(crate) source: &'a Identity,
    pub(crate) recorded: &'a dyn Display,
    pub(crate) sequence: &'a dyn Display,
    pub(crate) trace: &'a dyn Display,
    pub(crate) hop: &'a dyn Display,
    pub(crate) fingerprint: u64,
    /// Ends the message id: a second message about one event needs another id than the first, which a bus may know.
    pub(crate) suffix: &'a str,
}

impl Circumstances<'_> {
    /// Every attribute of an event that says this.
    pub(crate) fn lay_out(&self, reading: &Reading, template: &Template) -> Attributes {
        let Circumstances { source, recorded, sequence, trace, hop, fingerprint, suffix } = self;
        let (vendor, source_name) = (source.vendor.as_str(), &source.name);
        let mut attributes = Attributes::with_capacity(ROOM);
        attributes.push_parts(Attribute::Id, &[&reading.id]);
        attributes.push_parts(Attribute::Source, &[&source.ce_source]);
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
        push_some(&mut attributes, Attribute::Form, reading.form.map(|form| form.name));
        push_some(&mut attributes, Attribute::Tenant, source.tenant.as_deref());
        push_some(&mut attributes, Attribute::Entity, reading.entity);
        push_some(&mut attributes, Attribute::EntityPath, reading.entity_path);
        attributes.push(Attribute::RecordedTime, recorded);
        attributes.push_parts(Attribute::Environment, &[&source.environment]);
        match &reading.subject {
            Some(entity_id) => {
                attributes.push_parts(Attribute::PartitionKey, &[vendor, "/", source_name, "/", entity_id]);
            }
            None => attributes.push_parts(Attribute::PartitionKey, &[&reading.id]),
        }
        attributes.push(Attribute::Sequence, sequence);
        attributes.push(Attribute::Traceparent, trace);
        push_some(&mut attributes, Attribute::QuarantineReason, quarantine);
        attributes.push(Attribute::Route, &route(&reading.kind, source, template));
        let mut hex = const_hex::Buffer::<8>::new();
        let fingerprint = hex.format(&fingerprint.to_be_bytes());
        attributes
            .push_parts(Attribute::MessageId, &[vendor, "/", source_name, "/", &reading.id, "/", fingerprint, suffix]);
        attributes.push(Attribute::Hop, hop);
        attributes
    }
}

fn push_some(attributes: &mut Attributes, attribute: Attribute, value: Option<&str>) {
    if let Some(value) = value {
        attributes.push_parts(attribute, &[value]);
    }
}
