//! How earlier runs on this directory have ended: asked to (SIGTERM, SIGINT), or not.
//!
//! In: `journal.directory`, whose lock this run has. Out: a count that outlives the process, so that an alert can tell a crash
//! from a roll-out, which a new start time alone cannot. A file of one line, `running 3` or `asked 3`, is all: 3 is the count.
//! Losing it costs that count and nothing else.

use std::{
    fmt::{self, Display},
    fs, io,
    path::{Path, PathBuf},
};

use prometheus::IntCounter;

use crate::{
    config::{BusKind, Config},
    metrics::metrics,
};

/// Longest file that is read, in bytes: a word and a number fit in it.
const MOST_BYTES: u64 = 64;

metrics! {
    /// Of the ends of earlier runs.
    pub struct EndMetrics {
        /// Runs on this journal.directory that ended without being asked to: a crash, a kill, a power cut. Kept over
        /// restarts; 0 with the spool off.
        crashes: IntCounter = "crashes_total";
    }
}

/// What a run is doing, as the file says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// It has not been asked to end.
    Running,
    /// It has.
    Asked,
}

/// The file's line.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    state: State,
    /// Runs that ended unasked.
    crashes: u64,
}

/// This run's line.
#[derive(Debug)]
pub(super) struct Ends {
    file: PathBuf,
    crashes: u64,
}

impl Ends {
    /// Counts the end of the last run, and says that this one is running. `None`: nothing of this gateway is on a disk, or
    /// the disk does not take it, which is logged.
    pub(super) fn begin(config: &Config, metrics: &EndMetrics) -> Option<Self> {
        let on_disk = config.journal.spool || config.bus.kind == BusKind::Journal;
        let begun = on_disk.then(|| Ends::open(&config.journal.directory))?;
        let (ends, crashed) = begun.inspect_err(not_kept).ok()?;
        metrics.crashes.inc_by(ends.crashes);
        if crashed {
            tracing::warn!(
                crashes = ends.crashes,
                "the last run ended without being asked to: a crash, a kill or a power cut"
            );
        }
        Some(ends)
    }

    /// Also whether the last run has crashed.
    fn open(directory: &Path) -> io::Result<(Self, bool)> {
        let file = directory.join("ends");
        let before = read(&file)?;
        let crashed = before.is_some_and(|line| line.state == State::Running);
        let crashes = before.map_or(0, |line| line.crashes).saturating_add(u64::from(crashed));
        let ends = Ends { file, crashes };
        ends.write(State::Running)?;
        Ok((ends, crashed))
    }

    /// This run has been asked to end; however it does, that is no crash.
    pub(super) fn asked(&self) {
        // A disk that fails has its own metrics and alerts; this one costs a count.
        self.write(State::Asked).unwrap_or_else(|error| not_kept(&error));
    }

    fn write(&self, state: State) -> io::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{}\n", Line { state, crashes: self.crashes }))?;
        fs::rename(new, &self.file)
    }
}

fn not_kept(error: &io::Error) {
    tracing::warn!(%error, "crashes are not counted: journal.directory does not take the file `ends`");
}

/// `None` without a file, and for one that says nothing.
fn read(file: &Path) -> io::Result<Option<Line>> {
    match fs::metadata(file) {
        Ok(about) if about.len() > MOST_BYTES => Ok(None),
        Ok(_) => Ok(Line::parse(&String::from_utf8_lossy(&fs::read(file)?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let (word, crashes) = text.trim_end().split_once(' ')?;
        let state = [State::Running, State::Asked].into_iter().find(|state| state.word() == word)?;
        Some(Line { state, crashes: crashes.parse().ok()? })
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Asked => "asked",
        }
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.state.word(), self.crashes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_end_that_nobody_asked_for_counts() {
        let directory = tempfile::tempdir().unwrap();
        let begin = || {
            let (ends, crashed) = Ends::open(directory.path()).unwrap();
            (ends.crashes, crashed, ends)
        };
        for (asked, expected) in
            [(true, (0, false)), (false, (0, false)), (false, (1, true)), (true, (2, true)), (true, (2, false))]
        {
            let (crashes, crashed, ends) = begin();
            assert_eq!((crashes, crashed), expected);
            if asked {
                ends.asked();
            }
        }
    }

    #[test]
    fn a_file_that_says_nothing_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let long = "running ".to_owned() + &"1".repeat(100);
        for text in ["", "running", "running x", "walking 3", "running -1", "running 99999999999999999999", &long] {
            fs::write(directory.path().join("ends"), text).unwrap();
            let (ends, crashed) = Ends::open(directory.path()).unwrap();
            assert_eq!((ends.crashes, crashed), (0, false), "{text}");
        }
        assert!(Ends::open(&directory.path().join("nowhere")).is_err());
        fs::write(directory.path().join("ends"), format!("running {}", u64::MAX)).unwrap();
        assert_eq!(Ends::open(directory.path()).unwrap().0.crashes, u64::MAX);
    }
}
