//! The root of a documented body: which members stand there, and values of which types; and how another body differs.
//!
//! In: a body of a documented event. Out: what differs from what the vendor's documents show of this event in this form. That
//! is news of the vendor, and no fault of the event (P8).

use super::payload;
use crate::{
    json::{self, Kind, Scope},
    metrics::Label,
    vendors::Vendor,
};

/// How a body differs from the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// A member that they do not show.
    UnknownMember,
    /// A member that they show is not there.
    MissingMember,
    /// A member's value is of a type that they do not show. `null` is no type: any member may be without a value.
    OtherType,
    /// They show the event, but not in this form.
    OtherForm,
}

impl Label for Drift {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [
            (Drift::UnknownMember, "unknown_member"),
            (Drift::MissingMember, "missing_member"),
            (Drift::OtherType, "other_type"),
            (Drift::OtherForm, "other_form"),
        ]
    }
}

/// The members of a documented event's root.
#[derive(Debug, PartialEq, Eq)]
pub struct Root {
    members: Vec<(String, Vec<&'static str>)>,
}

impl Root {
    /// Of an event in a form; `None` where no document shows it.
    pub fn of(vendor: Vendor, event: &str, form: &str) -> Option<Root> {
        let entry = vendor.profile().catalogue.iter().find(|entry| (entry.event, entry.form.name) == (event, form))?;
        let shape = payload::shape(vendor, entry);
        let members =
            shape.members().map(|(name, types)| (name.to_owned(), types.iter().copied().map(plain).collect()));
        Some(Root { members: members.collect() })
    }

    /// Each member, and the types of value that the documents show.
    pub fn members(&self) -> impl Iterator<Item = (&str, &[&'static str])> {
        self.members.iter().map(|(name, types)| (name.as_str(), types.as_slice()))
    }

    /// What differs in a body, each kind once.
    pub fn differences(&self, body: &[u8]) -> Vec<Drift> {
        let mut found = Vec::new();
        let mut note = |drift| {
            if !found.contains(&drift) {
                found.push(drift);
            }
        };
        let mut seen = vec![false; self.members.len()];
        visit(body, |name, kind| match self.members.iter().position(|(known, _)| known == name) {
            None => note(Drift::UnknownMember),
            Some(place) => {
                seen[place] = true;
                if !self.members[place].1.is_empty() && kind != "null" && !self.members[place].1.contains(&kind) {
                    note(Drift::OtherType);
                }
            }
        });
        if seen.contains(&false) {
            note(Drift::MissingMember);
        }
        found
    }
}

/// Shows each member of a body's root and the type of its value: a word of JSON Schema, `number` for each number. What is no
/// JSON shows some, or none.
pub fn visit(body: &[u8], mut visit: impl FnMut(&str, &'static str)) {
    let body = json::without_mark(body);
    let _judged_before = json::scan(body, |member| {
        if member.scope == Scope::Root {
            let first = body.get(member.value.start);
            visit(
                member.key,
                match member.value.kind {
                    Kind::Object => "object",
                    Kind::Array => "array",
                    Kind::String => "string",
                    Kind::Number => "number",
                    Kind::Literal if first == Some(&b'n') => "null",
                    Kind::Literal => "boolean",
                },
            );
        }
    });
}

/// An amount that was printed without a fraction may have one.
fn plain(kind: &'static str) -> &'static str {
    if kind == "integer" { "number" } else { kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat() -> Root {
        Root::of(Vendor::Policy1099, "policy.active", "flat").unwrap()
    }

    fn sample() -> serde_json::Value {
        let entries = Vendor::Policy1099.profile().catalogue.iter();
        let entry = entries.clone().find(|entry| (entry.event, entry.form.name) == ("policy.active", "flat")).unwrap();
        serde_json::from_str(entry.sample).unwrap()
    }

    #[test]
    fn what_the_documents_show_does_not_differ() {
        for vendor in Vendor::ALL {
            for entry in vendor.profile().catalogue {
                let root = Root::of(vendor, entry.event, entry.form.name).unwrap();
                assert_eq!(root.differences(entry.sample.as_bytes()), [], "{vendor} {} {}", entry.event, entry.form);
            }
        }
        assert_eq!(Root::of(Vendor::Policy1099, "policy.active", "camel"), None);
        assert_eq!(Root::of(Vendor::Policy1099, "policy.unheard_of", "flat"), None);
    }

    #[test]
    fn each_kind_of_difference_is_seen_once() {
        let differences = |change: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
            let mut body = sample();
            change(body.as_object_mut().unwrap());
            flat().differences(body.to_string().as_bytes())
        };
        let with = |name: &str, value: serde_json::Value| {
            differences(&|body| {
                body.insert(name.into(), value.clone());
            })
        };
        assert_eq!(with("livemode", true.into()), [Drift::UnknownMember]);
        assert_eq!(
            differences(&|body| (0..9).for_each(|n| drop(body.insert(n.to_string(), n.into())))),
            [Drift::UnknownMember]
        );
        assert_eq!(differences(&|body| drop(body.remove("created"))), [Drift::MissingMember]);
        assert_eq!(with("created", serde_json::json!([])), [Drift::OtherType]);
        assert_eq!(with("created", serde_json::Value::Null), []);
        assert_eq!(with("data", 1.into()), [Drift::OtherType]);
        assert_eq!(flat().differences(b"{\"\\u0074ype\":1}"), [Drift::OtherType, Drift::MissingMember]);
    }
}
