//! Endpoints and deliveries on standard output: lines for people, or JSON.

use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::json;

use super::{
    account::Account,
    options::{Deliveries, List},
};
use crate::{
    apis::{Delivery, Endpoint},
    commands::{failure::Failure, output::json_line},
    text::terminal,
};

/// Lists every endpoint of the accounts.
pub(super) fn list(options: &List, accounts: &[Account<'_>]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for account in accounts {
        let endpoints = account.client.endpoints().map_err(Failure::failed)?;
        if !options.json {
            writeln!(out, "{}: {} endpoint(s)", account.title(), endpoints.len())?;
        }
        for endpoint in &endpoints {
            let Endpoint { id, url, events, status } = endpoint;
            let is_ours = *url == account.wanted.url;
            if options.json {
                let source = &account.source.name;
                let line = json!({
                    "source": source, "id": id, "url": url, "events": events, "status": status, "is_ours": is_ours,
                });
                json_line(line.to_string().as_bytes(), &mut out)?;
                continue;
            }
            let events = events.as_ref().map_or("events not shown".into(), |events| match events.len() {
                0..=4 => events.iter().cloned().collect::<Vec<_>>().join(" "),
                many => format!("{many} events"),
            });
            let mark = if is_ours { '*' } else { ' ' };
            let status = status.as_deref().unwrap_or("-");
            writeln!(out, "{}", terminal(format!("{mark} {id:<16} {status:<9} {url}  {events}").as_bytes()))?;
        }
    }
    Ok(())
}

/// Shows the deliveries of one endpoint.
pub(super) fn deliveries(options: &Deliveries, account: &Account<'_>) -> Result<(), Failure> {
    let id = account.id(options.id.as_deref())?;
    let vendor = account.source.vendor;
    let call = account.api.deliveries(&id);
    let call = call.ok_or_else(|| Failure::Usage(format!("{vendor} documents no call that lists deliveries")))?;
    let deliveries = account.client.deliveries(&call).map_err(Failure::failed)?;
    let mut out = io::stdout().lock();
    if !deliveries.odd.is_empty() {
        writeln!(io::stderr(), "hookbus: {} item(s) of another shape are passed over", deliveries.odd.len())?;
    }
    for delivery in deliveries.items.iter().filter(|delivery| is_wanted(delivery, options)) {
        if options.json { json(delivery, &mut out)? } else { line(delivery, &mut out)? }
    }
    Ok(())
}

/// A time that cannot be read is shown.
fn is_wanted(delivery: &Delivery, options: &Deliveries) -> bool {
    let is_older = |since: Timestamp| delivery.time.parse::<Timestamp>().is_ok_and(|time| time < since);
    (delivery.has_failed() || !options.failed) && !options.since.is_some_and(|since| is_older(since.0))
}

fn line(delivery: &Delivery, out: &mut impl Write) -> io::Result<()> {
    let Delivery { id, event, time, status, code, attempts, error } = delivery;
    let code = code.map_or("-".into(), |code| code.to_string());
    let error = error.as_deref().unwrap_or_default();
    let line = format!("{time:<24}  {status:<9}  {code:>3}  {attempts} attempt(s)  {event:<24}  {id}  {error}");
    writeln!(out, "{}", terminal(line.trim_end().as_bytes()))
}

fn json(delivery: &Delivery, out: &mut impl Write) -> io::Result<()> {
    let Delivery { id, event, time, status, code, attempts, error } = delivery;
    let line = json!({
        "id": id, "event": event, "time": time, "status": status, "code": code, "attempts": attempts, "error": error,
    });
    json_line(line.to_string().as_bytes(), out)
}
