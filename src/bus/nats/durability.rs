//! What the stream is worth: its settings, read at the start and after each new connection.
//!
//! In: the stream's settings. Out: a refusal to start, warnings, and the class of durability.
//! It changes nothing on the broker, and never claims what a client cannot see: whether servers sync before they
//! acknowledge is their own setting (`sync_interval: always`).

use std::{sync::atomic::Ordering, time::Duration};

use async_nats::jetstream::stream::{
    Config as Settings, DiscardPolicy, Info, PersistenceMode, RetentionPolicy, StorageType, SubjectTransform,
};

use super::{
    shared::{Shared, no_such_stream},
    subjects::wanted,
};
use crate::{
    bus::{
        danger::{Found, kept_for},
        incarnation::Origin,
        metrics::{BusMetrics, DurabilityClass},
    },
    config::{BusKind, Config, Danger},
    metrics::Label as _,
    subject::covers,
    units::show_duration,
};

/// Within this the vendors' documented retries end (8 h 36 min), rounded up.
const RETRIES: Duration = Duration::from_hours(12);
/// Copies of a stream that survive the loss of one server.
const REPLICAS: usize = 3;

/// What the settings come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why no acknowledgement of this stream can be trusted, unless waived.
    pub dangers: Vec<Found>,
    /// Why it does not take what this configuration publishes.
    pub obstacles: Vec<String>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// For `bus_durability_info`.
    pub class: DurabilityClass,
    /// The same in words.
    pub worth: &'static str,
}

/// Holds a stream's settings against the configuration. `held`: messages and bytes in it. `max_payload`: of the server,
/// bytes.
pub fn judge(settings: &Settings, held: (u64, u64), config: &Config, max_payload: usize) -> Verdict {
    let dangers = dangers(settings, config);
    let (class, worth) = worth(settings, &dangers);
    let (obstacles, mut warnings) = (obstacles(settings, config), warnings(settings, config, max_payload));
    if settings.discard == DiscardPolicy::New && is_full(settings, held) {
        warnings.push("is full, or nearly, and refuses new messages then: they wait in the spool".into());
    }
    Verdict { dangers, obstacles, warnings, class, worth }
}

/// Why no acknowledgement of such a stream can be trusted, waived or not.
pub(super) fn dangers(settings: &Settings, config: &Config) -> Vec<Found> {
    let drops_per_subject = settings.max_messages_per_subject > 0 && !refuses_per_subject(settings);
    let found = [
        (
            settings.storage == StorageType::Memory,
            Danger::MemoryStorage,
            "keeps its messages in memory: a restart of its servers loses acknowledged events",
        ),
        (settings.no_ack, Danger::NoAck, "acknowledges nothing (no_ack): no event would ever be known to be stored"),
        (
            settings.retention == RetentionPolicy::Interest,
            Danger::InterestRetention,
            "drops an event when its consumers have it, at once when there is none (retention: interest)",
        ),
        (
            settings.retention == RetentionPolicy::WorkQueue,
            Danger::WorkqueueRetention,
            "drops an event when one consumer has it (retention: workqueue)",
        ),
        (
            drops_per_subject,
            Danger::PerSubjectLimit,
            "drops older events of a subject for newer ones (max_msgs_per_subject)",
        ),
        (
            settings.persist_mode == Some(PersistenceMode::Async),
            Danger::AsyncPersistence,
            "acknowledges before it stores (persist_mode: async): a crash of a server loses acknowledged events",
        ),
    ];
    let found = found.into_iter().filter(|(is_so, ..)| *is_so).map(|(_, danger, what)| Found::new(danger, what));
    let age = Some(settings.max_age).filter(|age| !age.is_zero());
    found.chain(age.and_then(|age| kept_for("max_age", age, config))).collect()
}

/// Whether nine tenths of a limit are used.
fn is_full(settings: &Settings, (messages, bytes): (u64, u64)) -> bool {
    let limits = [(settings.max_messages, messages), (settings.max_bytes, bytes)];
    limits.into_iter().any(|(limit, used)| 0 < limit && (limit - limit / 10).unsigned_abs() <= used)
}

fn refuses_per_subject(settings: &Settings) -> bool {
    settings.discard == DiscardPolicy::New && settings.discard_new_per_subject
}

fn worth(settings: &Settings, dangers: &[Found]) -> (DurabilityClass, &'static str) {
    let has = |danger| dangers.iter().any(|found| found.danger == danger);
    if has(Danger::MemoryStorage) || has(Danger::AsyncPersistence) {
        (DurabilityClass::Memory, "the event is in the memory of its servers")
    } else if has(Danger::NoAck) {
        (DurabilityClass::Unknown, "nothing")
    } else if !dangers.is_empty() {
        (DurabilityClass::Unknown, "the stream has the event, and drops it by its own settings")
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
    }
}

