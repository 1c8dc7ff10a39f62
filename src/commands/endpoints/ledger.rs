//! What was begun and done, beside the secret file: which endpoint is ours, and one that is being made. It has no secret.
//!
//! It is written before each step that could leave something over at the vendor, so that the next run knows of it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    keep,
    usage::{Before, Count},
};
use crate::commands::failure::Failure;

/// The file, and what it says.
#[derive(Debug)]
pub(super) struct Ledger {
    file: PathBuf,
    /// An endpoint that is being made.
    pub(super) creating: Option<Creating>,
    /// Our endpoint.
    pub(super) current: Option<Current>,
    /// Another one that will replace it.
    pub(super) rotating: Option<Rotating>,
}

/// An endpoint that is being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Creating {
    /// Its URL.
    pub(super) url: String,
    /// The endpoints that were there before.
    pub(super) before: Vec<String>,
    /// Its id, once the vendor has told it.
    pub(super) id: Option<String>,
    /// The digest of what the secret file held before.
    pub(super) old: Option<String>,
    /// When it will replace our endpoint: what was counted of the file that gets its secret.
    pub(super) rotates: Option<Before>,
}

/// Our endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Current {
    pub(super) id: String,
    /// Whether its secret went to Kubernetes, so that no file here need hold it.
    pub(super) in_kubernetes: bool,
}

/// An endpoint that will replace ours; its secret is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rotating {
    pub(super) new: String,
    pub(super) in_kubernetes: bool,
    /// When its secret was stored.
    pub(super) since: Timestamp,
    /// What was so before its secret was written.
    pub(super) before: Before,
    /// Once our endpoint is switched off.
    pub(super) quiet: Option<Quiet>,
}

/// A time in which nobody used a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quiet {
    pub(super) since: Timestamp,
    /// What was counted of the secret then.
    pub(super) count: Count,
}

impl Ledger {
    /// Reads the file that stands beside a secret file; none is an empty one.
    pub(super) fn read(secret_file: &Path) -> Result<Self, Failure> {
        let mut name = secret_file.as_os_str().to_owned();
        name.push(".endpoint");
        let file = PathBuf::from(name);
        let at = || file.display().to_string();
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Ledger { file, creating: None, current: None, rotating: None });
            }
            Err(error) => return Err(Failure::at(at())(error)),
        };
        let value: Value = serde_json::from_slice(&text).map_err(Failure::at(at()))?;
        let (creating, current) = (creating(&value["creating"]), current(&value["current"]));
        Ok(Ledger { file, creating, current, rotating: rotating(&value["rotating"]) })
    }

    /// Writes it.
    pub(super) fn save(&self) -> Result<(), Failure> {
        let creating = self.creating.as_ref().map(|creating| {
            let Creating { url, before, id, old, rotates } = creating;
            let rotates = rotates.as_ref().map(Before::to_json);
            json!({"url": url, "before": before, "id": id, "old": old, "rotates": rotates})
        });
        let current = self
            .current
            .as_ref()
            .map(|Current { id, in_kubernetes }| json!({"id": id, "in_kubernetes": in_kubernetes}));
        let rotating = self.rotating.as_ref().map(|rotating| {
            let Rotating { new, in_kubernetes, since, before, quiet } = rotating;
            let quiet = quiet.as_ref().map(|Quiet { since, count }| {
                json!({"since": since.to_string(), "count": count.to_json()})
            });
            json!({
                "new": new, "in_kubernetes": in_kubernetes, "since": since.to_string(), "before": before.to_json(), "quiet": quiet,
            })
        });
        let text = format!("{}\n", json!({"creating": creating, "current": current, "rotating": rotating}));
        keep::put(&self.file, text.as_bytes()).map_err(Failure::at(self.file.display()))
    }

    /// Nothing is being made any more.
    pub(super) fn given_up(&mut self) -> Result<(), Failure> {
        self.creating = None;
        self.save()
    }

    /// The endpoint that was being made has its secret stored.
    pub(super) fn stored(&mut self, id: &str, in_kubernetes: bool) -> Result<(), Failure> {
        let new = id.to_owned();
        match self.creating.take().and_then(|creating| creating.rotates) {
            Some(before) => {
                self.rotating = Some(Rotating { new, in_kubernetes, since: Timestamp::now(), before, quiet: None });
            }
            None => self.current = Some(Current { id: new, in_kubernetes }),
        }
        self.save()
    }
}

fn creating(value: &Value) -> Option<Creating> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let before = value["before"].as_array()?.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect();
    Some(Creating {
        url: text("url")?,
        before,
        id: text("id"),
        old: text("old"),
        rotates: Before::from_json(&value["rotates"]),
    })
}

fn current(value: &Value) -> Option<Current> {
    let in_kubernetes = value["in_kubernetes"].as_bool().unwrap_or(false);
    Some(Current { id: value["id"].as_str()?.into(), in_kubernetes })
}

fn rotating(value: &Value) -> Option<Rotating> {
    let time = |value: &Value| value["since"].as_str()?.parse().ok();
    let quiet = &value["quiet"];
    Some(Rotating {
        new: value["new"].as_str()?.into(),
        in_kubernetes: value["in_kubernetes"].as_bool().unwrap_or(false),
        since: time(value)?,
        before: Before::from_json(&value["before"])?,
        quiet: time(quiet).zip(Count::from_json(&quiet["count"])).map(|(since, count)| Quiet { since, count }),
    })
}
