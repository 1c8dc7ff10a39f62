//! Reading a body: id, type, form, time and entity.
//!
//! In: a vendor, a source's name, the exact bytes of a body. Out: a [`Reading`], always: a body that cannot be routed by
//! its type is read as quarantined, with the reason (P8). Pure: the same bytes give the same reading.

use super::{
    EventTime, Quarantine, derived_id, entity,
    id::is_id,
    members::{Found, Members, Slot},
};
use crate::{
    json,
    subject::{MAX_TYPE_BYTES, is_routable},
    vendors::{Entry, Form, Profile, Vendor, form::DataObject},
};
use std::borrow::Cow;

/// What a body says.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The vendor's own event id, or the derived one.
    pub id: String,
    /// Whether the id is [`derived_id`].
    pub id_is_derived: bool,
    /// What kind of event it is.
    pub kind: Kind,
    /// The shape of the body; none in quarantine.
    pub form: Option<&'static Form>,
    /// When the vendor says it happened; none without a readable time.
    pub time: Option<EventTime>,
    /// The type of thing it is about, from the catalogue.
    pub entity: Option<&'static str>,
    /// JSON Pointer to that thing inside the body; none when there is no object.
    pub entity_path: Option<&'static str>,
    /// The id of that thing.
    pub subject: Option<String>,
}

/// How an event is routed.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// The catalogue knows its type.
    Documented(&'static Entry),
    /// A type that may stand in a subject, but is in no document.
    Unlisted(String),
    /// No type, or none that may be used.
    Quarantined(Quarantine),
}

impl Kind {
    /// The vendor's event type; none in quarantine.
    pub fn event_type(&self) -> Option<&str> {
        match self {
            Kind::Documented(entry) => Some(entry.event),
            Kind::Unlisted(event_type) => Some(event_type),
            Kind::Quarantined(_) => None,
        }
    }

    /// The value of the metric label `type`: from a closed list, whatever the body says.
    pub fn type_label(&self) -> &'static str {
        match self {
            Kind::Documented(entry) => entry.event,
            Kind::Unlisted(_) => "unknown",
            Kind::Quarantined(_) => "quarantine",
        }
    }
}

/// Reads a body. Never fails, whatever the bytes (P8). A derived id is that of all its bytes, a byte order mark included.
pub fn read(vendor: Vendor, source_name: &str, body: &[u8]) -> Reading {
    interpret(vendor, source_name, body).unwrap_or_else(|reason| Reading {
        id: derived_id(vendor, source_name, body),
        id_is_derived: true,
        kind: Kind::Quarantined(reason),
        form: None,
        time: None,
        entity: None,
        entity_path: None,
        subject: None,
    })
}

fn interpret(vendor: Vendor, source_name: &str, body: &[u8]) -> Result<Reading, Quarantine> {
    if body.is_empty() {
        return Err(Quarantine::Empty);
    }
    let profile = vendor.profile();
    let members = Members::read(profile, json::without_mark(body))?;
    if members.kind != json::Kind::Object {
        return Err(Quarantine::NotObject);
    }
    if Slot::ROUTING.into_iter().any(|slot| members.get(slot).is_some_and(|found| found.twice)) {
        return Err(Quarantine::DuplicateMember);
    }
    let (form, event_type) = form_and_type(profile, &members).ok_or(Quarantine::TypeMissing)?;
    let kind = classify(profile, form, &members, event_type)?;
    let (entity, subject) = match &kind {
        Kind::Documented(entry) => (Some(entry.entity), entity::of_documented(&members, entry, form)?),
        Kind::Unlisted(event_type) => (None, entity::by_common_names(&members, event_type)?),
        Kind::Quarantined(reason) => return Err(*reason),
    };
    let own_id = own_id(&members);
    Ok(Reading {
        id_is_derived: own_id.is_none(),
        id: own_id.unwrap_or_else(|| derived_id(vendor, source_name, body)),
        kind,
        form: Some(form),
        time: event_time(&members, form),
        entity,
        entity_path: entity_path(&members, form),
        subject,
    })
}

/// The first form that fits, and the member that holds the type in it. The structure decides, and no version number.
fn form_and_type(profile: &Profile, members: &Members<'_>) -> Option<(&'static Form, Found)> {
    let has = |key: &&str| members.root(key).is_some();
    profile.forms.iter().find_map(|form| {
        let fits = form.with.iter().all(has)
            && !form.without.iter().any(has)
            && (form.data_object != DataObject::Thing || is_object(members.get(Slot::DATA_OBJECT)));
        Some((form, members.root(form.type_member).filter(|_| fits)?))
    })
}

fn is_object(found: Option<Found>) -> bool {
    found.is_some_and(|found| found.value.kind == json::Kind::Object)
}

fn classify(profile: &Profile, form: &Form, members: &Members<'_>, event_type: Found) -> Result<Kind, Quarantine> {
    if event_type.value.kind != json::Kind::String {
        return Err(Quarantine::TypeNotString);
    }
    let text = members.string(event_type.value).ok_or(Quarantine::TypeNotText)?;
    // The catalogue first: what it holds is routable, and nearly every event is in it.
    if let Some(entry) = profile.find(Some(form), &text) {
        Ok(Kind::Documented(entry))
    } else if text.is_empty() {
        Err(Quarantine::TypeEmpty)
    } else if text.chars().any(char::is_control) {
        Err(Quarantine::TypeNotText)
    } else if text.len() > MAX_TYPE_BYTES {
        Err(Quarantine::TypeTooLong)
    } else if is_routable(&text) {
        Ok(Kind::Unlisted(text.into_owned()))
    } else {
        Err(Quarantine::TypeUnroutable)
    }
}

/// The vendor's event id, if it is a string that can serve as one.
fn own_id(members: &Members<'_>) -> Option<String> {
    let text = members.string(members.get(Slot::ID)?.value)?;
    is_id(&text).then(|| text.into_owned())
}

/// The event's time. Twice, it is no one's time; but no reason to quarantine, since it routes nothing.
fn event_time(members: &Members<'_>, form: &Form) -> Option<EventTime> {
    let found = members.root(form.time).filter(|found| !found.twice)?;
    if let Some(digits) = members.integer(found.value) {
        EventTime::from_unix(digits.parse().ok()?)
    } else {
        let text: Cow<'_, str> = members.string(found.value)?;
        EventTime::from_rfc3339(&text)
    }
}

fn entity_path(members: &Members<'_>, form: &Form) -> Option<&'static str> {
    (form.entity_path.is_empty() || is_object(members.at(form.entity_path))).then_some(form.entity_path)
}
