//! Which thing an event speaks of: the id that becomes the event's subject and its key on the bus.
//!
//! In: the members of a body and its type. Out: an id, or none: an event without one is still an event. The vendors
//! document an id for few of their events, so each row of the catalogue brings candidates, and all other events are
//! searched by the vendors' habits of naming.

use super::{
    Form, Quarantine,
    catalogue::Entry,
    id::is_id,
    members::{Found, Members, Slot},
};
use crate::json::{Defect, Scope, Value, scan};
use std::borrow::Cow;

/// The id of the thing a documented event speaks of.
///
/// In another form than the documented one the row's pointers may point past the thing, so that there the habits of
/// naming come after them.
pub(super) fn of_documented(members: &Members<'_>, entry: &Entry, form: Form) -> Result<Option<String>, Quarantine> {
    for pointer in entry.id_pointers {
        if let Some(id) = Slot::of_pointer(pointer).map(|slot| at_slot(members, slot)).transpose()?.flatten() {
            return Ok(Some(id));
        }
    }
    if entry.form == form { Ok(None) } else { by_habit(members, entry.event) }
}

/// The id of the thing an event speaks of that no document lists: `data.object.id`, `data.id`, then, for a type that
/// starts with `file`, `data.fileId`, `data.file_id` and `file_id`.
pub(super) fn by_habit(members: &Members<'_>, event_type: &str) -> Result<Option<String>, Quarantine> {
    for slot in [Slot::ObjectId, Slot::DataId] {
        if let Some(id) = at_slot(members, slot)? {
            return Ok(Some(id));
        }
    }
    let token = event_type.split('.').next().unwrap_or_default();
    let camel = format!("{token}Id");
    let snake = format!("{token}_id");
    let mut candidates = [None; 3];
    // These names are known only now. A second pass costs a rare event some time, and every other event nothing.
    let second_pass: Result<_, Defect> = scan(members.text.as_bytes(), |member| {
        let place = match member.scope {
            Scope::Data if member.key == camel => 0,
            Scope::Data if member.key == snake => 1,
            Scope::Root if member.key == snake => 2,
            _ => return,
        };
        Found::note(&mut candidates[place], member.value);
    });
    second_pass?;
    for found in candidates.into_iter().flatten() {
        if let Some(id) = usable(members, found)? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn at_slot(members: &Members<'_>, slot: Slot) -> Result<Option<String>, Quarantine> {
    members.get(slot).map_or(Ok(None), |found| usable(members, found))
}

/// The id a member gives, if its value can be one. Twice, it would give one event two keys.
fn usable(members: &Members<'_>, found: Found) -> Result<Option<String>, Quarantine> {
    if found.twice { Err(Quarantine::DuplicateMember) } else { Ok(id_text(members, found.value)) }
}

fn id_text(members: &Members<'_>, value: Value) -> Option<String> {
    let text = members.string(value).or_else(|| members.integer(value).map(Cow::Borrowed))?;
    is_id(&text).then(|| text.into_owned())
}
