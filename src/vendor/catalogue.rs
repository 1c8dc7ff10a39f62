//! The catalogue: every event that a document of either vendor lists, form by form.
//!
//! In: a vendor and an event type. Out: its row. A constant of the program, checked by a test against the list of events
//! that the documents were read into. An event that is not here is no error: both vendors say that their lists are not
//! complete.

mod audit1;
mod policy1099;

use super::{Form, Vendor};

/// One event of one form, as documented.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who sends it.
    pub vendor: Vendor,
    /// The shape it is documented in.
    pub form: Form,
    /// The vendor's event type, e.g. `policy.active`.
    pub event: &'static str,
    /// The type of thing it speaks of, e.g. `session` for an `application.*` event.
    pub entity: &'static str,
    /// JSON Pointers to the id of that thing, best first. Empty when the event speaks of nothing but itself.
    pub id_pointers: &'static [&'static str],
    /// What it means, in one sentence.
    pub description: &'static str,
    /// The document that lists it.
    pub document: &'static str,
    /// A realistic body.
    pub sample: &'static str,
}

/// 1099Policy, the guide to certificate webhooks.
const CERTIFICATES: &str = "1099Policy: certificate webhooks";
/// 1099Policy, the guide to compliance webhooks.
const COMPLIANCE: &str = "1099Policy: tracking compliance";
/// 1099Policy, the public API reference.
const API_REFERENCE: &str = "docs.1099policy.com API reference";
/// Audit1, the guide to webhooks set up in the portal.
const PORTAL_GUIDE: &str = "Audit1: portal guide";
/// Audit1, the tutorial for developers.
const TUTORIAL: &str = "Audit1: developer tutorial";
/// Audit1, the page on payment webhooks.
const PAYMENTS: &str = "docs.audit1.com/docs/payments-webhooks";

/// All rows of a vendor, by event type, then form.
pub fn entries(vendor: Vendor) -> impl Iterator<Item = &'static Entry> {
    table(vendor).iter()
}

/// The row of an event in the wanted form; if that form does not document it, or none is wanted, its first row.
pub fn find(vendor: Vendor, form: Option<Form>, event: &str) -> Option<&'static Entry> {
    // Row by row: nearly every comparison ends at the length. `policy.active`: 27 ns, by halves 60.
    let mut rows = table(vendor).iter().filter(|entry| entry.event == event);
    let fallback = rows.clone().next();
    rows.find(|entry| Some(entry.form) == form).or(fallback)
}

/// The distinct event types of a vendor, sorted.
pub fn event_types(vendor: Vendor) -> impl Iterator<Item = &'static str> {
    table(vendor).chunk_by(|a, b| a.event == b.event).filter_map(<[Entry]>::first).map(|entry| entry.event)
}

fn table(vendor: Vendor) -> &'static [Entry] {
    match vendor {
        Vendor::Policy1099 => policy1099::TABLE,
        Vendor::Audit1 => audit1::TABLE,
    }
}

/// Writes a table: an event, its form, the type of its thing, pointers to the id, the document, and the meaning.
macro_rules! rows {
    ($vendor:ident in $folder:literal; $($event:literal $form:tt, $entity:literal $pointers:tt, $document:ident, $description:literal;)*) => {
        &[$(Entry {
            vendor: Vendor::$vendor,
            form: rows!(form $form),
            event: $event,
            entity: $entity,
            id_pointers: &$pointers,
            description: $description,
            document: $document,
            sample: include_str!(concat!("../samples/", $folder, "/", $form, "/", $event, ".json")),
        }),*]
    };
    (form "nested") => { Form::Nested };
    (form "flat") => { Form::Flat };
    (form "event_api") => { Form::EventApi };
    (form "snake") => { Form::Snake };
    (form "camel") => { Form::Camel };
    (form "payments") => { Form::Payments };
}
use rows;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::route::is_routable;
    use serde::Deserialize;
    use std::collections::BTreeSet;

    /// A row of the list that the vendors' documents were read into.
    #[derive(Deserialize)]
    struct Row {
        vendor: String,
        form: String,
        event: String,
        object_type: String,
        entity_id_pointer_candidates: Vec<String>,
        source: String,
        sample: String,
    }

    fn rows() -> Vec<Row> {
        serde_json::from_str(include_str!("../../tests/data/events.json")).unwrap()
    }

    #[test]
    fn the_catalogue_is_the_documented_list_both_ways() {
        let rows = rows();
        let all: Vec<&Entry> = Vendor::ALL.into_iter().flat_map(entries).collect();
        assert_eq!((rows.len(), all.len()), (68, 68));
        for row in &rows {
            let same = |entry: &&&Entry| {
                entry.vendor.as_str() == row.vendor && entry.form.as_str() == row.form && entry.event == row.event
            };
            assert_eq!(all.iter().filter(same).count(), 1, "{} {}", row.form, row.event);
            let entry = all.iter().find(same).unwrap();
            assert_eq!(entry.entity, row.object_type);
            assert_eq!(entry.id_pointers, row.entity_id_pointer_candidates);
            assert_eq!(entry.document, row.source.trim_start_matches("(beyond documents) "));
            let sample = format!("{}/src/vendor/{}", env!("CARGO_MANIFEST_DIR"), row.sample);
            assert_eq!(entry.sample, std::fs::read_to_string(sample).unwrap());
        }
        // 68 rows here, 68 there, each of theirs found once here: so each of ours is one of theirs, if none is double.
        let keys: BTreeSet<_> = all.iter().map(|entry| (entry.vendor.as_str(), entry.form, entry.event)).collect();
        assert_eq!(keys.len(), 68);
    }

    #[test]
    fn every_row_is_sorted_routable_and_described() {
        for vendor in Vendor::ALL {
            assert!(table(vendor).is_sorted_by_key(|entry| (entry.event, entry.form)));
            for entry in entries(vendor) {
                assert_eq!(entry.vendor, vendor);
                assert!(is_routable(entry.event) && !entry.entity.is_empty());
                assert!(entry.description.ends_with('.') && !entry.description.trim_end_matches('.').contains(". "));
            }
        }
    }

    #[test]
    fn finds_the_row_of_the_form_and_else_any_row_of_the_event() {
        let form = |vendor, form, event| find(vendor, form, event).map(|entry| entry.form);
        assert_eq!(form(Vendor::Audit1, Some(Form::Payments), "payment.failed"), Some(Form::Payments));
        assert_eq!(form(Vendor::Audit1, Some(Form::Camel), "payment.failed"), Some(Form::Camel));
        assert_eq!(form(Vendor::Audit1, Some(Form::Snake), "payment.failed"), Some(Form::Camel));
        assert_eq!(form(Vendor::Policy1099, None, "certificate.denied"), Some(Form::Nested));
        for absent in ["", "a", "zzz", "policy.activ", "policy.active.medi", "file.failed", "policy.active\0"] {
            assert_eq!(form(Vendor::Policy1099, None, absent), None, "{absent}");
        }
    }

    #[test]
    fn event_types_are_distinct() {
        let of = |vendor: &str| -> BTreeSet<String> {
            rows().into_iter().filter(|row| row.vendor == vendor).map(|row| row.event).collect()
        };
        for vendor in Vendor::ALL {
            assert!(event_types(vendor).eq(of(vendor.as_str())));
        }
    }
}
