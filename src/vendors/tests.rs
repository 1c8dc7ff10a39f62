//! The rows of every vendor; that they are those of the documents, `tests/it/subscribers/catalogue.rs` sees to.

use super::*;
use crate::subject::is_routable;

#[test]
fn every_row_is_sorted_routable_and_described() {
    for profile in Vendor::ALL.map(Vendor::profile) {
        assert!(profile.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        let place = |entry: &Entry| profile.forms.iter().position(|form| form == entry.form).unwrap();
        assert!(profile.catalogue.is_sorted_by_key(|entry| (entry.event, place(entry))));
        for entry in profile.catalogue {
            assert!(is_routable(entry.event) && !entry.entity.is_empty());
            assert!(entry.description.ends_with('.') && !entry.description.trim_end_matches('.').contains(". "));
        }
        for printed in profile.printed {
            let row = profile.catalogue.iter().find(|entry| entry.event == printed.event);
            assert!(row.is_some() && profile.form(printed.form).is_some(), "{printed:?}");
        }
    }
}

#[test]
fn finds_the_row_of_the_form_and_else_any_row_of_the_event() {
    let form = |vendor: Vendor, form: &str, event| {
        let profile = vendor.profile();
        profile.find(profile.form(form), event).map(|entry| entry.form.name)
    };
    assert_eq!(form(Vendor::Audit1, "payments", "payment.failed"), Some("payments"));
    assert_eq!(form(Vendor::Audit1, "camel", "payment.failed"), Some("camel"));
    assert_eq!(form(Vendor::Audit1, "snake", "payment.failed"), Some("camel"));
    assert_eq!(form(Vendor::Policy1099, "", "certificate.denied"), Some("nested"));
    for absent in ["", "a", "zzz", "policy.activ", "policy.active.medi", "file.failed", "policy.active\0"] {
        assert_eq!(form(Vendor::Policy1099, "", absent), None, "{absent}");
    }
}

#[test]
fn names_are_read_back_and_listed() {
    for vendor in Vendor::ALL {
        assert_eq!(vendor.as_str().parse(), Ok(vendor));
    }
    assert_eq!("Audit1".parse::<Vendor>(), Err(format!("unknown vendor `Audit1`: use {}", Vendor::names())));
    assert!(Vendor::names().starts_with("1099policy or audit1"));
}
