//! The words after `endpoints`.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    commands::{failure::Failure, time_arg::TimeArg},
    units,
};

/// The words after `endpoints`.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    pub(super) verb: Verb,

    /// Only this source; otherwise every source with `[sources.api]`
    #[arg(long, value_name = "NAME", global = true)]
    pub(super) source: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Say what is there and what `apply` would do; exit 0 when that is nothing, 2 otherwise
    Plan(Change),
    /// Make or change what the configuration wants; deletes only what its plan names
    Apply(Apply),
    /// List every endpoint of the account
    List(List),
    /// Have a test event sent to the endpoint's URL
    ///
    /// Where the vendor has no call for it, hookbus signs an event of the type `hookbus.test` itself and posts it to the public
    /// URL; it goes to the catch-all.
    Test(One),
    /// Show what the vendor has delivered, where it says so
    Deliveries(Deliveries),
    /// Give a source another secret, without a refused request in between
    ///
    /// A second endpoint is made, and its secret goes to the second of `secret_files`. The old endpoint is deleted when every
    /// gateway has the new secret, one has used it, and nothing depends on the old one any more; then each file gets the new
    /// secret. Each call looks once, and exits 0 when it is done, 2 while it waits.
    Rotate(Rotate),
    /// Switch an endpoint on, where the vendor documents it
    Enable(One),
    /// Switch an endpoint off, where the vendor documents it
    Disable(One),
    /// Delete one endpoint; its secret's file stays
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct Change {
    /// Plan as `apply` would with this option
    #[arg(long)]
    pub(super) rotate: bool,
}

#[derive(Debug, Args)]
pub(super) struct Apply {
    /// Do not ask
    #[arg(long)]
    pub(super) yes: bool,

    /// A new endpoint's secret may replace another one in the first of `secret_files`
    #[arg(long)]
    pub(super) rotate: bool,

    #[command(flatten)]
    pub(super) to: Destination,
}

/// Where a new endpoint's secret goes.
#[derive(Debug, Args)]
pub(super) struct Destination {
    /// Where a new endpoint's secret goes: its file, or a manifest on standard output
    #[arg(long, value_name = "WHERE", default_value = "file")]
    pub(super) secret_to: SecretTo,

    /// The manifest's name [default: hookbus-SOURCE]; its key is the file's name
    #[arg(long, value_name = "NAME")]
    pub(super) secret_name: Option<String>,
}

impl Destination {
    /// Says something for people: standard output belongs to the manifest, if there is one.
    pub(super) fn say(&self, text: &str) -> Result<(), Failure> {
        match self.secret_to {
            SecretTo::File => write!(io::stdout(), "{text}")?,
            SecretTo::Kubernetes => write!(io::stderr(), "{text}")?,
        }
        Ok(())
    }
}

/// Where a secret goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SecretTo {
    File,
    Kubernetes,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// The `/metrics` of each gateway, or of a federation of all; may be given several times
    #[arg(long, value_name = "URL", required = true)]
    pub(super) metrics: Vec<String>,

    /// How long the vendor tries a delivery again [default: 9h for Audit1, 24h for 1099Policy, which does not say]
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    pub(super) retries: Option<Duration>,

    /// Go on until it is done
    #[arg(long)]
    pub(super) wait: bool,

    /// With --wait: the pause between two looks
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = units::duration)]
    pub(super) every: Duration,

    /// Do not ask
    #[arg(long)]
    pub(super) yes: bool,

    #[command(flatten)]
    pub(super) to: Destination,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// One JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The endpoint's id; otherwise that of the configuration
    pub(super) id: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Deliveries {
    /// The endpoint's id; otherwise that of the configuration
    pub(super) id: Option<String>,

    /// Only those that the vendor has given up
    #[arg(long)]
    pub(super) failed: bool,

    /// Only those since this time, or a while ago such as 2h
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<TimeArg>,

    /// One JSON object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// The endpoint's id
    pub(super) id: String,

    /// Do not ask
    #[arg(long)]
    pub(super) yes: bool,
}
