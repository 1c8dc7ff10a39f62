//! The catalogue against the list that the vendors' documents were read into, and what texts say of its size.

use std::collections::BTreeSet;

use hookbus::vendors::{Entry, Vendor};
use serde::Deserialize;

/// A row of the list.
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
    serde_json::from_str(include_str!("../../data/events.json")).unwrap()
}

fn entries() -> Vec<(&'static str, &'static Entry)> {
    let of = |vendor: Vendor| vendor.profile().catalogue.iter().map(move |entry| (vendor.as_str(), entry));
    Vendor::ALL.into_iter().flat_map(of).collect()
}

#[test]
fn the_catalogue_is_the_documented_list_both_ways() {
    let (rows, all) = (rows(), entries());
    for row in &rows {
        let same = |(vendor, entry): &&(&str, &Entry)| {
            (*vendor, entry.form.name, entry.event) == (&row.vendor, &row.form, &row.event)
        };
        let found: Vec<_> = all.iter().filter(same).collect();
        let [(_, entry)] = found[..] else { panic!("{} {}", row.form, row.event) };
        assert_eq!(entry.entity, row.object_type);
        assert_eq!(entry.id_pointers, row.entity_id_pointer_candidates);
        assert_eq!(entry.document, row.source.trim_start_matches("(beyond documents) "));
        let sample = format!("{}/src/vendors/{}", env!("CARGO_MANIFEST_DIR"), row.sample);
        assert_eq!(entry.sample, std::fs::read_to_string(sample).unwrap());
    }
    // Each of theirs is found once here: so each of ours is one of theirs, if there are as many and none is double.
    let keys: BTreeSet<_> = all.iter().map(|(vendor, entry)| (*vendor, entry.form.name, entry.event)).collect();
    assert_eq!((keys.len(), all.len()), (rows.len(), rows.len()));
}

#[test]
fn event_types_are_distinct() {
    for vendor in Vendor::ALL {
        let documented: BTreeSet<String> =
            rows().into_iter().filter(|row| row.vendor == vendor.as_str()).map(|row| row.event).collect();
        assert!(vendor.profile().event_types().eq(documented));
    }
}

/// Numbers and names that texts say of the catalogue.
#[test]
fn texts_know_its_size_and_its_vendors() {
    let text = |file: &str| std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let profiles = Vendor::ALL.map(Vendor::profile);
    let types: usize = profiles.iter().map(|profile| profile.event_types().count()).sum();
    let forms: usize = profiles.iter().map(|profile| profile.forms.len()).sum();
    let counts = format!("{types} event types in {} documented shapes", entries().len());
    assert!(text("CHANGELOG.md").replace("\n  ", " ").contains(&counts), "CHANGELOG.md: {counts}");
    assert_eq!(forms, 6, "README.md and CHANGELOG.md say: all six documented payload forms");
    for vendor in Vendor::ALL {
        for file in ["config.example.toml", "README.md"] {
            assert!(text(file).contains(vendor.as_str()), "{file}: {vendor}");
        }
        // The event that the chart's test sends.
        let chart = text("helm/hookbus/templates/tests/check.yaml");
        let mut samples = vendor.profile().event_types().map(|event| format!("\"{vendor}\" \"{event}\""));
        assert!(samples.any(|sample| chart.contains(&sample)), "{vendor}");
    }
}
