//! The stream as the operator wants it, and the way there.
//!
//! In: the configuration and, when there is one, the stream's settings. Out: the settings to make, and in words what
//! that changes. It never shrinks what others may rely on without saying so, and never deletes.

use std::error::Error as _;

use async_nats::jetstream::{
    self, ErrorCode,
    context::{CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, RequestError, RequestErrorKind},
    stream::{Config as Settings, DiscardPolicy, Info, RetentionPolicy, StorageType},
};

use super::{durability::dangers, shared::no_such_stream, subjects::wanted};
use crate::{
    config::{Config, Danger},
    subject::covers,
    units::{show_duration, show_size},
};

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// One line for each thing that is missing; empty when the stream is as it should be.
    pub steps: Vec<String>,
    /// The stream's settings afterwards.
    pub settings: Settings,
    /// Whether there is no stream yet.
    pub create: bool,
}

/// Compares. `found`: the stream's settings, if there is one.
///
/// # Errors
/// What no update can change.
pub fn plan(config: &Config, found: Option<&Settings>) -> Result<Plan, String> {
    let wishes = &config.bus.nats.provision;
    let max_bytes = wishes.max_size.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX));
    let Some(found) = found else {
        let settings = new(config, max_bytes);
        return Ok(Plan { steps: vec![format!("create stream {}", settings.name)], settings, create: true });
    };
    let mut settings = found.clone();
    let mut steps = Vec::new();
    for subject in wanted(config) {
        if !settings.subjects.iter().any(|pattern| covers(pattern, &subject)) {
            steps.push(format!("add subject {subject}"));
            settings.subjects.push(subject);
        }
    }
    let mut set = |differs: bool, step: String| {
        if differs {
            steps.push(step);
        }
    };
    // What `bus.waive` accepts stays, and a limit that refuses new messages loses none.
    let waived = |danger| config.bus.waive.contains(&danger);
    let is_silent = found.no_ack && !waived(Danger::NoAck);
    let is_limited =
        found.max_messages_per_subject > 0 && !found.discard_new_per_subject && !waived(Danger::PerSubjectLimit);
    set(is_silent, "acknowledge messages".into());
    set(is_limited, "no limit of a subject's messages".into());
    set(found.discard == DiscardPolicy::Old, "discard new messages when full, not old ones".into());
    set(
        found.num_replicas != wishes.replicas,
        format!("{} replicas instead of {}", wishes.replicas, found.num_replicas),
    );
    let (age, window) = (show_duration(found.max_age), show_duration(found.duplicate_window));
    set(found.max_age != wishes.max_age, format!("max_age {} instead of {age}", show_duration(wishes.max_age)));
    set(
        found.duplicate_window != wishes.duplicate_window,
        format!("duplicate_window {} instead of {window}", show_duration(wishes.duplicate_window)),
    );
    set(
        found.max_bytes.max(-1) != max_bytes,
        format!("max_size {}", wishes.max_size.map_or_else(|| "unlimited".into(), show_size)),
    );
    settings.no_ack &= !is_silent;
    settings.discard = DiscardPolicy::New;
    settings.num_replicas = wishes.replicas;
    settings.max_age = wishes.max_age;
    settings.duplicate_window = wishes.duplicate_window;
    settings.max_bytes = max_bytes;
    if is_limited {
        settings.max_messages_per_subject = -1;
    }
    if let Some(danger) = dangers(&settings, config).into_iter().find(|danger| !danger.is_waived(config)) {
        return Err(format!(
            "{}, which no update changes: when its subscribers have read it, delete it (this deletes its events) and provision again",
            danger.text
        ));
    }
    Ok(Plan { steps, settings, create: false })
}

/// The settings of a stream that is made.
fn new(config: &Config, max_bytes: i64) -> Settings {
    let wishes = &config.bus.nats.provision;
    Settings {
        name: config.bus.nats.stream.clone(),
        subjects: wanted(config),
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        num_replicas: wishes.replicas,
        max_age: wishes.max_age,
        max_bytes,
        duplicate_window: wishes.duplicate_window,
        description: Some("webhooks, by hookbus".into()),
        ..Settings::default()
    }
}

