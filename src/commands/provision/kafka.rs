//! The topics of a Kafka bus.

use std::io::Write;

use super::Options;
use crate::{
    bus::kafka::provision::{LARGEST, make, plan},
    cli::Failure,
    config::{Config, units},
};

pub(super) fn run(options: &Options, config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    let failed = |error: crate::bus::kafka::OpenError| Failure::Failed(error.to_string());
    let plan = plan(config).map_err(failed)?;
    let wanted = &config.bus.kafka.provision;
    let largest = config.bus.kafka.properties.get(LARGEST).map(|bytes| format!(", max.message.bytes {bytes}"));
    let largest = largest.unwrap_or_default();
    for topic in &plan.missing {
        writeln!(
            out,
            "{topic}: {} partitions, replication {}, min.insync.replicas {}, retention {}{largest}",
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
