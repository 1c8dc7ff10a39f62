//! The layer that writes lines: those of requests in their own layout, all others in `tracing`'s.

use std::cell::RefCell;

use tracing::{Event, Id, span};
use tracing_subscriber::{Layer, Registry, fmt, layer::Context};

use super::{lines::Lines, request};
use crate::config::LogFormat;

thread_local! {
    /// The line of one request; kept, so that a line allocates nothing.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Writes every event into the buffer of lines.
pub(super) struct LogLayer {
    lines: Lines,
    format: LogFormat,
    others: Box<dyn Layer<Registry> + Send + Sync>,
}

impl LogLayer {
    pub(super) fn new(format: LogFormat, lines: &Lines) -> Self {
        let layer = fmt::layer().with_ansi(false).with_target(false).with_writer(lines.clone());
        let others = match format {
            LogFormat::Json => layer.json().flatten_event(true).boxed(),
            LogFormat::Text => layer.boxed(),
        };
        LogLayer { lines: lines.clone(), format, others }
    }
}

impl Layer<Registry> for LogLayer {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &Id, ctx: Context<'_, Registry>) {
        self.others.on_new_span(attributes, id, ctx);
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, Registry>) {
        if event.metadata().target() != request::TARGET {
            return self.others.on_event(event, ctx);
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            let _infallible = request::write(self.format, event, line);
            self.lines.push(line.as_bytes());
        });
    }
}
