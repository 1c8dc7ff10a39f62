//! The catalogue: every event that a document of a vendor lists, form by form. An event that is not in it is no error: no
//! vendor says that its list is complete.

use super::form::Form;

/// One event of one form, as documented.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The shape it is documented in.
    pub form: &'static Form,
    /// The vendor's event type, e.g. `policy.active`.
    pub event: &'static str,
    /// The type of thing it is about, e.g. `session` for an `application.*` event.
    pub entity: &'static str,
    /// JSON Pointers to the id of that thing, best first. Empty when the event is about nothing but itself.
    pub id_pointers: &'static [&'static str],
    /// What it means, in one sentence.
    pub description: &'static str,
    /// The document that lists it.
    pub document: &'static str,
    /// A realistic body.
    pub sample: &'static str,
}

/// Writes a table: an event, its form, the type of its thing, pointers to the id, the document, and the meaning. The
/// sample is the file `samples/<form>/<event>.json` of the vendor's folder.
macro_rules! rows {
    ($($event:literal $form:literal, $entity:literal $pointers:tt, $document:ident, $description:literal;)*) => {
        &[$(Entry {
            form: Form::named(&FORMS, $form),
            event: $event,
            entity: $entity,
            id_pointers: &$pointers,
            description: $description,
            document: $document,
            sample: include_str!(concat!("samples/", $form, "/", $event, ".json")),
        }),*]
    };
}
pub(super) use rows;
