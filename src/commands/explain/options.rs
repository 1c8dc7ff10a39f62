//! The words after `explain`.

use std::path::PathBuf;

use clap::Args;

use crate::commands::time_arg::TimeArg;

/// The words after `explain`.
#[derive(Debug, Args)]
pub struct Options {
    /// A raw HTTP request, or what `curl -v` sent (then with --body) [default: standard input]
    #[arg(value_name = "FILE", conflicts_with = "headers")]
    pub(super) request: Option<PathBuf>,

    /// The head alone: a `Name: value` on each line, before them the request line if there is one
    #[arg(long, value_name = "FILE")]
    pub(super) headers: Option<PathBuf>,

    /// The exact bytes of the body
    #[arg(long, value_name = "FILE")]
    pub(super) body: Option<PathBuf>,

    /// The source to ask, whatever the path
    #[arg(long, value_name = "NAME")]
    pub(super) source: Option<String>,

    /// When it arrived: a time, a date, or a while ago such as 2h [default: now]
    #[arg(long, value_name = "TIME")]
    pub(super) received: Option<TimeArg>,
}
