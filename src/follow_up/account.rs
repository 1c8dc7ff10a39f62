//! One source that wants details: which events it follows, and where they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use journal::OpenError;
use log_once::LogOnce;

use super::{
    metrics::{DetailsMetrics, Trouble},
    pace::Pace,
    shared::Shared,
};
use crate::{
    apis::Call,
    bus::{Bus, Record, beside},
    config::{BusKind, SourceConfig},
    envelope::{self, Content, attributes::Attribute, route},
    source::Identity,
};

/// How soon a fault that goes on is said again.
pub(super) const SAY_AGAIN: Duration = Duration::from_mins(10);

/// One source.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) source: SourceConfig,
    pub(super) identity: Identity,
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: DetailsMetrics,
    pub(super) pace: Pace,
    /// Types of the events that it follows, in the vendor's words, by that of the envelope.
    types: BTreeMap<String, String>,
    /// Guards the line about calls that fail.
    said: Mutex<LogOnce<Trouble>>,
}

/// An event that wants details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    /// Its id.
    pub(super) id: String,
    /// The vendor's type of it.
    pub(super) kind: String,
    /// The certificate's id.
    pub(super) certificate: String,
    /// The trace of its request.
    pub(super) trace: String,
}

impl Account {
    pub(super) fn new(source: &SourceConfig, shared: Arc<Shared>, metrics: DetailsMetrics) -> Self {
        let follow_up = source.api.iter().flat_map(|api| &api.follow_up);
        let types = follow_up.map(|event| (format!("com.{}.{event}", source.vendor), event.clone())).collect();
        let (source, identity) = (source.clone(), source.identity());
        let said = Mutex::new(LogOnce::repeated(SAY_AGAIN));
        Account { source, identity, shared, metrics, pace: Pace::default(), types, said }
    }

    /// The name of its consumer: part of the documented permissions.
    pub(super) fn consumer(&self) -> String {
        format!("hookbus-details-{}", self.source.name)
    }

    /// Most calls at once.
    pub(super) fn most_calls(&self) -> usize {
        self.source.api.as_ref().map_or(1, |api| api.follow_up_calls)
    }

    /// Where its events are. On Kafka one whose topic is missing goes to the catch-all.
    pub(super) fn routes(&self) -> BTreeSet<String> {
        let (bus, vendor) = (&self.shared.config.bus, self.source.vendor);
        let follow_up = |event: &str| self.source.api.iter().any(|api| api.follow_up.iter().any(|one| one == event));
        let routes = envelope::routes(std::slice::from_ref(&self.identity), &bus.template());
        let wanted = routes.into_iter().filter(|route| match route.content {
            Content::Documented(_, event) => follow_up(event),
            Content::Unlisted(_)
            | Content::Quarantine(_)
            | Content::Finding(_)
            | Content::Missed
            | Content::Details => false,
        });
        let catch_all = (bus.kind == BusKind::Kafka).then(|| route::catch_all(vendor.as_str()).to_string());
        wanted.map(|route| route.address).chain(catch_all).collect()
    }

    /// The event of a record, if it is one that this source follows.
    pub(super) fn cause(&self, record: &Record) -> Option<Cause> {
        let message = record.message.as_ref()?;
        let get = |attribute| message.get(attribute).to_owned();
        let kind = self.types.get(message.get(Attribute::Type))?;
        let is_ours = message.get(Attribute::Source) == self.identity.ce_source;
        is_ours.then(|| Cause {
            id: get(Attribute::Id),
            kind: kind.clone(),
            certificate: get(Attribute::Subject),
            trace: get(Attribute::Traceparent),
        })
    }

    /// The call for a certificate.
    pub(super) fn call(&self, certificate: &str) -> Option<Call> {
        self.source.api()?.1.certificate(certificate)
    }

    /// Where details go.
    ///
    /// # Errors
    /// The journal beside the embedded bus is another process's, or cannot be opened.
    pub(super) async fn bus(&self) -> Result<Bus, OpenError> {
        let open = || async { beside::open(&self.shared.config).map(Bus::Journal) };
        self.shared.bus.get_or_try_init(open).await.cloned()
    }

    /// Whether a fault is to be said: another one than the last, or again after a while.
    pub(super) fn is_news(&self, trouble: Trouble) -> bool {
        self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_new(trouble)
    }

    /// All is well again.
    pub(super) fn is_well(&self) {
        self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}
