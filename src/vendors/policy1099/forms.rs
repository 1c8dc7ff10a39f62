//! The forms of 1099Policy's bodies.

use crate::vendors::form::{DataObject, Form};

pub(super) static FORMS: [Form; 3] = [
    // The object stands in `data.object` (certificate webhooks).
    Form { name: "nested", data_object: DataObject::Thing, entity_path: "/data/object", ..Form::PLAIN },
    // No `id`; the object's fields stand in `data` (tracking compliance).
    Form { name: "flat", without: &["id"], ..Form::PLAIN },
    // The fields stand in `data`, beside a word in `data.object` (API reference).
    Form { name: "event_api", with: &["id"], data_object: DataObject::Word, ..Form::PLAIN },
];
