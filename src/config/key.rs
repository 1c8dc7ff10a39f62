//! Keys: how a value is written, within which bounds, what it is when the key is absent, and how the example shows it.

use std::{
    fmt::Display,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use figment::value::Value;

use crate::units::{self, UnitError};

/// 1024 bytes.
pub(super) const KIB: u64 = 1 << 10;
/// 1024 KiB.
pub(super) const MIB: u64 = 1 << 20;
/// 1024 MiB.
pub(super) const GIB: u64 = 1 << 30;
/// 1024 GiB.
pub(super) const TIB: u64 = 1 << 40;

/// Most bytes of a request path and of a source's `ce_source`, which is in every message.
pub(super) const MOST_URI: usize = 256;

/// No timer that is shorter can tell a slow peer from a busy moment.
pub(super) const SHORT: Duration = Duration::from_millis(100);
/// The word for everything that a list could have.
const ALL: &str = "all";
/// 60 seconds.
pub(super) const MINUTE: Duration = Duration::from_mins(1);
/// 60 minutes.
pub(super) const HOUR: Duration = Duration::from_hours(1);
/// 7 days.
pub(super) const WEEK: Duration = Duration::from_hours(7 * 24);
/// Longer than anything is kept.
pub(super) const TEN_YEARS: Duration = Duration::from_hours(3650 * 24);

/// The value of a key, or what is wrong with it: a sentence that continues `key: `.
pub(super) type Reading<T> = Result<T, String>;

/// What the file or a variable says about a key.
#[derive(Clone, Copy)]
pub(super) struct Raw<'v> {
    pub(super) value: &'v Value,
    /// Whether a variable says it. A variable is always text, whatever the key wants.
    pub(super) from_environment: bool,
}

/// One key.
pub(super) struct Key<T> {
    form: Box<dyn Fn(Raw<'_>) -> Reading<T>>,
    /// Its value when the table does not have it, or has a bad one.
    pub(super) absent: T,
    /// Its value in the example, as TOML.
    pub(super) shown: String,
    /// What the example's comment says after the row's own.
    pub(super) note: String,
    pub(super) presence: Presence,
}

/// Whether a key must be there, and whether the example comments it out.
pub(super) enum Presence {
    /// It has a default, which the example shows.
    Default,
    /// It has none and may be absent.
    Optional,
    /// The same, but the example has it.
    Shown,
    /// It must be there; how to write it.
    Required(String),
}

impl<T: 'static> Key<T> {
    fn new(absent: T, shown: String, form: impl Fn(Raw<'_>) -> Reading<T> + 'static) -> Self {
        Key { form: Box::new(form), absent, shown, note: String::new(), presence: Presence::Default }
    }

    pub(super) fn read(&self, raw: Raw<'_>) -> Reading<T> {
        (self.form)(raw)
    }

    /// It must be there. The default becomes the example's value; `advice` says how to write it.
    pub(super) fn required(self, advice: impl Into<String>) -> Self {
        Key { presence: Presence::Required(advice.into()), ..self }
    }

    /// Adds a sentence to the example's comment.
    pub(super) fn noted(self, note: String) -> Self {
        Key { note, ..self }
    }

    /// The example has it, without `#`.
    pub(super) fn shown(self) -> Self {
        Key { presence: Presence::Shown, ..self }
    }

    /// Something else than what the example shows when it is absent.
    pub(super) fn absent(self, absent: T) -> Self {
        Key { absent, ..self }
    }

    /// `"off"` is a value too.
    pub(super) fn or_off(self) -> Key<Option<T>> {
        let form = self.form;
        let or_off = move |raw: Raw<'_>| match raw.value {
            Value::String(_, text) if text == units::OFF => Ok(None),
            _ => form(raw).map(Some).map_err(|text| format!("{text}, or \"off\"")),
        };
        Key::new(Some(self.absent), self.shown, or_off).noted(self.note)
    }
}

impl<T: 'static> Key<Vec<T>> {
    /// `"all"` is a value too, and the default.
    pub(super) fn or_all(self) -> Key<Option<Vec<T>>> {
        let form = self.form;
        Key::new(None, quoted(ALL), move |raw| match raw.value {
            Value::String(_, text) if text == ALL => Ok(None),
            _ => form(raw).map(Some),
        })
    }
}

impl<T: 'static> Key<Option<T>> {
    /// `"off"` is the default.
    pub(super) fn off(self) -> Self {
        Key { absent: None, shown: quoted(units::OFF), ..self }
    }

    /// It must not be there; why.
    pub(super) fn refused(why: String) -> Self {
        Key::new(None, quoted(units::OFF), move |_| Err(why.clone()))
    }
}

