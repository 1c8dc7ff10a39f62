//! What is counted of drift, for each source and documented type.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use crate::{
    metrics::{Counted, Families, Label, Made, metrics},
    schema::Drift,
    vendors::Vendor,
};

metrics! {
    /// Of one source's events of one type.
    struct DriftRow {
        /// Sampled events that differ at the root from what the vendor's documents show, by kind.
        drift: Counted<Drift> = "schema_drift_total" ["kind"];
    }
}

metrics! {
    /// Of the sample.
    pub struct SampleMetrics {
        /// Events of the sample that were compared with their schema, or dropped: too many waited, or its body is too large.
        pub samples: Counted<Sampled> = "schema_samples_total" ["result"];
    }
}

/// What became of an event of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    /// It was compared.
    Compared,
    /// It was not.
    Dropped,
}

impl Label for Sampled {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [(Sampled::Compared, "compared"), (Sampled::Dropped, "dropped")]
    }
}

/// The documented types of one source.
#[derive(Debug)]
pub struct SourceDrift {
    by_type: HashMap<&'static str, Arc<TypeDrift>>,
}

/// One documented type of one source.
#[derive(Debug)]
pub(super) struct TypeDrift {
    pub(super) vendor: Vendor,
    pub(super) event: &'static str,
    pub(super) drift: Counted<Drift>,
    /// Unix time of the last event of the sample, seconds.
    last: AtomicI64,
}

impl SourceDrift {
    /// `families`: with the source's label.
    ///
    /// # Errors
    /// See [`Made`].
    pub fn register(families: &Families, vendor: Vendor) -> Made<Self> {
        let of_type = |event| {
            let DriftRow { drift } = DriftRow::register(&families.with("type", event))?;
            Ok((event, Arc::new(TypeDrift { vendor, event, drift, last: AtomicI64::new(0) })))
        };
        Ok(SourceDrift { by_type: vendor.profile().event_types().map(of_type).collect::<Made<_>>()? })
    }

    pub(super) fn of(&self, event: &str) -> Option<&Arc<TypeDrift>> {
        self.by_type.get(event)
    }
}

impl TypeDrift {
    /// Whether an event is the first of its second, of all workers.
    pub(super) fn is_first_in(&self, second: i64) -> bool {
        self.last.load(Ordering::Relaxed) != second && self.last.swap(second, Ordering::Relaxed) != second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_event_of_each_source_and_type() {
        let families = Families::default();
        let [acme, other] = ["acme", "other"]
            .map(|name| SourceDrift::register(&families.with("source", name), Vendor::Policy1099).unwrap());
        let of = |source: &SourceDrift, event, second| source.of(event).unwrap().is_first_in(second);
        assert!(of(&acme, "policy.active", 1) && !of(&acme, "policy.active", 1));
        assert!(of(&acme, "policy.active", 2) && of(&other, "policy.active", 1) && of(&acme, "certificate.flagged", 2));
        assert!(acme.of("policy.unheard_of").is_none());
    }
}
