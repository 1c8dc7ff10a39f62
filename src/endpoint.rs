//! Endpoints: a request's path chooses exactly one configured source, with its secrets, limits and metrics. Paths match
//! to the byte; the query is ignored. Nothing here looks at a body.

pub mod metrics;

use std::{collections::HashMap, sync::Arc};

use self::metrics::SourceMetrics;
use crate::{
    config::SourceConfig,
    request::Received,
    secrets::{self, SecretError},
    source::Identity,
    verify::{Refusal, Verified, Verifier},
};

/// One source, ready to receive.
#[derive(Debug)]
pub struct Endpoint {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// Its scheme and live secrets.
    pub verifier: Verifier,
    /// The names of its secrets, in the order of their files.
    pub secret_names: Vec<String>,
    /// Most bytes of a body.
    pub max_body: usize,
    /// Its counters.
    pub metrics: SourceMetrics,
}

/// All sources by path; read only after the start.
#[derive(Debug)]
pub struct Endpoints {
    by_path: HashMap<String, Arc<Endpoint>>,
}

impl Endpoint {
    /// Verifies a request, and counts the check.
    ///
    /// # Errors
    /// See [`Verifier::verify`].
    pub fn verify<'h>(&self, received: Received<'h>) -> Result<Verified<'h>, Refusal> {
        let verified = self.verifier.verify(received);
        let proof = verified.as_ref().map(Verified::proof).map_err(|refusal| *refusal);
        self.metrics.signatures.checked(proof, &self.metrics.secrets);
        verified
    }
}

impl Endpoints {
    /// Loads every source's secrets. `metrics` stand in the order of `sources`.
    ///
    /// # Errors
    /// The first source without a usable secret: no secret, no start.
    pub fn load(sources: &[SourceConfig], metrics: Vec<SourceMetrics>) -> Result<Self, SecretError> {
        let mut by_path = HashMap::with_capacity(sources.len());
        for (source, metrics) in sources.iter().zip(metrics) {
            let identity = Arc::new(source.identity());
            let endpoint = Endpoint {
                identity: Arc::clone(&identity),
                verifier: Verifier::load(identity, &source.secret_files, source.tolerance)?,
                secret_names: source.secret_files.iter().map(|file| secrets::name(file)).collect(),
                max_body: source.max_body,
                metrics,
            };
            by_path.insert(source.path.clone(), Arc::new(endpoint));
        }
        Ok(Endpoints { by_path })
    }

    /// The source of a path.
    pub fn find(&self, path: &str) -> Option<&Arc<Endpoint>> {
        self.by_path.get(path)
    }

    /// Every source.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.by_path.values()
    }
}
