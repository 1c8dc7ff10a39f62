//! Two events of Stripe.

use super::forms::FORMS;
use crate::vendors::{
    catalogue::{Entry, rows},
    form::Form,
};

/// The API reference.
const API_REFERENCE: &str = "docs.stripe.com API reference";

pub(super) static TABLE: &[Entry] = rows! {
    "customer.subscription.deleted" "snapshot", "subscription" ["/data/object/id"], API_REFERENCE,
        "A customer's subscription ended.";
    "invoice.paid" "snapshot", "invoice" ["/data/object/id"], API_REFERENCE,
        "An invoice was paid, or marked as paid outside.";
};
