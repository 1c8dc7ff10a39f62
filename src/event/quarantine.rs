//! Why a signed body cannot be routed by its type. A closed list: it becomes an attribute of the envelope.

use crate::json::Defect;
use std::fmt;

/// Writes the list: each reason and what `quarantinereason` says of it.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $text:literal;)*) => {
        /// Why a body went to quarantine, as `quarantinereason` says it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Quarantine {
            $($(#[$doc])* $reason,)*
        }

        impl Quarantine {
            /// Every reason.
            pub const ALL: [Quarantine; [$($text),*].len()] = [$(Quarantine::$reason),*];

            /// The value of `quarantinereason`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Quarantine::$reason => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// The body has no bytes.
    Empty = "empty";
    /// The body is not UTF-8, as RFC 8259 (section 8.1) demands of JSON.
    NotUtf8 = "not_utf8";
    /// The body breaks the grammar of JSON.
    NotJson = "not_json";
    /// The body is JSON, but not an object.
    NotObject = "not_object";
    /// Nested deeper than [`crate::json::MAX_DEPTH`].
    TooDeep = "too_deep";
    /// None of the vendor's type members is there.
    TypeMissing = "type_missing";
    /// The type is not a string.
    TypeNotString = "type_not_string";
    /// The type is the empty string.
    TypeEmpty = "type_empty";
    /// The type holds control characters or half a surrogate pair.
    TypeNotText = "type_not_text";
    /// The type has characters or tokens that no subject may have.
    TypeUnroutable = "type_unroutable";
    /// The type has more than [`crate::subject::MAX_TYPE_BYTES`] bytes.
    TypeTooLong = "type_too_long";
    /// A member that chooses type, form, id or entity stands there twice: two readers could take two meanings.
    DuplicateMember = "duplicate_member";
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
