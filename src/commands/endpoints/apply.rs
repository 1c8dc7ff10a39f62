//! Does what a plan says. Each step leaves the vendor, the secret file and the ledger so that the next run can go on from
//! there, whatever ends this one.

use std::io::{self, IsTerminal as _, Write as _};

use super::{
    account::Account,
    keep,
    ledger::{Current, Ledger},
    make::Making,
    options::{Apply, SecretTo},
    plan::{Plan, Step},
};
use crate::{apis::Endpoint, commands::failure::Failure, secrets::Secret};

/// Plans every account, asks once, and does it.
pub(super) fn run(options: &Apply, accounts: &[Account<'_>]) -> Result<(), Failure> {
    if options.to.secret_to == SecretTo::Kubernetes && io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "the manifest has a secret: send it to `kubectl apply -f -`, not to a terminal".into(),
        ));
    }
    let mut locks = Vec::new();
    let mut work = Vec::new();
    for account in accounts {
        // Two sources may have their secrets in one directory.
        let directory = account.file.parent().map(ToOwned::to_owned);
        if !locks.iter().any(|(locked, _)| *locked == directory) {
            locks.push((directory, keep::lock(account.file)?));
        }
        keep::remove(&keep::unfinished(account.file)).map_err(Failure::at(account.file.display()))?;
        let ledger = Ledger::read(account.file)?;
        let endpoints = account.client.endpoints().map_err(Failure::failed)?;
        let mut plan = account.plan(&endpoints, &ledger, options.rotate)?;
        if options.to.secret_to == SecretTo::Kubernetes {
            // The manifest has every file.
            plan.steps.retain(|step| !matches!(step, Step::Fill { .. }));
        }
        options.to.say(&format!("{}\n{plan}", account.title()))?;
        work.push(Work { account, options, endpoints, ledger, plan });
    }
    if work.iter().any(|work| !work.plan.steps.is_empty()) {
        confirm(options.yes, "Do this?")?;
    }
    work.iter_mut().try_for_each(Work::finish)?;
    let is_stuck = work.iter().any(|work| !work.plan.obstacles.is_empty());
    if is_stuck { Err(Failure::failed("not all is as wanted: see the lines with `!`")) } else { Ok(()) }
}

/// Asks on the terminal, unless the answer was given.
pub(super) fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("standard input is no terminal to ask on: give --yes".into()));
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    let is_yes = ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str());
    if is_yes { Ok(()) } else { Err(Failure::failed("nothing was done")) }
}

/// One account's plan.
struct Work<'a, 'c> {
    account: &'a Account<'c>,
    options: &'a Apply,
    endpoints: Vec<Endpoint>,
    ledger: Ledger,
    plan: Plan,
}

impl Work<'_, '_> {
    fn finish(&mut self) -> Result<(), Failure> {
        for step in self.plan.steps.clone() {
            self.step(&step)?;
            self.options.to.say(&format!("  done: {step}\n"))?;
        }
        let is_news = |id: &String| self.ledger.current.as_ref().is_none_or(|current| current.id != *id);
        if let Some(id) = self.plan.ours.clone().filter(is_news) {
            self.ledger.current = Some(Current { id, in_kubernetes: false });
            self.ledger.save()?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), Failure> {
        let Account { client, wanted, api, .. } = self.account;
        match step {
            Step::Remove { id } => {
                client.delete(id).map_err(Failure::failed)?;
                self.ledger.given_up()
            }
            Step::Record { id } => self.ledger.stored(id, false),
            Step::Create { .. } => {
                let (files, to) = (&self.account.source.secret_files, &self.options.to);
                let (account, endpoints, ledger) = (self.account, &self.endpoints, &mut self.ledger);
                Making { account, to, files, endpoints, ledger }.create(None).map(drop)
            }
            Step::Update { id, url, events, .. } => client.update(id, wanted, *url, *events).map_err(Failure::failed),
            Step::Enable { id } => match api.switch(id, true) {
                Some(call) => client.tell(&call).map_err(Failure::failed),
                None => Ok(()),
            },
            Step::Fill { file: other } => {
                let secret = Secret::read(self.account.file).map_err(Failure::at(self.account.file.display()))?;
                keep::put(other, secret.expose()).map_err(Failure::at(other.display()))
            }
        }
    }
}
