//! The payload of each documented event, as a schema.
//!
//! A schema states two things. What hookbus lets through as this event (`accepted`): the type stands where the vendor
//! keeps it, and nothing else is demanded. And what the vendor's documents show of each form (`flat`, `camel`, …):
//! members and their types, learnt from the samples; for code that is generated, and for an alarm when a vendor changes
//! something. The schema as a whole is never narrower than what is published.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{envelope::DIALECT, infer::Shape};
use crate::vendors::{Entry, Form, Profile, Vendor, form::DataObject, profile::Printed};

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
    let rows = vendor.profile().catalogue.iter().filter(|entry| entry.event == event);
    let mut parts: Vec<_> = rows.map(|entry| (entry.form.name.to_owned(), documented(vendor, entry))).collect();
    parts.push(("accepted".into(), accepted(vendor, event)));
    parts
}

/// What the vendor's documents print of this event in this form.
pub(super) fn printed(profile: &Profile, entry: &Entry) -> Option<&'static Printed> {
    profile.printed.iter().find(|printed| (printed.form, printed.event) == (entry.form.name, entry.event))
}

/// What the bodies of one event in one form look like.
pub(super) fn shape(vendor: Vendor, entry: &Entry) -> Shape {
    let mut shape = Shape::default();
    let printed = printed(vendor.profile(), entry).and_then(|printed| printed.body);
    for text in printed.into_iter().chain([entry.sample]) {
        // A test reads every sample.
        let _read = serde_json::from_str(text).map(|sample: Value| shape.learn(&sample));
    }
    shape
}

/// What a document shows of one form.
fn documented(vendor: Vendor, entry: &Entry) -> Value {
    let (shape, printed) = (shape(vendor, entry), printed(vendor.profile(), entry));
    let document = entry.document;
    let basis = if printed.is_some() {
        format!("Members as {document} prints them.")
    } else {
        format!(
            "{document} lists the event and prints no body of it: the members are assumed from what is printed nearby."
        )
    };
    let mut schema = Map::new();
    schema.insert("title".into(), format!("{vendor} {}, form {}", entry.event, entry.form).into());
    schema.insert("description".into(), format!("{} {basis}", entry.description).into());
    schema.extend(shape.schema());
    mark(&mut schema, entry.form, entry.event);
    schema.into()
}

/// Where a form keeps its type, and how it differs from the vendor's other forms.
fn mark(schema: &mut Map<String, Value>, form: &Form, event: &str) {
    let data = (form.data_object == DataObject::Thing).then_some(&"data");
    let required: Vec<&str> = [form.type_member].into_iter().chain(form.with.iter().chain(data).copied()).collect();
    schema.insert("required".into(), required.into());
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    properties.insert(form.type_member.into(), json!({ "const": event }));
    properties.extend(form.without.iter().map(|name| ((*name).to_owned(), false.into())));
    if let Some(Value::Object(data)) = properties.get_mut("data") {
        match (form.data_object, data.get_mut("properties")) {
            (DataObject::Thing, _) => drop(data.insert("required".into(), json!(["object"]))),
            (DataObject::Word, Some(Value::Object(members))) => {
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
    let forms = vendor.profile().forms;
    let is_type = |member: &&&str| forms.iter().any(|form| form.type_member == **member);
    let mut ways: BTreeMap<(usize, &str), Value> = BTreeMap::new();
    for form in forms {
        let earlier: Vec<&str> = form.without.iter().filter(is_type).rev().copied().collect();
        let mut properties: Map<String, Value> =
            earlier.iter().map(|earlier| ((*earlier).to_owned(), Value::from(false))).collect();
        properties.insert(form.type_member.to_owned(), json!({ "const": event }));
        let way = json!({ "required": [form.type_member], "properties": properties });
        ways.insert((earlier.len(), form.type_member), way);
    }
    json!({
        "title": format!("{vendor} {event}, whatever its form"),
        "description": "What hookbus demands of a body of this type, and nothing else.",
        "type": "object",
        "anyOf": ways.into_values().collect::<Vec<_>>(),
    })
}
