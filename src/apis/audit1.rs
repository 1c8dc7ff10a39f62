//! Audit1's own API, that of the developer tutorial.
//!
//! Documented: the base URL, the two headers, JSON, `POST /webhooks` with `url`, `events`, `description` and its answer
//! (`webhook` and, only here, `secret`), `POST …/test`, `GET …/deliveries` with its answer, `PUT` with `events` or with
//! `status` `disabled`, `DELETE`; that the URL can be changed "via the API".
//! The delays between its attempts sum to 8 h 36 min.
//! Assumed: a list answers as `{"webhooks": […]}`, `{"data": […]}` or `[…]`, each endpoint as its creation shows it; the URL is
//! changed by `PUT` with `url`; `active`, which a creation answers, switches an endpoint on again. Not documented: a rotation of
//! a secret, and how an error reads. The portal's events (`file.premium_calculated`, `row.quarantined`) are not in the
//! tutorial's list: an operator may name them, "all" leaves them out. `webhook.test` comes from the test call alone.

use std::time::Duration;

use super::api::{Api, Encoding, Login, Status};

pub(super) static API: Api = Api {
    base_url: "https://developer-api.audit1.info/api/v1",
    login: Login::Headers { id: "x-client-id", secret: "x-client-secret" },
    environment_header: None,
    endpoints: "/webhooks",
    certificates: None,
    happened: None,
    body: Encoding::Json,
    created: "/webhook",
    listed: &["/webhooks", "/data", ""],
    status: Some(Status { on: "active", off: "disabled" }),
    tests_and_lists_deliveries: true,
    retries: Duration::from_hours(9),
    forms: &["camel"],
    never: &["webhook.test"],
};
