//! 1099Policy's own API.
//!
//! Documented by the certificate guide: the base URL, Basic with the secret key and no password, the calls `POST`, `GET`,
//! `PUT` and `DELETE` on `/webhook_endpoints` with `url` and `events[]` as a form, and the answer to a creation: `id`, `url`,
//! `events`, `secret`, `created`; and `GET /files/certificates/{id}`, see `certificate.rs`. From the public reference: `description`, and `*` for all events.
//! Only in the vendor's SDKs: the header of the environment, which two of them spell with other capitals; and a key of
//! idempotency, under two names that differ, so that none is sent.
//! Assumed: a list answers as `[…]` or `{"data": […]}`, each endpoint as its creation shows it. Not documented: a status, a
//! test event, a log of deliveries, a rotation of a secret, how long a delivery is tried again: a day is assumed.

use std::time::Duration;

use super::api::{Api, Encoding, Login};

pub(super) static API: Api = Api {
    base_url: "https://api.1099policy.com/api/v1",
    login: Login::Basic,
    environment_header: Some("ten99policy-environment"),
    endpoints: "/webhook_endpoints",
    certificates: Some("/files/certificates"),
    happened: Some("/events"),
    body: Encoding::Form,
    created: "",
    listed: &["", "/data"],
    status: None,
    tests_and_lists_deliveries: false,
    retries: Duration::from_hours(24),
    forms: &["nested", "flat", "event_api"],
    never: &[],
};
