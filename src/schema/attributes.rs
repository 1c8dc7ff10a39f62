//! What the value of each attribute looks like. A new attribute does not compile before it is described here.

use serde_json::{Value, json};

use super::channels::Class;
use crate::{
    envelope::{attributes::Attribute, message::JSON},
    event::Quarantine,
    finding,
    subject::{MAX_TYPE_BYTES, MAX_TYPE_TOKENS},
    vendors::Vendor,
};

/// When an attribute is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// In every event.
    Always,
    /// In every event whose body could be routed.
    Routed,
    /// Where the body or the configuration has something to say.
    Sometimes,
    /// In quarantine.
    Quarantined,
}

/// Whether an attribute's value has only characters that every header takes as they are.
pub(super) fn is_plain(attribute: Attribute) -> bool {
    !matches!(
        attribute,
        Attribute::Id | Attribute::Source | Attribute::Subject | Attribute::PartitionKey | Attribute::CausationId
    )
}

/// What is read from a body, so that quarantine cannot have it.
pub(super) fn is_read_from_body(attribute: Attribute) -> bool {
    matches!(
        attribute,
        Attribute::Form | Attribute::Subject | Attribute::Time | Attribute::Entity | Attribute::EntityPath
    )
}

/// When an attribute is there.
pub(super) fn presence(attribute: Attribute) -> Presence {
    match attribute {
        Attribute::Id
        | Attribute::Source
        | Attribute::Type
        | Attribute::DataContentType
        | Attribute::Vendor
        | Attribute::RecordedTime
        | Attribute::Environment
        | Attribute::PartitionKey
        | Attribute::Sequence
        | Attribute::Traceparent
        | Attribute::Route
        | Attribute::MessageId
        | Attribute::Hop => Presence::Always,
        Attribute::Form => Presence::Routed,
        Attribute::QuarantineReason => Presence::Quarantined,
        Attribute::Subject
        | Attribute::Time
        | Attribute::Tenant
        | Attribute::Entity
        | Attribute::EntityPath
        | Attribute::CausationId
        | Attribute::DeadLetterReason => Presence::Sometimes,
    }
}

/// The same in events of a class; `None` where none of them has it.
pub(super) fn presence_in(attribute: Attribute, class: Class) -> Option<Presence> {
    match (presence(attribute), class) {
        (_, Class::Own) => presence_in_own(attribute),
        (_, Class::Quarantined) if is_read_from_body(attribute) => None,
        (Presence::Routed, Class::Quarantined) | (Presence::Quarantined, Class::Routed) => None,
        (presence, _) => Some(presence),
    }
}

/// Our own events come of no body.
fn presence_in_own(attribute: Attribute) -> Option<Presence> {
    match attribute {
        Attribute::Form | Attribute::Entity | Attribute::EntityPath | Attribute::QuarantineReason => None,
        Attribute::Subject | Attribute::Time => Some(Presence::Always),
        other => Some(presence(other)),
    }
}

