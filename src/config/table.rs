//! One table of the raw tree, read key by key.
//!
//! In: a table and, for each key, what it must be. Out: the typed value, or its default beside a problem, so that
//! reading goes on and every problem is found. Whatever key nobody asked for is unknown, at every level.

use std::{fmt::Display, net::SocketAddr, ops::RangeInclusive, time::Duration};

use figment::value::{Dict, Value};

use super::{
    findings::Findings,
    units::{self, UnitError},
};

/// The value of a key, or what is wrong with it: a sentence that continues `key: `.
pub(super) type Reading<T> = Result<T, String>;

/// A range that a value must lie in, both ends included, and why when the number alone does not say.
pub(super) struct Bounds<T> {
    pub(super) range: RangeInclusive<T>,
    pub(super) why: &'static str,
}

impl<T: PartialOrd> Bounds<T> {
    fn hold(&self, value: T, show: impl Fn(&T) -> String) -> Reading<T> {
        if self.range.contains(&value) {
            return Ok(value);
        }
        let (least, most) = (show(self.range.start()), show(self.range.end()));
        let why = if self.why.is_empty() { String::new() } else { format!(" ({})", self.why) };
        Err(format!("must be from {least} to {most}{why}"))
    }
}

impl<T> From<RangeInclusive<T>> for Bounds<T> {
    fn from(range: RangeInclusive<T>) -> Self {
        Bounds { range, why: "" }
    }
}

/// A table under its key path.
pub(super) struct Table<'a, 'f> {
    keys: &'a Dict,
    /// Where it stands, such as `sources[0]`; empty for the root.
    path: String,
    /// The same without an index: the name under which its keys are known.
    section: &'static str,
    asked: Vec<&'static str>,
    findings: &'f mut Findings,
}

impl<'a, 'f> Table<'a, 'f> {
    pub(super) fn new(keys: &'a Dict, path: String, section: &'static str, findings: &'f mut Findings) -> Self {
        Table { keys, path, section, asked: Vec::new(), findings }
    }

    /// The full path of one of this table's keys. A key that TOML itself would quote is quoted.
    pub(super) fn path(&self, key: &str) -> String {
        let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn findings(&mut self) -> &mut Findings {
        self.findings
    }

    /// The raw value of a key, which from now on is known.
    pub(super) fn raw(&mut self, key: &'static str) -> Option<&'a Value> {
        self.asked.push(key);
        self.keys.get(key)
    }

    /// A key with a default.
    pub(super) fn or<T>(&mut self, key: &'static str, default: T, read: impl FnOnce(&Value) -> Reading<T>) -> T {
        self.maybe(key, read).unwrap_or(default)
    }

    /// A key that may be absent.
    pub(super) fn maybe<T>(&mut self, key: &'static str, read: impl FnOnce(&Value) -> Reading<T>) -> Option<T> {
        self.findings.know(format!("{}.{key}", self.section));
        match read(self.raw(key)?) {
            Ok(value) => Some(value),
            Err(text) => {
                self.findings.problem(&self.path(key), text);
                None
            }
        }
    }

    /// A key that must be there; `form` says how it is written. `None` stands beside a problem.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        form: &str,
        read: impl FnOnce(&Value) -> Reading<T>,
    ) -> Option<T> {
        if !self.keys.contains_key(key) {
            self.findings.problem(&self.path(key), format!("is required; {form}"));
        }
        self.maybe(key, read)
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        bounds: impl Into<Bounds<Duration>>,
    ) -> Duration {
        self.or(key, default, |value| duration(value, default, &bounds.into()))
    }

    /// A duration that `"off"` switches off.
    pub(super) fn duration_or_off(
        &mut self,
        key: &'static str,
        default: Option<Duration>,
        example: Duration,
        bounds: impl Into<Bounds<Duration>>,
    ) -> Option<Duration> {
        self.or(key, default, |value| match value {
            Value::String(_, text) if text == units::OFF => Ok(None),
            _ => duration(value, example, &bounds.into()).map(Some).map_err(|text| format!("{text}, or \"off\"")),
        })
    }

    pub(super) fn size(&mut self, key: &'static str, default: u64, bounds: impl Into<Bounds<u64>>) -> u64 {
        self.or(key, default, |value| size(value, default, &bounds.into()))
    }

    /// A size that `"off"` switches off.
    pub(super) fn size_or_off(
        &mut self,
        key: &'static str,
        default: Option<u64>,
        example: u64,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        self.or(key, default, |value| match value {
            Value::String(_, text) if text == units::OFF => Ok(None),
            _ => size(value, example, &range.into()).map(Some).map_err(|text| format!("{text}, or \"off\"")),
        })
    }

    /// A size that memory must hold.
    pub(super) fn memory(&mut self, key: &'static str, default: usize, bounds: RangeInclusive<u64>) -> usize {
        let bytes = self.size(key, u64::try_from(default).unwrap_or(u64::MAX), bounds);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    pub(super) fn count<T>(&mut self, key: &'static str, default: T, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        let from_environment = self.findings.is_from_environment(&self.path(key));
        self.or(key, default, |value| {
            let bounds = Bounds::from(range);
            // A number beyond the type is beyond the bounds as well, and gets the same line.
            let (least, most) = (bounds.range.start().to_string(), bounds.range.end().to_string());
            let count = T::try_from(count(value, from_environment)?);
            bounds.hold(count.map_err(|_| format!("must be from {least} to {most}"))?, T::to_string)
        })
    }

    pub(super) fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        self.or(key, default, |value| {
            let example = || format!("must be an IP address and a port, such as \"{default}\"");
            text(value)?.parse().map_err(|_| example())
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let from_environment = self.findings.is_from_environment(&self.path(key));
        self.or(key, default, |value| match value {
            Value::Bool(_, flag) => Ok(*flag),
            // Variables are always text.
            Value::String(_, text) if from_environment && text == "true" => Ok(true),
            Value::String(_, text) if from_environment && text == "false" => Ok(false),
            other => Err(format!("must be true or false, not {}", kind(other))),
        })
    }

    /// A list; a variable, which is always text, holds it with commas between.
    pub(super) fn list<T>(&mut self, key: &'static str, default: T, read: impl FnOnce(&Value) -> Reading<T>) -> T {
        let from_environment = self.findings.is_from_environment(&self.path(key));
        self.or(key, default, |value| match value {
            Value::String(_, text) if from_environment => read(&split(text)),
            other => read(other),
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, default: T, words: &[(&str, T)]) -> T {
        self.or(key, default, |value| choice(value, words))
    }

    /// Ends the reading: every key that was not asked for is a problem.
    pub(super) fn finish(self) {
        for key in self.keys.keys().filter(|key| !self.asked.contains(&key.as_str())) {
            let text = match nearest(key, &self.asked) {
                Some(known) => format!("unknown key; did you mean `{known}`?"),
                None => "unknown key; remove it or correct its name".into(),
            };
            self.findings.problem(&self.path(key), text);
        }
    }
}

/// The list that a variable holds; nothing at all is the empty list.
fn split(text: &str) -> Value {
    let elements = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
    Value::from(elements.map(Value::from).collect::<Vec<_>>())
}

/// Text in quotes.
pub(super) fn text(value: &Value) -> Reading<&str> {
    value.as_str().ok_or_else(|| format!("must be text in quotes, not {}", kind(value)))
}

/// One of a few words.
pub(super) fn choice<T: Copy>(value: &Value, words: &[(&str, T)]) -> Reading<T> {
    let found = text(value)?;
    words.iter().find(|(word, _)| *word == found).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        format!("must be {}", all.join(" or "))
    })
}

/// What a value is, in words, never what it says.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "text",
        Value::Bool(..) => "true or false",
        Value::Num(_, number) if number.to_f64().is_some() => "a number with a fraction",
        Value::Num(..) => "a whole number",
        Value::Empty(..) => "nothing",
        // figment's TOML reader passes a date on as a table of this one private key.
        Value::Dict(_, keys) if keys.keys().any(|key| key.starts_with("$__toml_private")) => "a date",
        Value::Dict(..) => "a table",
        Value::Array(..) => "a list",
    }
}

fn size(value: &Value, example: u64, bounds: &Bounds<u64>) -> Reading<u64> {
    let example = units::show_size(example);
    let size = units::size(with_unit(value, &example)?);
    bounds.hold(size.map_err(|error| unit_text(error, "B, KiB, MiB, GiB", &example))?, |bytes| units::show_size(*bytes))
}

fn duration(value: &Value, example: Duration, bounds: &Bounds<Duration>) -> Reading<Duration> {
    let example = units::show_duration(example);
    let duration = units::duration(with_unit(value, &example)?);
    bounds.hold(duration.map_err(|error| unit_text(error, "ms, s, m, h, d", &example))?, |bound| {
        units::show_duration(*bound)
    })
}

/// The text of a quantity. A bare number is told apart from other wrong types, since it is the likely slip.
fn with_unit<'v>(value: &'v Value, example: &str) -> Reading<&'v str> {
    match value {
        Value::String(_, text) => Ok(text),
        Value::Num(..) => Err(format!("is a number without a unit; write it like \"{example}\"")),
        other => Err(format!("must be text with a unit like \"{example}\", not {}", kind(other))),
    }
}

