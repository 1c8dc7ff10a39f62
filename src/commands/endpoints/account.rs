//! One source's account at its vendor: the client, what is wanted, and the first secret file.

use std::{collections::BTreeSet, path::Path};

use super::{
    keep::Held,
    ledger::Ledger,
    plan::{Plan, Situation},
};
use crate::{
    apis::{Api, Endpoint, Wanted},
    commands::failure::Failure,
    config::{Config, SourceConfig},
    vendor_api::Client,
};

pub(super) struct Account<'c> {
    pub(super) source: &'c SourceConfig,
    pub(super) api: &'static Api,
    pub(super) client: Client,
    pub(super) wanted: Wanted,
    all: BTreeSet<String>,
    /// The first secret file.
    pub(super) file: &'c Path,
}

impl<'c> Account<'c> {
    /// The accounts that are meant.
    pub(super) fn all(config: &'c Config, name: Option<&str>) -> Result<Vec<Self>, Failure> {
        let meant = |source: &&SourceConfig| name.map_or(source.api.is_some(), |name| source.name == name);
        let accounts = config.sources.iter().filter(meant).map(Account::open).collect::<Result<Vec<_>, _>>()?;
        match (accounts.is_empty(), name) {
            (false, _) => Ok(accounts),
            (true, Some(_)) => Err(Failure::Usage("the configuration has no source of this name".into())),
            (true, None) => Err(Failure::Usage("no source has a [sources.api] table".into())),
        }
    }

    /// The one account that is meant.
    pub(super) fn one(config: &'c Config, name: Option<&str>) -> Result<Self, Failure> {
        let mut accounts = Account::all(config, name)?;
        match (accounts.pop(), accounts.is_empty()) {
            (Some(account), true) => Ok(account),
            _ => Err(Failure::Usage("several sources have a [sources.api] table: name one with --source".into())),
        }
    }

    fn open(source: &'c SourceConfig) -> Result<Self, Failure> {
        let client = Client::new(source)?;
        let missing = || Failure::Usage(format!("source {} has no [sources.api] table", source.name));
        let (config, api) = source.api().ok_or_else(missing)?;
        let all = api.all_events(source.vendor.profile().catalogue);
        let file = source.secret_files.first().ok_or_else(missing)?;
        Ok(Account { source, api, client, wanted: config.wanted(&all), all, file })
    }

    /// A line that says whose account this is.
    pub(super) fn title(&self) -> String {
        format!("{} ({}) at {}", self.source.name, self.source.vendor, self.client.base())
    }

    pub(super) fn plan(&self, endpoints: &[Endpoint], ledger: &Ledger, may_replace: bool) -> Result<Plan, Failure> {
        let mut empty = Vec::new();
        for file in self.source.secret_files.iter().skip(1) {
            if Held::read(file)? == Held::Nothing {
                empty.push(file.clone());
            }
        }
        let held = Held::read(self.file)?;
        // A rotation stores the secret in the second file.
        let rotates = ledger.creating.as_ref().is_some_and(|creating| creating.rotates.is_some());
        let next = self.source.secret_files.get(1).filter(|_| rotates);
        let stored = next.map_or(Ok(held.clone()), |next| Held::read(next))?;
        let file = self.file.display().to_string();
        let Account { api, wanted, all, .. } = self;
        Ok(Situation { api, wanted, all, endpoints, ledger, file, stored, empty, held, may_replace }.plan())
    }

    /// An endpoint's id: the given one, or ours.
    pub(super) fn id(&self, given: Option<&str>) -> Result<String, Failure> {
        if let Some(id) = given {
            return Ok(id.into());
        }
        let endpoints = self.client.endpoints().map_err(Failure::failed)?;
        let ours = self.plan(&endpoints, &Ledger::read(self.file)?, false)?.ours;
        let unknown = || Failure::failed("which endpoint? `hookbus endpoints plan` says what is there; name one");
        ours.ok_or_else(unknown)
    }
}
