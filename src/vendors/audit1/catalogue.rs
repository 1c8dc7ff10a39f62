//! The events of Audit1. A table and nothing else: by event type, then by form.

use super::forms::FORMS;
use crate::vendors::{
    catalogue::{Entry, rows},
    form::Form,
};

/// The guide to webhooks set up in the portal.
const PORTAL_GUIDE: &str = "Audit1: portal guide";
/// The tutorial for developers.
const TUTORIAL: &str = "Audit1: developer tutorial";
/// The page on payment webhooks.
const PAYMENTS: &str = "docs.audit1.com/docs/payments-webhooks";

pub(super) static TABLE: &[Entry] = rows! {
    "audit.adjusted" "camel", "audit" ["/data/auditId", "/data/audit_id"], TUTORIAL,
        "An administrator corrected an audit by hand.";
    "audit.completed" "camel", "audit" ["/data/auditId", "/data/audit_id"], TUTORIAL,
        "The audit calculation is finished and the final results are ready.";
    "audit.started" "camel", "audit" ["/data/auditId", "/data/audit_id"], TUTORIAL,
        "An audit period opened and its calculation begins.";
    "employee.created" "camel", "employee" ["/data/employeeId", "/data/employee_id"], TUTORIAL,
        "A new employee was seen: the first payroll record arrived.";
    "employee.terminated" "camel", "employee" ["/data/employeeId", "/data/employee_id"], TUTORIAL,
        "The employee was marked inactive after the final payroll.";
    "employee.updated" "camel", "employee" ["/data/employeeId", "/data/employee_id"], TUTORIAL,
        "Employee data changed: name, class code and the like.";
    "file.failed" "snake", "file" ["/data/file_id", "/data/fileId"], PORTAL_GUIDE,
        "Processing failed: a bad format or an expired policy, for instance.";
    "file.failed" "camel", "file" ["/data/fileId", "/data/file_id"], TUTORIAL,
        "Errors prevented the file from being processed.";
    "file.premium_calculated" "snake", "file" ["/data/file_id", "/data/fileId"], PORTAL_GUIDE,
        "Phase 3 is done: premium amounts are ready; the most common event of this form.";
    "file.processed" "snake", "file" ["/data/file_id", "/data/fileId"], PORTAL_GUIDE,
        "Phase 2 is done and wages were calculated; not the end of the pipeline in this form.";
    "file.processed" "camel", "file" ["/data/fileId", "/data/file_id"], TUTORIAL,
        "The file was processed; its data is extracted and ready.";
    "file.uploaded" "camel", "file" ["/data/fileId", "/data/file_id"], TUTORIAL,
        "A file was received, by whichever method.";
    "file.validated" "snake", "file" ["/data/file_id", "/data/fileId"], PORTAL_GUIDE,
        "Phase 1 of the pipeline is done: class codes and states were checked.";
    "file.validated" "camel", "file" ["/data/fileId", "/data/file_id"], TUTORIAL,
        "The file passed validation: structure and format were verified.";
    "installment.failed" "payments", "installment" ["/installment_id", "/payment_id"], PAYMENTS,
        "An installment payment failed.";
    "installment.paid" "payments", "installment" ["/installment_id", "/payment_id"], PAYMENTS,
        "An installment was paid.";
    "payment.completed" "payments", "payment" ["/payment_id"], PAYMENTS,
        "A payment was received, by card or bank debit.";
    "payment.failed" "camel", "payment" ["/data/paymentId", "/data/payment_id"], TUTORIAL,
        "A payment was declined or rejected.";
    "payment.failed" "payments", "payment" ["/payment_id"], PAYMENTS,
        "A payment attempt failed.";
    "payment.processed" "camel", "payment" ["/data/paymentId", "/data/payment_id"], TUTORIAL,
        "A premium payment cleared.";
    "payment.refunded" "camel", "payment" ["/data/paymentId", "/data/payment_id"], TUTORIAL,
        "A refund was issued to the customer.";
    "payment.refunded" "payments", "payment" ["/payment_id"], PAYMENTS,
        "A refund was processed.";
    "policy.cancelled" "camel", "policy" ["/data/policyId", "/data/policy_id"], TUTORIAL,
        "A cancellation took effect.";
    "policy.created" "camel", "policy" ["/data/policyId", "/data/policy_id"], TUTORIAL,
        "A new policy was issued and its setup is complete.";
    "policy.premium_adjusted" "camel", "policy" ["/data/policyId", "/data/policy_id"], TUTORIAL,
        "The premium changed because audit adjustments were applied.";
    "policy.renewed" "camel", "policy" ["/data/policyId", "/data/policy_id"], TUTORIAL,
        "A renewal was processed and a new term begins.";
    "row.quarantined" "snake", "row" ["/data/file_id", "/data/fileId"], PORTAL_GUIDE,
        "A single row was flagged RED during validation; many may come for one file in one second.";
    "subscription.cancelled" "payments", "subscription" ["/subscription_id", "/payment_id"], PAYMENTS,
        "A subscription was cancelled.";
    "subscription.created" "payments", "subscription" ["/subscription_id", "/payment_id"], PAYMENTS,
        "A recurring subscription started.";
    "webhook.test" "camel", "webhook" [], TUTORIAL,
        "Sent by the test call of the API; carries nothing but a message.";
};
