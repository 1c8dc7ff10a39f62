//! One account at a vendor, and all that a look asks of its API. It blocks.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    apis::{Api, Certificate, Delivery, Endpoint, Happened, Wanted},
    config::{ReconcileConfig, SourceConfig},
    vendor_api::{ApiError, Client, ClientError, Reason},
};

/// How long all calls of one look at one account may take together.
const LOOK_LIMIT: Duration = Duration::from_mins(10);

/// Why a vendor was not asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no client: a credential file.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The thread that asked it has ended early.
    #[error("asking ended early")]
    Ended,
}

impl AskError {
    /// As a label.
    pub fn reason(&self) -> Reason {
        match self {
            AskError::Client(_) => Reason::Credential,
            AskError::Ended => Reason::NoAnswer,
        }
    }
}

/// One source, and what is wanted at its vendor.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) source: SourceConfig,
    pub(super) api: &'static Api,
    pub(super) wanted: Wanted,
    /// Every event that its endpoint can ask for.
    pub(super) all: BTreeSet<String>,
}

/// What is asked for, each by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// The endpoints.
    Endpoints,
    /// The certificates.
    Certificates,
    /// What has happened.
    Happened,
    /// The deliveries of our endpoints.
    Deliveries,
}

/// What the API has answered.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) certificates: Vec<Certificate>,
    pub(super) happened: Vec<Happened>,
    pub(super) deliveries: Vec<Delivery>,
    /// Whether there are more certificates or events than one look asks for.
    pub(super) is_cut: bool,
    /// Items of another shape, which nobody judges.
    pub(super) odd: usize,
    /// The lists that were not answered to the end, and why.
    pub(super) failed: Vec<(List, ApiError)>,
}

impl Asked {
    /// What a list gives; nothing where it was not answered.
    fn take<T: Default>(&mut self, list: List, answer: Result<T, ApiError>) -> T {
        answer.map_err(|error| self.failed.push((list, error))).unwrap_or_default()
    }
}

impl Account {
    /// `None` for a source without `[sources.api]`.
    pub(super) fn of(source: &SourceConfig) -> Option<Self> {
        let (config, api) = source.api()?;
        let all = api.all_events(source.vendor.profile().catalogue);
        Some(Account { source: source.clone(), api, wanted: config.wanted(&all), all })
    }

    /// Asks everything, for [`LOOK_LIMIT`] at most. The credentials are read anew, so that another one needs no restart.
    pub(super) fn ask(&self, reconcile: &ReconcileConfig, now: Timestamp) -> Result<Asked, AskError> {
        let client = Client::new(&self.source)?.until(Instant::now() + LOOK_LIMIT);
        let mut asked = Asked::default();
        asked.endpoints = asked.take(List::Endpoints, client.endpoints());
        let since = now.checked_sub(reconcile.look_back).unwrap_or(Timestamp::MIN);
        let (most, keep) = (reconcile.most_certificates, reconcile.publish_missed);
        let certificates = asked.take(List::Certificates, client.certificates(most, keep));
        let happened = asked.take(List::Happened, client.happened(since, most, keep));
        let ours = asked.endpoints.iter().filter(|endpoint| endpoint.url == self.wanted.url);
        let calls: Vec<_> = ours.filter_map(|endpoint| self.api.deliveries(&endpoint.id)).collect();
        for call in calls {
            if let Some(part) = asked.take(List::Deliveries, client.deliveries(&call).map(Some)) {
                asked.deliveries.extend(part.items);
                asked.odd += part.odd.len();
            }
        }
        // Of a list that was not answered that is said.
        let has = |list| asked.failed.iter().all(|(failed, _)| *failed != list);
        asked.is_cut =
            (has(List::Certificates) && !certificates.is_whole) || (has(List::Happened) && !happened.is_whole);
        asked.odd += certificates.odd + happened.odd;
        (asked.certificates, asked.happened) = (certificates.items, happened.items);
        Ok(asked)
    }
}