/// Why a stream is not read or made.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No one speaks for JetStream: it has no leader now, or none answers. That says nothing of the stream.
    #[error("{0}")]
    Away(String),
    /// The broker's answer.
    #[error("{0}")]
    Refused(String),
}

impl From<String> for AskError {
    fn from(answer: String) -> Self {
        AskError::Refused(answer)
    }
}

impl AskError {
    fn of(answer: &jetstream::Error, text: String) -> Self {
        let leaderless = [ErrorCode::CLUSTER_NOT_AVAILABLE, ErrorCode::CLUSTER_NOT_LEADER];
        if leaderless.contains(&answer.error_code()) { AskError::Away(text) } else { AskError::Refused(text) }
    }
}

/// Reads the stream's settings and state; `None` without a stream.
///
/// # Errors
/// JetStream does not answer, or refuses.
pub async fn find(context: &jetstream::Context, stream: &str) -> Result<Option<Info>, AskError> {
    match context.get_stream(stream).await {
        Ok(stream) => Ok(Some(stream.cached_info().clone())),
        Err(error) if no_such_stream(&error) => Ok(None),
        Err(error) => Err(match error.kind() {
            GetStreamErrorKind::JetStream(answer) => AskError::of(&answer, error.to_string()),
            GetStreamErrorKind::Request if timed_out(&error) => AskError::Away(error.to_string()),
            _ => AskError::Refused(error.to_string()),
        }),
    }
}

fn timed_out(error: &GetStreamError) -> bool {
    let request = error.source().and_then(|cause| cause.downcast_ref::<RequestError>());
    request.is_some_and(|error| error.kind() == RequestErrorKind::TimedOut)
}

/// Carries a plan out.
///
/// # Errors
/// JetStream does not answer, or refuses.
pub async fn carry_out(context: &jetstream::Context, plan: &Plan) -> Result<(), AskError> {
    let done = if plan.create {
        context.create_stream(plan.settings.clone()).await.map(|_| ())
    } else {
        context.update_stream(&plan.settings).await.map(|_| ())
    };
    done.map_err(|error| match error.kind() {
        CreateStreamErrorKind::JetStream(answer) => AskError::of(&answer, answer.to_string()),
        CreateStreamErrorKind::TimedOut => AskError::Away(error.to_string()),
        _ => AskError::Refused(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{BusKind, SourceConfig},
        vendors::Vendor,
    };

    #[test]
    fn a_plan_is_empty_when_it_has_been_carried_out() {
        let sources = vec![SourceConfig::defaults("acme", Vendor::Policy1099, "/a", Vec::new())];
        let config = Config::defaults(BusKind::Nats, sources);
        let made = plan(&config, None).unwrap();
        assert!(made.create && made.steps == ["create stream WEBHOOKS"]);
        assert_eq!(made.settings.subjects, ["webhooks.1099policy.>"]);
        assert!(plan(&config, Some(&made.settings)).unwrap().steps.is_empty());

        let poor = Settings {
            subjects: vec!["other".into()],
            discard: DiscardPolicy::Old,
            num_replicas: 1,
            no_ack: true,
            max_bytes: 7,
            ..made.settings.clone()
        };
        let better = plan(&config, Some(&poor)).unwrap();
        assert_eq!(better.steps.len(), 5, "{:?}", better.steps);
        assert_eq!(better.settings.subjects, ["other", "webhooks.1099policy.>"], "others may rely on theirs");
        assert!(plan(&config, Some(&better.settings)).unwrap().steps.is_empty());
        let mut waiving = config.clone();
        waiving.bus.waive = vec![Danger::NoAck, Danger::PerSubjectLimit];
        let limited = Settings { no_ack: true, max_messages_per_subject: 1, ..made.settings.clone() };
        assert!(plan(&waiving, Some(&limited)).unwrap().steps.is_empty(), "what is waived stays");
        assert_eq!(plan(&config, Some(&limited)).unwrap().steps.len(), 2);
        let refusing = Settings { max_messages_per_subject: 1, discard_new_per_subject: true, ..made.settings.clone() };
        let kept = plan(&config, Some(&refusing)).unwrap();
        assert!(kept.steps.is_empty() && kept.settings == refusing, "it loses nothing");
        let memory = Settings { storage: StorageType::Memory, ..made.settings };
        assert!(plan(&config, Some(&memory)).is_err());
    }
}
