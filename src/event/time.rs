//! The time of an event, in the vendors' notations.
//!
//! In: unix seconds or milliseconds, or an RFC 3339 text. Out: the same instant as RFC 3339 in UTC, with the digits of
//! the fraction as the vendor wrote them. A time without a zone is no instant, and is not guessed.

use jiff::{
    SignedDuration,
    civil::{DateTime, date},
};

use crate::text;

/// Where unix time starts. Times are reckoned from here in the calendar of UTC, since jiff's own instants end a day before
/// the year 9999 does.
const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// Integers above this are milliseconds: as seconds they would lie behind the year 33,000.
const MILLISECONDS_ABOVE: i64 = 1_000_000_000_000;

/// Longest text that is read as a time: a date, a time, a zone and far more digits than any clock has.
const MAX_TIME_BYTES: usize = 64;

/// When the vendor says an event happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTime {
    /// RFC 3339 in UTC, with the vendor's own precision.
    pub text: String,
    /// The instant in unix milliseconds, rounded down.
    pub unix_millis: i64,
}

impl EventTime {
    /// Unix seconds, or milliseconds when above 10^12. `None` outside the years 1 to 9999.
    pub fn from_unix(number: i64) -> Option<Self> {
        let in_millis = number > MILLISECONDS_ABOVE;
        let unix_millis = if in_millis { number } else { number.checked_mul(1000)? };
        let utc = EPOCH.checked_add(SignedDuration::from_millis(unix_millis)).ok()?;
        let digits = if in_millis { format!("{:03}", utc.millisecond()) } else { String::new() };
        Some(EventTime { text: render(utc, &digits)?, unix_millis })
    }

    /// RFC 3339 with any offset. `None` for anything else, a time without a zone above all.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        if text.len() > MAX_TIME_BYTES {
            return None;
        }
        let (clock, rest) = text.split_at_checked("2026-06-02T18:04:11".len())?;
        let local = date_time(clock.as_bytes())?;
        let (fraction, zone) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at_checked(rest.bytes().take_while(u8::is_ascii_digit).count())?,
            None => ("", rest),
        };
        if fraction.is_empty() && rest.starts_with('.') {
            return None;
        }
        let utc = local.checked_sub(offset(zone)?).ok()?;
        let milliseconds =
            fraction.bytes().chain([b'0'; 3]).take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        Some(EventTime {
            text: render(utc, fraction)?,
            unix_millis: utc.duration_since(EPOCH).as_secs() * 1000 + milliseconds,
        })
    }
}

/// `2026-06-02T18:04:11`; RFC 3339 also allows `t` or a space in the middle.
fn date_time(text: &[u8]) -> Option<DateTime> {
    let marks = [text.get(4)?, text.get(7)?, text.get(10)?, text.get(13)?, text.get(16)?];
    let [b'-', b'-', b'T' | b't' | b' ', b':', b':'] = marks else {
        return None;
    };
    let two = |at: usize| number(text.get(at..at + 2)?).and_then(|number| i8::try_from(number).ok());
    DateTime::new(number(text.get(..4)?)?, two(5)?, two(8)?, two(11)?, two(14)?, two(17)?, 0).ok()
}

/// `Z`, or `+hh:mm`.
fn offset(zone: &str) -> Option<SignedDuration> {
    if let "Z" | "z" = zone {
        return Some(SignedDuration::ZERO);
    }
    let &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = zone.as_bytes() else {
        return None;
    };
    let (hours, minutes) = (i64::from(number(&[h1, h2])?), i64::from(number(&[m1, m2])?));
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = SignedDuration::from_mins(hours * 60 + minutes);
    Some(if sign == b'-' { -offset } else { offset })
}

fn number(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0, |sum: i16, digit| digit.is_ascii_digit().then(|| sum * 10 + i16::from(digit - b'0')))
}