/// The range that a value must lie in, both ends included, and why when the numbers do not say it themselves.
pub(super) struct Bounds<T> {
    range: RangeInclusive<T>,
    why: &'static str,
}

/// Bounds that need a reason.
pub(super) fn because<T>(range: RangeInclusive<T>, why: &'static str) -> Bounds<T> {
    Bounds { range, why }
}

impl<T> From<RangeInclusive<T>> for Bounds<T> {
    fn from(range: RangeInclusive<T>) -> Self {
        Bounds { range, why: "" }
    }
}

impl<T: PartialOrd> Bounds<T> {
    /// The value, if there is one and it lies within. Errors: what it must be.
    fn hold(&self, value: Option<T>, show: fn(&T) -> String) -> Reading<T> {
        value.filter(|value| self.range.contains(value)).ok_or_else(|| match self.why {
            "" => format!("must be {}", self.words(show)),
            why => format!("must be {} ({why})", self.words(show)),
        })
    }

    /// What the example says of bounds that have a reason.
    fn note(&self, show: fn(&T) -> String) -> String {
        match self.why {
            "" => String::new(),
            why => format!("It is {} ({why}).", self.words(show)),
        }
    }

    fn words(&self, show: fn(&T) -> String) -> String {
        format!("from {} to {}", show(self.range.start()), show(self.range.end()))
    }
}

/// A whole number.
pub(super) fn count<T>(default: T, bounds: impl Into<Bounds<T>>) -> Key<T>
where
    T: TryFrom<i128> + PartialOrd + Display + 'static,
{
    let bounds = bounds.into();
    let (shown, note) = (default.to_string(), bounds.note(T::to_string));
    // A number beyond the type is beyond the bounds as well.
    Key::new(default, shown, move |raw| bounds.hold(T::try_from(whole_number(raw)?).ok(), T::to_string)).noted(note)
}

/// A size in bytes, with its unit.
pub(super) fn size<T>(default: u64, bounds: impl Into<Bounds<u64>>) -> Key<T>
where
    T: TryFrom<u64> + Default + 'static,
{
    let show = |bytes: &u64| units::show_size(*bytes);
    let (bounds, example) = (bounds.into(), show(&default));
    let (shown, note) = (quoted(&example), bounds.note(show));
    let form = move |raw: Raw<'_>| {
        let bytes = quantity(raw, units::size, "B, KiB, MiB, GiB", &example)?;
        T::try_from(bounds.hold(Some(bytes), show)?).map_err(|_| "is more than this machine can address".into())
    };
    Key::new(T::try_from(default).unwrap_or_default(), shown, form).noted(note)
}

/// A duration, with its unit.
pub(super) fn duration(default: Duration, bounds: impl Into<Bounds<Duration>>) -> Key<Duration> {
    let show = |duration: &Duration| units::show_duration(*duration);
    let (bounds, example) = (bounds.into(), show(&default));
    let (shown, note) = (quoted(&example), bounds.note(show));
    let form =
        move |raw: Raw<'_>| bounds.hold(Some(quantity(raw, units::duration, "us, ms, s, m, h, d", &example)?), show);
    Key::new(default, shown, form).noted(note)
}

/// One of a few words.
pub(super) fn word<T: Copy + PartialEq + 'static>(default: T, words: &[(&'static str, T)]) -> Key<T> {
    let shown = words.iter().find(|(_, meaning)| *meaning == default).map(|(word, _)| quoted(word));
    let words = words.to_vec();
    Key::new(default, shown.unwrap_or_default(), move |raw| {
        let found = raw.text()?;
        let meaning = words.iter().find(|(word, _)| *word == found).map(|(_, meaning)| *meaning);
        meaning.ok_or_else(|| format!("must be {}", one_of(words.iter().map(|(word, _)| *word))))
    })
}

/// The words of a choice, in a sentence.
pub(super) fn one_of<'w>(words: impl Iterator<Item = &'w str>) -> String {
    words.map(quoted).collect::<Vec<_>>().join(" or ")
}

/// `true` or `false`.
pub(super) fn flag(default: bool) -> Key<bool> {
    Key::new(default, default.to_string(), |raw| match raw.value {
        Value::Bool(_, flag) => Ok(*flag),
        Value::String(_, text) if raw.from_environment && text == "true" => Ok(true),
        Value::String(_, text) if raw.from_environment && text == "false" => Ok(false),
        other => Err(format!("must be true or false, not {}", kind(other))),
    })
}

