//! `hookbus provision`: makes what the gateway publishes to, which the gateway itself never does.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use async_nats::jetstream::ContextBuilder;
use clap::Args;

use crate::{
    bus::nats::{connect_once, provision},
    cli::Failure,
    config::{BusKind, Config},
};

/// How long the broker may take for one answer.
const ASK: Duration = Duration::from_secs(10);

/// The words after `provision`.
#[derive(Debug, Args)]
pub struct Options {
    /// Show what it would do, with the stream's settings afterwards as JSON, and change nothing
    #[arg(long)]
    print: bool,

    /// Change nothing, and exit 1 when something is missing
    #[arg(long)]
    check: bool,
}

/// Makes or updates the stream.
///
/// # Errors
/// A bus that needs no provisioning; a broker that does not answer or refuses; with `--check`, anything missing.
pub fn run(options: &Options, config: &Config) -> Result<(), Failure> {
    match config.bus.kind {
        BusKind::Journal => Err(Failure::Usage("bus.kind is \"journal\", which needs no provisioning".into())),
        BusKind::Nats => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(nats(options, config))
        }
    }
}

async fn nats(options: &Options, config: &Config) -> Result<(), Failure> {
    let name = &config.bus.nats.stream;
    let failed = |error: String| Failure::Failed(format!("stream {name}: {error}"));
    let client = connect_once(&config.bus.nats).await.map_err(|error| failed(error.to_string()))?;
    let context = ContextBuilder::new().timeout(ASK).build(client);
    let found = provision::find(&context, name).await.map_err(failed)?;
    let plan = provision::plan(config, found.as_ref()).map_err(failed)?;
    let mut out = io::stdout().lock();
    if plan.steps.is_empty() {
        writeln!(out, "stream {name}: nothing to do")?;
    }
    for step in &plan.steps {
        writeln!(out, "stream {name}: {step}")?;
    }
    if options.print {
        let settings = serde_json::to_string_pretty(&plan.settings).map_err(|error| failed(error.to_string()))?;
        writeln!(out, "{settings}")?;
    }
    if options.check && !plan.steps.is_empty() {
        return Err(failed(format!("{} thing(s) missing", plan.steps.len())));
    }
    if !options.print && !options.check && !plan.steps.is_empty() {
        provision::carry_out(&context, &plan).await.map_err(failed)?;
        writeln!(out, "stream {name}: done")?;
    }
    Ok(())
}
