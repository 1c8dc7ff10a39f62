//! What the console knows of the configuration. No secret and no file's place: of a secret, its file's name.

use std::path::Path;

use crate::{
    config::{BusKind, Config},
    metrics::Label as _,
};

/// The name under which requests of no source are counted.
pub(super) const NO_SOURCE: &str = "none";

/// What stands in the configuration.
#[derive(Debug)]
pub(super) struct Facts {
    /// Those of the configuration, and at the end [`NO_SOURCE`].
    pub(super) sources: Vec<Source>,
    /// `nats`, `kafka` or `journal`.
    pub(super) bus: &'static str,
    /// Whether the journal is the bus.
    pub(super) is_embedded: bool,
    /// Whether there is a spool in front of the bus.
    pub(super) has_spool: bool,
    /// The machine's name.
    pub(super) replica: String,
}

/// One source.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    /// Its vendor, path and environment.
    pub(super) about: String,
    pub(super) secrets: Vec<String>,
}

impl Facts {
    pub(super) fn of(config: &Config, replica: String) -> Self {
        let sources = config.sources.iter().map(|source| Source {
            name: source.name.clone(),
            about: format!("{} on {}, {}", source.vendor.as_str(), source.path, source.environment),
            secrets: source.secret_files.iter().map(|file| secret_name(file)).collect(),
        });
        let none =
            Source { name: NO_SOURCE.into(), about: "requests that no source takes".into(), secrets: Vec::new() };
        let is_embedded = config.bus.kind == BusKind::Journal;
        Facts {
            sources: sources.chain([none]).collect(),
            bus: config.bus.kind.as_str(),
            is_embedded,
            has_spool: config.journal.spool && !is_embedded,
            replica,
        }
    }

    /// The sources' names.
    pub(super) fn names(&self) -> Vec<&str> {
        self.sources.iter().map(|source| source.name.as_str()).collect()
    }
}

/// As the metrics have it.
fn secret_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
