//! Publishes findings, and what a vendor's API shows of a missed certificate, as events of hookbus's own.
//!
//! No vendor's event is made up: their types begin with `com.hookbus.`, and what was fetched says so.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::{finding::Finding, own::OwnEvent};
use crate::{
    bus::{Bus, PublishError},
    config::SourceConfig,
    envelope::{Message, Stamp, traceparent::Traceparent},
    finding,
    metrics::Label as _,
};

/// Publications at once.
const AT_ONCE: usize = 64;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the bus may take to be there.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// Between two looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Makes and sends the events.
#[derive(Debug)]
pub(super) struct Publisher {
    bus: Bus,
    stamp: Stamp,
}

impl Publisher {
    /// Publishes to this bus.
    pub(super) fn new(bus: Bus) -> Self {
        let replica = format!("{}.reconcile", crate::server::replica());
        Publisher { bus, stamp: Stamp::new(&replica, Timestamp::now().as_millisecond()) }
    }

    /// Publishes all of them; how many the bus did not take.
    pub(super) async fn publish(&self, messages: Vec<Message>) -> usize {
        if messages.is_empty() {
            return 0;
        }
        let until = Instant::now() + FIRST_ANSWER;
        while !self.bus.up() && Instant::now() < until {
            sleep(LOOK_EVERY).await;
        }
        let mut failed = 0;
        for some in messages.chunks(AT_ONCE) {
            let under_way = some.iter().map(|message| timeout(PATIENCE, self.bus.publish(message.clone())));
            for (result, message) in join_all(under_way).await.into_iter().zip(some) {
                if let Err(error) = result.unwrap_or(Err(PublishError::Timeout)) {
                    failed += 1;
                    tracing::warn!(%error, route = message.route(), "a finding is not on the bus; the next look tries again");
                }
            }
        }
        failed
    }

    /// The event of a finding; `healed`: that it is over.
    pub(super) fn finding(&self, finding: &Finding, source: &SourceConfig, healed: bool, now: Timestamp) -> Message {
        let head = Head {
            id: finding.id(healed),
            event_type: [finding::TYPE, finding.kind.as_str()].concat(),
            route: finding.kind.route(),
            subject: &finding.subject,
            time: finding.since.unwrap_or(now),
        };
        self.message(&head, source, finding.data(healed, now).to_string().into(), now)
    }

    /// What the API shows of a certificate whose event is missing; `None` for another finding.
    pub(super) fn missed(&self, finding: &Finding, source: &SourceConfig, now: Timestamp) -> Option<Message> {
        let certificate = finding.certificate.as_ref()?;
        let mut data = json!({ "fetched": now.to_string(), "finding": finding.id(false), "certificate": certificate });
        if let Some(happened) = &finding.happened {
            data["event"] = happened.clone();
        }
        let head = Head {
            id: [&finding.id(false), "/missed"].concat(),
            event_type: finding::MISSED.into(),
            route: finding::MISSED_ROUTE.into(),
            subject: &finding.subject,
            time: finding.since.unwrap_or(now),
        };
        Some(self.message(&head, source, data.to_string().into(), now))
    }

    fn message(&self, head: &Head<'_>, source: &SourceConfig, body: Bytes, now: Timestamp) -> Message {
        let (Head { id, event_type, route, subject, time }, trace) = (head, Traceparent::begin());
        let event = OwnEvent {
            event_type,
            route,
            source: &source.identity(),
            id,
            subject,
            cause: None,
            time,
            recorded: &format_args!("{now:.6}"),
            sequence: &self.stamp.next(),
            trace: &trace,
            hop: &trace.child(),
        };
        Message { attributes: event.attributes(), body }
    }
}

/// What tells one event of ours from another.
struct Head<'a> {
    id: String,
    event_type: String,
    route: String,
    subject: &'a str,
    time: Timestamp,
}
