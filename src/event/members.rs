//! The members of a body that a reading can need.
//!
//! In: a body. Out: where each of a fixed set of members stands, and which of them stand there twice. The set is known
//! before the body is, so no body, however large or odd, makes this grow or pushes a member out.

use crate::{
    json::{self, Defect, Scope, Value},
    vendors::Profile,
};
use std::borrow::Cow;

/// A member that can matter to some event of a vendor; its number is its place in [`Members`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(usize);

impl Slot {
    const TYPE: Slot = Slot(0);
    const EVENT: Slot = Slot(1);
    const EVENT_TYPE: Slot = Slot(2);
    pub(crate) const ID: Slot = Slot(3);
    const DATA: Slot = Slot(4);
    pub(super) const DATA_OBJECT: Slot = Slot(5);
    pub(super) const DATA_ID: Slot = Slot(6);
    pub(super) const OBJECT_ID: Slot = Slot(7);

    /// Where a vendor's own members begin.
    const OWN: usize = 8;
    const COUNT: usize = 24;

    /// Members that choose an event's type, form or id. Twice, they would let two readers see two events.
    pub(super) const ROUTING: [Slot; 6] =
        [Slot::TYPE, Slot::EVENT, Slot::EVENT_TYPE, Slot::ID, Slot::DATA, Slot::DATA_OBJECT];

    #[inline]
    fn of(profile: &Profile, scope: Scope, key: &str) -> Option<Slot> {
        match scope {
            Scope::Root => Slot::of_root(profile, key),
            Scope::Data => Slot::of_data(profile, key),
            Scope::DataObject => (key == "id").then_some(Slot::OBJECT_ID),
        }
    }

    #[inline]
    fn of_root(profile: &Profile, key: &str) -> Option<Slot> {
        Some(match key {
            "type" => Slot::TYPE,
            "event" => Slot::EVENT,
            "event_type" => Slot::EVENT_TYPE,
            "id" => Slot::ID,
            "data" => Slot::DATA,
            _ => Slot(Slot::OWN + place(profile.root_members, key)?),
        })
    }

    #[inline]
    fn of_data(profile: &Profile, key: &str) -> Option<Slot> {
        Some(match key {
            "object" => Slot::DATA_OBJECT,
            "id" => Slot::DATA_ID,
            _ => Slot(Slot::OWN + profile.root_members.len() + place(profile.data_members, key)?),
        })
    }

    #[inline]
    fn of_pointer(profile: &Profile, pointer: &str) -> Option<Slot> {
        if let Some(key) = pointer.strip_prefix("/data/object/") {
            Slot::of(profile, Scope::DataObject, key)
        } else if let Some(key) = pointer.strip_prefix("/data/") {
            Slot::of_data(profile, key)
        } else {
            Slot::of_root(profile, pointer.strip_prefix('/')?)
        }
    }
}

#[inline]
fn place(members: &[&str], key: &str) -> Option<usize> {
    members.iter().position(|member| *member == key)
}

/// A member as found, and whether another of its name stands beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) value: Value,
    pub(super) twice: bool,
}

impl Found {
    /// Takes note of a member that may have been seen before.
    #[inline]
    pub(super) fn note(found: &mut Option<Found>, value: Value) {
        *found = Some(Found { value, twice: found.is_some() });
    }
}

/// What a body says, as far as a reading can need it.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    /// The whole body.
    pub(super) text: &'a str,
    /// What the whole body is.
    pub(super) kind: json::Kind,
    profile: &'static Profile,
    slots: [Option<Found>; Slot::COUNT],
}

impl<'a> Members<'a> {
    pub(crate) fn read(profile: &'static Profile, body: &'a [u8]) -> Result<Self, Defect> {
        let mut slots = [None; Slot::COUNT];
        let document = json::scan(body, |member| {
            if let Some(found) = Slot::of(profile, member.scope, member.key).and_then(|slot| slots.get_mut(slot.0)) {
                Found::note(found, member.value);
            }
        })?;
        Ok(Members { text: document.text, kind: document.kind, profile, slots })
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<Found> {
        *self.slots.get(slot.0)?
    }

    /// A member of the root.
    #[inline]
    pub(crate) fn root(&self, key: &str) -> Option<Found> {
        self.get(Slot::of_root(self.profile, key)?)
    }

    /// The member of a JSON Pointer of the vendor's profile. A test checks that each has a slot.
    #[inline]
    pub(crate) fn at(&self, pointer: &str) -> Option<Found> {
        self.get(Slot::of_pointer(self.profile, pointer)?)
    }

    /// What a string says. `None` for other kinds, and for strings that are no text.
    pub(super) fn string(&self, value: Value) -> Option<Cow<'a, str>> {
        if value.kind == json::Kind::String { json::unescape(value.raw(self.text)) } else { None }
    }

    /// The digits of an integer as written. `None` for other kinds, and for numbers with a fraction or an exponent.
    pub(super) fn integer(&self, value: Value) -> Option<&'a str> {
        let raw = value.raw(self.text);
        let is_integer =
            value.kind == json::Kind::Number && !raw.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
        is_integer.then_some(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendors::Vendor;

    #[test]
    fn every_member_that_a_vendor_names_has_a_slot() {
        for vendor in Vendor::ALL {
            let profile = vendor.profile();
            assert!(Slot::OWN + profile.root_members.len() + profile.data_members.len() <= Slot::COUNT, "{vendor}");
            let has = |pointer: &str| Slot::of_pointer(profile, pointer).is_some();
            for form in profile.forms {
                let members = form.with.iter().chain(form.without).chain([&form.type_member, &form.time]);
                members.for_each(|member| assert!(has(&format!("/{member}")), "{vendor} {member}"));
                assert!(form.entity_path.is_empty() || has(form.entity_path), "{vendor} {form}");
                let type_slot = Slot::of_root(profile, form.type_member).unwrap();
                assert!(Slot::ROUTING.contains(&type_slot), "{vendor} {form}: its type must not stand there twice");
            }
            for pointer in profile.catalogue.iter().flat_map(|entry| entry.id_pointers) {
                assert!(has(pointer), "{vendor} {pointer}");
            }
            assert!(!has("/data/object/status"));
        }
    }
}
