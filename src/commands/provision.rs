//! `hookbus provision`: makes on the broker what the gateway publishes to, which the gateway itself never does.

mod kafka;
mod nats;

use std::io;

use clap::Args;

use crate::{
    cli::Failure,
    config::{BusKind, Config},
};

/// The words after `provision`.
#[derive(Debug, Args)]
pub struct Options {
    /// Show what it would do, and change nothing
    #[arg(long, conflicts_with = "check")]
    print: bool,

    /// Change nothing, and exit 1 when something is missing
    #[arg(long)]
    check: bool,
}

/// Makes, shows or checks.
///
/// # Errors
/// A bus that needs no provisioning; a broker that does not answer or refuses; with `--check`, anything missing.
pub fn run(options: &Options, config: &Config) -> Result<(), Failure> {
    match config.bus.kind {
        BusKind::Journal => Err(Failure::Usage("bus.kind is \"journal\", which needs no provisioning".into())),
        BusKind::Nats => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(nats::run(options, config))
        }
        BusKind::Kafka => kafka::run(options, config, &mut io::stdout().lock()),
    }
}
