//! One account at a vendor, and all that a look asks of its API. It blocks.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    apis::{Api, Certificate, Delivery, Endpoint, Happened, Wanted},
    config::{ReconcileConfig, SourceConfig},
    vendor_api::{ApiError, Client, ClientError, Reason},
};

/// Why a vendor could not be asked to the end.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no client: a credential file.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A call.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The thread that asked it has ended early.
    #[error("asking ended early")]
    Ended,
}

impl AskError {
    /// As a label.
    pub fn reason(&self) -> Reason {
        match self {
            AskError::Client(_) => Reason::Credential,
            AskError::Api(error) => error.into(),
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

/// What the API has answered.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) certificates: Vec<Certificate>,
    pub(super) happened: Vec<Happened>,
    pub(super) deliveries: Vec<Delivery>,
    /// Whether there are more certificates or events than one look asks for.
    pub(super) is_cut: bool,
}

impl Account {
    /// `None` for a source without `[sources.api]`.
    pub(super) fn of(source: &SourceConfig) -> Option<Self> {
        let (config, api) = source.api()?;
        let all = api.all_events(source.vendor.profile().catalogue);
        Some(Account { source: source.clone(), api, wanted: config.wanted(&all), all })
    }

    /// Asks everything. The credentials are read anew, so that another one needs no restart.
    pub(super) fn ask(&self, reconcile: &ReconcileConfig, now: Timestamp) -> Result<Asked, AskError> {
        let client = Client::new(&self.source)?;
        let endpoints = client.endpoints()?;
        let since = now.checked_sub(reconcile.look_back).unwrap_or(Timestamp::MIN);
        let certificates = client.certificates(reconcile.most_certificates)?;
        let happened = client.happened(since, reconcile.most_certificates)?;
        let mut deliveries = Vec::new();
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.url == self.wanted.url) {
            if let Some(call) = self.api.deliveries(&endpoint.id) {
                deliveries.extend(client.deliveries(&call)?);
            }
        }
        let is_cut = !(certificates.is_whole && happened.is_whole);
        Ok(Asked { endpoints, certificates: certificates.items, happened: happened.items, deliveries, is_cut })
    }
}
