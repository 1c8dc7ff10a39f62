//! Logs, on standard error: events of the process through `tracing`, and one line per finished request.
//!
//! A blocked reader of standard error (a full pipe) never blocks a request: lines go into a bounded buffer that a thread
//! of its own writes out, and lines beyond the bound are dropped and counted. Neither kind of line holds a secret or a
//! payload, and what comes from a sender is written in ASCII with escapes, so that it can neither break a line nor
//! dress it up (P6).

use std::{
    fmt::Write as _,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::config::{Log, LogFormat, LogLevel};

/// Bytes of lines that wait for standard error; more are dropped.
const MAX_WAITING_BYTES: usize = 1024 * 1024;
/// After a write, lines gather for this long: under load that is one system call for hundreds of lines.
const GATHER: Duration = Duration::from_millis(2);

/// Lines per second about requests that brought no durable event: refused, failed, unknown path, ping.
const MAX_STRANGE_LINES_PER_SECOND: u32 = 100;

/// The bounded buffer and its writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lines {
    shared: Arc<Shared>,
    format: LogFormat,
    level: LogLevel,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    dropped: u64,
    writing: bool,
    /// The current second since the start, and the lines about requests without an event in it.
    second: u64,
    strange: u32,
}

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
    /// The path of a request that no source has.
    pub path: Option<&'a str>,
    /// Bytes of the body.
    pub bytes: usize,
    /// Head to answer.
    pub duration: Duration,
    /// W3C trace id.
    pub trace_id: Option<&'a str>,
}

/// Sets up `tracing` for the process and starts the writer's thread.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(config: &Log) -> io::Result<Lines> {
    let level = match config.level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
    };
    let lines = Lines { shared: Arc::new(Shared::new()), format: config.format, level: config.level };
    let shared = Arc::clone(&lines.shared);
    thread::Builder::new().name("log".into()).spawn(move || write_out(&shared))?;
    // The NATS client tells each attempt to connect; `bus::nats` says what matters of it.
    let filter = match config.level {
        LogLevel::Info => "info,async_nats=warn".into(),
        LogLevel::Error | LogLevel::Warn | LogLevel::Debug => level.to_string(),
    };
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(lines.clone()).with_target(false);
    // A second start in one process (a test) keeps the first subscriber.
    let _already_set = match config.format {
        LogFormat::Json => tracing::subscriber::set_global_default(subscriber.json().flatten_event(true).finish()),
        LogFormat::Text => tracing::subscriber::set_global_default(subscriber.with_ansi(false).finish()),
    };
    Ok(lines)
}

