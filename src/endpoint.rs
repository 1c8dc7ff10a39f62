//! Endpoints: a request's path chooses exactly one configured source, with its secrets, limits and metrics. Paths match
//! to the byte; the query is ignored. Nothing here looks at a body.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::Source, envelope::Identity, observe::metrics::SourceMetrics, secrets::SecretError, verify::Verifier,
};

/// One source, ready to receive.
#[derive(Debug)]
pub struct Endpoint {
    /// Who it is.
    pub identity: Identity,
    /// Its scheme and live secrets.
    pub verifier: Verifier,
    /// Most bytes of a body.
    pub max_body: usize,
    /// Its counters.
    pub metrics: Arc<SourceMetrics>,
}

/// All sources by path; read only after the start.
#[derive(Debug)]
pub struct Endpoints {
    by_path: HashMap<String, Arc<Endpoint>>,
}

impl Endpoints {
    /// Loads every source's secrets. `metrics` stand in the order of `sources`.
    ///
    /// # Errors
    /// The first source without a usable secret: no secret, no start.
    pub fn load(sources: &[Source], metrics: Vec<Arc<SourceMetrics>>) -> Result<Self, SecretError> {
        let mut by_path = HashMap::with_capacity(sources.len());
        for (source, metrics) in sources.iter().zip(metrics) {
            let endpoint = Endpoint {
                identity: Identity {
                    vendor: source.vendor,
                    name: source.name.clone(),
                    ce_source: source.ce_source.clone(),
                    tenant: source.tenant.clone(),
                },
                verifier: Verifier::load(source.vendor, &source.secret_files, source.tolerance)?,
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
