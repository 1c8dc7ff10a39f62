//! The stream of a NATS JetStream bus.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use async_nats::jetstream::ContextBuilder;

use super::Options;
use crate::{
    bus::nats::{connect_once, provision},
    cli::Failure,
    config::Config,
};

/// How long the broker may take for one answer.
const ASK: Duration = Duration::from_secs(10);

pub(super) async fn run(options: &Options, config: &Config) -> Result<(), Failure> {
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