fn obstacles(settings: &Settings, config: &Config) -> Vec<String> {
    let mut obstacles = Vec::new();
    if settings.sealed {
        obstacles.push("is sealed and takes nothing any more".into());
    }
    if settings.mirror.is_some() {
        obstacles.push("is a mirror of another stream and takes nothing itself".into());
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
    if settings.max_messages_per_subject > 0 && refuses_per_subject(settings) {
        warn("refuses events of a subject that is full (max_msgs_per_subject): its key waits in the spool".into());
    }
    if let Some(transform) = settings.subject_transform.as_ref().filter(|transform| rewrites(transform, config)) {
        warn(format!(
            "stores events under other subjects (subject_transform to {}), where their subscribers do not look",
            transform.destination
        ));
    }
    if settings.sources.as_ref().is_some_and(|sources| !sources.is_empty()) {
        warn("holds the messages of other streams, too (sources)".into());
    }
    if let Some(republish) = &settings.republish {
        warn(format!("sends each event on to {} (republish), to all its readers", republish.destination));
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

fn rewrites(transform: &SubjectTransform, config: &Config) -> bool {
    let source = transform.source.as_str();
    source.is_empty() || wanted(config).iter().any(|subject| covers(source, subject) || covers(subject, source))
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
    /// No right to ask, or no answer.
    Unreadable(String),
    /// Its settings, held against the configuration.
    Found(Verdict),
}

impl Look {
    /// Why no event may be accepted: the stream loses what it acknowledges, and that is not waived.
    pub(super) fn refusal(&self, config: &Config) -> Option<&str> {
        let Look::Found(verdict) = self else { return None };
        verdict.dangers.iter().find(|found| !found.is_waived(config)).map(|found| found.text.as_str())
    }
}

/// Reads the stream's settings, and logs what has changed since `before`.
pub(super) async fn look(shared: &Shared, config: &Config, metrics: &BusMetrics, before: Option<&Look>) -> Look {
    let before_look = shared.common.incarnations.before();
    let look = match shared.context.get_stream(&shared.stream).await {
        Ok(stream) => {
            let Info { config: settings, created, state, .. } = stream.cached_info();
            let origin = Origin::of(format!("{}\0{}", shared.stream, created.unix_timestamp_nanos()).as_bytes());
            shared.common.incarnations.looked(before_look, origin, state.last_sequence);
            metrics.missing(missing(settings, config).len());
            Look::Found(judge(settings, (state.messages, state.bytes), config, shared.client.max_payload()))
        }
        Err(error) if no_such_stream(&error) => {
            shared.common.incarnations.gone();
            metrics.missing(wanted(config).len());
            Look::Missing
        }
        Err(error) => Look::Unreadable(error.to_string()),
    };
    let class = if let Look::Found(verdict) = &look { verdict.class } else { DurabilityClass::Unknown };
    metrics.durability(BusKind::Nats, class);
    // A look without an answer changes nothing of what is known.
    if !matches!(look, Look::Unreadable(_)) {
        let refused = look.refusal(config).is_some();
        shared.common.refused.store(refused, Ordering::Release);
        metrics.refused(usize::from(refused));
    }
    if before != Some(&look) {
        log(&look, &shared.stream);
    }
    look
}

fn log(look: &Look, stream: &str) {
    match look {
        Look::Missing => {
            tracing::warn!(stream, "no such stream: events are refused until `hookbus provision` makes it")
        }
        Look::Unreadable(error) => {
            tracing::warn!(stream, %error, "the stream's settings cannot be read: what an ack is worth is unknown");
        }
        Look::Found(verdict) => {
            let dangers = verdict.dangers.iter().map(|found| &found.text);
            let texts = dangers.chain(&verdict.obstacles).chain(&verdict.warnings);
            texts.for_each(|text| tracing::warn!("stream {stream} {text}"));
            tracing::info!(stream, class = verdict.class.as_str(), "an acknowledgement means: {}", verdict.worth);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{BusKind, SourceConfig},
        vendors::Vendor,
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
        let sources = vec![SourceConfig::defaults("acme", Vendor::Policy1099, "/a", Vec::new())];
        judge(settings, (90, 900), &Config::defaults(BusKind::Nats, sources), 8 << 20)
    }

    #[test]
    fn a_good_stream_has_no_faults() {
        let verdict = verdict(&good());
        assert_eq!(
            (verdict.dangers.len(), verdict.obstacles.len() + verdict.warnings.len(), verdict.class),
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
            (Settings { max_messages: 100, ..good() }, "is full"),
            (Settings { max_bytes: 1000, ..good() }, "is full"),
            (Settings { max_message_size: 1 << 20, ..good() }, "max_msg_size, 1MiB"),
        ] {
            let verdict = verdict(&settings);
            let said = [verdict.obstacles.clone(), verdict.warnings.clone()].concat();
            assert!(matches!(&said[..], [text] if text.contains(warning)), "{verdict:?}");
            assert!(verdict.dangers.is_empty());
        }
    }

    #[test]
    fn a_stream_that_loses_what_it_acknowledges_is_refused() {
        let (memory, unknown) = (DurabilityClass::Memory, DurabilityClass::Unknown);
        let per_subject = Settings { max_messages_per_subject: 1, ..good() };
        for (settings, danger, class) in [
            (Settings { storage: StorageType::Memory, ..good() }, Danger::MemoryStorage, memory),
            (Settings { no_ack: true, ..good() }, Danger::NoAck, unknown),
            (Settings { retention: RetentionPolicy::Interest, ..good() }, Danger::InterestRetention, unknown),
            (Settings { retention: RetentionPolicy::WorkQueue, ..good() }, Danger::WorkqueueRetention, unknown),
            (per_subject.clone(), Danger::PerSubjectLimit, unknown),
            (Settings { persist_mode: Some(PersistenceMode::Async), ..good() }, Danger::AsyncPersistence, memory),
            (Settings { max_age: Duration::from_hours(23), ..good() }, Danger::ShortRetention, unknown),
        ] {
            let verdict = verdict(&settings);
            assert!(matches!(&verdict.dangers[..], [found] if found.danger == danger), "{danger:?}: {verdict:?}");
            assert_eq!(verdict.class, class, "{danger:?}");
        }
        let refuses = verdict(&Settings { discard_new_per_subject: true, ..per_subject });
        assert!(refuses.dangers.is_empty() && refuses.warnings.len() == 1, "{refuses:?}");
        assert_eq!(verdict(&Settings { max_age: Duration::from_hours(24), ..good() }).dangers, []);
    }
}
