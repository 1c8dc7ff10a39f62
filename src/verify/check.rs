//! The check of a request's signatures, in either scheme.
//!
//! A `t=` line has a second try over the compacted body where its vendor's gateway signs that: the HMAC still covers
//! every token, and white space that separates two tokens (`1 2`) is not insignificant, so it ends the try. What was
//! signed, not what was sent, then makes ids and fingerprints: white space strewn into a captured request makes no new
//! event.

use std::{iter::once, time::Duration};

use hmac::Mac;
use http::HeaderMap;

use super::{
    keys::Keys,
    lines::{self, Line},
    refusal::Refusal,
};
use crate::{json, vendors::profile::Scheme};

/// Above this a timestamp counts milliseconds: as seconds it would lie 30,000 years ahead.
const MILLISECONDS_ABOVE: i64 = 1_000_000_000_000;
/// Digits of a timestamp; more cannot be a time and could overflow.
const MAX_TIMESTAMP_DIGITS: usize = 16;

/// What a signature that holds has proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Index of the live secret that verified the first signature line.
    pub secret: usize,
    /// Clock minus signed timestamp in milliseconds; `None` where none is signed.
    pub skew_ms: Option<i64>,
    /// The signature covers the body without its insignificant white space (some vendors' `t=` style only).
    pub compacted: bool,
}

/// Checks every signature line. `N`: bytes of a signature; `tolerance`: `None` checks no distance to the clock.
pub(super) fn check<M: Mac + Clone, const N: usize>(
    scheme: &Scheme,
    (headers, body): (&HeaderMap, &[u8]),
    keys: &Keys<M>,
    now_ms: i64,
    tolerance: Option<Duration>,
) -> Result<Proof, Refusal> {
    let mut proof = None;
    for line in lines::read::<N>(scheme, headers)?.iter().flatten() {
        let signed_ms = line.timestamp.map(|(timestamp, _)| milliseconds(timestamp)).transpose()?;
        let (secret, compacted) = find(line, body, keys).ok_or(Refusal::Mismatch)?;
        // Only a timestamp that is signed says anything about clocks, so staleness comes after the signature.
        let skew_ms = signed_ms.map(|signed_ms| now_ms.saturating_sub(signed_ms));
        let is_stale =
            |limit: Duration| skew_ms.is_some_and(|skew| u128::from(skew.unsigned_abs()) > limit.as_millis());
        if tolerance.is_some_and(is_stale) {
            return Err(Refusal::Stale);
        }
        proof.get_or_insert(Proof { secret, skew_ms, compacted });
    }
    proof.ok_or(Refusal::Missing)
}

/// The secret that verifies a line, and whether only the compacted body does.
fn find<M: Mac + Clone, const N: usize>(line: &Line<'_, N>, body: &[u8], keys: &Keys<M>) -> Option<(usize, bool)> {
    let before = line.timestamp.into_iter().flat_map(|(timestamp, separator)| [timestamp, separator.as_bytes()]);
    if let Some(secret) = keys.find(&before.clone().chain(once(body)), line.signatures.as_slice()) {
        return Some((secret, false));
    }
    if !line.may_compact || json::compacting_joins_tokens(body) {
        return None;
    }
    keys.find(&before.chain(json::compact(body)), line.signatures.as_slice()).map(|secret| (secret, true))
}

fn milliseconds(timestamp: &[u8]) -> Result<i64, Refusal> {
    if timestamp.is_empty() || timestamp.len() > MAX_TIMESTAMP_DIGITS {
        return Err(Refusal::Malformed);
    }
    let number = timestamp.iter().try_fold(0_i64, |number, &digit| {
        digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')).ok_or(Refusal::Malformed)
    })?;
    Ok(if number > MILLISECONDS_ABOVE { number } else { number * 1000 })
}
