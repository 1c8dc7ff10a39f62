//! The envelope in structured mode, as a schema.
//!
//! It demands what the gateway writes and lets through what a later version may add.

use serde_json::{Map, Value, json};

use super::attributes::{Presence, is_read_from_body, presence, schema};
use crate::{
    envelope::{attributes::Attribute, message::JSON},
    vendors::Vendor,
};

/// The dialect of every schema here.
pub(super) const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema as a document of its own.
pub(super) fn document() -> Value {
    let mut document = Map::new();
    document.insert("$schema".into(), DIALECT.into());
    document.insert("$id".into(), "urn:hookbus:envelope".into());
    if let Value::Object(members) = envelope() {
        document.extend(members);
    }
    document.into()
}

/// The schema itself, in words that all dialects share.
pub(super) fn envelope() -> Value {
    let mut properties = Map::new();
    properties.insert("specversion".into(), json!({ "const": "1.0" }));
    let mut required = vec!["specversion"];
    for attribute in Attribute::ALL {
        if let (Some(name), Some(schema)) = (attribute.name(), schema(attribute)) {
            properties.insert(name.into(), schema);
            if presence(attribute) == Presence::Always {
                required.push(name);
            }
        }
    }
    let data = "The webhook's whole body, byte for byte as the vendor sent it. Its schema: payloads/<vendor>/<type>.schema.json";
    properties.insert("data".into(), json!({ "type": "object", "description": data }));
    let base64 = "The whole body of an event in quarantine.";
    properties.insert(
        "data_base64".into(),
        json!({ "type": "string", "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/]*={0,2}$", "description": base64 }),
    );
    json!({
        "title": "hookbus envelope",
        "description": "A webhook of 1099Policy or Audit1 as a CloudEvents 1.0 event in structured mode. Attributes may \
                        be added; none goes away or changes its meaning under the subject prefix `webhooks.`.",
        "type": "object",
        "required": required,
        "properties": properties,
        "propertyNames": { "pattern": "^([a-z0-9]+|data_base64)$" },
        "allOf": Vendor::ALL.map(type_of_vendor),
        "oneOf": [routed(), quarantined()],
    })
}

/// An event of one vendor has a type of that vendor.
fn type_of_vendor(vendor: Vendor) -> Value {
    json!({
        "if": { "properties": { "vendor": { "const": vendor.as_str() } } },
        "then": { "properties": { "type": { "pattern": format!(r"^com\.{vendor}\.") } } },
    })
}

fn routed() -> Value {
    json!({
        "title": "An event",
        "required": ["data", "form"],
        "properties": {
            "datacontenttype": { "const": JSON },
            "data_base64": false,
            "quarantinereason": false,
        },
    })
}

fn quarantined() -> Value {
    let absent: Map<String, Value> = Attribute::ALL
        .into_iter()
        .filter(|attribute| is_read_from_body(*attribute))
        .filter_map(Attribute::name)
        .map(|name| (name.to_owned(), false.into()))
        .collect();
    let mut properties = json!({
        "type": { "pattern": r"^com\.[0-9a-z]+\.quarantine$" },
        "id": { "pattern": "^sha256:[0-9a-f]{64}$" },
        "datacontenttype": { "const": "application/octet-stream" },
        "data": false,
    });
    if let Value::Object(properties) = &mut properties {
        properties.extend(absent);
    }
    json!({ "title": "A body in quarantine", "required": ["data_base64", "quarantinereason"], "properties": properties })
}
