//! `[reconcile]`: how `hookbus reconcile` looks for what never came. The gateway does not read it.

use std::{net::SocketAddr, time::Duration};

use super::{
    key::{HOUR, MINUTE, TEN_YEARS, WEEK, address, count, duration, flag},
    section::section,
};

section! {
    /// `[reconcile]`.
    pub struct ReconcileConfig {
        /// Its own /metrics, /livez and /readyz: IP address and port. For a scraper outside the container: "0.0.0.0:9465".
        address: SocketAddr = address(9465),
        /// From the end of one look at the vendors to the begin of the next.
        interval: Duration = duration(10 * MINUTE, Duration::from_secs(1)..=24 * HOUR),
        /// A certificate that is pending or processing for longer than this is stuck.
        stuck_after: Duration = duration(2 * HOUR, Duration::from_secs(1)..=WEEK),
        /// How far back a look compares what the vendors know with what lies on the bus. Keep it below what the bus keeps: where
        /// the bus does not reach back so far, the answer is "unknown".
        look_back: Duration = duration(48 * HOUR, MINUTE..=TEN_YEARS),
        /// A change that is younger than this may still come: as long as the vendor tries a webhook again. Below look_back.
        grace: Duration = duration(24 * HOUR, Duration::ZERO..=TEN_YEARS),
        /// Events of the bus that are remembered, about 150 bytes each. One more, and what is not among them is "unknown".
        most_events: usize = count(1_000_000, 1_000..=100_000_000),
        /// Newest certificates, and newest events, of an account that one look asks for, a hundred a call; of older ones nothing is
        /// said.
        most_certificates: usize = count(10_000, 100..=1_000_000),
        /// Whether each finding is published as com.hookbus.finding.KIND. On the embedded bus only details_refused is.
        publish_findings: bool = flag(true),
        /// Whether the API's own object of a missed certificate is published as com.hookbus.missed.certificate, marked as
        /// fetched. Not on the embedded bus.
        publish_missed: bool = flag(false),
    }
}
