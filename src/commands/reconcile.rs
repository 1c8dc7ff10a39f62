//! `hookbus reconcile`: asks the vendors' own APIs for what never came, in a process of its own.

use clap::Args;

use crate::{
    commands::failure::Failure,
    config::Loaded,
    reconcile::{self, House},
};

/// The words after `reconcile`.
#[derive(Debug, Args)]
pub struct Options {
    /// Look once, print what was found, and end
    #[arg(long)]
    once: bool,

    /// Print one JSON object per finding
    #[arg(long, requires = "once")]
    json: bool,
}

/// Looks once, or until a signal.
///
/// # Errors
/// No `[reconcile]` table; a credential that cannot be read; with `--once`, a finding, or a vendor or bus that does not answer.
pub fn run(options: &Options, loaded: &Loaded) -> Result<(), Failure> {
    if options.once {
        return once(options, loaded);
    }
    reconcile::serve(loaded, beside).map_err(Failure::failed)
}

/// What else the long form does: each is one more task of its runtime, and ends with it.
#[expect(clippy::unnecessary_wraps, reason = "a task may fail to start")]
fn beside(_house: &House) -> Result<(), reconcile::StartError> {
    Ok(())
}

fn once(_options: &Options, loaded: &Loaded) -> Result<(), Failure> {
    reconcile::once(loaded).map_err(Failure::failed)
}
