//! The events of hookbus's own, as schemas: what was found at the vendors, and what their APIs show of it.

use serde_json::{Map, Value, json};

use super::{
    attributes::{Presence, presence_in, schema_in},
    channels::Class,
};
use crate::{envelope::attributes::Attribute, finding::Kind, metrics::Label as _, vendors::Vendor};

/// Their envelope in structured mode.
pub(super) fn envelope() -> Value {
    let mut properties = Map::new();
    properties.insert("specversion".into(), json!({ "const": "1.0" }));
    let mut required = vec!["specversion", "data"];
    for attribute in Attribute::ALL {
        let schema = presence_in(attribute, Class::Own).zip(schema_in(attribute, Class::Own));
        if let (Some(name), Some((presence, schema))) = (attribute.name(), schema) {
            properties.insert(name.into(), schema);
            if presence == Presence::Always {
                required.push(name);
            }
        }
    }
    properties.insert("data".into(), json!({ "type": "object" }));
    json!({
        "title": "hookbus's own envelope",
        "description": "What `hookbus reconcile` says by itself, as a CloudEvents 1.0 event in structured mode. No vendor has \
                        sent it. Attributes may be added.",
        "type": "object",
        "required": required,
        "properties": properties,
    })
}

/// The body of a finding.
pub(super) fn finding(kind: Kind) -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "title": kind.description(),
        "type": "object",
        "required": ["kind", "state", "source", "vendor", "subject", "text", "occurrence", "seen"],
        "properties": {
            "kind": { "const": kind.as_str() },
            "state": {
                "enum": if kind.is_endpoint() { vec!["open", "healed"] } else { vec!["open"] },
                "description": "Whether it is so, or has ended.",
            },
            "source": text("The source's configured name."),
            "vendor": { "enum": Vendor::ALL.map(Vendor::as_str), "description": "Whose API says so." },
            "subject": text("The thing: the id of a certificate, an endpoint or a delivery."),
            "text": text("What it is, for people."),
            "occurrence": text("Tells this occurrence from others of the same thing; opaque."),
            "seen": text("When the vendor was asked, RFC 3339."),
            "event": text("The vendor's type of the event that is missing."),
            "eventid": text("The vendor's id of that event, where its API shows one."),
            "status": text("The thing's status in the vendor's words."),
            "since": text("Since when it is so, by the vendor's clock, RFC 3339."),
        },
    })
}

/// The body of what an API shows of a missed certificate.
pub(super) fn missed() -> Value {
    json!({
        "title": "A certificate as the vendor's API shows it: fetched, not received",
        "type": "object",
        "required": ["fetched", "finding", "certificate"],
        "properties": {
            "fetched": { "type": "string", "description": "When it was fetched, RFC 3339." },
            "finding": { "type": "string", "description": "The id of the finding that says that its event never came." },
            "certificate": { "type": "object", "description": "The API's own object." },
            "event": { "type": "object", "description": "The vendor's event, where its API lists it." },
        },
    })
}

/// The body of a certificate's details.
pub(super) fn details() -> Value {
    let text = |description: &str| json!({ "type": "string", "minLength": 1, "description": description });
    json!({
        "title": "A certificate as the vendor's API showed it when it was fetched, byte for byte: fetched, not received",
        "description": "The vendor prints no such answer: only what is named here is relied on.",
        "type": "object",
        "required": ["id", "status", "review_results"],
        "properties": {
            "id": text("The certificate's id, also the attribute `subject`."),
            "status": text("Its status at the time of the call, which may be another one than its webhook told."),
            "review_results": {
                "type": ["object", "array", "null"], "description": "What the review has found, in full.",
            },
        },
    })
}
