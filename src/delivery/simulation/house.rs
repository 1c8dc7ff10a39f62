//! One life of the process: a gateway without HTTP on the machine.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use fastrand::Rng;
use journal::{Journal, Keep, OpenError, Options};

use super::broker::{Broker, Connection};
use crate::{
    bus::{Bus, fake::Fake},
    delivery::{
        Delivery, Receipt, Undeliverable,
        dead_letters::DeadLetters,
        metrics::{DeliveryMetrics, EventMetrics},
        spool::Spool,
    },
    envelope::{Attributes, Envelope, attributes::Attribute},
    metrics::Families,
    request::Body,
};

const SPOOL: &str = "/machine/spool";
const DEAD_LETTERS: &str = "/machine/dead-letters";
const HEDGE_AFTER: Duration = Duration::from_millis(1500);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What stays the same in all lives.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    segment_size: u64,
    max_size: u64,
    queue: usize,
    recent_events: usize,
    dead_letter_after: Option<Duration>,
    pub(super) metrics: Arc<DeliveryMetrics>,
    events: Arc<EventMetrics>,
}

impl Plan {
    pub(super) fn new(rng: &mut Rng) -> Plan {
        let families = Families::default();
        Plan {
            segment_size: [1, 2, 4, 16][rng.usize(..4)] << 10,
            max_size: [8, 16, 64, 1024][rng.usize(..4)] << 10,
            queue: [2, 8, 64][rng.usize(..3)],
            recent_events: [4, 1000][rng.usize(..2)],
            dead_letter_after: [None, Some(Duration::from_secs(5)), Some(Duration::from_secs(3600))][rng.usize(..3)],
            metrics: Arc::new(DeliveryMetrics::register(&families).unwrap()),
            events: Arc::new(EventMetrics::register(&families, std::iter::empty()).unwrap()),
        }
    }

    fn journal(&self, directory: &str, max_size: u64) -> Result<Journal, OpenError> {
        let options = Options {
            directory: directory.into(),
            segment_size: self.segment_size,
            max_size,
            max_age: None,
            reserve: 0,
            keep: Keep::UntilAcknowledged,
            queue: self.queue,
        };
        Journal::open(options, Arc::new(()))
    }
}

/// The gateway.
#[derive(Debug)]
pub(super) struct House {
    pub(super) delivery: Arc<Delivery>,
    pub(super) spool: Arc<Spool>,
    pub(super) dead_letters: Journal,
    plan: Plan,
}

impl House {
    pub(super) fn open(plan: &Plan, broker: &Arc<Broker>) -> Result<House, OpenError> {
        let journal = plan.journal(SPOOL, plan.max_size)?;
        let dead_letters = plan.journal(DEAD_LETTERS, 4 << 20)?;
        let metrics = &plan.metrics;
        let log = DeadLetters::new(dead_letters.clone(), Path::new(DEAD_LETTERS), Arc::clone(metrics));
        let spool = Spool::new(journal, log, HEDGE_AFTER, plan.dead_letter_after, Arc::clone(metrics));
        let bus = Bus::Fake(Fake::scripted(Arc::new(Connection(Arc::clone(broker)))));
        let delivery =
            Delivery::new(bus, Some(Arc::clone(&spool)), plan.recent_events, ANSWER_TIMEOUT, Arc::clone(metrics));
        Ok(House { delivery: delivery.unwrap(), spool, dead_letters, plan: plan.clone() })
    }

    /// Posts an event. `ticket`: unique to this post.
    pub(super) async fn post(
        &self,
        number: usize,
        key: usize,
        body: Bytes,
        ticket: u64,
    ) -> Result<Receipt, Undeliverable> {
        let mut attributes = Attributes::with_capacity(64);
        attributes.push(Attribute::Id, &number);
        attributes.push(Attribute::Route, &format_args!("webhooks.{key}"));
        attributes.push(Attribute::PartitionKey, &key);
        attributes.push(Attribute::Sequence, &ticket);
        let envelope = Envelope { attributes, body: Body::unbudgeted(body), fingerprint: 1 };
        self.delivery.deliver(envelope, "acme", Arc::clone(self.plan.events.of("unknown"))).await
    }

    pub(super) fn is_drained(&self) -> bool {
        self.spool.is_open() && self.spool.stats().records == 0
    }
}
