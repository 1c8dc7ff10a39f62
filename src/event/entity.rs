//! The thing that an event is about: its id becomes the event's subject and its key on the bus. An event without one is
//! still an event.
//!
//! The vendors document an id for few of their events. So each row of the catalogue lists candidates, and every other event
//! is searched for the names that vendors commonly use.

use super::{
    Quarantine,
    id::is_id,
    members::{Found, Members, Slot},
};
use crate::{
    json::{Defect, Scope, Value, scan},
    vendors::{Entry, Form},
};
use std::borrow::Cow;

/// The id of the thing that a documented event is about.
///
/// In another form than the documented one the row's pointers may miss the thing; then the common names are tried too.
pub(super) fn of_documented(members: &Members<'_>, entry: &Entry, form: &Form) -> Result<Option<String>, Quarantine> {
    for pointer in entry.id_pointers {
        if let Some(id) = id_of(members, members.at(pointer))? {
            return Ok(Some(id));
        }
    }
    if entry.form == form { Ok(None) } else { by_common_names(members, entry.event) }
}

/// The id of the thing that an event is about which no document lists: `data.object.id`, `data.id`, then, for a type that
/// starts with `file`, `data.fileId`, `data.file_id` and `file_id`.
pub(super) fn by_common_names(members: &Members<'_>, event_type: &str) -> Result<Option<String>, Quarantine> {
    for slot in [Slot::OBJECT_ID, Slot::DATA_ID] {
        if let Some(id) = id_of(members, members.get(slot))? {
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
    for found in candidates {
        if let Some(id) = id_of(members, found)? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// The id a member gives, if its value can be one. Twice, it would give one event two keys.
fn id_of(members: &Members<'_>, found: Option<Found>) -> Result<Option<String>, Quarantine> {
    match found {
        None => Ok(None),
        Some(Found { twice: true, .. }) => Err(Quarantine::DuplicateMember),
        Some(found) => Ok(id_text(members, found.value)),
    }
}

fn id_text(members: &Members<'_>, value: Value) -> Option<String> {
    let text = members.string(value).or_else(|| members.integer(value).map(Cow::Borrowed))?;
    is_id(&text).then(|| text.into_owned())
}
