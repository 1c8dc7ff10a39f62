//! `hookbus serve`.

use crate::{
    commands::failure::Failure,
    config::{Config, Loaded},
    server,
};

/// Serves until a signal.
///
/// # Errors
/// When the server does not start.
pub fn run(loaded: &Loaded) -> Result<(), Failure> {
    // What another process does is none of the gateway's matters.
    let config = Config { reconcile: None, ..loaded.config.clone() };
    server::run(&config, &loaded.warnings)
        .map_err(|error| if error.is_refusal() { Failure::Usage(error.to_string()) } else { Failure::failed(error) })
}
