//! Secrets are read again every few seconds, so that a rotation needs no restart and no signal. Reading is the whole
//! check: it sees through Kubernetes' swapped links and works on every file system. It has a thread of its own: a volume
//! that hangs must stop neither health checks nor signals.

use std::{collections::HashMap, io, sync::Arc, thread, time::Duration};

use crate::{
    endpoint::Endpoint,
    intake::Gateway,
    secrets::{Reload, SecretError},
};

/// Time between two looks at the secret files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Starts the thread; it ends with the process.
pub(super) fn start(gateway: Arc<Gateway>) -> io::Result<()> {
    let look = move || {
        // What was last refused, so that a bad file is counted and logged once, not at every look.
        let mut refused: HashMap<String, String> = HashMap::new();
        loop {
            thread::sleep(LOOK_EVERY);
            for endpoint in gateway.endpoints.iter() {
                match endpoint.verifier.reload() {
                    Reload::Unchanged => good_again(endpoint, &mut refused),
                    Reload::Loaded => {
                        refused.remove(&endpoint.identity.name);
                        endpoint.metrics.reloads_ok.inc();
                        endpoint.metrics.reload_success.set(1);
                        tracing::info!(source = endpoint.identity.name, "secrets reloaded");
                    }
                    Reload::Refused(error) => refuse(endpoint, &error, &mut refused),
                }
            }
        }
    };
    thread::Builder::new().name("secrets".into()).spawn(look).map(|_| ())
}

fn good_again(endpoint: &Endpoint, refused: &mut HashMap<String, String>) {
    if refused.remove(&endpoint.identity.name).is_some() {
        endpoint.metrics.reload_success.set(1);
        tracing::info!(source = endpoint.identity.name, "secret files are good again, and unchanged");
    }
}

fn refuse(endpoint: &Endpoint, error: &SecretError, refused: &mut HashMap<String, String>) {
    let (source, text) = (&endpoint.identity.name, error.to_string());
    if refused.get(source) != Some(&text) {
        endpoint.metrics.reloads_refused.inc();
        endpoint.metrics.reload_success.set(0);
        tracing::error!(source, error = text, "secrets not reloaded: the old ones stay in use");
        refused.insert(source.clone(), text);
    }
}
