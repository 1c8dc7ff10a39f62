//! `hookbus endpoints rotate`: another secret for a source, without a refused request in between.
//!
//! No document has a call that changes an endpoint's secret. So a second endpoint is made; its secret goes to the second of
//! `secret_files`, and the vendor posts each event to both. The old one goes when nothing depends on it any more:
//!
//! 1. each gateway has the new secret, and one has verified a request with it;
//! 2. what the vendor had posted before the new endpoint was there, which only the old one gets, is tried no more;
//! 3. where the vendor can switch it off, it was, and its secret has been silent for as long as the vendor tries again. Where
//!    it cannot (1099Policy), the old endpoint would get events for ever, and its secret is never silent: it is deleted at
//!    once, since each delivery to it that may be under way has a twin at the new one.
//!
//! Each call looks once, does what can be done, and says what it waits for; the ledger knows how far it is.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use jiff::Timestamp;

use super::{
    account::Account,
    apply::confirm,
    keep::{self, Held},
    ledger::{Current, Ledger, Quiet, Rotating},
    make::Making,
    options::{Rotate, SecretTo},
    plan::Step,
    usage::{Count, Usage},
};
use crate::{apis::Endpoint, commands::failure::Failure, secrets::Secret, units::show_duration};

/// Looks, once or until it is done.
pub(super) fn run(options: &Rotate, account: &Account<'_>) -> Result<(), Failure> {
    if options.to.secret_to == SecretTo::Kubernetes && io::stdout().is_terminal() {
        return Err(Failure::Usage("the manifest has a secret: send it to `kubectl patch`, not to a terminal".into()));
    }
    let rotation = Rotation::new(options, account)?;
    loop {
        match rotation.look() {
            Ok(None) => return Ok(()),
            Ok(Some(why)) => rotation.say(&format!("waiting: {why}"))?,
            // A gateway or the vendor may be away for a while.
            Err(failure) if options.wait => writeln!(io::stderr(), "hookbus: {failure}")?,
            Err(failure) => return Err(failure),
        }
        if !options.wait {
            return Err(Failure::Pending);
        }
        thread::sleep(options.every);
    }
}

struct Rotation<'a, 'c> {
    options: &'a Rotate,
    account: &'a Account<'c>,
    /// The second secret file, alone.
    next: &'c [PathBuf],
    retries: Duration,
}

/// What the old endpoint's end depends on.
struct Facts<'f> {
    now: Timestamp,
    retries: Duration,
    is_loaded: bool,
    has_matched: bool,
    can_switch: bool,
    rotating: &'f Rotating,
    /// What is counted of the old secret.
    old: &'f Count,
}

/// What comes next while the old endpoint is there.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Wait(String),
    /// Switch the old endpoint off.
    Stop,
    /// It is off, and its secret was used: count its silence from now on.
    Heard,
    Delete,
}

impl Facts<'_> {
    fn next(&self) -> Next {
        let wait = |text: String| Next::Wait(text);
        let new = &self.rotating.new;
        if !self.is_loaded {
            return wait("a gateway has not read the new secret yet (hookbus_secret_reloads_total, hookbus_secret_reload_success)".into());
        }
        if !self.has_matched {
            return wait(format!("no request was verified with the secret of {new} yet"));
        }
        let over = |since: Timestamp| since.checked_add(self.retries).unwrap_or(Timestamp::MAX);
        let until = over(self.rotating.since);
        if self.now < until {
            return wait(format!("until {until:.0} the old endpoint may get what was sent before {new} was there"));
        }
        match &self.rotating.quiet {
            _ if !self.can_switch => Next::Delete,
            None => Next::Stop,
            Some(quiet) if quiet.count != *self.old => Next::Heard,
            Some(quiet) if self.now < over(quiet.since) => {
                let (since, silence) = (quiet.since, show_duration(self.retries));
                wait(format!("the old secret is silent since {since:.0}; its endpoint goes when that was {silence}"))
            }
            Some(_) => Next::Delete,
        }
    }
}

impl<'a, 'c> Rotation<'a, 'c> {
    fn new(options: &'a Rotate, account: &'a Account<'c>) -> Result<Self, Failure> {
        let next = account.source.secret_files.get(1..2).ok_or_else(|| {
            let text = "needs a second file in secret_files, with the same text; then restart the gateways, once";
            Failure::Usage(format!("source {} {text}", account.source.name))
        })?;
        Ok(Rotation { options, account, next, retries: options.retries.unwrap_or(account.api.retries) })
    }

