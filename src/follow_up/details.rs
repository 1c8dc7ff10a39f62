//! From an event to its details on the bus, or to the finding that there are none.

use std::{fmt::Display, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::sleep;

use super::{
    account::{Account, Cause},
    calls::{Calls, Turn},
    fetch,
    metrics::{Followed, Trouble},
};
use crate::{
    bus::{Ack, Bus, PublishError, Scope},
    envelope::{Message, traceparent::Traceparent},
    event::derived_id,
    finding::{DETAILS, DETAILS_ROUTE, Kind, TYPE},
    metrics::Label as _,
    reconcile::{Finding, OwnEvent},
};

/// Between two attempts to publish; the bus has its own, too.
const PUBLISH_AGAIN: Duration = Duration::from_secs(1);

/// Follows one event up. When this returns, its details are on the bus, or never will be.
/// `turn`: of its first call.
pub(super) async fn follow(account: &Account, calls: &Arc<Calls>, bus: &Bus, cause: &Cause, turn: Turn) {
    let certificate = cause.certificate.as_str();
    let Some(call) = account.call(certificate).filter(|_| !certificate.is_empty()) else {
        return refuse(account, bus, cause, &"the event names no certificate").await;
    };
    let (body, _place) = fetch::certificate(account, calls, &call, certificate, turn).await;
    let body = match body {
        Ok(body) => body,
        Err(error) => return refuse(account, bus, cause, &error).await,
    };
    match publish(account, bus, &details(account, cause, body), |error| error.scope() != Scope::Message).await {
        Ok(ack) => {
            account.metrics.results.inc(if ack == Ack::Stored { Followed::Published } else { Followed::Duplicate });
        }
        Err(error) => refuse(account, bus, cause, &format!("the bus: {error}")).await,
    }
}

/// Says that there are none. A bus that takes no such finding holds nothing up.
async fn refuse(account: &Account, bus: &Bus, cause: &Cause, error: &(dyn Display + Sync)) {
    let Cause { id: event, certificate, kind, .. } = cause;
    account.metrics.results.inc(Followed::Refused);
    let source = account.identity.name.as_str();
    tracing::warn!(source, event, certificate, %error, "no details of a certificate: given up");
    if !account.shared.config.reconcile.as_ref().is_some_and(|reconcile| reconcile.publish_findings) {
        return;
    }
    let subject = if certificate.is_empty() { event } else { certificate };
    let finding = Finding::new(Kind::DetailsRefused, &account.source, subject, event);
    let finding = Finding {
        event: Some(kind.clone()),
        event_id: Some(event.clone()),
        text: format!("{}: {error}", finding.text),
        ..finding
    };
    let said = Said {
        id: &finding.id(false),
        event_type: &[TYPE, finding.kind.as_str()].concat(),
        route: &finding.kind.route(),
        subject: &finding.subject,
        body: finding.data(false, Timestamp::now()).to_string().into(),
    };
    let message = own(account, cause, said);
    if let Err(error) = publish(account, bus, &message, |error| error.scope() == Scope::Bus).await {
        tracing::warn!(source, %error, route = message.route(), "a finding is not on the bus");
    }
}

/// The event with the details. Its id follows from the event's id, type and certificate, so that a repeat is a repeat, and two
/// events that a vendor gives one id are two.
fn details(account: &Account, cause: &Cause, body: Bytes) -> Message {
    let Cause { id, kind, certificate, .. } = cause;
    let seed = ["details.certificate", id, kind, certificate].join("\0");
    let id = derived_id(account.identity.vendor, &account.identity.name, seed.as_bytes());
    let (event_type, route, subject) = (DETAILS, DETAILS_ROUTE, cause.certificate.as_str());
    own(account, cause, Said { id: &id, event_type, route, subject, body })
}

/// What an event of hookbus's own says.
struct Said<'a> {
    id: &'a str,
    event_type: &'a str,
    route: &'a str,
    subject: &'a str,
    body: Bytes,
}

/// An event of hookbus's own that another one has led to.
fn own(account: &Account, cause: &Cause, said: Said<'_>) -> Message {
    let Said { id, event_type, route, subject, body } = said;
    let trace = Traceparent::parse(cause.trace.as_bytes()).unwrap_or_else(Traceparent::begin);
    let now = Timestamp::now();
    let recorded = format!("{now:.6}");
    let event = OwnEvent {
        event_type,
        route,
        source: &account.identity,
        id,
        subject,
        cause: Some(&cause.id),
        time: &recorded,
        recorded: &recorded,
        sequence: &account.shared.stamp.next(),
        trace: &trace,
        hop: &trace.child(),
    };
    Message { attributes: event.attributes(), body }
}

/// Publishes, again while `may_help` says so of the error.
///
/// # Errors
/// The bus does not take it.
async fn publish(
    account: &Account,
    bus: &Bus,
    message: &Message,
    may_help: fn(PublishError) -> bool,
) -> Result<Ack, PublishError> {
    loop {
        let error = match bus.publish(message.clone()).await {
            Ok(ack) => return Ok(ack),
            Err(error) => error,
        };
        account.metrics.failures.inc(Trouble::Bus);
        if !may_help(error) {
            return Err(error);
        }
        if account.is_news(Trouble::Bus) {
            let source = account.identity.name.as_str();
            tracing::warn!(source, %error, route = message.route(), "the bus does not take details; tried again");
        }
        sleep(PUBLISH_AGAIN).await;
    }
}
