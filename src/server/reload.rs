//! Secrets are read again every few seconds, so that a rotation needs no restart and no signal. Reading is the whole
//! check: it sees through Kubernetes' swapped links and works on every file system.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{intake::Gateway, secrets::Reload};

/// Time between two looks at the secret files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Runs until the runtime ends.
pub(super) async fn watch(gateway: Arc<Gateway>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was last refused, so that a bad file is counted and logged once, not at every look.
    let mut refused: HashMap<String, String> = HashMap::new();
    loop {
        ticks.tick().await;
        for endpoint in gateway.endpoints.iter() {
            let (source, metrics) = (&endpoint.identity.name, &endpoint.metrics);
            match endpoint.verifier.reload() {
                Reload::Unchanged => {
                    if refused.remove(source).is_some() {
                        metrics.reload_success.set(1);
                    }
                }
                Reload::Loaded => {
                    refused.remove(source);
                    metrics.reloads_ok.inc();
                    metrics.reload_success.set(1);
                    tracing::info!(source, "secrets reloaded");
                }
                Reload::Refused(error) => {
                    let error = error.to_string();
                    if refused.get(source) != Some(&error) {
                        metrics.reloads_refused.inc();
                        metrics.reload_success.set(0);
                        tracing::error!(source, %error, "secrets not reloaded: the old ones stay in use");
                        refused.insert(source.clone(), error);
                    }
                }
            }
        }
    }
}
