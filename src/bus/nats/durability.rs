//! What the stream is worth: its settings, read at the start and after each new connection.
//!
//! In: the stream's settings as the broker tells them. Out: a refusal to start, warnings, and the class of durability.
//! It changes nothing on the broker, and never claims what a client cannot see: whether servers sync before they
//! acknowledge is their own setting (`sync_interval: always`).

use std::time::Duration;

use async_nats::jetstream::stream::{Config as Settings, DiscardPolicy, StorageType};

use super::{
    Shared, no_such_stream,
    subjects::{covers, wanted},
};
use crate::{
    config::{Config, Waiver, units::show_duration},
    observe::metrics::{DurabilityClass, Metrics},
};

/// Within this the vendors' documented retries end (8 h 36 min), rounded up.
const RETRIES: Duration = Duration::from_hours(12);
/// Copies of a stream that survive the loss of one server.
const REPLICAS: usize = 3;

/// What the settings come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why no acknowledgement of this stream can be trusted, unless waived.
    pub refusals: Vec<(Waiver, String)>,
    /// Why it does not take what this configuration publishes.
    pub obstacles: Vec<String>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// For `bus_durability_info`.
    pub class: DurabilityClass,
    /// The same in words.
    pub worth: &'static str,
}

/// Holds a stream's settings against the configuration. `max_payload`: of the server, bytes.
pub fn judge(settings: &Settings, config: &Config, max_payload: usize) -> Verdict {
    let memory = settings.storage == StorageType::Memory;
    let mut refusals = Vec::new();
    if memory {
        refusals.push((
            Waiver::MemoryStorage,
            "keeps its messages in memory: a restart of its servers loses acknowledged events (waive: \
             memory_storage)"
                .into(),
        ));
    }
    if settings.no_ack {
        refusals.push((
            Waiver::NoAck,
            "acknowledges nothing (no_ack): no event would ever be known to be stored (waive: no_ack)".into(),
        ));
    }
    let (class, worth) = if memory {
        (DurabilityClass::Memory, "the event is in the memory of its servers")
    } else if settings.no_ack {
        (DurabilityClass::Unknown, "nothing")
    } else if settings.num_replicas >= REPLICAS {
        (
            DurabilityClass::Replicated,
            "most replicas have the event; whether it is on their disks is their sync_interval",
        )
    } else {
        (
            DurabilityClass::Unknown,
            "one server has the event; a power cut may lose it unless its sync_interval is always",
        )
    };
    let (obstacles, warnings) = (obstacles(settings, config), warnings(settings, config, max_payload));
    Verdict { refusals, obstacles, warnings, class, worth }
}

fn obstacles(settings: &Settings, config: &Config) -> Vec<String> {
    let mut obstacles = Vec::new();
    if settings.sealed {
        obstacles.push("is sealed and takes nothing any more".into());
    }
    let missing = missing(settings, config);
    if !missing.is_empty() {
        obstacles.push(format!("does not take all of {}", missing.join(", ")));
    }
    obstacles
}

fn warnings(settings: &Settings, config: &Config, max_payload: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |text: String| warnings.push(text);
    if settings.num_replicas < REPLICAS && settings.storage == StorageType::File {
        warn(format!("has {} replica(s): the loss of a disk loses acknowledged events", settings.num_replicas));
    }
    if settings.discard == DiscardPolicy::Old {
        warn("discards its oldest messages when it is full, read or not; discard new refuses the new ones".into());
    }
    if settings.duplicate_window < RETRIES {
        warn(format!(
            "forgets message ids after {}: a vendor's later retry may be stored twice (12h covers all their retries)",
            show_duration(settings.duplicate_window)
        ));
    }
    for (whose, limit) in [
        ("its max_msg_size", u64::try_from(settings.max_message_size).unwrap_or(0)),
        ("the server's max_payload", u64::try_from(max_payload).unwrap_or(0)),
    ] {
        if limit > 0 {
            warnings.extend(crate::bus::too_low(whose, limit, config));
        }
    }
    warnings
}

/// The subjects that the configuration can lead to and that the stream does not take.
fn missing(settings: &Settings, config: &Config) -> Vec<String> {
    let taken = |subject: &String| settings.subjects.iter().any(|pattern| covers(pattern, subject));
    wanted(config).into_iter().filter(|subject| !taken(subject)).collect()
}

