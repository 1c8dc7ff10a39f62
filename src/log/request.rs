//! The line of a finished request: a `tracing` event with fields, and its layout.
//!
//! The layout is our own: `tracing`'s costs several times as much for ten fields, and escapes less of a sender's text (P6).

use std::{
    borrow::Cow,
    fmt::{self, Debug, Write as _},
    net::IpAddr,
    time::Duration,
};

use tracing::{
    Event, Level,
    field::{Field, Visit},
};

use crate::{config::LogFormat, text};

/// The target of these events.
pub const TARGET: &str = "hookbus::request";
/// Most characters of a sender's text in a line.
const MAX_FIELD_CHARS: usize = 256;

/// One finished request.
#[derive(Debug)]
pub struct RequestLine<'a> {
    /// The source's name, or `none`.
    pub source: &'a str,
    /// HTTP status.
    pub status: u16,
    /// `accepted`, `rejected`, `failed`.
    pub outcome: &'static str,
    /// Why, when not accepted; what, when a repeat or a conflict.
    pub reason: Option<&'a str>,
    /// The event's type, once it is known.
    pub event_type: Option<&'a str>,
    /// The event's id, once it is known.
    pub event_id: Option<&'a str>,
    /// The id of what the event is about; not in the log.
    pub entity: Option<&'a str>,
    /// The path of a request that no source has.
    pub path: Option<&'a str>,
    /// Who sent it: the connection's address, or what a trusted proxy says.
    pub sender: IpAddr,
    /// Its `User-Agent`, as it came.
    pub user_agent: Option<&'a [u8]>,
    /// The name of the secret that matched.
    pub secret: Option<&'a str>,
    /// Bytes of the body.
    pub bytes: usize,
    /// Head to answer.
    pub duration: Duration,
    /// W3C trace id.
    pub trace_id: Option<&'a str>,
}

impl RequestLine<'_> {
    /// Ours is an error, theirs a warning.
    pub(super) fn level(&self) -> Level {
        match self.status {
            200..400 => Level::INFO,
            400..500 => Level::WARN,
            _ => Level::ERROR,
        }
    }

    /// Whether it is about an event that is durable.
    pub(super) fn has_event(&self) -> bool {
        self.status == 200 && self.event_id.is_some()
    }

    /// As much of it as a line has, and no more of what is not UTF-8 than U+FFFD.
    fn user_agent(&self) -> Option<Cow<'_, str>> {
        let most = |bytes: &'_ [u8]| bytes.len().min(4 * MAX_FIELD_CHARS);
        self.user_agent.map(|bytes| String::from_utf8_lossy(bytes.get(..most(bytes)).unwrap_or_default()))
    }

    /// Emits the event; every layer of the subscriber sees its fields.
    pub(super) fn emit(&self) {
        let user_agent = self.user_agent();
        // `tracing` fixes a level at its call site.
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: TARGET,
                    Level::$level,
                    source = self.source,
                    status = self.status,
                    outcome = self.outcome,
                    reason = self.reason,
                    "type" = self.event_type,
                    event_id = self.event_id,
                    path = self.path,
                    sender = %self.sender,
                    user_agent = user_agent.as_deref(),
                    secret = self.secret,
                    trace_id = self.trace_id,
                    bytes = self.bytes,
                    duration_ms = Milliseconds::of(self.duration).as_float(),
                    "request"
                )
            };
        }
        match self.level() {
            Level::INFO => event!(INFO),
            Level::WARN => event!(WARN),
            _ => event!(ERROR),
        }
    }
}

/// Writes the line of a request. Writing to a String cannot fail.
pub(super) fn write(format: LogFormat, event: &Event<'_>, out: &mut String) -> fmt::Result {
    let (now, level) = (text::Microseconds(jiff::Timestamp::now()), event.metadata().level().as_str());
    let (start, end) = match format {
        LogFormat::Json => {
            write!(out, r#"{{"timestamp":"{now}","level":"{level}","message":"request""#)?;
            ([",\"", "\":", "\":\""], "}\n")
        }
        LogFormat::Text => {
            write!(out, "{now} {level:>5} request")?;
            ([" ", "=", "=\""], "\n")
        }
    };
    let mut fields = Fields { out, format, start, written: Ok(()) };
    event.record(&mut fields);
    fields.written?;
    out.push_str(end);
    Ok(())
}

/// Writes fields in their order.
struct Fields<'o> {
    out: &'o mut String,
    format: LogFormat,
    /// What stands before a field's name, and after it: without a quote, and with one.
    start: [&'static str; 3],
    written: fmt::Result,
}

impl Fields<'_> {
    fn start(&mut self, field: &Field, is_quoted: bool) {
        let [before, bare, quoted] = self.start;
        self.out.push_str(before);
        self.out.push_str(field.name());
        self.out.push_str(if is_quoted { quoted } else { bare });
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Names of ours need no quotes in text.
        let is_quoted = self.format == LogFormat::Json || !matches!(field.name(), "source" | "outcome");
        self.start(field, is_quoted);
        self.written = self.written.and_then(|()| text::ascii(value, MAX_FIELD_CHARS, self.out));
        if is_quoted {
            self.out.push('"');
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.start(field, false);
        text::push_number(value, self.out);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.start(field, false);
        Milliseconds::from_float(value).write(self.out);
    }

    /// The sender's address; the message stands at the line's beginning.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "sender" {
            self.start(field, true);
            self.written = self.written.and_then(|()| write!(self.out, "{value:?}"));
            self.out.push('"');
        }
    }
}

/// Milliseconds with three decimals, kept as microseconds: whole numbers are quicker to write than a float is to round.
struct Milliseconds(u64);

impl Milliseconds {
    fn of(duration: Duration) -> Self {
        Milliseconds(duration.as_micros().try_into().unwrap_or(u64::MAX))
    }

    #[expect(clippy::cast_precision_loss, reason = "285 years of microseconds are exact")]
    fn as_float(&self) -> f64 {
        self.0 as f64 / 1000.0
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "made by `as_float`")]
    fn from_float(milliseconds: f64) -> Self {
        Milliseconds((milliseconds * 1000.0 + 0.5) as u64)
    }

    fn write(&self, out: &mut String) {
        let mut decimals = [b'.'; 4];
        text::digits(self.0 % 1000, &mut decimals[1..]);
        text::push_number(self.0 / 1000, out);
        out.push_str(std::str::from_utf8(&decimals).unwrap_or_default());
    }
}
