//! Follow-up calls: a webhook names a certificate, and the vendor's API has the rest of it.
//!
//! In: events of the types in `[sources.api] follow_up`, from the bus by a durable consumer. Out: the certificate as
//! `com.hookbus.details.certificate`, on the bus before the event is acknowledged. Whoever is killed meets the event again, and
//! its details have the same id. What the vendor's API does not answer now is asked for again and holds nothing else up; what it
//! goes on refusing is said and passed over. It runs beside the reconciler, never in the gateway.

mod account;
mod calls;
mod details;
mod fetch;
pub mod metrics;
mod pace;
mod shared;
mod worker;

use std::sync::Arc;

use tokio::sync::{OnceCell, watch};

use self::{account::Account, metrics::DetailsMetrics, shared::Shared};
use crate::{
    bus::Bus,
    config::{Config, SourceConfig},
    envelope::Stamp,
    metrics::{Families, Made},
    server::replica,
};

/// Starts a task for each source that wants details, in the runtime of the caller; each ends when `stop` becomes true. `bus`:
/// what to publish to, if it is not the embedded one.
///
/// # Errors
/// See [`Made`]. What cannot be reached, read or opened later is said and tried again.
pub fn start(config: &Arc<Config>, bus: Option<Bus>, families: &Families, stop: &watch::Receiver<bool>) -> Made<()> {
    let stamp = Stamp::new(&replica(), jiff::Timestamp::now().as_millisecond());
    let shared = Arc::new(Shared { config: Arc::clone(config), bus: OnceCell::new_with(bus), stamp });
    for source in config.sources.iter().filter(|source| source.has_follow_up()) {
        let account = account(source, &shared, families)?;
        tokio::spawn(worker::run(Arc::new(account), stop.clone()));
    }
    Ok(())
}

fn account(source: &SourceConfig, shared: &Arc<Shared>, families: &Families) -> Made<Account> {
    let metrics = DetailsMetrics::register(&families.with("source", &source.name))?;
    Ok(Account::new(source, Arc::clone(shared), metrics))
}
