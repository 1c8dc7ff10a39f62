//! The vendors' own APIs, as far as their documents say them: calls are made and answers are read here; nothing is sent.
//! Only commands and the reconciler use it; no event passes here.
//!
//! One file for each API says what of it is documented and what is assumed.

mod answer;
mod api;
mod audit1;
mod certificate;
mod listing;
mod policy1099;
#[cfg(test)]
mod tests;

pub use self::{
    answer::{Delivery, Endpoint, Page, Part, Shape, message, refuses},
    api::{Api, Call, Encoding, Login, Status, Wanted},
    certificate::check_certificate,
    listing::{Certificate, Happened, PART},
};
use crate::vendors::Vendor;

/// A vendor's own API; `None` when no document has one.
pub fn of(vendor: Vendor) -> Option<&'static Api> {
    match vendor {
        Vendor::Policy1099 => Some(&policy1099::API),
        Vendor::Audit1 => Some(&audit1::API),
        #[cfg(test)]
        Vendor::Stripe => None,
    }
}
