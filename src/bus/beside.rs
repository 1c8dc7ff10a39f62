//! The embedded bus is written by the gateway alone. What another process publishes lies in a journal of its own below that
//! one, and whoever reads the bus reads both.
//!
//! In: the configuration. Out: where that journal lies, and how it is opened; and the entries of both, the older one first.

use std::{
    io,
    path::{Path, PathBuf},
};

use journal::{Entry, Journal, Keep, OpenError, Options, Reader, Start};

use crate::config::Config;

/// Its folder below the journal's.
const FOLDER: &str = "beside";
/// Records that wait for its thread.
const QUEUE: usize = 1024;

/// Opens it, to publish to. It has the limits of the gateway's journal.
///
/// # Errors
/// Another process has it, or the directory cannot be used.
pub fn open(config: &Config) -> Result<Journal, OpenError> {
    let journal = &config.journal;
    let options = Options {
        directory: directory(&journal.directory),
        segment_size: journal.segment_size,
        max_size: journal.max_size,
        max_age: journal.max_age,
        reserve: journal.reserve,
        keep: Keep::UntilOld,
        queue: QUEUE,
    };
    Journal::open(options, std::sync::Arc::new(()))
}

fn directory(journal: &Path) -> PathBuf {
    journal.join(FOLDER)
}

/// Reads a journal, and the one beside it as soon as it is there.
#[derive(Debug)]
pub(super) struct Both {
    directory: PathBuf,
    main: Part,
    beside: Option<Part>,
}

/// One of the two.
#[derive(Debug)]
struct Part {
    reader: Reader,
    /// Nothing behind it is wanted.
    end: Option<u64>,
    /// Read, and not given out yet.
    ahead: Option<Entry>,
}

impl Part {
    fn open(directory: &Path, start: Start, bounded: bool) -> io::Result<Self> {
        let end = if bounded { Some(Reader::open(directory, Start::Newest)?.position()) } else { None };
        Ok(Part { reader: Reader::open(directory, start)?, end, ahead: None })
    }

    /// When the next entry was written; `None` without one.
    fn look(&mut self) -> io::Result<Option<std::time::SystemTime>> {
        if self.ahead.is_none() {
            self.ahead = self.reader.next()?.filter(|entry| self.end.is_none_or(|end| entry.sequence <= end));
        }
        Ok(self.ahead.as_ref().map(|entry| entry.recorded))
    }

    fn length(&self) -> u64 {
        self.end.unwrap_or_default().saturating_sub(self.reader.position())
    }
}

impl Both {
    /// `beside`: whether the second one is wanted. `bounded`: only what is there now.
    pub(super) fn open(directory: &Path, start: Start, bounded: bool, beside: bool) -> io::Result<Self> {
        let main = Part::open(directory, start, bounded)?;
        let place = self::directory(directory);
        let second = if beside && place.is_dir() { Some(Part::open(&place, start, bounded)?) } else { None };
        // One that is made later is read whole; none is, where nothing later is wanted.
        let directory = if beside && !bounded { place } else { PathBuf::new() };
        Ok(Both { directory, main, beside: second })
    }

    /// The next entry; `None` when there is none now.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let first = self.main.look()?;
        if first.is_none() && self.beside.is_none() && self.directory.is_dir() {
            self.beside = Some(Part::open(&self.directory, Start::Oldest, false)?);
        }
        if let Some(beside) = &mut self.beside
            && let Some(other) = beside.look()?
            && first.is_none_or(|first| other < first)
        {
            return Ok(beside.ahead.take());
        }
        Ok(self.main.ahead.take())
    }

    /// Whether nothing behind what was given out is wanted.
    pub(super) fn is_bounded(&self) -> bool {
        self.main.end.is_some()
    }

    /// How many entries there are to read, more or less; 0 without a bound.
    pub(super) fn length(&self) -> u64 {
        self.main.length() + self.beside.as_ref().map_or(0, Part::length)
    }

    /// How many were dropped before they were read, since the last call.
    pub(super) fn missed(&mut self) -> u64 {
        self.main.reader.missed() + self.beside.as_mut().map_or(0, |beside| beside.reader.missed())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use journal::Record;

    use super::*;

    async fn filled(directory: &Path, bodies: &[&'static str]) -> Journal {
        let options = Options {
            directory: directory.into(),
            segment_size: 1 << 16,
            max_size: 1 << 20,
            max_age: None,
            reserve: 0,
            keep: Keep::UntilOld,
            queue: 16,
        };
        let journal = Journal::open(options, Arc::new(())).unwrap();
        for body in bodies {
            journal.append(Record { head: Arc::default(), body: (*body).into() }).await.unwrap();
        }
        journal
    }

    fn bodies(both: &mut Both) -> Vec<String> {
        std::iter::from_fn(|| both.next().unwrap()).map(|entry| String::from_utf8_lossy(&entry.body).into()).collect()
    }

    #[tokio::test]
    async fn both_journals_are_read_in_the_order_of_time() {
        let folder = tempfile::tempdir().unwrap();
        let (main, place) = (folder.path(), directory(folder.path()));
        let first = filled(main, &["a"]).await;
        let mut follower = Both::open(main, Start::Newest, false, true).unwrap();
        let second = filled(&place, &["b"]).await;
        first.append(Record { head: Arc::default(), body: "c".into() }).await.unwrap();
        let open = |bounded, beside| Both::open(main, Start::Oldest, bounded, beside).unwrap();
        assert_eq!(bodies(&mut open(false, true)), ["a", "b", "c"]);
        assert_eq!(bodies(&mut open(false, false)), ["a", "c"]);
        assert_eq!(bodies(&mut follower), ["c", "b"], "one that is made later is read from its start");
        let mut bounded = open(true, true);
        assert_eq!(bounded.length(), 3);
        second.append(Record { head: Arc::default(), body: "d".into() }).await.unwrap();
        assert_eq!(bodies(&mut bounded), ["a", "b", "c"]);
        first.close();
        second.close();
    }
}
