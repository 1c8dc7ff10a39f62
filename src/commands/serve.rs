//! `hookbus serve`.

use crate::{cli::Failure, config::Loaded, server};

/// Serves until a signal.
///
/// # Errors
/// When the server does not start.
pub fn run(loaded: &Loaded) -> Result<(), Failure> {
    server::run(&loaded.config, &loaded.warnings).map_err(|error| Failure::Failed(error.to_string()))
}
