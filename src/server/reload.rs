//! Secrets are read again every few seconds, so that a rotation needs no restart and no signal. Reading is the whole
//! check: it sees through Kubernetes' swapped links and works on every file system. It has a thread of its own: a volume
//! that hangs must stop neither health checks nor signals.

use std::{collections::HashMap, io, sync::Arc, thread, time::Duration};

use log_once::LogOnce;

use crate::{
    endpoint::Endpoint,
    intake::Gateway,
    secrets::{Oddity, Reload, SecretError, shared},
    verify::metrics::Loaded,
};

/// Time between two looks at the secret files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Starts the thread; it ends with the process.
pub(super) fn start(gateway: Arc<Gateway>) -> io::Result<()> {
    let look = move || {
        // What was last refused, so that a bad file is counted and logged once, not at every look.
        let mut refused: HashMap<String, LogOnce<String>> = HashMap::new();
        loop {
            thread::sleep(LOOK_EVERY);
            for endpoint in gateway.endpoints.iter() {
                match endpoint.verifier.reload() {
                    Reload::Unchanged => good_again(endpoint, &mut refused),
                    Reload::Loaded(odd) => {
                        refused.remove(&endpoint.identity.name);
                        endpoint.metrics.signatures.reloads.inc(Loaded::Ok);
                        endpoint.metrics.signatures.reload_success.set(1);
                        tracing::info!(source = endpoint.identity.name, "secrets reloaded");
                        warn(&gateway, endpoint, &odd);
                    }
                    Reload::Refused(error) => refuse(endpoint, &error, &mut refused),
                }
            }
        }
    };
    thread::Builder::new().name("secrets".into()).spawn(look).map(|_| ())
}

/// Says of new secrets what the check of the configuration says at the start.
fn warn(gateway: &Gateway, endpoint: &Endpoint, odd: &[(String, Oddity)]) {
    let source = &endpoint.identity.name;
    for (secret, oddity) in odd {
        tracing::warn!(source, secret, "{oddity}");
    }
    let live = endpoint.verifier.secret_digests();
    for other in gateway.endpoints.iter().filter(|other| other.identity.name != *source) {
        if !shared([&live[..], &other.verifier.secret_digests()]).is_empty() {
            tracing::warn!(source, other = other.identity.name, "two sources have one secret");
        }
    }
}

fn good_again(endpoint: &Endpoint, refused: &mut HashMap<String, LogOnce<String>>) {
    if refused.remove(&endpoint.identity.name).is_some() {
        endpoint.metrics.signatures.reload_success.set(1);
        tracing::info!(source = endpoint.identity.name, "secret files are good again, and unchanged");
    }
}

fn refuse(endpoint: &Endpoint, error: &SecretError, refused: &mut HashMap<String, LogOnce<String>>) {
    let (source, text) = (&endpoint.identity.name, error.to_string());
    if refused.entry(source.clone()).or_default().is_new(text.clone()) {
        endpoint.metrics.signatures.reloads.inc(Loaded::Refused);
        endpoint.metrics.signatures.reload_success.set(0);
        tracing::error!(source, error = text, "secrets not reloaded: the old ones stay in use");
    }
}
