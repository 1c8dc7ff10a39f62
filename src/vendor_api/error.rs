//! What went wrong with a call, and whether it is worth another try.

use std::{fmt, time::Duration};

use jiff::{Timestamp, fmt::rfc2822};

use crate::apis::Shape;

/// Longest pause that a vendor may ask for; what asks for more is given up.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Most characters of a vendor's own words.
const MOST_WORDS: usize = 300;

/// Why a call gave nothing. Its text has the call, never its body and never a credential.
#[derive(Debug)]
pub enum ApiError {
    /// No answer, or none to its end: what the call asks for may have been done.
    NoAnswer {
        /// The call.
        call: String,
        /// What happened.
        error: String,
    },
    /// An answer that says no.
    Refused {
        /// The call.
        call: String,
        /// Its status.
        status: u16,
        /// The vendor's own words.
        said: Option<String>,
        /// How long to wait before another call.
        retry_after: Option<Duration>,
    },
    /// An answer that says yes in an unknown shape.
    Odd {
        /// The call.
        call: String,
        /// Where it is odd.
        shape: Shape,
    },
}

impl ApiError {
    /// The status of an answer that says no.
    pub fn status(&self) -> Option<u16> {
        match self {
            ApiError::Refused { status, .. } => Some(*status),
            ApiError::NoAnswer { .. } | ApiError::Odd { .. } => None,
        }
    }

    /// Whether the vendor certainly has not done what it was asked for.
    pub fn is_certain(&self) -> bool {
        self.status().is_some_and(|status| (400..500).contains(&status) && status != 408)
    }

    /// How long to wait before another attempt; `None` when there should be none.
    pub(super) fn worth_waiting(&self, pause: Duration) -> Option<Duration> {
        match self {
            ApiError::NoAnswer { .. } => Some(pause),
            ApiError::Refused { status: 429 | 500..=599, retry_after, .. } => {
                Some(retry_after.unwrap_or(pause)).filter(|wait| *wait <= LONGEST_PAUSE)
            }
            ApiError::Refused { .. } | ApiError::Odd { .. } => None,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiError::NoAnswer { call, error } => write!(f, "{call}: no answer: {error}"),
            ApiError::Odd { call, shape } => write!(f, "{call}: answered, but {shape}"),
            ApiError::Refused { call, status, said, retry_after } => {
                write!(f, "{call}: answered {status}")?;
                if let Some(said) = said {
                    write!(f, " \"{}\"", said.chars().take(MOST_WORDS).collect::<String>().escape_debug())?;
                }
                if *status == 401 || *status == 403 {
                    f.write_str("; see the credential files of [sources.api]")?;
                }
                if let Some(wait) = retry_after {
                    write!(f, "; come again in {} s", wait.as_secs())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ApiError {}

/// A `Retry-After`: seconds, or a date.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = rfc2822::parse(value.trim()).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_waited_for() {
        let refused = |status, retry_after: Option<u64>| ApiError::Refused {
            call: "GET /".into(),
            status,
            said: None,
            retry_after: retry_after.map(Duration::from_secs),
        };
        let pause = Duration::from_millis(7);
        assert_eq!(refused(500, None).worth_waiting(pause), Some(pause));
        assert_eq!(refused(429, Some(2)).worth_waiting(pause), Some(Duration::from_secs(2)));
        assert_eq!(refused(429, Some(3600)).worth_waiting(pause), None);
        assert_eq!(refused(404, Some(2)).worth_waiting(pause), None);
        assert!(
            refused(422, None).is_certain() && !refused(500, None).is_certain() && !refused(408, None).is_certain()
        );
    }

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 3 "), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }
}
