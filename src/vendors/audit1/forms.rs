//! The forms of Audit1's bodies: another member holds the type in each.

use crate::vendors::form::Form;

pub(super) static FORMS: [Form; 3] = [
    // Names are `snake_case`, and there is no `id` (portal guide).
    Form { name: "snake", type_member: "event", without: &["event_type"], time: "timestamp", ..Form::PLAIN },
    // Names are `camelCase` (developer tutorial).
    Form { name: "camel", without: &["event", "event_type"], time: "timestamp", ..Form::PLAIN },
    // Everything stands at the root (docs.audit1.com/docs/payments-webhooks).
    Form { name: "payments", type_member: "event_type", entity_path: "", time: "completed_at", ..Form::PLAIN },
];
