//! Why a signed body cannot be routed by its type. A closed list: it becomes an attribute of the envelope.

use crate::json::Defect;
use std::fmt;

/// Why a body went to quarantine, as `quarantinereason` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quarantine {
    /// The body has no bytes.
    Empty,
    /// The body is not UTF-8, as RFC 8259 (section 8.1) demands of JSON.
    NotUtf8,
    /// The body breaks the grammar of JSON.
    NotJson,
    /// The body is JSON, but not an object.
    NotObject,
    /// Nested deeper than [`crate::json::MAX_DEPTH`].
    TooDeep,
    /// None of the vendor's type members is there.
    TypeMissing,
    /// The type is not a string.
    TypeNotString,
    /// The type is the empty string.
    TypeEmpty,
    /// The type holds control characters or half a surrogate pair.
    TypeNotText,
    /// The type has characters or tokens that no subject may have.
    TypeUnroutable,
    /// The type has more than [`crate::envelope::route::MAX_TYPE_BYTES`] bytes.
    TypeTooLong,
    /// A member that chooses type, form, id or entity stands there twice: two readers could take two meanings.
    DuplicateMember,
}

impl Quarantine {
    /// Every reason.
    pub const ALL: [Quarantine; 12] = [
        Quarantine::Empty,
        Quarantine::NotUtf8,
        Quarantine::NotJson,
        Quarantine::NotObject,
        Quarantine::TooDeep,
        Quarantine::TypeMissing,
        Quarantine::TypeNotString,
        Quarantine::TypeEmpty,
        Quarantine::TypeNotText,
        Quarantine::TypeUnroutable,
        Quarantine::TypeTooLong,
        Quarantine::DuplicateMember,
    ];

    /// The value of `quarantinereason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Quarantine::Empty => "empty",
            Quarantine::NotUtf8 => "not_utf8",
            Quarantine::NotJson => "not_json",
            Quarantine::NotObject => "not_object",
            Quarantine::TooDeep => "too_deep",
            Quarantine::TypeMissing => "type_missing",
            Quarantine::TypeNotString => "type_not_string",
            Quarantine::TypeEmpty => "type_empty",
            Quarantine::TypeNotText => "type_not_text",
            Quarantine::TypeUnroutable => "type_unroutable",
            Quarantine::TypeTooLong => "type_too_long",
            Quarantine::DuplicateMember => "duplicate_member",
        }
    }
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Defect> for Quarantine {
    fn from(defect: Defect) -> Self {
        match defect {
            Defect::NotUtf8 => Quarantine::NotUtf8,
            Defect::NotJson => Quarantine::NotJson,
            Defect::TooDeep => Quarantine::TooDeep,
        }
    }
}
