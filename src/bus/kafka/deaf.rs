//! A deaf client, producer, reader or member of a group: brokers answer one that is made anew, and not this one.
//!
//! In: how each look of its owner ended. Out: whether the client must be replaced. A broker that has just woken up may
//! list no broker, itself neither: librdkafka 2.12 then forgets all that it knows and may never ask one again, whatever
//! `metadata.recovery.strategy` is (its issue 5301).

use std::time::{Duration, Instant};

use rdkafka::admin::AdminClient;

use super::settings;
use crate::config::KafkaConfig;

/// Longest wait for an answer to the other client.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Silence before another client is asked.
const SILENT_FOR: Duration = Duration::from_secs(5);
/// How long brokers must have answered others only: longer than a client waits between two attempts to connect.
const DEAF_FOR: Duration = Duration::from_secs(10);

/// What is known of the silence.
#[derive(Debug, Default)]
pub(super) struct Deaf {
    silent_since: Option<Instant>,
    /// Since when each other client was answered.
    others_since: Option<Instant>,
}

impl Deaf {
    /// The client was answered.
    pub(super) fn answered(&mut self) {
        *self = Deaf::default();
    }

    /// It was not. `ask_another`: whether brokers answer another client. Returns whether the client must be replaced, and
    /// begins anew then.
    pub(super) fn is_deaf(&mut self, now: Instant, ask_another: impl FnOnce() -> bool) -> bool {
        if now.duration_since(*self.silent_since.get_or_insert(now)) < SILENT_FOR {
            return false;
        }
        if !ask_another() {
            self.others_since = None;
            return false;
        }
        let is_deaf = DEAF_FOR <= now.duration_since(*self.others_since.get_or_insert(now));
        if is_deaf {
            self.answered();
        }
        is_deaf
    }
}

/// Whether brokers answer a client that is made anew.
pub(super) fn another_is_answered(kafka: &KafkaConfig) -> bool {
    let client = settings::administrator(kafka).and_then(|settings| Ok(settings.create::<AdminClient<_>>()?));
    client.is_ok_and(|client| client.inner().fetch_cluster_id(ANSWER_LIMIT).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_deaf_when_others_alone_are_answered_for_long() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut deaf = Deaf::default();
        assert!(!deaf.is_deaf(at(0), || panic!("no other is asked yet")));
        assert!(!deaf.is_deaf(at(4), || panic!("no other is asked yet")));
        assert!(!deaf.is_deaf(at(60), || false), "no broker answers anybody");
        assert!(!deaf.is_deaf(at(61), || true), "they may have come back just now");
        assert!(!deaf.is_deaf(at(70), || true));
        assert!(!deaf.is_deaf(at(71), || false), "and gone again");
        assert!(!deaf.is_deaf(at(80), || true));
        assert!(!deaf.is_deaf(at(89), || true));
        assert!(deaf.is_deaf(at(90), || true));
        assert!(!deaf.is_deaf(at(91), || panic!("the new one has its time")));
        deaf.answered();
        assert!(!deaf.is_deaf(at(99), || panic!("it was answered meanwhile")));
    }
}
