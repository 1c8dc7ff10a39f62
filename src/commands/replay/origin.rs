//! Where the events lie that may be sent again: two journals on this disk, or the bus.

use std::{
    io,
    path::{self, PathBuf},
};

use super::options::What;
use crate::{
    bus::{Extent, Next, ReadError, Reader, Record},
    commands::failure::Failure,
    config::{BusKind, Config},
    delivery::dead_letters,
    subject::Pattern,
};

/// Every vendor's quarantine.
const QUARANTINE: &str = "webhooks.*.quarantine";
/// What is read: what lay there when the reading began.
pub(super) struct Origin(Reader);

/// The directory of a journal, absolute: what is found or missing there must be said in full, since a relative one is
/// another in each working directory.
pub(super) fn directory(what: What, config: &Config) -> PathBuf {
    let directory = match what {
        What::DeadLetters => dead_letters::directory(&config.journal.directory),
        What::Journal | What::Quarantine => config.journal.directory.clone(),
    };
    path::absolute(&directory).unwrap_or(directory)
}

/// Whether this configuration makes no dead letters, and none lie here from another one: the embedded bus refuses nothing,
/// and without a spool a refusal is the sender's `503`. In the wrong working directory there is no journal either.
pub(super) fn keeps_no_dead_letters(config: &Config) -> bool {
    let makes_none = match config.bus.kind {
        BusKind::Journal => config.journal.directory.is_dir(),
        BusKind::Nats | BusKind::Kafka => !config.journal.spool,
    };
    makes_none && !dead_letters::directory(&config.journal.directory).exists()
}

impl Origin {
    /// Opens it, and marks its end.
    pub(super) async fn open(what: What, config: &Config) -> Result<Self, Failure> {
        let opened = match what {
            What::Quarantine => Reader::open(config, quarantine()?, Extent::UntilNow).await,
            What::DeadLetters | What::Journal => Reader::journal(&directory(what, config), None, Extent::UntilNow),
        };
        opened.map(Origin).map_err(|error| match error {
            // Each gateway that writes here has made it at its start: this is the wrong place.
            ReadError::Journal { directory, error } if error.kind() == io::ErrorKind::NotFound => {
                Failure::failed(format!(
                    "{}: there is no such directory; journal.directory is relative to the working directory",
                    directory.display()
                ))
            }
            other => Failure::failed(other),
        })
    }

    /// How many records there are to look at, more or less: for a progress bar.
    pub(super) fn length(&self) -> u64 {
        self.0.length()
    }

    /// How many records were dropped by retention since the last call, before they could be read. What is dropped of
    /// the dead letters was sent before.
    pub(super) fn missed(&mut self, what: What) -> u64 {
        if what == What::DeadLetters { 0 } else { self.0.missed() }
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// It cannot be read any more.
    pub(super) async fn next(&mut self) -> Result<Option<Record>, Failure> {
        loop {
            match self.0.next().await.map_err(Failure::failed)? {
                Next::Record(record) => return Ok(Some(record)),
                Next::Idle => {}
                Next::End => return Ok(None),
            }
        }
    }
}

fn quarantine() -> Result<Pattern, Failure> {
    QUARANTINE.parse().map_err(Failure::failed)
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;
    use journal::{Journal, Keep, Options, Record};

    use crate::{
        config::SourceConfig,
        envelope::{Attributes, attributes::Attribute},
        vendors::Vendor,
    };

    const COUNT: u64 = 60;

    fn fill(directory: PathBuf) {
        let options = Options {
            directory,
            segment_size: 8 << 10,
            max_size: 1 << 30,
            max_age: None,
            reserve: 0,
            keep: Keep::UntilOld,
            queue: 8,
        };
        let journal = Journal::open(options, Arc::new(())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for number in 0..COUNT {
            let mut head = Attributes::default();
            head.push(Attribute::Id, &number);
            let record = Record { head: head.into_encoded(), body: vec![b' '; 1000].into() };
            runtime.block_on(journal.append(record)).unwrap();
        }
        journal.close();
    }

    #[tokio::test]
    async fn what_retention_drops_under_a_replay_is_told() {
        let outer = tempfile::tempdir().unwrap();
        let directory = outer.path().to_owned();
        let here = directory.clone();
        tokio::task::spawn_blocking(move || fill(here)).await.unwrap();
        let mut config =
            Config::defaults(BusKind::Nats, vec![SourceConfig::defaults("payroll", Vendor::Audit1, "/a", Vec::new())]);
        config.journal.directory.clone_from(&directory);
        let mut origin = Origin::open(What::Journal, &config).await.unwrap();
        let mut found = 0;
        while found < 2 {
            assert!(origin.next().await.unwrap().is_some());
            found += 1;
        }
        assert_eq!(origin.missed(What::Journal), 0);
        let mut segments: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        segments.retain(|path| fs::metadata(path).unwrap().len() > 4000);
        segments.sort();
        assert!(segments.len() > 4, "{segments:?}");
        // Those before the newest two, as retention does; the first one is open.
        for segment in &segments[..segments.len() - 2] {
            fs::remove_file(segment).unwrap();
        }
        while origin.next().await.unwrap().is_some() {
            found += 1;
        }
        let missed = origin.missed(What::Journal);
        assert!(missed > 0 && found + missed == COUNT, "{found} found, {missed} missed");
    }
}
