//! The members of a body that a reading can need.
//!
//! In: a body. Out: where each of a fixed set of members stands, and which of them stand there twice. The set is known
//! before the body is, so no body, however large or odd, makes this grow or pushes a member out.

use super::Form;
use crate::json::{self, Defect, Scope, Value};
use std::borrow::Cow;

/// A member that can matter to some event of the catalogue; its number is its place in [`Members`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Type,
    Event,
    EventType,
    Id,
    Data,
    Created,
    Timestamp,
    CompletedAt,
    RootPaymentId,
    RootSubscriptionId,
    RootInstallmentId,
    DataObject,
    DataId,
    DataCode,
    DataCategoryCode,
    DataFileId,
    DataFileIdSnake,
    DataAuditId,
    DataAuditIdSnake,
    DataEmployeeId,
    DataEmployeeIdSnake,
    DataPolicyId,
    DataPolicyIdSnake,
    DataPaymentId,
    DataPaymentIdSnake,
    ObjectId,
}

impl Slot {
    const COUNT: usize = Slot::ObjectId as usize + 1;

    /// Members that choose an event's type, form or id. Twice, they would let two readers see two events.
    pub(super) const ROUTING: [Slot; 6] =
        [Slot::Type, Slot::Event, Slot::EventType, Slot::Id, Slot::Data, Slot::DataObject];

    #[inline]
    fn of(scope: Scope, key: &str) -> Option<Slot> {
        match scope {
            Scope::Root => Slot::of_root(key),
            // One look at the last letter spares most members of `data` fourteen comparisons.
            Scope::Data => match key.as_bytes().last() {
                Some(b'd' | b'e' | b't') => Slot::of_data(key),
                _ => None,
            },
            Scope::DataObject => (key == "id").then_some(Slot::ObjectId),
        }
    }

    #[inline]
    fn of_root(key: &str) -> Option<Slot> {
        Some(match key {
            "type" => Slot::Type,
            "event" => Slot::Event,
            "event_type" => Slot::EventType,
            "id" => Slot::Id,
            "data" => Slot::Data,
            "created" => Slot::Created,
            "timestamp" => Slot::Timestamp,
            "completed_at" => Slot::CompletedAt,
            "payment_id" => Slot::RootPaymentId,
            "subscription_id" => Slot::RootSubscriptionId,
            "installment_id" => Slot::RootInstallmentId,
            _ => return None,
        })
    }

    #[inline]
    fn of_data(key: &str) -> Option<Slot> {
        Some(match key {
            "object" => Slot::DataObject,
            "id" => Slot::DataId,
            "code" => Slot::DataCode,
            "category_code" => Slot::DataCategoryCode,
            "fileId" => Slot::DataFileId,
            "file_id" => Slot::DataFileIdSnake,
            "auditId" => Slot::DataAuditId,
            "audit_id" => Slot::DataAuditIdSnake,
            "employeeId" => Slot::DataEmployeeId,
            "employee_id" => Slot::DataEmployeeIdSnake,
            "policyId" => Slot::DataPolicyId,
            "policy_id" => Slot::DataPolicyIdSnake,
            "paymentId" => Slot::DataPaymentId,
            "payment_id" => Slot::DataPaymentIdSnake,
            _ => return None,
        })
    }

    /// The slot of a JSON Pointer of the catalogue. A test sees to it that each has one.
    #[inline]
    pub(super) fn of_pointer(pointer: &str) -> Option<Slot> {
        if let Some(key) = pointer.strip_prefix("/data/object/") {
            Slot::of(Scope::DataObject, key)
        } else if let Some(key) = pointer.strip_prefix("/data/") {
            Slot::of(Scope::Data, key)
        } else {
            Slot::of(Scope::Root, pointer.strip_prefix('/')?)
        }
    }

    /// Where a form keeps the time of the event.
    pub(super) fn of_time(form: Form) -> Slot {
        match form {
            Form::Nested | Form::Flat | Form::EventApi => Slot::Created,
            Form::Snake | Form::Camel => Slot::Timestamp,
            Form::Payments => Slot::CompletedAt,
        }
    }
}

/// A member as found, and whether another of its name stands beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) value: Value,
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
pub(super) struct Members<'a> {
    /// The whole body.
    pub(super) text: &'a str,
    /// What the whole body is.
    pub(super) kind: json::Kind,
    slots: [Option<Found>; Slot::COUNT],
}

impl<'a> Members<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Defect> {
        let mut slots = [None; Slot::COUNT];
        let document = json::scan(body, |member| {
            if let Some(slot) = Slot::of(member.scope, member.key) {
                Found::note(&mut slots[slot as usize], member.value);
            }
        })?;
        Ok(Members { text: document.text, kind: document.kind, slots })
    }

    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<Found> {
        self.slots[slot as usize]
    }

    /// Whether a member is there and of this kind.
    pub(super) fn is(&self, slot: Slot, kind: json::Kind) -> bool {
        self.get(slot).is_some_and(|found| found.value.kind == kind)
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
    use crate::vendor::{Vendor, catalogue};

    #[test]
    fn every_pointer_of_the_catalogue_has_a_slot() {
        for entry in Vendor::ALL.into_iter().flat_map(catalogue::entries) {
            for pointer in entry.id_pointers {
                assert!(Slot::of_pointer(pointer).is_some(), "{pointer}");
            }
        }
        assert_eq!(Slot::of_pointer("/data/object"), Some(Slot::DataObject));
        assert_eq!(Slot::of_pointer("/data/object/status"), None);
    }
}
