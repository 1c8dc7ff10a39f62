//! Whether the largest event fits through the bus.

use crate::{
    config::{Config, Encoding},
    units::show_size,
};

/// Bytes of a message beside its body, at most.
const ENVELOPE: u64 = 4 << 10;

/// Bytes of the message of the largest body: one that is not JSON becomes base64 in a structured message.
fn largest_message(config: &Config) -> u64 {
    let body = config.sources.iter().map(|source| source.max_body).max().unwrap_or(config.listener.max_body);
    let body = u64::try_from(body).unwrap_or(u64::MAX);
    match config.bus.encoding {
        Encoding::Structured => body.div_ceil(3).saturating_mul(4),
        Encoding::Binary => body,
    }
    .saturating_add(ENVELOPE)
}

/// A warning when a limit of the bus, bytes, is below the largest message; `whose`: the limit's name.
pub fn too_low(whose: &str, limit: u64, config: &Config) -> Option<String> {
    let largest = largest_message(config);
    let fate =
        if config.journal.spool { "go to the dead letters" } else { "are answered 503 until their sender gives up" };
    (limit < largest).then(|| {
        format!(
            "{whose}, {}, is below {}, the largest message that max_body allows: larger events {fate}",
            show_size(limit),
            show_size(largest)
        )
    })
}
