//! What the log says while the journal takes no records, and when a disk that failed is tried again.
//!
//! In: the state after each beat. Out: one line when it changes, one a minute while it lasts, one when it is over.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::shared::Health;

/// Between two lines about the same outage.
const QUIET: Duration = Duration::from_secs(60);
/// Most pauses between two tries of a failed disk, in beats.
const MOST_PAUSES: u32 = 30;

/// Why no record is taken.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The directory, or its lock file, is not the one that was opened.
    Displaced(PathBuf),
    /// A disk call failed.
    Disk {
        /// Which.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The segments would take more than the maximum.
    Size {
        /// Bytes of all segments.
        total: u64,
        /// Bytes of the next one.
        coming: u64,
        /// The maximum.
        max_size: u64,
    },
    /// The file system would have less than the reserve.
    Space {
        /// Bytes it has.
        free: u64,
        /// Bytes of the next segment.
        coming: u64,
        /// Bytes that are left to others.
        reserve: u64,
    },
}

impl Trouble {
    /// The state it makes.
    pub(super) fn health(&self) -> Health {
        match self {
            Trouble::Displaced(_) | Trouble::Disk { .. } => Health::Failed,
            Trouble::Size { .. } | Trouble::Space { .. } => Health::Full,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Displaced(path) => {
                let path = path.display();
                write!(f, "{path} was removed or replaced under us: restore the volume and restart")
            }
            Trouble::Disk { call, path, error } => {
                let path = path.display();
                write!(f, "disk failed, {call} of {path}: {error}; it is tried again every 1 to 30 s")
            }
            Trouble::Size { total, coming, max_size } => write!(
                f,
                "full, {total} bytes of segments and {coming} for the next exceed the maximum of {max_size}: \
                 raise journal.max_size, or see why records are not acknowledged"
            ),
            Trouble::Space { free, coming, reserve } => {
                let needed = coming.saturating_add(*reserve);
                write!(
                    f,
                    "full, {free} bytes free, {needed} needed ({coming} for a segment and {reserve} of reserve): \
                     free space or lower journal.reserve"
                )
            }
        }
    }
}

#[derive(Debug)]
struct Outage {
    health: Health,
    since: Instant,
    said: Instant,
    refused_before: u64,
}

/// The outage that lasts, if one does.
#[derive(Debug)]
pub(super) struct Alarm {
    outage: Option<Outage>,
    beat: Duration,
    pauses: u32,
    next_try: Option<Instant>,
}

impl Alarm {
    /// Nothing is wrong; a first try of a failed disk comes after one `beat`.
    pub(super) fn new(beat: Duration) -> Alarm {
        Alarm { outage: None, beat, pauses: 1, next_try: None }
    }

    /// Whether a failed disk may be tried again.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.next_try.is_none_or(|next| now >= next)
    }

    /// The disk failed just now: each pause is twice the last.
    pub(super) fn failed(&mut self, now: Instant) {
        self.next_try = Some(now + self.beat * self.pauses);
        self.pauses = (self.pauses * 2).min(MOST_PAUSES);
    }

    /// Says what there is to say; tells whether it did. `refused` counts the appends refused since the start.
    pub(super) fn tell(
        &mut self,
        health: Health,
        directory: &Path,
        trouble: Option<&Trouble>,
        refused: u64,
        now: Instant,
    ) -> bool {
        let directory = directory.display();
        if health == Health::Up {
            (self.pauses, self.next_try) = (1, None);
            let Some(over) = self.outage.take() else { return false };
            let seconds = now.saturating_duration_since(over.since).as_secs_f32();
            let refused = refused - over.refused_before;
            tracing::info!(%directory, seconds, refused, "journal: takes records again");
            return true;
        }
        let fresh = Outage { health, since: now, said: now, refused_before: refused };
        let known = self.outage.is_some();
        let outage = self.outage.get_or_insert(fresh);
        if known && outage.health == health && now.saturating_duration_since(outage.said) < QUIET {
            return false;
        }
        (outage.health, outage.said) = (health, now);
        let refused = refused - outage.refused_before;
        match trouble {
            Some(trouble) => tracing::error!(%directory, refused, "journal: takes no records: {trouble}"),
            None => tracing::error!(%directory, refused, ?health, "journal: takes no records"),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_at_its_begin_each_minute_and_at_its_end() {
        let start = Instant::now();
        let mut alarm = Alarm::new(Duration::from_secs(1));
        let mut told = Vec::new();
        for second in 0..200 {
            let health = match second {
                10..100 => Health::Failed,
                100..150 => Health::Full,
                _ => Health::Up,
            };
            if alarm.tell(health, Path::new("/j"), None, second, start + Duration::from_secs(second)) {
                told.push(second);
            }
        }
        assert_eq!(told, [10, 70, 100, 150]);
    }

    #[test]
    fn pauses_double_up_to_thirty_beats_and_begin_again() {
        let start = Instant::now();
        let mut alarm = Alarm::new(Duration::from_secs(1));
        let mut pauses = Vec::new();
        for _ in 0..7 {
            alarm.failed(start);
            pauses.push((0..60).find(|s| alarm.may_try(start + Duration::from_secs(*s))).unwrap());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        alarm.tell(Health::Up, Path::new("/j"), None, 0, start);
        assert!(alarm.may_try(start));
    }

    #[test]
    fn each_trouble_says_what_to_do() {
        let space = Trouble::Space { free: 5, coming: 7, reserve: 8 }.to_string();
        assert!(space.contains("5 bytes free, 15 needed") && space.contains("lower journal.reserve"), "{space}");
        let size = Trouble::Size { total: 5, coming: 7, max_size: 8 }.to_string();
        assert!(size.contains("maximum of 8") && size.contains("raise journal.max_size"), "{size}");
        let gone = Trouble::Displaced("/j".into()).to_string();
        assert!(gone.contains("/j was removed or replaced under us: restore the volume and restart"), "{gone}");
    }
}
