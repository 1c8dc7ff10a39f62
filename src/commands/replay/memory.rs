//! What earlier replays have sent, and the file that remembers what this one sends.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt as _, path::PathBuf};

use journal::replay_log::{Replayed, Writer, give_to_owner_of};

use super::{candidate::Candidate, options::What, origin};
use crate::{commands::failure::Failure, config::Config};

/// Candidates that are remembered together: one sync of the disk for all of them.
const REMEMBER: usize = 256;

/// What was sent before, and the file that remembers what is sent now.
pub(super) struct Memory {
    pub(super) replayed: Replayed,
    /// `None`: there is no directory to remember in.
    writer: Option<Writer>,
}

impl Memory {
    fn directory(what: What, config: &Config) -> PathBuf {
        let directory = origin::directory(what, config);
        // Its places are no sequences of the journal.
        if what == What::Quarantine { directory.join("quarantine") } else { directory }
    }

    pub(super) fn read(what: What, config: &Config) -> Result<Replayed, Failure> {
        let directory = Self::directory(what, config);
        Replayed::read(&directory).map_err(Failure::at(directory.display()))
    }

    pub(super) fn open(what: What, config: &Config) -> Result<Self, Failure> {
        let directory = Self::directory(what, config);
        let home = &config.journal.directory;
        if what == What::Quarantine && home.is_dir() && !directory.is_dir() {
            let made = DirBuilder::new().mode(0o700).create(&directory);
            made.map_err(Failure::at(directory.display()))?;
            give_to_owner_of(home, &directory);
        }
        let writer = directory.is_dir().then(|| Writer::open(&directory)).transpose();
        let writer = writer.map_err(Failure::failed)?;
        Ok(Memory { replayed: Self::read(what, config)?, writer })
    }

    /// Whether there is a file that the next replay will read.
    pub(super) fn is_kept(&self) -> bool {
        self.writer.is_some()
    }

    pub(super) fn note(&mut self, candidate: &Candidate) -> Result<(), Failure> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if !self.replayed.contains(candidate.place) {
            writer.note(candidate.place);
        }
        if writer.waiting() < REMEMBER { Ok(()) } else { self.flush() }
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.flush().map_err(Failure::at("what was sent cannot be remembered, so it would be sent again"))
    }
}
