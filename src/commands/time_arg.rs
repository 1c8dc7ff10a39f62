//! A point in time as an operator writes it.

use std::str::FromStr;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::units;

/// `2026-11-27T08:00:00Z`, `2026-11-27` (its beginning in UTC), or a time ago such as `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeArg(pub(super) Timestamp);

/// Errors say how it is written, for the command line.
impl FromStr for TimeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form =
            || "write 2026-11-27T08:00:00Z, 2026-11-27 (UTC), or a time ago such as 90s, 30m, 2h or 7d".to_owned();
        if let Ok(ago) = units::duration(text) {
            return Timestamp::now().checked_sub(ago).map(TimeArg).map_err(|_| form());
        }
        if let Ok(time) = text.parse() {
            return Ok(TimeArg(time));
        }
        let date: Date = text.parse().map_err(|_| form())?;
        TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).map(TimeArg).map_err(|_| form())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_time_a_day_or_a_while_ago() {
        let time = |text: &str| text.parse::<TimeArg>().map(|time| time.0.to_string());
        assert_eq!(time("2026-11-27T08:00:00+02:00"), Ok("2026-11-27T06:00:00Z".into()));
        assert_eq!(time("2026-11-27"), Ok("2026-11-27T00:00:00Z".into()));
        let ago = Timestamp::now().as_second() - "2h".parse::<TimeArg>().unwrap().0.as_second();
        assert!((7200..7260).contains(&ago), "{ago}");
        for bad in ["", "yesterday", "2026-13-01", "2", "-2h", "99999999999d"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