fn write_out(shared: &Shared) {
    let mut batch = Vec::new();
    loop {
        let mut waiting = shared.lock();
        waiting.writing = false;
        while waiting.bytes.is_empty() {
            waiting = shared.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.writing = true;
        std::mem::swap(&mut waiting.bytes, &mut batch);
        drop(waiting);
        // Nobody can be told that standard error is gone.
        let _gone = io::stderr().write_all(&batch);
        batch.clear();
        thread::sleep(GATHER);
    }
}

impl Shared {
    fn new() -> Self {
        Shared { start: Instant::now(), waiting: Mutex::default(), more: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this second has room for another line about a request without an event; counts it as dropped if not.
    fn may_write_strange_line(&self) -> bool {
        let now = self.start.elapsed().as_secs();
        let mut waiting = self.lock();
        if waiting.second != now {
            waiting.second = now;
            waiting.strange = 0;
        }
        waiting.strange += 1;
        let fits = waiting.strange <= MAX_STRANGE_LINES_PER_SECOND;
        waiting.dropped += u64::from(!fits);
        fits
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.len() + line.len() > MAX_WAITING_BYTES {
            waiting.dropped += 1;
            return;
        }
        waiting.bytes.extend_from_slice(line);
        if !waiting.writing {
            self.more.notify_one();
        }
    }
}

impl Lines {
    /// Lines dropped so far.
    pub fn dropped(&self) -> u64 {
        self.shared.lock().dropped
    }

    /// Waits until everything is written, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let rounds = limit.as_millis() / 2;
        for _ in 0..rounds {
            let waiting = self.shared.lock();
            if waiting.bytes.is_empty() && !waiting.writing {
                return;
            }
            drop(waiting);
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Writes the line of a finished request. Lines of requests that brought no durable event are bounded by the
    /// second: anyone can send those, and neither a flood nor an outage may fill the disk or the buffer.
    pub fn request(&self, line: &RequestLine<'_>) {
        let quiet = line.status == 200 && line.event_id.is_some();
        if line.level() > self.level || (!quiet && !self.shared.may_write_strange_line()) {
            return;
        }
        let mut text = String::with_capacity(320);
        // Writing to a String cannot fail.
        let _infallible = match self.format {
            LogFormat::Json => line.json(&mut text),
            LogFormat::Text => line.text(&mut text),
        };
        self.shared.push(text.as_bytes());
    }
}

impl RequestLine<'_> {
    /// Ours is an error, theirs a warning.
    fn level(&self) -> LogLevel {
        match self.status {
            200..400 => LogLevel::Info,
            400..500 => LogLevel::Warn,
            _ => LogLevel::Error,
        }
    }

    fn level_name(&self) -> &'static str {
        match self.level() {
            LogLevel::Error => "ERROR",
            LogLevel::Warn => "WARN",
            LogLevel::Info => "INFO",
            LogLevel::Debug => "DEBUG",
        }
    }

    fn fields(&self) -> [(&'static str, Option<&str>); 5] {
        [
            ("reason", self.reason),
            ("type", self.event_type),
            ("event_id", self.event_id),
            ("path", self.path),
            ("trace_id", self.trace_id),
        ]
    }

    fn json(&self, out: &mut String) -> std::fmt::Result {
        write!(out, r#"{{"timestamp":"{:.6}","level":""#, jiff::Timestamp::now())?;
        push_all(out, &[self.level_name(), r#"","message":"request","source":""#, self.source]);
        write!(out, r#"","status":{},"outcome":""#, self.status)?;
        push_all(out, &[self.outcome, "\""]);
        for (name, value) in self.fields() {
            if let Some(value) = value {
                push_all(out, &[",\"", name, "\":\""]);
                ascii(value, out)?;
                out.push('"');
            }
        }
        writeln!(out, r#","bytes":{},"duration_ms":{}}}"#, self.bytes, Milliseconds(self.duration))
    }

    fn text(&self, out: &mut String) -> std::fmt::Result {
        let now = jiff::Timestamp::now();
        let level = self.level_name();
        write!(
            out,
            "{now:.6} {level:>5} request source={} status={} outcome={}",
            self.source, self.status, self.outcome
        )?;
        for (name, value) in self.fields() {
            if let Some(value) = value {
                write!(out, " {name}=\"")?;
                ascii(value, out)?;
                out.push('"');
            }
        }
        writeln!(out, " bytes={} duration_ms={}", self.bytes, Milliseconds(self.duration))
    }
}

/// A duration in milliseconds with three decimals. Whole numbers are quicker to write than a float is to round.
struct Milliseconds(Duration);

impl std::fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

fn push_all(out: &mut String, pieces: &[&str]) {
    pieces.iter().for_each(|piece| out.push_str(piece));
}

/// Most characters of a sender's text in a line.
const MAX_FIELD_CHARS: usize = 256;

/// Printable ASCII as it is, everything else as a JSON escape: U+202E and its kind cannot reorder a terminal's line.
fn ascii(text: &str, out: &mut String) -> std::fmt::Result {
    // Nearly every text is plain, and copied in one piece.
    if text.len() <= MAX_FIELD_CHARS
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
    {
        out.push_str(text);
        return Ok(());
    }
    for character in text.chars().take(MAX_FIELD_CHARS) {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
    }
    Ok(())
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { shared: &self.shared }
    }
}

/// One `tracing` event on its way into the buffer; `tracing` writes each event in one piece.
#[derive(Debug)]
pub struct Line<'a> {
    shared: &'a Shared,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(format: LogFormat) -> Lines {
        Lines { shared: Arc::new(Shared::new()), format, level: LogLevel::Info }
    }

    const LINE: RequestLine<'_> = RequestLine {
        source: "acme",
        status: 200,
        outcome: "accepted",
        reason: None,
        event_type: Some("policy.active"),
        event_id: Some("evt\"\n\u{202e}\u{1f600}"),
        path: None,
        bytes: 7,
        duration: Duration::from_micros(1500),
        trace_id: None,
    };

    #[test]
    fn a_json_line_is_json_in_plain_ascii() {
        let lines = lines(LogFormat::Json);
        lines.request(&LINE);
        let text = String::from_utf8(lines.shared.lock().bytes.clone()).unwrap();
        assert!(text.is_ascii() && text.ends_with("}\n") && text.matches('\n').count() == 1, "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["event_id"], "evt\"\n\u{202e}\u{1f600}");
        assert_eq!(json["duration_ms"], 1.5);
        assert_eq!(json["outcome"], "accepted");
    }

    #[test]
    fn a_text_line_stays_one_line() {
        let lines = lines(LogFormat::Text);
        lines.request(&LINE);
        let text = String::from_utf8(lines.shared.lock().bytes.clone()).unwrap();
        assert!(text.is_ascii() && text.lines().count() == 1, "{text}");
        assert!(text.contains(r#"event_id="evt\"\u000a\u202e\ud83d\ude00""#), "{text}");
    }

    #[test]
    fn beyond_the_bound_lines_are_dropped_and_counted() {
        let lines = lines(LogFormat::Json);
        for _ in 0..MAX_WAITING_BYTES / 100 {
            lines.request(&LINE);
        }
        assert!(lines.dropped() > 0);
        assert!(lines.shared.lock().bytes.len() <= MAX_WAITING_BYTES);
    }
}
