//! One of hookbus's own events, which no vendor has sent.
//!
//! In: what is known of it. Out: its attributes.

use std::fmt::Display;

use crate::{
    envelope::{Attributes, attributes::Attribute, message::JSON},
    finding::VENDOR,
    source::Identity,
};

/// One of them.
pub(crate) struct OwnEvent<'a> {
    /// Its type.
    pub(crate) event_type: &'a str,
    /// Its subject or topic.
    pub(crate) route: &'a str,
    /// At whose vendor it was found or fetched.
    pub(crate) source: &'a Identity,
    /// The same for each repeat.
    pub(crate) id: &'a str,
    /// The id of the thing that it speaks of.
    pub(crate) subject: &'a str,
    /// The id of the event that led to it.
    pub(crate) cause: Option<&'a str>,
    /// When what it speaks of happened, RFC 3339.
    pub(crate) time: &'a dyn Display,
    /// When it was made, RFC 3339 with six decimals.
    pub(crate) recorded: &'a dyn Display,
    /// Its place among those of this process.
    pub(crate) sequence: &'a dyn Display,
    /// The trace.
    pub(crate) trace: &'a dyn Display,
    /// This hop of it.
    pub(crate) hop: &'a dyn Display,
}

impl OwnEvent<'_> {
    /// Its attributes. The message id has no fingerprint of the body: an object that is fetched again may have changed, and is
    /// a repeat all the same.
    pub(crate) fn attributes(&self) -> Attributes {
        let OwnEvent { event_type, route, source, id, subject, cause, time, recorded, sequence, trace, hop } = self;
        let name = source.name.as_str();
        let mut attributes = Attributes::default();
        attributes.push_parts(Attribute::Id, &[id]);
        attributes.push_parts(Attribute::Source, &["//hookbus/reconcile/", name]);
        attributes.push_parts(Attribute::Type, &[event_type]);
        attributes.push_parts(Attribute::Subject, &[subject]);
        attributes.push(Attribute::Time, time);
        attributes.push_parts(Attribute::DataContentType, &[JSON]);
        attributes.push_parts(Attribute::Vendor, &[VENDOR]);
        if let Some(tenant) = &source.tenant {
            attributes.push_parts(Attribute::Tenant, &[tenant]);
        }
        attributes.push(Attribute::RecordedTime, recorded);
        attributes.push_parts(Attribute::Environment, &[&source.environment]);
        attributes.push_parts(Attribute::PartitionKey, &[VENDOR, "/", name, "/", subject]);
        attributes.push(Attribute::Sequence, sequence);
        attributes.push(Attribute::Traceparent, trace);
        if let Some(cause) = cause {
            attributes.push_parts(Attribute::CausationId, &[cause]);
        }
        attributes.push_parts(Attribute::Route, &[route]);
        attributes.push_parts(Attribute::MessageId, &[VENDOR, "/", name, "/", id]);
        attributes.push(Attribute::Hop, hop);
        attributes
    }
}
