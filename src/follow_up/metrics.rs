//! What is counted of follow-up calls, for each source.

use prometheus::IntGauge;

use crate::{
    metrics::{Counted, Label, metrics},
    vendor_api::Reason,
};

metrics! {
    /// Of one source.
    pub struct DetailsMetrics {
        /// Events that were followed up, by what became of them.
        pub results: Counted<Followed> = "vendor_details_total" ["result"];
        /// Attempts that gave nothing, by reason. Most of them are made again.
        pub failures: Counted<Trouble> = "vendor_details_failures_total" ["reason"];
        /// Events that are worked on now, those that wait for another attempt among them.
        pub under_way: IntGauge = "vendor_details_under_way";
        /// Events whose calls have failed so far. Each is asked for again.
        pub parked: IntGauge = "vendor_details_parked";
        /// 1 while the bus is consumed.
        pub consuming: IntGauge = "vendor_details_consuming";
    }
}

/// What became of an event that was followed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// Its details are on the bus.
    Published,
    /// They were there already.
    Duplicate,
    /// There are none: the vendor refuses them, or the bus will never take them.
    Refused,
}

impl Label for Followed {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [(Followed::Published, "published"), (Followed::Duplicate, "duplicate"), (Followed::Refused, "refused")]
    }
}

/// Why an attempt gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The vendor's API, or the credential for it.
    Api(Reason),
    /// The bus did not take what was fetched.
    Bus,
}

impl Label for Trouble {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        let api = Reason::all().into_iter().map(|(reason, text)| (Trouble::Api(reason), text));
        api.chain([(Trouble::Bus, "bus")])
    }
}
