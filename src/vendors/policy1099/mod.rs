//! 1099Policy: hex HMAC-SHA512 in `x-convoy-signature`.
//!
//! Two styles share the header. Plain (1099Policy's documents): the signature alone, over `{convoy-timestamp},{body}`.
//! `t=` (Convoy, the gateway behind 1099Policy, since v0.7.2): `t=…,v1=…[,v1=…]`, over `{t},{body}`; Convoy's
//! versions since v0.7.6 sign the body without its insignificant white space but send it with.

mod catalogue;
mod forms;

use std::time::Duration;

use super::profile::{Hash, Printed, Profile, Scheme, printed};

pub(super) static PROFILE: Profile = Profile {
    name: "1099policy",
    hash: Hash::Sha512,
    scheme: Scheme::Timestamped {
        header: "x-convoy-signature",
        timestamp_header: Some("convoy-timestamp"),
        separator: ",",
        may_compact: true,
        tolerance: Duration::from_mins(5),
    },
    type_header: None,
    forms: &forms::FORMS,
    root_members: &["created"],
    data_members: &["code", "category_code"],
    catalogue: catalogue::TABLE,
    printed: printed! {
        // The certificate guide prints one body for its four events.
        "nested" "certificate.approved" as another;
        "nested" "certificate.denied" as another;
        "nested" "certificate.error" as another;
        "nested" "certificate.flagged";
        "flat" "assignment.active";
        "flat" "policy.active";
        "event_api" "policy.active" as another;
    },
};