/// An IP address and a port; the default is this port of the loopback interface.
pub(super) fn address(port: u16) -> Key<SocketAddr> {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let shown = quoted(&default.to_string());
    Key::new(default, shown.clone(), move |raw| {
        raw.text()?.parse().map_err(|_| format!("must be an IP address and a port, such as {shown}"))
    })
}

/// Text in a form of its own.
pub(super) fn text<T: Default + 'static>(default: &str, form: impl Fn(&str) -> Reading<T> + 'static) -> Key<T> {
    let absent = form(default).unwrap_or_default();
    Key::new(absent, quoted(default), move |raw| form(raw.text()?))
}

/// Text in a form of its own that may be absent.
pub(super) fn optional<T: 'static>(example: &str, form: impl Fn(&str) -> Reading<T> + 'static) -> Key<Option<T>> {
    let key = Key::new(None, quoted(example), move |raw| form(raw.text()?).map(Some));
    Key { presence: Presence::Optional, ..key }
}

/// A list of texts, in the file; with commas between, in a variable. `of` says what it lists.
pub(super) fn list<T: 'static>(
    of: &'static str,
    default: &[&str],
    form: impl Fn(&[&str]) -> Reading<Vec<T>> + 'static,
) -> Key<Vec<T>> {
    let absent = form(default).unwrap_or_default();
    let shown = default.iter().copied().map(quoted).collect::<Vec<_>>().join(", ");
    Key::new(absent, format!("[{shown}]"), move |raw| match raw.value {
        Value::String(_, text) if raw.from_environment => {
            let elements = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
            form(&elements.collect::<Vec<_>>())
        }
        Value::Array(_, elements) => {
            let texts = elements.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
            form(&texts.ok_or_else(|| format!("must be a list of {of}"))?)
        }
        other => Err(format!("must be a list of {of}, not {}", kind(other))),
    })
}

/// Whether a text is 1 to `most` bytes of an alphabet.
pub(super) fn made_of(text: &str, most: usize, alphabet: impl Fn(u8) -> bool) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(alphabet)
}

/// A path that some system call can take; `of` says whose. Nothing is opened.
pub(super) fn path<P: for<'p> From<&'p str>>(of: &'static str) -> impl Fn(&str) -> Reading<P> {
    move |path| match path.is_empty() || path.contains('\0') {
        true => Err(format!("must be the path of a {of}")),
        false => Ok(path.into()),
    }
}

/// Paths match byte for byte, so what a sender or a proxy would rewrite can never match and is refused.
pub(super) fn request_path(path: &str) -> Reading<String> {
    if !path.starts_with('/') {
        return Err("must begin with \"/\"".into());
    }
    if MOST_URI < path.len() {
        return Err(format!("must have at most {MOST_URI} bytes"));
    }
    // RFC 3986 `pchar` without percent-encoding.
    if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&b)) {
        return Err("must be letters, digits and -._~!$&'()*+,;=:@ between slashes; no query, fragment or %".into());
    }
    if path.contains("//") || path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("must not have empty, \".\" or \"..\" segments, which proxies remove".into());
    }
    Ok(path.into())
}

/// The name of a user at a broker.
pub(super) fn user(name: &str) -> Reading<String> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err("must be a user's name".into());
    }
    Ok(name.into())
}

impl<'v> Raw<'v> {
    fn text(self) -> Reading<&'v str> {
        self.value.as_str().ok_or_else(|| format!("must be text in quotes, not {}", kind(self.value)))
    }
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

fn whole_number(raw: Raw<'_>) -> Reading<i128> {
    let number = match raw.value {
        Value::Num(_, number) => number.to_i128().or_else(|| number.to_u128().and_then(|n| i128::try_from(n).ok())),
        // In the file, quotes around a number are a wrong type.
        Value::String(_, text) if raw.from_environment => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| match raw.value {
        Value::String(..) if raw.from_environment => "must be a whole number".into(),
        Value::String(..) => "must be a whole number without quotes, not text".into(),
        other => format!("must be a whole number, not {}", kind(other)),
    })
}

/// A number with its unit. A bare number has a message of its own, since it is the likely slip.
fn quantity<T>(raw: Raw<'_>, parse: fn(&str) -> Result<T, UnitError>, units: &str, example: &str) -> Reading<T> {
    match raw.value {
        Value::String(_, text) => {
            parse(text).map_err(|error| format!("{error}; write it like \"{example}\", with one of {units}"))
        }
        Value::Num(..) => Err(format!("is a number without a unit; write it like \"{example}\"")),
        other => Err(format!("must be text with a unit like \"{example}\", not {}", kind(other))),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
