//! A guard for log lines: one fault is one line, however often it is met.

use std::time::{Duration, Instant};

/// Says whether a line is new: different from the last one, the first since [`LogOnce::clear`], or due again.
#[derive(Debug)]
pub struct LogOnce<T> {
    last: Option<(T, Instant)>,
    every: Option<Duration>,
}

impl<T> Default for LogOnce<T> {
    fn default() -> Self {
        LogOnce { last: None, every: None }
    }
}

impl<T: PartialEq> LogOnce<T> {
    /// Repeats a line that does not change after each `every`; the default repeats none.
    pub fn repeated(every: Duration) -> Self {
        LogOnce { last: None, every: Some(every) }
    }

    /// Whether to log `what`.
    pub fn is_new(&mut self, what: T) -> bool {
        self.is_new_at(what, Instant::now())
    }

    /// [`LogOnce::is_new`] at a given time.
    pub fn is_new_at(&mut self, what: T, now: Instant) -> bool {
        if let Some((last, at)) = &self.last
            && *last == what
            && self.every.is_none_or(|every| now.saturating_duration_since(*at) < every)
        {
            return false;
        }
        self.last = Some((what, now));
        true
    }

    /// What was logged last.
    pub fn last(&self) -> Option<&T> {
        self.last.as_ref().map(|(last, _)| last)
    }

    /// The fault is over: the next line is new. Whether there was one.
    pub fn clear(&mut self) -> bool {
        self.last.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_new_when_it_changes_or_was_cleared() {
        let mut once = LogOnce::default();
        assert!(!once.clear());
        assert_eq!(["a", "a", "b", "a"].map(|line| once.is_new(line)), [true, false, true, true]);
        assert_eq!(once.last(), Some(&"a"));
        assert!(once.clear());
        assert!(once.is_new("a"));
    }

    #[test]
    fn a_repeated_line_is_new_again_after_a_while() {
        let start = Instant::now();
        let mut once = LogOnce::repeated(Duration::from_secs(60));
        let new: Vec<u64> = (0..130).filter(|s| once.is_new_at("a", start + Duration::from_secs(*s))).collect();
        assert_eq!(new, [0, 60, 120]);
    }
}
