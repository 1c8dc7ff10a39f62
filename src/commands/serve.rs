//! `hookbus serve`.

use crate::{commands::failure::Failure, config::Loaded, server};

/// Serves until a signal.
///
/// # Errors
/// When the server does not start.
pub fn run(loaded: &Loaded) -> Result<(), Failure> {
    server::run(&loaded.config, &loaded.warnings)
        .map_err(|error| if error.is_refusal() { Failure::Usage(error.to_string()) } else { Failure::failed(error) })
}
