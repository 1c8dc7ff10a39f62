//! The topics of a Kafka bus.

use std::io::Write;

use super::options::Options;
use crate::{
    bus::kafka::provision::{LARGEST, make, plan},
    commands::failure::Failure,
    config::Config,
    units,
};

pub(super) fn run(options: &Options, config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    let (existing, missing) = plan(config).map_err(Failure::failed)?;
    let wanted = &config.bus.kafka.provision;
    let largest = config.bus.kafka.properties.get(LARGEST).map(|bytes| format!(", max.message.bytes {bytes}"));
    let largest = largest.unwrap_or_default();
    for topic in &missing {
        writeln!(
            out,
            "{topic}: {} partitions, replication {}, min.insync.replicas {}, retention {}{largest}",
            wanted.partitions,
            wanted.replication,
            wanted.min_insync,
            units::show_duration(wanted.retention)
        )?;
    }
    let (count, existing) = (missing.len(), existing.len());
    if options.check && 0 < count {
        return Err(Failure::failed(format!("{count} topics are missing, {existing} exist")));
    }
    if options.print || options.check || count == 0 {
        writeln!(out, "{count} topics to make, {existing} exist")?;
        return Ok(());
    }
    let refused = make(config, &missing).map_err(Failure::failed)?;
    writeln!(out, "{} topics made, {existing} existed", count - refused.len())?;
    match refused.first() {
        None => Ok(()),
        Some((topic, code)) => {
            Err(Failure::failed(format!("{} topics were refused, the first, {topic}: {code}", refused.len())))
        }
    }
}
