//! The events of 1099Policy. A table and nothing else: by event type, then by form.

use super::forms::FORMS;
use crate::vendors::{
    catalogue::{Entry, rows},
    form::Form,
};

/// The guide to certificate webhooks.
const CERTIFICATES: &str = "1099Policy: certificate webhooks";
/// The guide to compliance webhooks.
const COMPLIANCE: &str = "1099Policy: tracking compliance";
/// The public API reference.
const API_REFERENCE: &str = "docs.1099policy.com API reference";

pub(super) static TABLE: &[Entry] = rows! {
    "application.complete" "event_api", "session" ["/data/id"], API_REFERENCE,
        "Listed without a description; presumably the contractor finished the application (a guess).";
    "application.created" "event_api", "session" ["/data/id"], API_REFERENCE,
        "Listed without a description; presumably an application session was opened (a guess).";
    "application.expired" "flat", "session" ["/data/id"], COMPLIANCE,
        "The application ran out before it was completed.";
    "application.expired" "event_api", "session" ["/data/id"], API_REFERENCE,
        "The application ran out before it was completed.";
    "application.ineligible" "flat", "session" ["/data/id"], COMPLIANCE,
        "The answers given make the contractor ineligible for coverage.";
    "application.ineligible" "event_api", "session" ["/data/id"], API_REFERENCE,
        "The answers given make the contractor ineligible for coverage.";
    "application.manual_review" "flat", "session" ["/data/id"], COMPLIANCE,
        "The application was moved to manual review.";
    "application.manual_review" "event_api", "session" ["/data/id"], API_REFERENCE,
        "The application was moved to manual review.";
    "application.manual_review_approved" "flat", "session" ["/data/id"], COMPLIANCE,
        "An application that was in manual review was approved.";
    "application.manual_review_approved" "event_api", "session" ["/data/id"], API_REFERENCE,
        "An application that was in manual review was approved.";
    "application.started" "flat", "session" ["/data/id"], COMPLIANCE,
        "A contractor began the insurance application.";
    "application.started" "event_api", "session" ["/data/id"], API_REFERENCE,
        "A contractor began the insurance application.";
    "assignment.active" "flat", "assignment" ["/data/id"], COMPLIANCE,
        "A new assignment was reported for a covered contractor and its premium is confirmed as paid.";
    "assignment.active" "event_api", "assignment" ["/data/id"], API_REFERENCE,
        "A new assignment was reported for a covered contractor and its premium is confirmed as paid.";
    "assignment.cancelled" "flat", "assignment" ["/data/id"], COMPLIANCE,
        "1099Policy was told that an assignment is cancelled.";
    "assignment.cancelled" "event_api", "assignment" ["/data/id"], API_REFERENCE,
        "1099Policy was told that an assignment is cancelled.";
    "category_code.added" "flat", "category_code" ["/data/category_code", "/data/id", "/data/code"], COMPLIANCE,
        "A job category code was added.";
    "category_code.added" "event_api", "category_code" ["/data/category_code", "/data/id", "/data/code"], API_REFERENCE,
        "A job category code was added.";
    "certificate.approved" "nested", "certificate" ["/data/object/id", "/data/id"], CERTIFICATES,
        "Every insurance requirement checked on the uploaded certificate was met.";
    "certificate.approved" "flat", "certificate" ["/data/id", "/data/object/id"], COMPLIANCE,
        "The certificate passed every automated requirement.";
    "certificate.approved" "event_api", "certificate" ["/data/id", "/data/object/id"], API_REFERENCE,
        "The certificate passed every automated requirement.";
    "certificate.denied" "nested", "certificate" ["/data/object/id", "/data/id"], CERTIFICATES,
        "The certificate was refused; the documents disagree whether by a reviewer or by the automated review.";
    "certificate.denied" "flat", "certificate" ["/data/id", "/data/object/id"], COMPLIANCE,
        "The certificate was refused; the documents disagree whether by a reviewer or by the automated review.";
    "certificate.denied" "event_api", "certificate" ["/data/id", "/data/object/id"], API_REFERENCE,
        "The certificate was refused; the documents disagree whether by a reviewer or by the automated review.";
    "certificate.error" "nested", "certificate" ["/data/object/id", "/data/id"], CERTIFICATES,
        "Processing the certificate failed; only one document lists it, so accept it but never wait for it.";
    "certificate.flagged" "nested", "certificate" ["/data/object/id", "/data/id"], CERTIFICATES,
        "At least one requirement was not met; a person may still have to review the certificate.";
    "certificate.flagged" "flat", "certificate" ["/data/id", "/data/object/id"], COMPLIANCE,
        "The certificate failed some automated requirements and may need a manual review.";
    "certificate.flagged" "event_api", "certificate" ["/data/id", "/data/object/id"], API_REFERENCE,
        "The certificate failed some automated requirements and may need a manual review.";
    "invoice.charge_card_failed" "flat", "invoice" ["/data/id"], COMPLIANCE,
        "An attempt to charge the card for an invoice failed.";
    "invoice.charge_card_failed" "event_api", "invoice" ["/data/id"], API_REFERENCE,
        "An attempt to charge the card for an invoice failed.";
    "invoice.charge_card_succeeded" "flat", "invoice" ["/data/id"], COMPLIANCE,
        "An attempt to charge the card for an invoice succeeded.";
    "invoice.charge_card_succeeded" "event_api", "invoice" ["/data/id"], API_REFERENCE,
        "An attempt to charge the card for an invoice succeeded.";
    "policy.active" "flat", "policy" ["/data/id"], COMPLIANCE,
        "A contractor finished the application and the premium is confirmed as paid: coverage is in force.";
    "policy.active" "event_api", "policy" ["/data/id"], API_REFERENCE,
        "A contractor finished the application and the premium is confirmed as paid: coverage is in force.";
    "policy.active.media" "event_api", "policy" ["/data/id"], API_REFERENCE,
        "Listed without a description; presumably the policy's documents became available (a guess).";
    "policy.cancelled" "flat", "policy" ["/data/id"], COMPLIANCE,
        "The contractor explicitly cancelled the coverage.";
    "policy.cancelled" "event_api", "policy" ["/data/id"], API_REFERENCE,
        "The contractor explicitly cancelled the coverage.";
    "policy.reactivated" "event_api", "policy" ["/data/id"], API_REFERENCE,
        "Listed without a description; presumably a cancelled policy is in force again (a guess).";
};