fn render(utc: DateTime, fraction: &str) -> Option<String> {
    let seconds = text::seconds(utc).filter(|_| (1..=9999).contains(&utc.year()))?;
    let mut text = String::with_capacity(seconds.len() + ".Z".len() + fraction.len());
    text.push_str(std::str::from_utf8(&seconds).ok()?);
    text.push_str(if fraction.is_empty() { "" } else { "." });
    text.push_str(fraction);
    text.push('Z');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_seconds_or_milliseconds() {
        for (number, text, millis) in [
            (0, "1970-01-01T00:00:00Z", 0),
            (1_767_312_139, "2026-01-02T00:02:19Z", 1_767_312_139_000),
            (1_767_312_139_007, "2026-01-02T00:02:19.007Z", 1_767_312_139_007),
            (-1, "1969-12-31T23:59:59Z", -1000),
            (253_402_300_799, "9999-12-31T23:59:59Z", 253_402_300_799_000),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z", 253_402_300_799_999),
            (-62_135_596_800, "0001-01-01T00:00:00Z", -62_135_596_800_000),
        ] {
            assert_eq!(EventTime::from_unix(number), Some(EventTime { text: text.into(), unix_millis: millis }));
        }
        for number in [253_402_300_800, 253_402_300_800_000, 1_000_000_000_000, -62_135_596_801, i64::MAX, i64::MIN] {
            assert_eq!(EventTime::from_unix(number), None, "{number}");
        }
    }

    #[test]
    fn texts_become_utc_and_keep_their_digits() {
        for (text, expected, millis) in [
            ("2026-06-02T18:04:11.000Z", "2026-06-02T18:04:11.000Z", 1_780_423_451_000),
            ("2026-06-02T18:04:11Z", "2026-06-02T18:04:11Z", 1_780_423_451_000),
            ("2026-06-02t18:04:11.1234567891234z", "2026-06-02T18:04:11.1234567891234Z", 1_780_423_451_123),
            ("2026-06-02 20:34:11.5+02:30", "2026-06-02T18:04:11.5Z", 1_780_423_451_500),
            ("2026-06-02T10:04:11-08:00", "2026-06-02T18:04:11Z", 1_780_423_451_000),
            ("2026-06-02T18:04:11-00:00", "2026-06-02T18:04:11Z", 1_780_423_451_000),
            ("1969-12-31T23:59:59.25Z", "1969-12-31T23:59:59.25Z", -750),
            ("2024-02-29T23:59:59-23:59", "2024-03-01T23:58:59Z", 1_709_337_539_000),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z", 253_402_300_799_999),
            ("0000-12-31T23:30:00-01:00", "0001-01-01T00:30:00Z", -62_135_595_000_000),
        ] {
            assert_eq!(
                EventTime::from_rfc3339(text),
                Some(EventTime { text: expected.into(), unix_millis: millis }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_instant_is_not_guessed() {
        let long = format!("2026-06-02T18:04:11.{}Z", "0".repeat(64));
        for text in [
            "",
            "now",
            "2023-09-27T05:37:06.742302",
            "2026-06-02",
            "2026-06-02T18:04Z",
            "2026-06-02T18:04:11.Z",
            "2026-06-02T18:04:11,5Z",
            "2026-06-02T18:04:11+0200",
            "2026-06-02T18:04:11+02",
            "2026-06-02T18:04:11+24:00",
            "2026-06-02T18:04:11+02:60",
            "2026-06-02T18:04:11ZZ",
            "2026-06-02T18:04:11Z ",
            "2026-13-02T18:04:11Z",
            "2023-02-29T18:04:11Z",
            "2026-06-02T24:00:00Z",
            "2026-06-02T18:04:60Z",
            "20260602T180411Z...",
            "+026-06-02T18:04:11Z",
            "2026-06-02T18:04:1éZ",
            "0000-06-02T18:04:11Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "1767312139",
            &long,
        ] {
            assert_eq!(EventTime::from_rfc3339(text), None, "{text}");
        }
    }
}
