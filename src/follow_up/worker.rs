//! Consumes the events of one source and follows each up, several at a time.

use std::{error::Error, sync::Arc, time::Duration};

use log_once::LogOnce;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    account::{Account, SAY_AGAIN},
    calls::Calls,
    details,
    metrics::Trouble,
};
use crate::{
    bus::{Consumer, consumer::KEEP_EVERY},
    metrics::signed,
    vendor_api::Reason,
};

/// Between two attempts to begin.
const BEGIN_AGAIN: Duration = Duration::from_secs(2);
/// Events beside those that are asked for now: they have failed and wait for their next attempt. With so many of them no other one
/// is taken, so that what is not acknowledged stays bounded, for the broker and after a restart.
const MOST_PARKED: usize = 256;

type Fault = Box<dyn Error + Send + Sync>;

/// Works until it is to stop.
pub(super) async fn run(account: Arc<Account>, mut stop: watch::Receiver<bool>) {
    let mut said = LogOnce::repeated(SAY_AGAIN);
    let source = account.identity.name.clone();
    loop {
        let result = work(&account, &mut stop, &mut said).await;
        account.metrics.consuming.set(0);
        account.metrics.under_way.set(0);
        let Err(fault) = result else { return };
        if said.is_new(fault.to_string()) {
            tracing::warn!(source, error = %fault, "follow-up calls wait");
        }
        tokio::select! {
            () = sleep(BEGIN_AGAIN) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

/// What is under way when it ends is dropped; it was not acknowledged.
async fn work(
    account: &Arc<Account>,
    stop: &mut watch::Receiver<bool>,
    said: &mut LogOnce<String>,
) -> Result<(), Fault> {
    let calls = Calls::new(&account.source, account.most_calls())
        .inspect_err(|_| account.metrics.failures.inc(Trouble::Api(Reason::Credential)))
        .map(Arc::new)?;
    let bus = account.bus().await?;
    let (name, routes, most) = (account.consumer(), account.routes(), account.most_calls() + MOST_PARKED);
    let mut consumer = Consumer::open(&account.shared.config, &name, &routes, most).await?;
    said.clear();
    account.metrics.consuming.set(1);
    tracing::info!(source = account.identity.name, consumer = name, "following events up");
    let mut tasks = JoinSet::new();
    let mut keep = interval(KEEP_EVERY);
    keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = None;
    loop {
        account.metrics.under_way.set(signed(tasks.len()));
        let has_room = turn.is_some() && tasks.len() < most;
        tokio::select! {
            biased;
            () = stopped(stop) => break,
            _ = keep.tick() => consumer.keep().await?,
            Some(ticket) = tasks.join_next() => consumer.acknowledge(ticket?).await?,
            // A new one is taken only when it is about to be asked for.
            next = calls.places.turn(), if turn.is_none() => turn = Some(next),
            taken = consumer.next(has_room) => {
                let (record, ticket) = taken?;
                let Some(cause) = account.cause(&record) else {
                    consumer.acknowledge(ticket).await?;
                    continue;
                };
                let Some(turn) = turn.take() else { continue };
                let (account, calls, bus) = (Arc::clone(account), Arc::clone(&calls), bus.clone());
                tasks.spawn(async move {
                    details::follow(&account, &calls, &bus, &cause, turn).await;
                    ticket
                });
            }
        }
    }
    Ok(consumer.keep().await?)
}

/// Waits until it is to stop, or nobody is left to say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _gone = stop.wait_for(|stop| *stop).await;
}
