//! A source that an argument names.

use super::failure::Failure;
use crate::config::{Config, SourceConfig};

/// The source of this name.
///
/// # Errors
/// The configuration has none.
pub(super) fn source_named<'a>(config: &'a Config, name: &str) -> Result<&'a SourceConfig, Failure> {
    let named = config.sources.iter().find(|source| source.name == name);
    named.ok_or_else(|| Failure::Usage("the configuration has no source of this name".into()))
}
