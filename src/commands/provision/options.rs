//! The words after `hookbus provision`.

use std::time::Duration;

use clap::Args;

use crate::units;

/// The words after `provision`.
#[derive(Debug, Args)]
pub struct Options {
    /// Show what it would do, and change nothing
    #[arg(long, conflicts_with = "check")]
    pub(super) print: bool,

    /// Change nothing, and exit 1 when something is missing
    #[arg(long)]
    pub(super) check: bool,

    /// Try so long to reach a broker that is away, such as 1h
    #[arg(long, value_name = "DURATION", value_parser = units::duration, default_value = "0s")]
    pub(super) wait: Duration,

    /// Exit 0 when no broker can be reached, and say so: nothing was made then. Before an upgrade, which may be what mends an
    /// outage
    #[arg(long, conflicts_with = "check")]
    pub(super) if_reachable: bool,
}
