//! Units: durations and byte sizes as an operator writes them.
//!
//! Text such as `"5s"` or `"64KiB"` becomes a [`Duration`] or a number of bytes, and back in the same notation. A number
//! without a unit is never guessed at, since a limit that is wrong by a factor of a thousand starts and runs.

use std::time::Duration;

/// The word that switches a duration off where a key allows it.
pub const OFF: &str = "off";

/// Units of a duration with their microseconds, smallest first.
const DURATIONS: [(&str, u64); 6] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

/// Units of a size with their bytes. Display uses the first five, which are powers of 1024.
const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Why a text is no quantity. The wording continues a sentence that began with the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text does not start with a digit.
    #[error("does not start with a whole number")]
    NoNumber,
    /// Digits and nothing after them.
    #[error("is a number without a unit")]
    NoUnit,
    /// Something else than one known unit follows the digits: another word, a space, a fraction, a second quantity.
    #[error("does not end in a known unit right after a whole number")]
    UnknownUnit,
    /// More than 64 bits hold.
    #[error("is too large")]
    TooLarge,
}

/// Reads a duration: a whole number and `us`, `ms`, `s`, `m`, `h` or `d`. Errors say which half is wrong.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    quantity(text, &DURATIONS).map(Duration::from_micros)
}

/// Reads a size in bytes: a whole number and `B`, `KiB` … `TiB` (powers of 1024) or `KB` … `TB` (powers of 1000).
/// Errors say which half is wrong.
pub fn size(text: &str) -> Result<u64, UnitError> {
    quantity(text, &SIZES)
}

/// Writes a duration in the largest unit that divides it; what is below a microsecond is dropped.
pub fn show_duration(duration: Duration) -> String {
    let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if microseconds == 0 { "0s".into() } else { show(microseconds, &DURATIONS) }
}

/// Writes a number of bytes in the largest power of 1024 that divides it.
pub fn show_size(bytes: u64) -> String {
    show(bytes, SIZES.split_at(5).0)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::NoNumber);
    }
    if unit.is_empty() {
        return Err(UnitError::NoUnit);
    }
    let factor = units.iter().find(|(name, _)| *name == unit).ok_or(UnitError::UnknownUnit)?.1;
    // The digits are checked, so the only way for them not to parse is to be too many.
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or(UnitError::TooLarge)
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().rev().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor));
    let (unit, factor) = whole.or(units.first()).copied().unwrap_or(("", 1));
    format!("{}{unit}", value / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_are_read_and_written() {
        let durations =
            [("500ms", 500), ("5s", 5_000), ("5m", 300_000), ("12h", 43_200_000), ("7d", 604_800_000), ("0s", 0)];
        for (text, milliseconds) in durations {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
            assert_eq!(show_duration(Duration::from_millis(milliseconds)), text);
        }
        let sizes = [
            ("0B", 0),
            ("512B", 512),
            ("64KiB", 65_536),
            ("5MiB", 5_242_880),
            ("10GiB", 10_737_418_240),
            ("1TiB", 1 << 40),
        ];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(show_size(bytes), text);
        }
        assert_eq!((size("5KB"), size("5MB")), (Ok(5_000), Ok(5_000_000)));
        assert_eq!(duration("120s").map(show_duration), Ok("2m".into()));
        assert_eq!((duration("500us"), duration("0us")), (Ok(Duration::from_micros(500)), Ok(Duration::ZERO)));
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_its_reason() {
        use UnitError::{NoNumber, NoUnit, TooLarge, UnknownUnit};
        for (text, error) in [
            ("", NoNumber),
            ("s", NoNumber),
            ("-5s", NoNumber),
            (" 5s", NoNumber),
            ("5", NoUnit),
            ("5 s", UnknownUnit),
            ("1.5s", UnknownUnit),
            ("1h30m", UnknownUnit),
            ("5S", UnknownUnit),
            ("5ns", UnknownUnit),
            ("18446744073709551616ms", TooLarge),
            ("18446744073709551615d", TooLarge),
        ] {
            assert_eq!(duration(text), Err(error), "{text:?}");
        }
        for (text, error) in
            [("64", NoUnit), ("64M", UnknownUnit), ("64mib", UnknownUnit), ("99999999999TiB", TooLarge)]
        {
            assert_eq!(size(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(microseconds: u64, bytes: u64) {
            let time = Duration::from_micros(microseconds);
            prop_assert_eq!(duration(&show_duration(time)), Ok(time));
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn what_reads_keeps_its_value_through_writing(number in 0u64..1_000_000, unit in 0usize..9) {
            let text = format!("{number}{}", SIZES[unit].0);
            let bytes = size(&text).unwrap();
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_is_refused_or_reads_back(text: String) {
            if let Ok(time) = duration(&text) {
                prop_assert_eq!(duration(&show_duration(time)), Ok(time));
            }
            if let Ok(bytes) = size(&text) {
                prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
            }
        }
    }
}
