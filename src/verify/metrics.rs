//! What verification counts, for each source.

use std::path::PathBuf;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::{check::Proof, refusal::Refusal};
use crate::{
    metrics::{Counted, Families, Label, Made, metrics},
    secrets,
};

/// Seconds: clocks that disagree, up to the default tolerance on either side.
const SKEW: &[f64] = &[-300.0, -60.0, -10.0, -5.0, -1.0, 0.0, 1.0, 5.0, 10.0, 60.0, 300.0];

metrics! {
    /// Of one source's signatures and secrets.
    pub struct SignatureMetrics {
        /// Signature checks, by result.
        checks: Counted<Result<(), Refusal>> = "signature_checks_total" ["result"];
        /// Clock minus the signed timestamp.
        skew: Histogram = "signature_skew_seconds" in SKEW;
        /// Reloads of changed secret files.
        pub reloads: Counted<Loaded> = "secret_reloads_total" ["result"];
        /// 1 while the secrets in use are those of the files, 0 while a bad file keeps the old ones alive.
        pub reload_success: IntGauge = "secret_reload_success";
    }
}

metrics! {
    /// Of one secret.
    pub struct SecretMetrics {
        /// Requests verified, by the secret file that did: shows when a rotation is done.
        matches: IntCounter = "secret_matches_total";
    }
}

/// Whether changed secret files were loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// They are in use.
    Ok,
    /// One is bad; the old secrets stay.
    Refused,
}

impl Label for Loaded {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [(Loaded::Ok, "ok"), (Loaded::Refused, "refused")]
    }
}

impl Label for Result<(), Refusal> {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [
            (Ok(()), "ok"),
            (Err(Refusal::Missing), "missing"),
            (Err(Refusal::Malformed), "malformed"),
            (Err(Refusal::Mismatch), "mismatch"),
            (Err(Refusal::Stale), "stale"),
        ]
    }
}

impl SecretMetrics {
    /// For each secret file of a source.
    ///
    /// # Errors
    /// See [`Made`].
    pub fn of(families: &Families, files: &[PathBuf]) -> Made<Vec<Self>> {
        files.iter().map(|file| Self::register(&families.with("secret", &secrets::name(file)))).collect()
    }
}

impl SignatureMetrics {
    /// Counts a check; `secrets`: those of the source.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a few days")]
    pub fn checked(&self, result: Result<Proof, Refusal>, secrets: &[SecretMetrics]) {
        self.checks.inc(result.map(|_| ()));
        let Ok(proof) = result else { return };
        if let Some(secret) = secrets.get(proof.secret) {
            secret.matches.inc();
        }
        if let Some(skew_ms) = proof.skew_ms {
            self.skew.observe(skew_ms as f64 / 1000.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_clock_minus_timestamp_in_seconds() {
        let families = Families::default();
        let metrics = SignatureMetrics::register(&families).unwrap();
        let secrets = SecretMetrics::of(&families, &["old".into(), "new".into()]).unwrap();
        let proof = |skew_ms| Proof { secret: 1, skew_ms, compacted: false };
        metrics.checked(Ok(proof(Some(-2500))), &secrets);
        metrics.checked(Ok(proof(None)), &secrets);
        metrics.checked(Err(Refusal::Stale), &secrets);
        assert_eq!((metrics.skew.get_sample_sum(), metrics.skew.get_sample_count()), (-2.5, 1));
        assert_eq!([0, 1].map(|secret| secrets[secret].matches.get()), [0, 2]);
        let checks = |result| metrics.checks.get(result).unwrap().get();
        assert_eq!((checks(Ok(())), checks(Err(Refusal::Stale)), checks(Err(Refusal::Mismatch))), (2, 1, 0));
    }
}
