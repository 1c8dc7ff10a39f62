//! `hookbus provision`: makes on the broker what the configuration needs there.

use std::io::{self, Write as _};

use clap::Args;

use crate::{
    bus::kafka::provision::{make, plan},
    cli::Failure,
    config::{BusKind, Config, units},
};

/// The words after `provision`.
#[derive(Debug, Args)]
pub struct Options {
    /// Only show what would be made
    #[arg(long, conflicts_with = "check")]
    print: bool,

    /// Make nothing; exit 1 when something is missing
    #[arg(long)]
    check: bool,
}

/// Makes, shows or checks.
///
/// # Errors
/// The broker cannot be asked, does not do it, or (with `--check`) something is missing.
pub fn run(options: &Options, config: &Config) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match config.bus.kind {
        BusKind::Journal => writeln!(out, "the journal needs nothing made")?,
        BusKind::Kafka => kafka(options, config, &mut out)?,
    }
    Ok(())
}

fn kafka(options: &Options, config: &Config, out: &mut impl io::Write) -> Result<(), Failure> {
    let failed = |error: crate::bus::kafka::OpenError| Failure::Failed(error.to_string());
    let plan = plan(config).map_err(failed)?;
    let wanted = &config.bus.kafka.provision;
    for topic in &plan.missing {
        writeln!(
            out,
            "{topic}: {} partitions, replication {}, min.insync.replicas {}, retention {}",
            wanted.partitions,
            wanted.replication,
            wanted.min_insync,
            units::show_duration(wanted.retention)
        )?;
    }
    let (missing, existing) = (plan.missing.len(), plan.existing.len());
    if options.check && 0 < missing {
        return Err(Failure::Failed(format!("{missing} topics are missing, {existing} exist")));
    }
    if options.print || options.check || missing == 0 {
        writeln!(out, "{missing} topics to make, {existing} exist")?;
        return Ok(());
    }
    let refused = make(config, &plan.missing).map_err(failed)?;
    writeln!(out, "{} topics made, {existing} existed", missing - refused.len())?;
    match refused.first() {
        None => Ok(()),
        Some((topic, code)) => {
            Err(Failure::Failed(format!("{} topics were refused, the first, {topic}: {code}", refused.len())))
        }
    }
}
