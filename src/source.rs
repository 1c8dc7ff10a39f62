//! Who a source is: what its vendor, name and configuration say about each of its events.

use crate::vendors::Vendor;

/// What a source's vendor, name and configuration say about each of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Whose webhooks these are.
    pub vendor: Vendor,
    /// The source's configured name.
    pub name: String,
    /// CloudEvents `source`.
    pub ce_source: String,
    /// CloudEvents extension `tenant`.
    pub tenant: Option<String>,
    /// CloudEvents extension `environment`.
    pub environment: String,
}
