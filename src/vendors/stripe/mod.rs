//! A vendor like Stripe, for tests only: `stripe-signature: t=…,v1=…`, hex HMAC-SHA256 over `{t}.{body}`. It shows
//! what a third vendor needs: this folder, its `mod` line, and its line in the list.

mod catalogue;
mod forms;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::profile::{Hash, Printed, Profile, Scheme, printed};

pub(super) static PROFILE: Profile = Profile {
    name: "stripe",
    hash: Hash::Sha256,
    scheme: Scheme::Timestamped {
        header: "stripe-signature",
        timestamp_header: None,
        separator: ".",
        may_compact: false,
        tolerance: Duration::from_mins(5),
    },
    type_header: None,
    forms: &forms::FORMS,
    root_members: &["created"],
    data_members: &[],
    catalogue: catalogue::TABLE,
    printed: printed! {
        "snapshot" "invoice.paid" as another;
    },
};
