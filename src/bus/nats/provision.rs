//! The stream as the operator wants it, and the way there.
//!
//! In: the configuration and, when there is one, the stream's settings. Out: the settings to make, and in words what
//! that changes. It never shrinks what others may rely on without saying so, and never deletes.

use async_nats::jetstream::{
    self,
    context::CreateStreamErrorKind,
    stream::{Config as Settings, DiscardPolicy, RetentionPolicy, StorageType},
};

use super::{covers, no_such_stream, wanted};
use crate::config::{
    Config,
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
/// In words: what no update can change.
pub fn plan(config: &Config, found: Option<&Settings>) -> Result<Plan, String> {
    let wishes = &config.bus.nats.provision;
    let max_bytes = wishes.max_size.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX));
    let Some(found) = found else {
        let settings = Settings {
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
        };
        return Ok(Plan { steps: vec![format!("create stream {}", settings.name)], settings, create: true });
    };
    if found.storage == StorageType::Memory {
        return Err("keeps its messages in memory, which no update can change: delete it and provision again".into());
    }
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
    set(found.no_ack, "acknowledge messages".into());
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
    settings.no_ack = false;
    settings.discard = DiscardPolicy::New;
    settings.num_replicas = wishes.replicas;
    settings.max_age = wishes.max_age;
    settings.duplicate_window = wishes.duplicate_window;
    settings.max_bytes = max_bytes;
    Ok(Plan { steps, settings, create: false })
}

/// Reads the stream's settings; `None` without a stream.
///
/// # Errors
/// In words: the broker does not tell.
pub async fn find(context: &jetstream::Context, stream: &str) -> Result<Option<Settings>, String> {
    match context.get_stream(stream).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(error) if no_such_stream(&error) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Carries a plan out.
///
/// # Errors
/// In words: the broker refuses.
pub async fn carry_out(context: &jetstream::Context, plan: &Plan) -> Result<(), String> {
    let done = if plan.create {
        context.create_stream(plan.settings.clone()).await.map(|_| ())
    } else {
        context.update_stream(&plan.settings).await.map(|_| ())
    };
    done.map_err(|error| match error.kind() {
        CreateStreamErrorKind::JetStream(error) => error.to_string(),
        _ => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{BusKind, Source},
        vendor::Vendor,
    };

    #[test]
    fn a_plan_is_empty_when_it_has_been_carried_out() {
        let sources = vec![Source::defaults("acme", Vendor::Policy1099, "/a", Vec::new())];
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
        let memory = Settings { storage: StorageType::Memory, ..made.settings };
        assert!(plan(&config, Some(&memory)).is_err());
    }
}
