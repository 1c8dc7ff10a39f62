//! The payload of each documented event, as a schema.
//!
//! Two things are told apart. What hookbus lets through as this event (`accepted`): the type stands where the vendor
//! keeps it, and nothing else is demanded. And what the vendor's documents show of each form (`flat`, `camel`, …):
//! members and their types, learnt from the samples; for code that is generated, and for an alarm when a vendor changes
//! something. The schema as a whole is never narrower than what is published.

use serde_json::{Map, Value, json};

use super::{envelope::DIALECT, infer::Shape};
use crate::vendor::{
    Form, Vendor,
    catalogue::{self, Entry},
};

/// Bodies that the documents print, beside the catalogue's samples.
const PRINTED: [(Form, &str, &str); 8] = [
    (
        Form::Nested,
        "certificate.flagged",
        include_str!("../vendor/samples/documents/1099policy/certificate.flagged.json"),
    ),
    (Form::Flat, "assignment.active", include_str!("../vendor/samples/documents/1099policy/assignment.active.json")),
    (Form::Flat, "policy.active", include_str!("../vendor/samples/documents/1099policy/policy.active.json")),
    (Form::Camel, "audit.completed", include_str!("../vendor/samples/documents/audit1/audit.completed.json")),
    (Form::Camel, "file.failed", include_str!("../vendor/samples/documents/audit1/file.failed.json")),
    (
        Form::Snake,
        "file.premium_calculated",
        include_str!("../vendor/samples/documents/audit1/file.premium_calculated.json"),
    ),
    (Form::Camel, "file.processed", include_str!("../vendor/samples/documents/audit1/file.processed.json")),
    (Form::Camel, "webhook.test", include_str!("../vendor/samples/documents/audit1/webhook.test.json")),
];

/// The schema of an event type as a document of its own.
pub(super) fn document(vendor: Vendor, event: &str) -> Value {
    let (any_of, parts) = (any_of(vendor, event, "#/$defs/"), parts(vendor, event));
    let parts: Map<String, Value> = parts.into_iter().collect();
    json!({
        "$schema": DIALECT,
        "$id": format!("urn:hookbus:payload:{vendor}:{event}"),
        "title": format!("{vendor} {event}"),
        "description": "The `data` of an event of this type. The whole schema holds for every event that hookbus \
                        publishes as this type. `$defs/<form>`, by the attribute `form`, is what the vendor's documents \
                        show: generate code from it, and take a mismatch as news of the vendor, not as a bad event.",
        "anyOf": any_of,
        "$defs": parts,
    })
}

/// References to all parts of a type. `prefix`: what comes before a part's name.
pub(super) fn any_of(vendor: Vendor, event: &str, prefix: &str) -> Vec<Value> {
    parts(vendor, event).iter().map(|(name, _)| json!({ "$ref": format!("{prefix}{name}") })).collect()
}

/// The documented forms of a type by name, then `accepted`.
pub(super) fn parts(vendor: Vendor, event: &str) -> Vec<(String, Value)> {
    let rows = catalogue::entries(vendor).filter(|entry| entry.event == event);
    let mut parts: Vec<_> = rows.map(|entry| (entry.form.as_str().to_owned(), documented(entry))).collect();
    parts.push(("accepted".into(), accepted(vendor, event)));
    parts
}

/// Whether a document prints a body of this event, or one that it says is the same.
pub(super) fn is_printed(entry: &Entry) -> bool {
    let printed = PRINTED.iter().any(|(form, event, _)| (entry.form, entry.event) == (*form, *event));
    // Not stored as files: the certificate guide prints one body for its four events, two public pages one each.
    let alike = matches!(
        (entry.form, entry.event),
        (Form::Nested, _) | (Form::EventApi, "policy.active") | (Form::Payments, "payment.completed")
    );
    printed || alike
}

/// What a document shows of one form.
fn documented(entry: &Entry) -> Value {
    let mut shape = Shape::default();
    let printed = PRINTED.iter().filter(|(form, event, _)| (entry.form, entry.event) == (*form, *event));
    for text in printed.map(|(_, _, text)| *text).chain([entry.sample]) {
        // A test reads every sample.
        let _read = serde_json::from_str(text).map(|sample: Value| shape.learn(&sample));
    }
    let document = entry.document;
    let basis = if is_printed(entry) {
        format!("Members as {document} prints them.")
    } else {
        format!(
            "{document} lists the event and prints no body of it: the members are assumed from what is printed nearby."
        )
    };
    let mut schema = Map::new();
    schema.insert("title".into(), format!("{} {}, form {}", entry.vendor, entry.event, entry.form).into());
    schema.insert("description".into(), format!("{} {basis}", entry.description).into());
    schema.extend(shape.schema());
    mark(&mut schema, entry.form, entry.event);
    schema.into()
}

/// Where a form keeps its type, and what tells it from the vendor's other forms.
fn mark(schema: &mut Map<String, Value>, form: Form, event: &str) {
    let (type_member, required, absent): (_, &[&str], &[&str]) = match form {
        Form::Nested => ("type", &["type", "data"], &[]),
        Form::Flat => ("type", &["type"], &["id"]),
        Form::EventApi => ("type", &["type", "id"], &[]),
        Form::Snake => ("event", &["event"], &["event_type"]),
        Form::Camel => ("type", &["type"], &["event", "event_type"]),
        Form::Payments => ("event_type", &["event_type"], &[]),
    };
    schema.insert("required".into(), required.into());
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    properties.insert(type_member.into(), json!({ "const": event }));
    properties.extend(absent.iter().map(|name| ((*name).to_owned(), false.into())));
    if let Some(Value::Object(data)) = properties.get_mut("data") {
        match (form, data.get_mut("properties")) {
            (Form::Nested, _) => drop(data.insert("required".into(), json!(["object"]))),
            (Form::EventApi, Some(Value::Object(members))) => {
                members.entry("object").or_insert_with(
                    || json!({ "type": "string", "description": "The word for the type of the thing, where it stands." }),
                );
            }
            _ => {}
        }
    }
}

/// All that hookbus publishes as this type: it stands in the first of the vendor's type members that is there.
fn accepted(vendor: Vendor, event: &str) -> Value {
    let members: &[&str] = match vendor {
        Vendor::Policy1099 => &["type"],
        Vendor::Audit1 => &["event_type", "event", "type"],
    };
    let ways = members.iter().enumerate().map(|(place, member)| {
        let earlier = members.iter().take(place).map(|earlier| ((*earlier).to_owned(), Value::from(false)));
        let mut properties: Map<String, Value> = earlier.collect();
        properties.insert((*member).to_owned(), json!({ "const": event }));
        json!({ "required": [member], "properties": properties })
    });
    json!({
        "title": format!("{vendor} {event}, whatever its form"),
        "description": "What hookbus demands of a body of this type, and nothing else.",
        "type": "object",
        "anyOf": ways.collect::<Vec<_>>(),
    })
}
