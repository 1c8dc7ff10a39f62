//! Logs, on standard error: everything goes through `tracing`, the one line per finished request too.
//!
//! A blocked reader of standard error (a full pipe) never blocks a request: lines go into a bounded buffer that a thread
//! of its own writes out, and lines beyond the bound are dropped and counted. No line holds a secret or a payload, and
//! what comes from a sender is written in ASCII with escapes, so that it can neither break a line nor dress it up (P6).

mod history;
mod layer;
mod lines;
mod request;

use std::{io, sync::Arc, thread};

use tracing::{Level, Subscriber};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, registry::LookupSpan};

pub use self::{
    history::{History, KEPT, PastRequest, Text},
    lines::Lines,
    request::{RequestLine, TARGET},
};
use self::{layer::LogLayer, lines::write_out};
use crate::config::{LogConfig, LogLevel};

/// Sets up `tracing` for the process and starts the writer's thread.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(config: &LogConfig) -> io::Result<Lines> {
    let lines = Lines::new(config.level);
    let shared = Arc::clone(&lines.shared);
    thread::Builder::new().name("log".into()).spawn(move || write_out(&shared))?;
    // A second start in one process (a test) keeps the first subscriber.
    let _already_set = tracing::subscriber::set_global_default(subscriber(config, &lines));
    Ok(lines)
}

/// What receives every event of the process and writes its line; other layers can be added to it.
pub fn subscriber(config: &LogConfig, lines: &Lines) -> impl Subscriber + for<'s> LookupSpan<'s> + Send + Sync + use<> {
    let targets = Targets::new().with_default(lines.level);
    // The NATS client logs each attempt to connect; `bus::nats` logs what matters of it.
    let targets = if config.level == LogLevel::Info { targets.with_target("async_nats", Level::WARN) } else { targets };
    tracing_subscriber::registry().with(LogLayer::new(config.format, lines)).with(targets)
}

#[cfg(test)]
mod tests;
