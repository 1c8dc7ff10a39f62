//! What the reconciler shows: of each source with an API, and of its own looks.

use std::collections::HashMap;

use prometheus::{IntCounter, IntGauge};

use super::look::Look;
use crate::{
    config::{Config, SourceConfig},
    finding::Kind,
    metrics::{Counted, Each, Families, Label, Made, metrics, signed},
    vendor_api::Reason,
};

/// A kind that a look can find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Looked(Kind);

impl Label for Looked {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        // Of details that are refused a follow-up call tells.
        let kinds = Kind::all().into_iter().filter(|(kind, _)| *kind != Kind::DetailsRefused);
        kinds.map(|(kind, text)| (Looked(kind), text))
    }
}

metrics! {
    /// Of one source.
    pub(super) struct VendorMetrics {
        /// What the last look has found, by kind.
        findings: Each<Looked, IntGauge> = "vendor_findings" ["kind"];
        /// Changes at the vendor of which the bus cannot say whether their event came, by the last look.
        unknown: IntGauge = "vendor_unknown_changes";
        /// Items of the vendor's lists of another shape than its documents show, by the last look: nobody judges them.
        odd: IntGauge = "vendor_odd_items";
        /// Unix time of the last look that the vendor answered to the end; 0 before the first.
        last_look: IntGauge = "vendor_last_look_timestamp_seconds";
        /// Lists of looks that the vendor's API did not give to the end, by reason.
        failures: Counted<Reason> = "vendor_api_failures_total" ["reason"];
    }
}

metrics! {
    /// Of all sources together.
    pub(super) struct LookMetrics {
        /// Unix time of the last look that read the bus to its end; 0 before the first.
        bus_read: IntGauge = "vendor_bus_read_timestamp_seconds";
        /// Looks that could not read the bus to its end.
        bus_failures: IntCounter = "vendor_bus_read_failures_total";
        /// Findings that the bus did not take; the next look tries again.
        unpublished: IntCounter = "vendor_unpublished_findings_total";
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Shown {
    /// By the source's name.
    sources: HashMap<String, VendorMetrics>,
    look: LookMetrics,
}

impl Shown {
    /// Each series at zero.
    ///
    /// # Errors
    /// See [`Made`].
    pub(super) fn register(families: &Families, config: &Config) -> Made<Self> {
        let sources = config.sources.iter().filter(|source| source.api().is_some());
        let register = |source: &SourceConfig| {
            Ok((source.name.clone(), VendorMetrics::register(&families.with("source", &source.name))?))
        };
        Ok(Shown { sources: sources.map(register).collect::<Made<_>>()?, look: LookMetrics::register(families)? })
    }

    /// Shows a look. Of a vendor that did not answer the last answer stays.
    pub(super) fn show(&self, look: &Look) {
        match &look.bus_error {
            None => self.look.bus_read.set(look.now.as_second()),
            Some(_) => self.look.bus_failures.inc(),
        }
        for sight in &look.sights {
            let Some(metrics) = self.sources.get(&sight.source.name) else { continue };
            match &sight.verdict {
                Err(error) => metrics.failures.inc(error.reason()),
                Ok(verdict) => {
                    if verdict.failed.is_empty() {
                        metrics.last_look.set(look.now.as_second());
                    }
                    verdict.failed.iter().for_each(|(_, error)| metrics.failures.inc(error.into()));
                    // Of a bus that was not read nobody can say what is missing.
                    let judges = |kind| verdict.judges(kind) && (kind != Kind::EventMissed || look.bus_error.is_none());
                    if judges(Kind::EventMissed) {
                        metrics.unknown.set(signed(verdict.unknown));
                    }
                    metrics.odd.set(signed(verdict.odd));
                    for (kind, _) in Looked::all().into_iter().filter(|(kind, _)| judges(kind.0)) {
                        let count = verdict.findings.iter().filter(|finding| finding.kind == kind.0).count();
                        metrics.findings.get(kind).inspect(|gauge| gauge.set(signed(count)));
                    }
                }
            }
        }
    }

    /// Counts what the bus did not take.
    pub(super) fn unpublished(&self, count: usize) {
        self.look.unpublished.inc_by(count.try_into().unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_a_series_if_a_look_can_find_it() {
        let families = Families::default();
        VendorMetrics::register(&families.with("source", "acme")).unwrap();
        let text = families.render();
        let has = |kind: Kind| text.contains(&format!("vendor_findings{{kind=\"{}\",", kind.as_str()));
        let without: Vec<_> = Kind::all().into_iter().map(|(kind, _)| kind).filter(|kind| !has(*kind)).collect();
        assert_eq!(without, [Kind::DetailsRefused], "{text}");
    }
}
