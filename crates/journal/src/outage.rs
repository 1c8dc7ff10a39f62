//! Why no record is taken, the log lines about it, and when a disk that failed is tried again.
//!
//! One line when the state changes, one a minute while an outage lasts, one when it is over.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use log_once::LogOnce;

use super::queue::Health;

/// Between two lines about the same outage.
const QUIET: Duration = Duration::from_secs(60);
/// Most pauses between two tries of a failed disk, in beats.
const MOST_PAUSES: u32 = 30;

/// Why no record is taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The directory, or its lock file, is not the one that was opened.
    #[error("{} was removed or replaced under us: restore the volume and restart", .0.display())]
    Displaced(PathBuf),
    /// A disk call failed.
    #[error("disk failed, {call} of {}: {error}; it is tried again every 1 to 30 s", path.display())]
    Disk {
        /// Which.
        call: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The segments would take more than the maximum.
    #[error(
        "full, {total} bytes of segments and {coming} for the next exceed the maximum of {max_size}: raise \
         journal.max_size, or see why records are not acknowledged"
    )]
    Size {
        /// Bytes of all segments.
        total: u64,
        /// Bytes of the next one.
        coming: u64,
        /// The maximum.
        max_size: u64,
    },
    /// The file system would have less than the reserve.
    #[error(
        "full, {free} bytes free, {} needed ({coming} for a segment and {reserve} of reserve): free space or lower \
         journal.reserve", coming.saturating_add(*reserve)
    )]
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

/// The outage that lasts, if one does.
#[derive(Debug)]
pub(super) struct Outage {
    /// When it began, and how many appends had been refused until then.
    begin: Option<(Instant, u64)>,
    logged: LogOnce<Health>,
    beat: Duration,
    pauses: u32,
    next_try: Option<Instant>,
}

impl Outage {
    /// Nothing is wrong; the first try of a failed disk comes after one `beat`.
    pub(super) fn new(beat: Duration) -> Outage {
        Outage { begin: None, logged: LogOnce::repeated(QUIET), beat, pauses: 1, next_try: None }
    }

    /// Whether a failed disk may be tried again.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.next_try.is_none_or(|next| now >= next)
    }

    /// The disk failed just now: each pause is twice the last.
    pub(super) fn disk_failed(&mut self, now: Instant) {
        self.next_try = Some(now + self.beat * self.pauses);
        self.pauses = (self.pauses * 2).min(MOST_PAUSES);
    }

    /// Logs the state if that is new. Whether it did. `refused` counts the appends refused since the start.
    pub(super) fn log(
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
            let Some((since, before)) = self.begin.take() else { return false };
            self.logged.clear();
            let seconds = now.saturating_duration_since(since).as_secs_f32();
            tracing::info!(%directory, seconds, refused = refused - before, "journal: takes records again");
            return true;
        }
        let (_, before) = *self.begin.get_or_insert((now, refused));
        if !self.logged.is_new_at(health, now) {
            return false;
        }
        let refused = refused - before;
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
    use crate::tests::logged;

    #[test]
    fn an_outage_is_logged_at_its_begin_each_minute_and_at_its_end() {
        let start = Instant::now();
        let mut outage = Outage::new(Duration::from_secs(1));
        let mut logged = Vec::new();
        for second in 0..200 {
            let health = match second {
                10..100 => Health::Failed,
                100..150 => Health::Full,
                _ => Health::Up,
            };
            if outage.log(health, Path::new("/j"), None, second, start + Duration::from_secs(second)) {
                logged.push(second);
            }
        }
        assert_eq!(logged, [10, 70, 100, 150]);
    }

    #[test]
    fn each_line_counts_what_was_refused_in_this_outage() {
        let start = Instant::now();
        let mut outage = Outage::new(Duration::from_secs(1));
        let log = logged(|| {
            for (second, health, refused) in [(0, Health::Full, 3), (60, Health::Full, 5), (90, Health::Up, 10)] {
                outage.log(health, Path::new("/j"), None, refused, start + Duration::from_secs(second));
            }
        });
        let ends = ["refused=0 health=Full", "refused=2 health=Full", "seconds=90.0 refused=7"];
        assert!(log.lines().zip(ends).all(|(line, end)| line.ends_with(end)), "{log}");
    }

    #[test]
    fn pauses_double_up_to_thirty_beats_and_begin_again() {
        let start = Instant::now();
        let mut outage = Outage::new(Duration::from_secs(1));
        let mut pauses = Vec::new();
        for _ in 0..7 {
            outage.disk_failed(start);
            pauses.push((0..60).find(|s| outage.may_try(start + Duration::from_secs(*s))).unwrap());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        outage.log(Health::Up, Path::new("/j"), None, 0, start);
        assert!(outage.may_try(start));
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
