//! `hookbus endpoints`: makes and manages the endpoints at the vendors, through their own APIs.
//!
//! A secret that a vendor returns goes to its file or manifest and nowhere else. Of an endpoint that is being made the
//! ledger knows more at each step, so that a run that ends anywhere leaves nothing that the next one does not find.

mod account;
mod apply;
mod keep;
mod ledger;
mod make;
mod manifest;
mod options;
mod plan;
mod rotate;
mod show;
mod usage;

use std::io::{self, Write as _};

use jiff::Timestamp;
use serde_json::json;

pub use self::options::Options;
use self::{account::Account, ledger::Ledger, options::Verb};
use crate::{
    commands::{
        failure::Failure,
        post::{Answer, Poster},
    },
    config::Config,
    secrets::Secret,
    text::terminal,
};

/// Does what the verb says.
///
/// # Errors
/// A source without an API; a vendor that does not answer or says no; `plan` with something to do.
pub fn run(options: &Options, config: &Config) -> Result<(), Failure> {
    let name = options.source.as_deref();
    match &options.verb {
        Verb::Plan(change) => plan(change.rotate, &Account::all(config, name)?),
        Verb::Apply(apply) => apply::run(apply, &Account::all(config, name)?),
        Verb::List(list) => show::list(list, &Account::all(config, name)?),
        Verb::Deliveries(deliveries) => show::deliveries(deliveries, &Account::one(config, name)?),
        Verb::Test(one) => test(one.id.as_deref(), &Account::one(config, name)?),
        Verb::Rotate(options) => rotate::run(options, &Account::one(config, name)?),
        Verb::Enable(one) => switch(one.id.as_deref(), true, &Account::one(config, name)?),
        Verb::Disable(one) => switch(one.id.as_deref(), false, &Account::one(config, name)?),
        Verb::Delete(delete) => self::delete(&delete.id, delete.yes, &Account::one(config, name)?),
    }
}

fn plan(may_replace: bool, accounts: &[Account<'_>]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let mut is_done = true;
    for account in accounts {
        let endpoints = account.client.endpoints().map_err(Failure::failed)?;
        let plan = account.plan(&endpoints, &Ledger::read(account.file)?, may_replace)?;
        write!(out, "{}\n{plan}", account.title())?;
        is_done &= plan.is_done();
    }
    if is_done { Ok(()) } else { Err(Failure::Pending) }
}

fn switch(id: Option<&str>, on: bool, account: &Account<'_>) -> Result<(), Failure> {
    let id = account.id(id)?;
    let vendor = account.source.vendor;
    let none = || Failure::Usage(format!("{vendor} documents no call that switches an endpoint on or off"));
    account.client.tell(&account.api.switch(&id, on).ok_or_else(none)?).map_err(Failure::failed)?;
    Ok(writeln!(io::stdout(), "{id}: switched {}", if on { "on" } else { "off" })?)
}

fn delete(id: &str, yes: bool, account: &Account<'_>) -> Result<(), Failure> {
    let endpoints = account.client.endpoints().map_err(Failure::failed)?;
    let url = endpoints.iter().find(|endpoint| endpoint.id == id).map(|endpoint| endpoint.url.as_str());
    let url = url.ok_or_else(|| Failure::failed(format!("{} has no endpoint of this id", account.title())))?;
    writeln!(io::stdout(), "{}\n  - delete {id}: {}", account.title(), terminal(url.as_bytes()))?;
    apply::confirm(yes, "Do this?")?;
    let _lock = keep::lock(account.file)?;
    account.client.delete(id).map_err(Failure::failed)?;
    let mut ledger = Ledger::read(account.file)?;
    let was_ours = ledger.current.take_if(|current| current.id == id).is_some();
    if ledger.rotating.take_if(|rotating| rotating.new == id).is_some() || was_ours {
        ledger.save()?;
    }
    Ok(writeln!(io::stdout(), "  done; {} is as it was", account.file.display())?)
}

fn test(id: Option<&str>, account: &Account<'_>) -> Result<(), Failure> {
    let id = account.id(id)?;
    if let Some(call) = account.api.test(&id) {
        account.client.tell(&call).map_err(Failure::failed)?;
        return Ok(writeln!(io::stdout(), "{id}: the vendor sends a test event")?);
    }
    let secret = Secret::read(account.file)
        .map_err(|fault| Failure::Usage(format!("secret file {} {fault}", account.file.display())))?;
    let now = Timestamp::now();
    let event = json!({
        "id": format!("evt_hookbus_test_{}", now.as_millisecond()), "type": "hookbus.test", "created": now.as_second(), "data": {},
    });
    let url = &account.wanted.url;
    match Poster::new().post(url, account.source.vendor, &secret, event.to_string().as_bytes())? {
        Answer { status: 200, .. } => {
            Ok(writeln!(io::stdout(), "{url}: 200 to a signed event of the type hookbus.test")?)
        }
        Answer { status, text } => Err(Failure::failed(format!("{url} answered {status} {text}"))),
    }
}