    /// Does what can be done now; what it waits for, or `None` when the rotation is done.
    fn look(&self) -> Result<Option<String>, Failure> {
        let account = self.account;
        let _lock = keep::lock(account.file)?;
        for file in account.source.secret_files.iter().take(2) {
            keep::remove(&keep::unfinished(file)).map_err(Failure::at(file.display()))?;
        }
        let mut ledger = Ledger::read(account.file)?;
        if ledger.creating.as_ref().is_some_and(|creating| creating.rotates.is_none()) {
            return Err(Failure::failed("an apply was interrupted: `hookbus endpoints apply` first"));
        }
        let endpoints = account.client.endpoints().map_err(Failure::failed)?;
        let plan = account.plan(&endpoints, &ledger, false)?;
        for step in &plan.steps {
            match step {
                Step::Remove { id } => {
                    account.client.delete(id).map_err(Failure::failed)?;
                    ledger.given_up()?;
                }
                Step::Record { id } => ledger.stored(id, false)?,
                _ => continue,
            }
            self.say(&format!("done: {step}"))?;
        }
        let Some(rotating) = ledger.rotating.clone() else {
            let ours =
                plan.ours.ok_or_else(|| Failure::failed("no endpoint to rotate: see `hookbus endpoints plan`"))?;
            return self.begin(ledger, &ours, &endpoints).map(Some);
        };
        self.go_on(ledger, rotating, &endpoints)
    }

    /// Makes the second endpoint.
    fn begin(&self, mut ledger: Ledger, ours: &str, endpoints: &[Endpoint]) -> Result<String, Failure> {
        let Rotation { account, next, .. } = self;
        let in_kubernetes = self.options.to.secret_to == SecretTo::Kubernetes;
        let held = [account.file, self.next()].map(Held::read);
        if let ([Ok(current), Ok(next)], false) = (&held, in_kubernetes)
            && (*current == Held::Nothing || current != next)
        {
            return Err(Failure::failed(format!(
                "{} must hold the secret in use, and {} the same: write it there first",
                account.file.display(),
                self.next().display()
            )));
        }
        let usage = self.usage()?;
        self.say(&format!("{}\n  + make a second endpoint beside {ours}: {}", account.title(), account.wanted.url))?;
        confirm(self.options.yes, "Do this?")?;
        if ledger.current.as_ref().is_none_or(|current| current.id != ours) {
            ledger.current = Some(Current { id: ours.into(), in_kubernetes });
        }
        let mut making = Making { account, to: &self.options.to, files: next, endpoints, ledger: &mut ledger };
        let new = making.create(Some(usage.before(name(self.next()))))?;
        let place = if in_kubernetes { "the manifest".into() } else { self.next().display().to_string() };
        Ok(format!(
            "{new} is made, its secret is in {place}, and {ours} goes on: rotate again when gateways have used both"
        ))
    }

    fn go_on(
        &self,
        mut ledger: Ledger,
        mut rotating: Rotating,
        endpoints: &[Endpoint],
    ) -> Result<Option<String>, Failure> {
        let is_there = |id: &str| endpoints.iter().any(|endpoint| endpoint.id == id);
        if !is_there(&rotating.new) {
            ledger.rotating = None;
            ledger.save()?;
            let (new, files) = (&rotating.new, [account_file(self.account), self.next().display().to_string()]);
            return Err(Failure::failed(format!(
                "{new} is gone at the vendor, and the rotation is given up: write the text of {} over {}, then rotate anew",
                files[0], files[1]
            )));
        }
        if !rotating.in_kubernetes && Held::read(self.next())? == Held::Nothing {
            let (new, next) = (&rotating.new, self.next().display());
            return Err(Failure::failed(format!(
                "{next} has lost the secret of {new}: `hookbus endpoints delete {new}`"
            )));
        }
        let old = ledger.current.as_ref().map(|current| current.id.clone()).filter(|old| *old != rotating.new);
        if let Some(old) = old.filter(|old| is_there(old)) {
            let usage = self.usage()?;
            let count = usage.of(name(self.account.file));
            let switch = self.account.api.switch(&old, false);
            let facts = Facts {
                now: Timestamp::now(),
                retries: self.retries,
                is_loaded: usage.is_loaded_since(&rotating.before),
                has_matched: usage.of(name(self.next())).has_matched_since(&rotating.before.count),
                can_switch: switch.is_some(),
                rotating: &rotating,
                old: &count,
            };
            let (next, now) = (facts.next(), facts.now);
            match next {
                Next::Wait(why) => return Ok(Some(why)),
                Next::Stop | Next::Heard => {
                    let what = if next == Next::Stop { "was switched off" } else { "is off, and its secret was used" };
                    if let Some(call) = switch {
                        self.account.client.tell(&call).map_err(Failure::failed)?;
                    }
                    rotating.quiet = Some(Quiet { since: now, count });
                    ledger.rotating = Some(rotating);
                    ledger.save()?;
                    let silence = show_duration(self.retries);
                    return Ok(Some(format!("{old} {what}; it goes when its secret was silent for {silence}")));
                }
                Next::Delete => {
                    self.account.client.delete(&old).map_err(Failure::failed)?;
                    self.say(&format!("done: - delete {old}"))?;
                }
            }
        }
        self.end(ledger, rotating).map(|()| None)
    }

