//! Audit1: hex HMAC-SHA256 over the body, in `X-Audit1-Signature` (portal guide: bare) and `Audit1-Signature` (developer
//! tutorial: `sha256=` before it); either spelling is taken in either header. The portal guide repeats the event's type
//! in `X-Audit1-Event`.

mod catalogue;
mod forms;

use super::profile::{Hash, Printed, Profile, Scheme, printed};

pub(super) static PROFILE: Profile = Profile {
    name: "audit1",
    hash: Hash::Sha256,
    scheme: Scheme::BodyOnly { headers: &["x-audit1-signature", "audit1-signature"], prefix: "sha256=" },
    type_header: Some("x-audit1-event"),
    forms: &forms::FORMS,
    root_members: &["timestamp", "completed_at", "payment_id", "subscription_id", "installment_id"],
    data_members: &[
        "fileId",
        "file_id",
        "auditId",
        "audit_id",
        "employeeId",
        "employee_id",
        "policyId",
        "policy_id",
        "paymentId",
        "payment_id",
    ],
    catalogue: catalogue::TABLE,
    printed: printed! {
        "camel" "audit.completed";
        "camel" "file.failed";
        "snake" "file.premium_calculated";
        "camel" "file.processed";
        "camel" "webhook.test";
        "payments" "payment.completed" as another;
    },
};
