//! What a vendor's folder says: one row, its [`Profile`].

use std::time::Duration;

use super::{catalogue::Entry, form::Form};

/// All that is particular to a vendor.
#[derive(Debug)]
pub struct Profile {
    /// The name in configuration, subjects, types and labels: `[a-z0-9]+`, as it becomes a token of each subject.
    pub name: &'static str,
    /// The hash of its HMAC.
    pub hash: Hash,
    /// How it signs.
    pub scheme: Scheme,
    /// The unsigned header in which it repeats the event's type. It is compared, and chooses nothing.
    pub type_header: Option<&'static str>,
    /// The shapes of its bodies. The first that fits is the body's form.
    pub forms: &'static [Form],
    /// Members of the root that a form or a pointer of the catalogue names, beside those that many vendors have.
    pub root_members: &'static [&'static str],
    /// The same of `data`.
    pub data_members: &'static [&'static str],
    /// Every event that its documents list: by type, and one below the other for each form.
    pub catalogue: &'static [Entry],
    /// The bodies that its documents print.
    pub printed: &'static [Printed],
}

impl Profile {
    /// The row of an event in the wanted form; if that form does not document it, or none is wanted, its first row.
    pub fn find(&self, form: Option<&Form>, event: &str) -> Option<&'static Entry> {
        // Row by row: nearly every comparison ends at the length. `policy.active`: 27 ns, by halves 60.
        let mut rows = self.catalogue.iter().filter(|entry| entry.event == event);
        let fallback = rows.clone().next();
        rows.find(|entry| Some(entry.form) == form).or(fallback)
    }

    /// The form of a name.
    pub fn form(&self, name: &str) -> Option<&'static Form> {
        self.forms.iter().find(|form| form.name == name)
    }

    /// The distinct event types, sorted.
    pub fn event_types(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.catalogue.chunk_by(|a, b| a.event == b.event).filter_map(<[Entry]>::first).map(|entry| entry.event)
    }
}

/// How a vendor signs: an HMAC under the secret's text, in hexadecimal.
#[derive(Debug)]
pub enum Scheme {
    /// Over a timestamp and the body.
    Timestamped {
        /// The header of the signature: `t=…,v1=…[,v1=…]`, or the signature alone if there is a `timestamp_header`.
        header: &'static str,
        /// The header of the timestamp of a signature that stands alone.
        timestamp_header: Option<&'static str>,
        /// What is signed between timestamp and body.
        separator: &'static str,
        /// Whether a `t=` signature may cover the body without its insignificant white space.
        may_compact: bool,
        /// Largest distance between timestamp and clock, both ways, unless configured.
        tolerance: Duration,
    },
    /// Over the body alone. There is no replay window: repeats are recognised later, by id.
    BodyOnly {
        /// The headers of signatures. The last is the one that `hookbus trigger` sends.
        headers: &'static [&'static str],
        /// What may stand before the signature.
        prefix: &'static str,
    },
}

impl Scheme {
    /// The default tolerance; `None` where no timestamp is signed.
    pub fn tolerance(&self) -> Option<Duration> {
        match self {
            Scheme::Timestamped { tolerance, .. } => Some(*tolerance),
            Scheme::BodyOnly { .. } => None,
        }
    }
}

/// The hash of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// A body that a document prints.
#[derive(Debug)]
pub struct Printed {
    /// The name of its form.
    pub form: &'static str,
    /// Its event type.
    pub event: &'static str,
    /// The body; `None` for one that is not stored because it looks like another.
    pub body: Option<&'static str>,
}

/// Writes the list of bodies that the documents print: a form and an event. The body is the file
/// `samples/documents/<event>.json` of the vendor's folder; an event `as another` looks like another and has none.
macro_rules! printed {
    (@body $event:literal) => { Some(include_str!(concat!("samples/documents/", $event, ".json"))) };
    (@body $event:literal as another) => { None };
    ($($form:literal $event:literal $(as $another:ident)?;)*) => {
        &[$(Printed { form: $form, event: $event, body: printed!(@body $event $(as $another)?) }),*]
    };
}
pub(super) use printed;