    /// The old endpoint is gone: its secret must not verify any longer.
    fn end(&self, mut ledger: Ledger, rotating: Rotating) -> Result<(), Failure> {
        let Rotating { new, in_kubernetes, .. } = rotating;
        let [current, next] = [name(self.account.file), name(self.next())];
        let what = if in_kubernetes {
            format!(
                "now write the key {next} of its Secret over the key {current} (docs/vendors.md): until then the old secret verifies"
            )
        } else {
            let secret = Secret::read(self.next()).map_err(Failure::at(self.next().display()))?;
            for file in self.account.source.secret_files.iter().filter(|file| *file != self.next()) {
                keep::put(file, secret.expose()).map_err(Failure::at(file.display()))?;
            }
            format!("each file of source {} holds its secret", self.account.source.name)
        };
        ledger.current = Some(Current { id: new.clone(), in_kubernetes });
        ledger.rotating = None;
        ledger.save()?;
        self.say(&format!("done: {new} is the endpoint; {what}"))
    }

    fn usage(&self) -> Result<Usage, Failure> {
        let files = [name(self.account.file), name(self.next())];
        Usage::read(&self.options.metrics, &self.account.source.name, files)
    }

    fn next(&self) -> &'c Path {
        // There is one: see `new`.
        self.next.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// Standard output belongs to the manifest, if there is one.
    fn say(&self, text: &str) -> Result<(), Failure> {
        self.options.to.say(&format!("{text}\n"))
    }
}

fn account_file(account: &Account<'_>) -> String {
    account.file.display().to_string()
}

/// The name of a secret file, which is its label in metrics.
fn name(file: &Path) -> &str {
    file.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::usage::Before, *};

    fn count(matches: u64) -> Count {
        Count::from_json(&json!([["start", matches]])).unwrap()
    }

    /// What comes next an hour after the secret was stored, where the vendor tries again for `retries` seconds.
    fn next(retries: u64, can_switch: bool, quiet: Option<(u64, u64)>, old: u64) -> String {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let ago = |seconds: u64| now.checked_sub(Duration::from_secs(seconds)).unwrap();
        let quiet = quiet.map(|(seconds, matches)| Quiet { since: ago(seconds), count: count(matches) });
        let before = Before::from_json(&json!({"count": count(0).to_json(), "loads": []})).unwrap();
        let rotating = Rotating { new: "new".into(), in_kubernetes: false, since: ago(3600), before, quiet };
        let facts = Facts {
            now,
            retries: Duration::from_secs(retries),
            is_loaded: true,
            has_matched: true,
            can_switch,
            rotating: &rotating,
            old: &count(old),
        };
        let not_loaded = Facts { is_loaded: false, ..facts };
        assert!(matches!(not_loaded.next(), Next::Wait(why) if why.contains("has not read the new secret")));
        let unmatched = Facts { is_loaded: true, has_matched: false, ..not_loaded };
        assert!(matches!(unmatched.next(), Next::Wait(why) if why.contains("no request was verified")));
        match (Facts { has_matched: true, ..unmatched }).next() {
            Next::Wait(why) => why,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_old_endpoint_goes_when_nothing_depends_on_it() {
        // What was sent before the new one was there may still come.
        assert!(next(3601, false, None, 5).starts_with("until 2026-11-28T12:00:01Z the old endpoint"));
        assert!(next(3601, true, None, 5).starts_with("until 2026-11-28T12:00:01Z the old endpoint"));
        // It cannot be switched off: nothing else would end it.
        assert_eq!(next(3600, false, None, 5), "Delete");
        // It is switched off, and silent for long enough; a match, or a gateway that was started anew, begins it again.
        assert_eq!(next(3600, true, None, 5), "Stop");
        assert_eq!(next(600, true, Some((600, 5)), 6), "Heard");
        assert!(next(600, true, Some((599, 5)), 5).starts_with("the old secret is silent since 2026-11-28T11:50:01Z"));
        assert_eq!(next(600, true, Some((600, 5)), 5), "Delete");
    }
}
