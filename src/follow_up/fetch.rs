//! Fetches one certificate, again and again where that may help.
//!
//! A rate limit, a fault, silence and a credential that is not taken are waited out, without a place among the calls. A refusal,
//! or an answer of another shape, is one after three attempts; what fails for an hour while the vendor answers for others is
//! given up, and so is what fails for three days.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prometheus::IntGauge;
use tokio::time::{Instant, sleep};

use super::{
    account::Account,
    calls::{Calls, Place, Turn, ask},
    metrics::Trouble,
};
use crate::{
    apis::Call,
    vendor_api::{ApiError, Reason, jittered},
};

/// The first pause between two attempts for one certificate; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// So many refusals in a row are one: what was just made may not be everywhere yet.
const REFUSALS: u32 = 3;
/// What fails for so long while others are answered fails for good.
const GIVE_UP_AFTER: Duration = Duration::from_hours(1);
/// What fails for so long is given up whatever becomes of others: longer than a weekend without an operator.
const GIVE_UP_AT_LAST: Duration = Duration::from_hours(72);

/// An event whose calls have failed.
struct Failing {
    since: Instant,
    parked: IntGauge,
}

impl Failing {
    fn begin(parked: &IntGauge) -> Self {
        parked.inc();
        Failing { since: Instant::now(), parked: parked.clone() }
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.parked.dec();
    }
}

/// Fetches a certificate: its body as the vendor wrote it. The place of its last
/// call comes back, so that what was fetched holds it until it is published.
///
/// # Errors
/// It stays refused, or of another shape, or has failed for too long.
pub(super) async fn certificate(
    account: &Account,
    calls: &Arc<Calls>,
    call: &Call,
    id: &str,
    turn: Turn,
) -> (Result<Bytes, ApiError>, Place) {
    let (mut pause, mut refusals, mut failing) = (FIRST_PAUSE, 0, None);
    let mut place = calls.places.place(turn).await;
    loop {
        account.pace.wait().await;
        let client = calls.client();
        let error = match ask(&client, call, id).await {
            Ok(body) => {
                account.pace.answered_now();
                account.is_well();
                return (Ok(body.into()), place);
            }
            Err(error) => error,
        };
        let (reason, retry_after) = judge(&error);
        account.metrics.failures.inc(Trouble::Api(reason));
        let since = failing.get_or_insert_with(|| Failing::begin(&account.metrics.parked)).since;
        refusals = if is_final(reason) { refusals + 1 } else { 0 };
        if REFUSALS <= refusals || is_given_up(since, account.pace.answered(), Instant::now()) {
            return (Err(error), place);
        }
        if account.is_news(Trouble::Api(reason)) {
            tracing::warn!(source = account.identity.name, %error, "a follow-up call gave nothing; it is made again");
        }
        if let Some(wait) = retry_after {
            account.pace.not_for(wait);
        }
        drop(place);
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        place = calls.places.place(calls.places.turn_again().await).await;
        if reason == Reason::Credential
            && let Err(error) = calls.renew(&account.source, &client)
        {
            // Of the refusal itself a line tells.
            tracing::debug!(source = account.identity.name, %error, "the credentials cannot be read anew");
        }
    }
}

/// What an error means, and how long the vendor wants to be left alone.
fn judge(error: &ApiError) -> (Reason, Option<Duration>) {
    match (Reason::from(error), error) {
        (reason @ (Reason::RateLimited | Reason::Fault), ApiError::Refused { retry_after, .. }) => {
            (reason, *retry_after)
        }
        (reason, _) => (reason, None),
    }
}

/// Whether waiting does not mend it.
fn is_final(reason: Reason) -> bool {
    matches!(reason, Reason::Refused | Reason::Shape)
}

/// `answered`: when the vendor last answered for any certificate.
fn is_given_up(first_failure: Instant, answered: Option<Instant>, now: Instant) -> bool {
    let failing = now.duration_since(first_failure);
    let others_are_answered = answered.is_some_and(|answered| first_failure < answered);
    GIVE_UP_AT_LAST <= failing || (GIVE_UP_AFTER <= failing && others_are_answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_waited_out_and_what_is_refused_is_not() {
        let refused = |status, retry_after: Option<u64>| {
            let retry_after = retry_after.map(Duration::from_secs);
            judge(&ApiError::Refused { call: String::new(), status, said: None, retry_after })
        };
        assert_eq!(refused(429, Some(7)), (Reason::RateLimited, Some(Duration::from_secs(7))));
        assert_eq!(refused(503, Some(7)), (Reason::Fault, Some(Duration::from_secs(7))));
        for (status, waits) in
            [(401, true), (408, true), (429, true), (500, true), (403, false), (404, false), (410, false)]
        {
            assert_eq!(!is_final(refused(status, None).0), waits, "{status}");
        }
        let silent = judge(&ApiError::NoAnswer { call: String::new(), error: String::new() });
        assert!(!is_final(silent.0));
    }

    #[test]
    fn one_certificate_is_given_up_while_others_are_answered_and_in_an_outage_after_days() {
        let begin = Instant::now();
        let at = |minutes: u64| begin + Duration::from_mins(minutes);
        assert!(!is_given_up(at(1), None, at(600)));
        assert!(!is_given_up(at(1), Some(at(0)), at(600)));
        assert!(!is_given_up(at(1), Some(at(30)), at(60)));
        assert!(is_given_up(at(1), Some(at(30)), at(61)));
        let last = GIVE_UP_AT_LAST.as_secs() / 60;
        assert!(!is_given_up(at(1), None, at(last)) && is_given_up(at(1), None, at(last + 1)));
    }
}
