//! The vendors: a closed list. All that is particular to one stands in its folder, and is read from its row, the
//! [`Profile`]. Data only: nothing here reads a request.
//!
//! # A new vendor
//!
//! A folder and two lines in this file: its `mod` line and its line in `vendors!`. In the folder, as in `stripe/`, which
//! only tests build: `mod.rs` has the [`Profile`], `forms.rs` the shapes of its bodies, `catalogue.rs` one row for each
//! documented event, `samples/<form>/<event>.json` a body for each row. `make schemas` then writes its schemas. What its own API is
//! stands in `apis`, off the path.

mod audit1;
pub mod catalogue;
pub mod form;
mod policy1099;
pub mod profile;
#[cfg(test)]
mod stripe;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

pub use self::{catalogue::Entry, form::Form, profile::Profile};

/// Writes the list: the name of a vendor in code, and its folder.
macro_rules! vendors {
    ($($(#[$attribute:meta])* $vendor:ident in $folder:ident;)*) => {
        /// A vendor whose webhooks hookbus understands.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Vendor {
            $($(#[$attribute])* #[doc = concat!("The vendor of the folder `", stringify!($folder), "`.")] $vendor,)*
        }

        impl Vendor {
            const COUNT: usize = [$($(#[$attribute])* Vendor::$vendor,)*].len();

            /// Every vendor.
            pub const ALL: [Vendor; Self::COUNT] = [$($(#[$attribute])* Vendor::$vendor,)*];

            /// All that is particular to it.
            pub fn profile(self) -> &'static Profile {
                match self {
                    $($(#[$attribute])* Vendor::$vendor => &$folder::PROFILE,)*
                }
            }
        }
    };
}

vendors! {
    Policy1099 in policy1099;
    Audit1 in audit1;
    // The proof that a third one needs no more; no such webhooks are received.
    #[cfg(test)]
    Stripe in stripe;
}

impl Vendor {
    /// The name in configuration, subjects, types and labels.
    pub fn as_str(self) -> &'static str {
        self.profile().name
    }

    /// The names, for a text that asks for one of them: `a or b`.
    pub fn names() -> String {
        Vendor::ALL.map(Vendor::as_str).join(" or ")
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Errors say what is wrong with the name, in words for the operator.
impl FromStr for Vendor {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Vendor::ALL
            .into_iter()
            .find(|vendor| vendor.as_str() == name)
            .ok_or_else(|| format!("unknown vendor `{}`: use {}", name.escape_debug(), Vendor::names()))
    }
}
