//! Reads the messages of hookbus as CloudEvents, and remembers which of them were handled.

use std::{
    collections::HashSet,
    error::Error,
    fs::{File, read_to_string},
    io::Write as _,
};

use serde::Deserialize;
use serde_json::value::RawValue;

/// Whatever went wrong.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// What most subscribers look at; take more attributes as you need them.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) source: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The webhook's body, not parsed yet; none in quarantine.
    #[expect(dead_code, reason = "the examples look at nothing but type and id")]
    pub(crate) data: Option<Box<RawValue>>,
}

impl Event {
    /// Takes a message in either content mode. `header`: a header's value by its name.
    /// `prefix`: `ce_` on Kafka, `ce-` on NATS.
    pub(crate) fn read(header: impl Fn(&str) -> Option<String>, prefix: &str, body: &[u8]) -> Result<Self, Failure> {
        if header("content-type").is_some_and(|kind| kind.starts_with("application/cloudevents")) {
            return Ok(serde_json::from_slice(body)?);
        }
        let attribute = |name: &str| header(&format!("{prefix}{name}")).ok_or(format!("no attribute {name}"));
        Ok(Event {
            id: attribute("id")?,
            source: attribute("source")?,
            kind: attribute("type")?,
            data: serde_json::from_slice(body).ok(),
        })
    }

    fn key(&self) -> String {
        format!("{}\t{}\t{}", self.kind, self.source, self.id)
    }
}

/// Remembers which events were handled, so that a repeat does no harm.
///
/// Delivery is at least once, and (type, source, id) is what a repeat has in common with the first copy: an event that
/// leaves quarantine keeps its id and gets its type. Here it is a file; in your service make it a table, written in the
/// same transaction as the effect: then even a crash in between repeats nothing.
pub(crate) struct Handled {
    file: File,
    keys: HashSet<String>,
}

impl Handled {
    pub(crate) fn open(path: &str) -> Result<Self, Failure> {
        let file = File::options().create(true).append(true).open(path)?;
        let text = read_to_string(path)?;
        let whole = text.get(..text.rfind('\n').map_or(0, |end| end + 1)).unwrap_or_default();
        // Torn by a crash: that event comes again.
        file.set_len(whole.len().try_into()?)?;
        Ok(Handled { file, keys: whole.lines().map(str::to_owned).collect() })
    }

    pub(crate) fn contains(&self, event: &Event) -> bool {
        self.keys.contains(&event.key())
    }

    pub(crate) fn add(&mut self, event: &Event) -> Result<(), Failure> {
        writeln!(self.file, "{}", event.key())?;
        self.keys.insert(event.key());
        Ok(())
    }
}

/// An environment variable or its default.
pub(crate) fn setting(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.into())
}

/// Resolves when the service shall end.
pub(crate) async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    if let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    }
}