fn unit_text(error: UnitError, units: &str, example: &str) -> String {
    format!("{error}; write it like \"{example}\", with one of {units}")
}

fn count(value: &Value, from_environment: bool) -> Reading<i128> {
    let number = match value {
        Value::Num(_, number) => number.to_i128().or_else(|| number.to_u128().and_then(|n| i128::try_from(n).ok())),
        // Variables are always text; in the file quotes around a number are a wrong type.
        Value::String(_, text) if from_environment => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| match value {
        Value::String(..) if from_environment => "must be a whole number".into(),
        Value::String(..) => "must be a whole number without quotes, not text".into(),
        other => format!("must be a whole number, not {}", kind(other)),
    })
}

/// The known key that an unknown one is most likely a slip of: at most two letters away, and most letters right.
fn nearest<'k>(unknown: &str, known: &[&'k str]) -> Option<&'k str> {
    let limit = unknown.chars().count() / 3;
    known
        .iter()
        .map(|key| (distance(&unknown.to_ascii_lowercase(), key), *key))
        .filter(|(distance, _)| *distance <= limit.min(2))
        .min()
        .map(|(_, key)| key)
}

/// How many letters must be put in, taken out or changed (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    // A key is as long as its writer likes; beyond this no known key is near.
    for (index, letter) in left.chars().take(64).enumerate() {
        let mut corner = index;
        let mut last = index + 1;
        for (other, cell) in right.iter().zip(row.iter_mut().skip(1)) {
            let changed = corner + usize::from(letter != *other);
            corner = *cell;
            last = changed.min(last + 1).min(corner + 1);
            *cell = last;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshtein() {
        for (left, right, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("max_bdy", "max_body", 1),
            ("a", "b", 1),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn only_a_near_key_is_suggested() {
        let known = ["max_body", "max_head", "address"];
        assert_eq!(nearest("max-body", &known), Some("max_body"));
        assert_eq!(nearest("MAX_HEAD", &known), Some("max_head"));
        assert_eq!(nearest("adress", &known), Some("address"));
        assert_eq!(nearest("timeout", &known), None);
        assert_eq!(nearest("", &known), None);
        assert_eq!(nearest(&"x".repeat(10_000), &known), None);
    }
}
