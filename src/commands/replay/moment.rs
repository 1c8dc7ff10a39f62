//! A point in time as an operator writes it.

use std::str::FromStr;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::config::units;

/// `2026-11-27T08:00:00Z`, `2026-11-27` (its beginning in UTC), or a time ago such as `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Timestamp);

/// Errors say how it is written, for the command line.
impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form =
            || "write 2026-11-27T08:00:00Z, 2026-11-27 (UTC), or a time ago such as 90s, 30m, 2h or 7d".to_owned();
        if let Ok(ago) = units::duration(text) {
            return Timestamp::now().checked_sub(ago).map(Moment).map_err(|_| form());
        }
        if let Ok(moment) = text.parse() {
            return Ok(Moment(moment));
        }
        let date: Date = text.parse().map_err(|_| form())?;
        TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).map(Moment).map_err(|_| form())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_day_or_a_while_ago() {
        let moment = |text: &str| text.parse::<Moment>().map(|moment| moment.0.to_string());
        assert_eq!(moment("2026-11-27T08:00:00+02:00"), Ok("2026-11-27T06:00:00Z".into()));
        assert_eq!(moment("2026-11-27"), Ok("2026-11-27T00:00:00Z".into()));
        let ago = Timestamp::now().as_second() - "2h".parse::<Moment>().unwrap().0.as_second();
        assert!((7200..7260).contains(&ago), "{ago}");
        for bad in ["", "yesterday", "2026-13-01", "2", "-2h", "99999999999d"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
