//! `[log]`: what is written to standard error.

use super::{key::word, section::section};

section! {
    /// `[log]`.
    pub struct LogConfig {
        /// "json" (one object a line) or "text" (for a terminal).
        format: LogFormat = word(LogFormat::Json, &[("json", LogFormat::Json), ("text", LogFormat::Text)]),
        /// Least severe level that is written: "error", "warn", "info" (one line per request) or "debug".
        level: LogLevel = word(LogLevel::Info, &[
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
        ]),
    }
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for a terminal.
    Text,
}

/// `log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What an operator must repair.
    Error,
    /// And what may become an error.
    Warn,
    /// And one line per finished request.
    Info,
    /// And what a developer asks for.
    Debug,
}
