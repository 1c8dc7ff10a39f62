//! One look: every vendor is asked, the bus is read, and the two are compared.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    account::{Account, AskError},
    finding::Finding,
    judge::{Judge, Verdict},
    seen::Seen,
};
use crate::{
    bus::ReadError,
    config::{Config, ReconcileConfig, SourceConfig},
    finding::Kind,
    metrics::Label as _,
};

/// What a look has seen of one source.
#[derive(Debug)]
pub struct Sight {
    /// The source.
    pub source: SourceConfig,
    /// What its vendor's answers come to, or why it was not asked.
    pub verdict: Result<Verdict, AskError>,
    /// What the bus calls open and is not any more.
    pub healed: Vec<Finding>,
    /// Whether the vendor has more certificates or events than a look asks for.
    pub is_cut: bool,
}

impl Sight {
    /// What [`Sight::is_cut`] means, in words.
    pub const CUT: &str =
        "there are more certificates or events than reconcile.most_certificates: of older ones nothing is said";
}

/// A whole look.
#[derive(Debug)]
pub struct Look {
    /// When it began.
    pub now: Timestamp,
    /// Of each source with an API.
    pub sights: Vec<Sight>,
    /// Why the bus could not be read to its end; everything that it would show is unknown then.
    pub bus_error: Option<ReadError>,
    /// What the bus shows.
    pub(super) seen: Seen,
}

impl Look {
    /// Looks. The vendors are asked first, so that what they tell can be on the bus when it is read.
    pub async fn now(config: &Config, reconcile: &ReconcileConfig) -> Self {
        let now = Timestamp::now();
        let accounts: Vec<_> = config.sources.iter().filter_map(Account::of).map(Arc::new).collect();
        let asking: Vec<_> = accounts
            .iter()
            .map(|account| {
                let (account, reconcile) = (Arc::clone(account), reconcile.clone());
                tokio::task::spawn_blocking(move || account.ask(&reconcile, now))
            })
            .collect();
        let mut answers = Vec::new();
        for asked in asking {
            answers.push(asked.await.unwrap_or(Err(AskError::Ended)));
        }
        let (seen, bus_error) = match Seen::read(config, reconcile.most_events).await {
            Ok(seen) => (seen, None),
            Err(error) => (Seen::new(0), Some(error)),
        };
        let template = config.bus.template();
        let sights = accounts.iter().zip(answers).map(|(account, asked)| {
            let Account { source, api, wanted, all } = &**account;
            let judge = Judge { source, api, wanted, all, reconcile, template: &template, seen: &seen, now };
            let is_cut = asked.as_ref().is_ok_and(|asked| asked.is_cut);
            let verdict = asked.map(|asked| judge.judge(asked));
            let healed = verdict.as_ref().map(|verdict| healed(source, verdict, &seen)).unwrap_or_default();
            Sight { source: source.clone(), verdict, healed, is_cut }
        });
        Look { now, sights: sights.collect(), bus_error, seen }
    }

    /// Whether everything was asked and read to its end.
    pub fn is_whole(&self) -> bool {
        self.bus_error.is_none()
            && self.sights.iter().all(|sight| sight.verdict.as_ref().is_ok_and(|verdict| verdict.failed.is_empty()))
    }

    /// What was found, with its source.
    pub fn findings(&self) -> impl Iterator<Item = (&SourceConfig, &Finding)> {
        self.sights.iter().flat_map(|sight| {
            let findings = sight.verdict.iter().flat_map(|verdict| &verdict.findings);
            findings.map(|finding| (&sight.source, finding))
        })
    }
}

/// The episodes that the bus calls open and that are over.
fn healed(source: &SourceConfig, verdict: &Verdict, seen: &Seen) -> Vec<Finding> {
    let is_found = |kind: Kind| verdict.findings.iter().any(|finding| finding.kind == kind);
    let is_over = |kind: &Kind| kind.is_endpoint() && verdict.judges(*kind) && !is_found(*kind);
    let over = Kind::all().into_iter().map(|(kind, _)| kind).filter(is_over);
    over.filter_map(|kind| seen.episode(&source.name, kind)?.to_heal(kind, source)).collect()
}

/// How long a pause is, so that several processes do not go in step.
pub(super) fn pause(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fastrand::f64())
}
