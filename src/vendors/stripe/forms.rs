//! The forms of Stripe's bodies.

use crate::vendors::form::{DataObject, Form};

pub(super) static FORMS: [Form; 2] = [
    // The object as it was when the event happened.
    Form {
        name: "snapshot",
        with: &["id"],
        data_object: DataObject::Thing,
        entity_path: "/data/object",
        ..Form::PLAIN
    },
    // An event without the object.
    Form { name: "thin", ..Form::PLAIN },
];
