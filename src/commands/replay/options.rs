//! The words after `replay`.

use clap::{Args, ValueEnum};

use crate::commands::time_arg::TimeArg;
use crate::{commands::failure::Failure, subject::Pattern};

/// The words after `replay`.
#[derive(Debug, Args)]
pub struct Options {
    /// Where the events lie
    #[arg(value_enum)]
    pub(super) what: What,

    /// Only the event with this id; may be given several times
    #[arg(long = "id", value_name = "ID")]
    pub(super) ids: Vec<String>,

    /// Only types that match, as `com.audit1.file.>` or without `com.<vendor>.`: `*` is one token, `>` all the rest
    #[arg(long = "type", value_name = "PATTERN")]
    pub(super) kind: Option<Pattern>,

    /// Only events that arrived at this time or later: 2026-11-27T08:00:00Z, 2026-11-27, or 2h for two hours ago
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<TimeArg>,

    /// Only events that arrived before this time
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<TimeArg>,

    /// Show payloads, too
    #[arg(long)]
    pub(super) show: bool,

    /// Send them; without this nothing leaves
    #[arg(long)]
    pub(super) send: bool,

    /// Give up dead letters that can never be sent: they count no more, and the gateway deletes them. Needs --id, --type,
    /// --since or --until; look at them without it first, and keep what matters with --json --show
    #[arg(long, conflicts_with_all = ["send", "again"])]
    pub(super) discard: bool,

    /// Also those that an earlier replay has sent. All that is sent is stored: on NATS with message ids of its own, so that
    /// a stream takes nothing for what it had before, and has twice what is still there
    #[arg(long)]
    pub(super) again: bool,

    /// Print one JSON object for each event; the total goes to standard error
    #[arg(long)]
    pub(super) json: bool,
}

/// Where events lie that may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// What the bus refused for good, in `<journal.directory>/dead-letters`
    DeadLetters,
    /// Bodies that could not be read, on `webhooks.<vendor>.quarantine` of the bus; signatures are not verified again, so
    /// a login that may write there can write to every subject by way of a replay
    Quarantine,
    /// What the embedded bus holds, in `<journal.directory>`
    Journal,
}

impl Options {
    /// Everything is not given up by leaving out a word.
    pub(super) fn may_discard(&self) -> Result<(), Failure> {
        let names_some = !self.ids.is_empty() || self.kind.is_some() || self.since.is_some() || self.until.is_some();
        match (self.what, names_some) {
            (What::DeadLetters, true) => Ok(()),
            (What::DeadLetters, false) => {
                Err(Failure::Usage("--discard needs at least one of --id, --type, --since and --until".into()))
            }
            (What::Quarantine | What::Journal, _) => {
                Err(Failure::Usage("--discard is for dead-letters: nothing else waits to be sent".into()))
            }
        }
    }
}
