//! Configuration: one TOML file, the environment on top, checked in two steps: each key by its row, then the rules over
//! several keys. [`Config::load`] returns everything that is wrong, at once, each with its key path. It never repeats a
//! configured value in a message, and never keeps a secret's text.
//!
//! # A new key
//!
//! One row in its section's file, such as `listener.rs`:
//!
//! ```text
//! /// Open connections at once; one more is answered 503 and closed.
//! max_connections: usize = count(10_000, 1..=1_000_000),
//! ```
//!
//! The row is the struct's field and its documentation, the default, the check with its bounds, and the entry in
//! `config.example.toml`, which `make config-example` writes. `key.rs` has the forms of a value: `count`, `size`,
//! `duration`, `word`, `text` and so on. What a key may not be beside another key is a rule: in the same file, or in
//! `rules.rs` when the other key is in another section. A new section is a struct made by `section!`, and a row without
//! `=` in the section that it belongs to.

mod api;
mod bus;
mod danger;
#[cfg(test)]
mod example;
mod findings;
mod journal;
mod kafka;
mod key;
mod listener;
mod log;
mod nats;
mod raw;
mod reconcile;
mod rules;
mod section;
mod sources;
mod table;
#[cfg(test)]
mod tests;
mod whole;

use std::path::Path;

pub use self::{
    api::{ApiConfig, is_loopback},
    bus::{BusConfig, BusKind, UnknownTypes},
    danger::Danger,
    findings::{Finding, Problems},
    journal::JournalConfig,
    kafka::{KafkaConfig, KafkaProvision, KafkaSasl, KafkaTls, SaslMechanism},
    listener::{AdminConfig, ListenerConfig},
    log::{LogConfig, LogFormat, LogLevel},
    nats::{NatsConfig, NatsProvision},
    reconcile::ReconcileConfig,
    sources::SourceConfig,
    whole::Config,
};
use self::{findings::Findings, table::Part as _};
pub use crate::envelope::Encoding;

/// A configuration that may be used, and what its operator should still hear.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The checked configuration.
    pub config: Config,
    /// What works but is unwise, section by section as in `config.example.toml`.
    pub warnings: Vec<Finding>,
}

impl Config {
    /// Reads the file at `path`, lays the variables `HOOKBUS__SECTION__KEY` of `environment` on top (all other
    /// variables are ignored) and checks the result. It also reads every secret file once. Errors: every problem found;
    /// only a file that cannot be read or is no TOML hides the problems inside it.
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, Problems> {
        Config::check(path, environment, sources::secrets)
    }

    /// The same for a command that makes the secret files: it reads none.
    pub fn load_before_secrets(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, Problems> {
        Config::check(path, environment, |_, _| ())
    }

    fn check(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
        secrets: fn(&[SourceConfig], &mut Findings),
    ) -> Result<Loaded, Problems> {
        let (tree, mut findings) = raw::read(path, environment)?;
        let mut config = Config::read(Some(&tree.into()), "", &mut findings);
        config.sources.iter_mut().for_each(|source| source.inherit(&config.listener));
        secrets(&config.sources, &mut findings);
        rules::rules(&config, &mut findings);
        findings.finish().map(|warnings| Loaded { config, warnings })
    }
}