/// The JSON Schema of an attribute's value in events of a class; none for what is no attribute.
pub(super) fn schema_in(attribute: Attribute, class: Class) -> Option<Value> {
    if class != Class::Own {
        return schema(attribute);
    }
    Some(match attribute {
        Attribute::Id => like(
            "^sha256:[0-9a-f]{64}(/missed)?$",
            "The hash of what was found and of this occurrence of it, or of the event that details belong to: what is found or \
             fetched again has the same id.",
        ),
        Attribute::Source => like("^//hookbus/reconcile/[a-z0-9_]{1,32}$", "The source at whose vendor it was found."),
        Attribute::Type => like(r"^com\.hookbus\.[a-z_.]+$", "What was found. New types may come at any time."),
        Attribute::Vendor => among(&[finding::VENDOR], "No vendor's event."),
        Attribute::Subject => free("The thing: the id of a certificate, an endpoint or a delivery."),
        Attribute::Time => like(
            r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$",
            "Since when it is so by the vendor's clock, or when it was found or fetched.",
        ),
        Attribute::RecordedTime => like(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", "When it was published."),
        Attribute::CausationId => free("Of details: the `id` of the webhook's event that they belong to."),
        Attribute::MessageId => {
            text("`hookbus/<source name>/<id>`: what the stream recognises a repeated publication by.")
        }
        other => schema(other)?,
    })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

/// Whatever an id may be: no control characters, 256 bytes at most.
fn free(description: &str) -> Value {
    let no_control = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$";
    json!({ "type": "string", "minLength": 1, "maxLength": 256, "pattern": no_control, "description": description })
}

fn like(pattern: &str, description: &str) -> Value {
    json!({ "type": "string", "pattern": pattern, "description": description })
}

fn among(values: &[&str], description: &str) -> Value {
    json!({ "type": "string", "enum": values, "description": description })
}

/// The JSON Schema of an attribute's value; none for what is no attribute.
pub(super) fn schema(attribute: Attribute) -> Option<Value> {
    Some(match attribute {
        Attribute::Id => free(
            "The vendor's own event id, or `sha256:` and the hash of vendor, source name and body. With `source` it is \
             what a consumer remembers to recognise a repeat.",
        ),
        Attribute::Source => json!({
            "type": "string", "format": "uri-reference", "minLength": 1, "maxLength": 256,
            "description": "Whose webhooks these are: `//hookbus/<vendor>/<source name>` unless configured otherwise.",
        }),
        Attribute::Type => event_type(),
        Attribute::Subject => free("The id of the thing that the event speaks of: a policy, a certificate, a file, …"),
        Attribute::Time => like(
            r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$",
            "When the vendor says it happened, UTC, with the vendor's own precision.",
        ),
        Attribute::DataContentType => among(
            &[JSON, "application/octet-stream"],
            "The body's media type: `application/octet-stream` in quarantine only.",
        ),
        Attribute::Vendor => among(&Vendor::ALL.map(Vendor::as_str), "The vendor."),
        Attribute::Form => among(&forms().collect::<Vec<_>>(), "The shape of the body, found by its structure."),
        Attribute::Tenant => like("^[A-Za-z0-9_-]{1,64}$", "The tenant that the gateway's configuration names."),
        Attribute::Entity => among(&entities(), "The type of the thing that the event speaks of."),
        Attribute::EntityPath => among(
            &["/data/object", "/data", ""],
            "JSON Pointer to that thing inside `data`; empty where its members stand at the root.",
        ),
        Attribute::RecordedTime => {
            like(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", "When the gateway had received the webhook, UTC.")
        }
        Attribute::Environment => like(
            "^[a-z0-9_-]{1,32}$",
            "What the gateway's configuration calls the source's traffic: `production` unless it says otherwise.",
        ),
        Attribute::PartitionKey => json!({
            "type": "string", "minLength": 1,
            "description": "Events that share it keep their order; also the Kafka key. `<vendor>/<source name>/<subject>`, \
                            or the event's id where there is no subject.",
        }),
        Attribute::Sequence => like(
            r"^[A-Za-z0-9_.]{1,63}-[0-9a-f]+-\d{20}$",
            "`<replica>-<boot>-<counter>`: rises in the order of arrival within one boot of one replica; has gaps.",
        ),
        Attribute::Traceparent => like(
            "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            "W3C Trace Context of the webhook's request, passed on or begun here.",
        ),
        Attribute::QuarantineReason => {
            among(&Quarantine::ALL.map(Quarantine::as_str), "Why the body could not be routed by its type.")
        }
        Attribute::Hop => text("W3C Trace Context of this hop, for a consumer's own span."),
        Attribute::MessageId => text(
            "`<vendor>/<source name>/<id>/<fingerprint of the body>`, with `/reread` behind it for an event that left \
             quarantine with its id, and `/again-<time>` for one that an operator has sent again: what the stream recognises \
             a repeated publication by.",
        ),
        Attribute::Route | Attribute::CausationId | Attribute::DeadLetterReason => return None,
    })
}

fn event_type() -> Value {
    let vendors = Vendor::ALL.map(Vendor::as_str).join("|");
    let longest = Vendor::ALL.map(|vendor| format!("com.{vendor}.").len()).into_iter().max();
    let more = MAX_TYPE_TOKENS - 1;
    json!({
        "type": "string",
        "pattern": format!(r"^com\.({vendors})\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){{0,{more}}}$"),
        "maxLength": longest.unwrap_or_default() + MAX_TYPE_BYTES,
        "description": "`com.<vendor>.` and the vendor's event type. New types may come at any time.",
    })
}

fn forms() -> impl Iterator<Item = &'static str> {
    Vendor::ALL.into_iter().flat_map(|vendor| vendor.profile().forms).map(|form| form.name)
}

/// The types of things that the catalogue speaks of.
fn entities() -> Vec<&'static str> {
    let mut all: Vec<_> =
        Vendor::ALL.into_iter().flat_map(|vendor| vendor.profile().catalogue).map(|entry| entry.entity).collect();
    all.sort_unstable();
    all.dedup();
    all
}
