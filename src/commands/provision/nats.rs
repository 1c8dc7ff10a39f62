//! The stream of a NATS JetStream bus.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use async_nats::jetstream::ContextBuilder;

use super::options::Options;
use crate::{
    bus::nats::{connect_and_hear, provision},
    commands::failure::Failure,
    config::Config,
};

/// How long the broker may take for one answer.
const ASK: Duration = Duration::from_secs(10);

pub(super) async fn run(options: &Options, config: &Config) -> Result<(), Failure> {
    let name = &config.bus.nats.stream;
    let stream = format!("stream {name}");
    let (client, refusals) = connect_and_hear(&config.bus.nats).await.map_err(Failure::at(&stream))?;
    let context = ContextBuilder::new().timeout(ASK).build(client);
    let found = refusals.or(provision::find(&context, name)).await.map_err(Failure::at(&stream))?;
    let plan = provision::plan(config, found.as_ref().map(|info| &info.config)).map_err(Failure::at(&stream))?;
    let mut out = io::stdout().lock();
    if plan.steps.is_empty() {
        writeln!(out, "{stream}: nothing to do")?;
    }
    for step in &plan.steps {
        writeln!(out, "{stream}: {step}")?;
    }
    if options.print {
        let settings = serde_json::to_string_pretty(&plan.settings).map_err(Failure::at(&stream))?;
        writeln!(out, "{settings}")?;
    }
    if options.check && !plan.steps.is_empty() {
        return Err(Failure::at(&stream)(format!("{} thing(s) missing", plan.steps.len())));
    }
    if !options.print && !options.check && !plan.steps.is_empty() {
        refusals.or(provision::carry_out(&context, &plan)).await.map_err(Failure::at(&stream))?;
        writeln!(out, "{stream}: done")?;
    }
    Ok(())
}
