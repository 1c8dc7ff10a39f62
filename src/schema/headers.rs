//! The headers beside a message, for one bus and content mode: the code's own list, spelt as the binding spells it, and
//! what the client adds.

use serde_json::{Map, Value, json};

use super::{
    attributes::{Presence, is_plain, presence_in, schema_in},
    channels::{Class, Mode},
};
use crate::{
    config::{BusKind, Encoding},
    envelope::{
        attributes::Attribute,
        message::{Binding, CONTENT_TYPE, JSON, STRUCTURED},
    },
};

/// The headers as a schema; none on the embedded bus, which has no headers.
pub(super) fn headers(mode: Mode, class: Class) -> Option<Value> {
    let binding = binding(mode)?;
    let mut list = List::default();
    if let Some(content_type) = content_type(mode, class) {
        list.always(CONTENT_TYPE, json!({ "const": content_type }));
    }
    if binding == Binding::Nats {
        let description = "The stream that took the event.";
        list.always("Nats-Expected-Stream", json!({ "type": "string", "description": description }));
    }
    if mode.encoding == Encoding::Binary {
        list.always(binding.version_header(), json!({ "const": "1.0" }));
    }
    for attribute in Attribute::ALL {
        let (Some(name), Some(schema)) = (binding.header(attribute, mode.encoding), schema_in(attribute, class)) else {
            continue;
        };
        let schema = if binding == Binding::Nats && !is_plain(attribute) { encoded(&schema) } else { schema };
        match presence_in(attribute, class) {
            Some(Presence::Sometimes) => list.sometimes(name, schema),
            Some(_) => list.always(name, schema),
            None => {}
        }
    }
    Some(json!({ "type": "object", "required": list.required, "properties": list.properties }))
}

/// The embedded bus has none.
fn binding(mode: Mode) -> Option<Binding> {
    match mode.bus {
        BusKind::Journal => None,
        BusKind::Kafka => Some(Binding::Kafka),
        BusKind::Nats => Some(Binding::Nats),
    }
}

/// The value of the message's `content-type`, if it has that header.
pub(super) fn content_type(mode: Mode, class: Class) -> Option<&'static str> {
    binding(mode).map_or(Some(STRUCTURED), |binding| binding.content_type(mode.encoding, body_type(class)))
}

/// The media type of the body itself.
pub(super) fn body_type(class: Class) -> &'static str {
    if class == Class::Quarantined { "application/octet-stream" } else { JSON }
}

/// On NATS a value is percent-encoded, which changes its letters and length.
fn encoded(schema: &Value) -> Value {
    let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    json!({
        "type": "string", "pattern": "^[!-~]+$",
        "description": format!("{description} Percent-encoded: space, `\"`, `%` and all that is not printable ASCII."),
    })
}

#[derive(Default)]
struct List {
    required: Vec<String>,
    properties: Map<String, Value>,
}

impl List {
    fn always(&mut self, name: &str, schema: Value) {
        self.required.push(name.to_owned());
        self.sometimes(name, schema);
    }

    fn sometimes(&mut self, name: &str, schema: Value) {
        self.properties.insert(name.to_owned(), schema);
    }
}