/// What a look at the stream has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// The broker has no such stream.
    Missing,
    /// The broker does not tell: no right to ask, or no answer.
    Unreadable(String),
    /// Its settings, held against the configuration.
    Found(Verdict),
}

impl Look {
    /// Why no event may be accepted: the stream loses what it acknowledges, and nobody has waived that.
    pub(super) fn refusal(&self, config: &Config) -> Option<&str> {
        let Look::Found(verdict) = self else { return None };
        let (_, text) = verdict.refusals.iter().find(|(waiver, _)| !config.bus.waive.contains(waiver))?;
        Some(text)
    }
}

/// Looks at the stream, and tells the log what has changed since `before`.
pub(super) async fn look(shared: &Shared, config: &Config, metrics: &Metrics, before: Option<&Look>) -> Look {
    let look = match shared.context.get_stream(&shared.stream).await {
        Ok(stream) => {
            let settings = &stream.cached_info().config;
            metrics.bus.missing(missing(settings, config).len());
            Look::Found(judge(settings, config, shared.client.max_payload()))
        }
        Err(error) if no_such_stream(&error) => {
            metrics.bus.missing(wanted(config).len());
            Look::Missing
        }
        Err(error) => Look::Unreadable(error.to_string()),
    };
    let class = if let Look::Found(verdict) = &look { verdict.class } else { DurabilityClass::Unknown };
    metrics.bus.durability(class);
    if before != Some(&look) {
        say(&look, &shared.stream);
    }
    look
}

fn say(look: &Look, stream: &str) {
    match look {
        Look::Missing => {
            tracing::warn!(stream, "no such stream: events are refused until `hookbus provision` makes it")
        }
        Look::Unreadable(error) => {
            tracing::warn!(stream, %error, "the stream's settings cannot be read: what an ack is worth is unknown");
        }
        Look::Found(verdict) => {
            verdict.obstacles.iter().chain(&verdict.warnings).for_each(|text| tracing::warn!("stream {stream} {text}"));
            tracing::info!(stream, class = verdict.class.as_str(), "an acknowledgement means: {}", verdict.worth);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{BusKind, Source},
        vendor::Vendor,
    };

    fn good() -> Settings {
        Settings {
            name: "WEBHOOKS".into(),
            subjects: vec!["webhooks.>".into()],
            discard: DiscardPolicy::New,
            num_replicas: 3,
            duplicate_window: RETRIES,
            ..Settings::default()
        }
    }

    fn verdict(settings: &Settings) -> Verdict {
        let sources = vec![Source::defaults("acme", Vendor::Policy1099, "/a", Vec::new())];
        judge(settings, &Config::defaults(BusKind::Nats, sources), 8 << 20)
    }

    #[test]
    fn a_good_stream_has_no_faults() {
        let verdict = verdict(&good());
        assert_eq!(
            (verdict.refusals.len(), verdict.obstacles.len() + verdict.warnings.len(), verdict.class),
            (0, 0, DurabilityClass::Replicated)
        );
    }

    #[test]
    fn each_fault_is_said_once() {
        for (settings, warning) in [
            (Settings { num_replicas: 1, ..good() }, "1 replica"),
            (Settings { discard: DiscardPolicy::Old, ..good() }, "discards its oldest"),
            (Settings { sealed: true, ..good() }, "sealed"),
            (Settings { subjects: vec!["other.>".into()], ..good() }, "webhooks.1099policy.>"),
            (Settings { duplicate_window: Duration::from_mins(2), ..good() }, "after 2m"),
            (Settings { max_message_size: 1 << 20, ..good() }, "max_msg_size, 1MiB"),
        ] {
            let verdict = verdict(&settings);
            let said = [verdict.obstacles.clone(), verdict.warnings.clone()].concat();
            assert!(matches!(&said[..], [text] if text.contains(warning)), "{verdict:?}");
            assert!(verdict.refusals.is_empty());
        }
    }

    #[test]
    fn a_stream_that_loses_what_it_acknowledges_is_refused() {
        let memory = verdict(&Settings { storage: StorageType::Memory, ..good() });
        assert!(matches!(memory.refusals[..], [(Waiver::MemoryStorage, _)]));
        assert_eq!(memory.class, DurabilityClass::Memory);
        let silent = verdict(&Settings { no_ack: true, ..good() });
        assert!(matches!(silent.refusals[..], [(Waiver::NoAck, _)]));
        assert_eq!(silent.class, DurabilityClass::Unknown);
    }
}
