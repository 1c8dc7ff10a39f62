//! Makes an endpoint at the vendor and stores its secret: what is begun is written down first, then the endpoint's id, then
//! its secret, then that it is done. An endpoint whose secret could not be stored is deleted again.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use super::{
    account::Account,
    keep::{self, Held},
    ledger::{Creating, Ledger},
    manifest,
    options::{Destination, SecretTo},
    usage::Before,
};
use crate::{apis::Endpoint, commands::failure::Failure, secrets::Secret, vendor_api::ApiError};

pub(super) struct Making<'a, 'c> {
    pub(super) account: &'a Account<'c>,
    pub(super) to: &'a Destination,
    /// The secret goes to the first of these files; a manifest has them all.
    pub(super) files: &'c [PathBuf],
    /// What is there before.
    pub(super) endpoints: &'a [Endpoint],
    pub(super) ledger: &'a mut Ledger,
}

impl Making<'_, '_> {
    /// Makes it; its id. `rotates`: it will replace another one; what was so before its secret is written.
    pub(super) fn create(&mut self, rotates: Option<Before>) -> Result<String, Failure> {
        let before = self.endpoints.iter().map(|endpoint| endpoint.id.clone()).collect();
        let old = self.files.first().map(|file| Held::read(file)).transpose()?;
        let old = old.as_ref().and_then(Held::digest).map(Into::into);
        let url = self.account.wanted.url.clone();
        self.ledger.creating = Some(Creating { url, before, id: None, old, rotates });
        self.ledger.save()?;
        let (id, secret) = match self.account.client.create(&self.account.wanted) {
            Ok(created) => created,
            Err(error) if error.is_certain() => {
                self.ledger.given_up()?;
                return Err(Failure::failed(error));
            }
            Err(error) => return Err(self.look_for_it(error)),
        };
        match self.keep(&id, secret) {
            Ok(()) => self.ledger.stored(&id, self.to.secret_to == SecretTo::Kubernetes).map(|()| id),
            Err(failure) => Err(self.take_back(&id, &failure)),
        }
    }

    fn keep(&mut self, id: &str, secret: Result<Secret, ApiError>) -> Result<(), Failure> {
        let secret = secret.map_err(Failure::failed)?;
        if let Some(creating) = &mut self.ledger.creating {
            creating.id = Some(id.into());
        }
        self.ledger.save()?;
        match self.to.secret_to {
            SecretTo::File => {
                let file = self.files.first().map_or(self.account.file, PathBuf::as_path);
                keep::put(file, secret.expose()).map_err(Failure::at(file.display()))
            }
            SecretTo::Kubernetes => {
                let name = self.to.secret_name.as_deref();
                let manifest = manifest::manifest(&self.account.source.name, name, self.files, &secret);
                let mut out = io::stdout().lock();
                out.write_all(manifest.as_bytes()).and_then(|()| out.flush()).map_err(Failure::failed)
            }
        }
    }

    /// An answer was lost, or makes no sense: the endpoint may be there all the same.
    fn look_for_it(&mut self, error: ApiError) -> Failure {
        let cause = Failure::failed(error);
        let url = &self.account.wanted.url;
        let endpoints = match self.account.client.endpoints() {
            Ok(endpoints) => endpoints,
            Err(other) => {
                let text = format!("{cause}\nnot known whether an endpoint for {url} was made: {other}\napply again");
                return Failure::failed(text);
            }
        };
        let is_new =
            |endpoint: &&Endpoint| endpoint.url == *url && self.endpoints.iter().all(|before| before.id != endpoint.id);
        let new: Vec<_> = endpoints.iter().filter(is_new).map(|endpoint| endpoint.id.clone()).collect();
        match new.as_slice() {
            // It may still come; the next run looks again.
            [] => cause,
            [one] => self.take_back(one, &cause),
            several => Failure::failed(format!(
                "{cause}\nleft at the vendor, one of them by this call: {}",
                several.join(", ")
            )),
        }
    }

    /// An endpoint without a stored secret is of no use.
    fn take_back(&mut self, id: &str, cause: &Failure) -> Failure {
        if let Err(error) = self.account.client.delete(id) {
            let name = &self.account.source.name;
            return Failure::failed(format!(
                "{cause}\nleft at the vendor: endpoint {id}, whose secret is not stored, since {error}\n\
                 delete it with `hookbus endpoints delete {id} --source {name}`, or apply again"
            ));
        }
        match self.ledger.given_up() {
            Ok(()) => Failure::failed(format!("{cause}\nendpoint {id} was deleted again: its secret is not stored")),
            Err(other) => Failure::failed(format!("{cause}\nendpoint {id} was deleted again; {other}")),
        }
    }
}
