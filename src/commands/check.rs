//! `hookbus check`: what `serve` would say of the file, without starting anything; with `--connect`, also of the broker.

mod connect;

use std::{
    io::{self, Write as _},
    path::Path,
};

use clap::Args;

use crate::{
    commands::failure::Failure,
    config::{BusKind, Config, Loaded},
    secrets::Secret,
};

/// The words after `check`.
#[derive(Debug, Args)]
pub struct Options {
    /// Also ask the broker, at most ten seconds: who it is, what an acknowledgement is worth, what is missing
    #[arg(long)]
    connect: bool,
}

/// Prints warnings and a summary; problems have ended the call before.
///
/// # Errors
/// When standard output is gone; with `--connect`, when the gateway could not publish.
pub fn run(options: &Options, file: &Path, loaded: &Loaded) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for warning in &loaded.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let config = &loaded.config;
    for (index, api) in
        config.sources.iter().enumerate().filter_map(|(index, source)| Some((index, source.api.as_ref()?)))
    {
        // Only a warning: the gateway does without.
        for (key, file) in [("key_file", Some(&api.key_file)), ("client_id_file", api.client_id_file.as_ref())] {
            if let Some(fault) = file.and_then(|file| Secret::read(file).err()) {
                writeln!(
                    out,
                    "warning: sources[{index}].api.{key}: the file {fault}; `hookbus endpoints` and `reconcile` need it"
                )?;
            }
        }
    }
    writeln!(out, "{}: ok", file.display())?;
    for source in &config.sources {
        writeln!(
            out,
            "  {} ({}) on http://{}{}, {} live secret(s)",
            source.name,
            source.vendor.as_str(),
            config.listener.address,
            source.path,
            source.secret_files.len()
        )?;
    }
    match config.bus.kind {
        BusKind::Journal => {
            writeln!(out, "  bus: journal in {}, subjects {}", config.journal.directory.display(), config.bus.subject)?;
        }
        BusKind::Nats => {
            writeln!(out, "  bus: NATS stream {}, subjects {}", config.bus.nats.stream, config.bus.subject)?;
        }
        BusKind::Kafka => {
            writeln!(out, "  bus: kafka at {}, topics {}", config.bus.kafka.brokers.join(", "), config.bus.subject)?;
        }
    }
    // What the gateway itself needs there.
    let gateway = Config { reconcile: None, ..config.clone() };
    if options.connect { connect::run(&gateway, &mut out) } else { Ok(()) }
}
