//! Numbers as a person reads them, each with its unit, and texts that others wrote.

use std::time::Duration;

use crate::text;

/// Units of time with their milliseconds, largest first.
const TIMES: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)];
/// Units of a size, smallest first.
const SIZES: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// A text that others wrote, in which no character moves its neighbours.
pub(super) fn plain(text: &str) -> String {
    text::terminal(text.as_bytes())
}

/// `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 event`, `12,345 events`.
pub(super) fn of(number: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", count(number), if number == 1 { singular } else { plural })
}

/// `653 B`, `1.2 MiB`.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub(super) fn size(bytes: u64) -> String {
    let (mut number, mut unit) = (bytes as f64, 0);
    while number >= 1023.95 && unit + 1 < SIZES.len() {
        (number, unit) = (number / 1024.0, unit + 1);
    }
    let name = SIZES.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{bytes} {name}") } else { format!("{number:.1} {name}") }
}

/// `1.37 ms`, `12 s`, `3 min 5 s`, `4 d 2 h`: two units at most.
pub(super) fn duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if milliseconds < 1000 {
        return format!("{:.2} ms", duration.as_secs_f64() * 1000.0);
    }
    if milliseconds < 10_000 {
        return format!("{:.2} s", duration.as_secs_f64());
    }
    let largest = TIMES.iter().position(|(_, unit)| milliseconds >= *unit).unwrap_or_default();
    let mut rest = milliseconds;
    let mut parts = Vec::new();
    for (name, unit) in TIMES.iter().skip(largest).take(2) {
        if rest / unit > 0 {
            parts.push(format!("{} {name}", rest / unit));
        }
        rest %= unit;
    }
    parts.join(" ")
}

/// The same of seconds; what is above every bound is `more than 10 s`.
pub(super) fn at_most(seconds: f64, last: f64) -> String {
    match seconds.is_finite() {
        true => format!("at most {}", duration(Duration::from_secs_f64(seconds.max(0.0)))),
        false => format!("more than {}", duration(Duration::from_secs_f64(last.max(0.0)))),
    }
}

/// `just now`, `12 s ago`.
pub(super) fn ago(seconds: u64) -> String {
    match seconds {
        0 => "just now".into(),
        seconds if seconds < 60 => format!("{seconds} s ago"),
        seconds => format!("{} ago", duration(Duration::from_secs(seconds))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_unit() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([of(1, "event", "events"), of(0, "event", "events")], ["1 event", "0 events"]);
        let sizes = [0, 653, 1024, 5 << 20, (1 << 20) - 1, 3 << 40];
        assert_eq!(sizes.map(size), ["0 B", "653 B", "1.0 KiB", "5.0 MiB", "1.0 MiB", "3.0 TiB"]);
        let times = [1_371, 999_000, 1_500_000, 12_000_000, 60_000_000, 185_000_000, 7_200_000_000, 360_000_000_000];
        assert_eq!(
            times.map(|microseconds| duration(Duration::from_micros(microseconds))),
            ["1.37 ms", "999.00 ms", "1.50 s", "12 s", "1 min", "3 min 5 s", "2 h", "4 d 4 h"]
        );
        assert_eq!([at_most(0.0025, 10.0), at_most(f64::INFINITY, 10.0)], ["at most 2.50 ms", "more than 10 s"]);
        assert_eq!([0, 5, 61].map(ago), ["just now", "5 s ago", "1 min 1 s ago"]);
    }
}
