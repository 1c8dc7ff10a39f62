//! Dangers: what a stream or topic is set to do that loses acknowledged events by its nature. Each bus reads its own settings;
//! what they come to, and what is waived, is judged here for all.

use std::{fmt::Display, time::Duration};

use crate::{
    config::{Config, Danger},
    metrics::Label as _,
    units::{show_duration, show_size},
};

/// A danger that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Which.
    pub danger: Danger,
    /// What is wrong, to be read behind the name of the stream or the topics.
    pub text: String,
}

impl Found {
    pub(super) fn new(danger: Danger, what: impl Display) -> Self {
        Found { danger, text: format!("{what} (waive: {})", danger.as_str()) }
    }

    /// Whether the operator accepts it.
    pub fn is_waived(&self, config: &Config) -> bool {
        config.bus.waive.contains(&self.danger)
    }
}

/// Judges how long events are kept. `setting`: its name on the broker.
pub(super) fn kept_for(setting: &str, age: Duration, config: &Config) -> Option<Found> {
    let least = config.bus.min_retention;
    let text = || {
        format!(
            "drops events after {} ({setting}), below bus.min_retention, {}",
            show_duration(age),
            show_duration(least)
        )
    };
    (age < least).then(|| Found::new(Danger::ShortRetention, text()))
}

/// Judges how many bytes of events are kept.
pub(super) fn kept_within(setting: &str, bytes: u64, config: &Config) -> Option<Found> {
    let least = config.bus.min_retention_size;
    let text = || {
        format!(
            "drops events beyond {} ({setting}), below bus.min_retention_size, {}",
            show_size(bytes),
            show_size(least)
        )
    };
    (bytes < least).then(|| Found::new(Danger::ShortRetention, text()))
}
