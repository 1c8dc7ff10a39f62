//! 1099Policy: hex HMAC-SHA512 in `x-convoy-signature`.
//!
//! Two styles share the header. Plain (1099Policy's documents): the signature alone, over `{convoy-timestamp},{body}`.
//! `t=` (Convoy, the gateway behind 1099Policy, since v0.7.2): `t=…,v1=…[,v1=…]`, over `{t},{body}`; Convoy's
//! versions since v0.7.6 sign the body without its insignificant white space but send it with, so this style has a
//! second try over the compacted bytes: the HMAC still covers every token, and white space that separates two tokens
//! (`1 2`) is not insignificant, so it ends the try. What was signed, not what was sent, then makes ids and fingerprints:
//! white space strewn into a captured request makes no new event.

use std::{iter::once, time::Duration};

use http::HeaderMap;

use super::{MAX_SIGNATURE_LINES, Proof, Refusal, hex, keys::Sha512Keys};
use crate::json;

pub(super) const SIGNATURE_HEADER: &str = "x-convoy-signature";
pub(super) const TIMESTAMP_HEADER: &str = "convoy-timestamp";

/// Above this a timestamp counts milliseconds: as seconds it would lie 30,000 years ahead.
const MILLISECONDS_ABOVE: i64 = 1_000_000_000_000;
/// Digits of a timestamp; more cannot be a time and could overflow.
const MAX_TIMESTAMP_DIGITS: usize = 16;

type Signature = [u8; 64];

/// One signature line, parsed.
struct Line<'h> {
    timestamp: &'h [u8],
    signatures: Vec<Signature>,
    style: Style,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Versioned,
}

pub(super) fn check(
    headers: &HeaderMap,
    body: &[u8],
    keys: &Sha512Keys,
    now_ms: i64,
    tolerance: Option<Duration>,
) -> Result<Proof, Refusal> {
    let lines = headers.get_all(SIGNATURE_HEADER);
    let mut parsed = Vec::with_capacity(1);
    for line in lines.iter().take(MAX_SIGNATURE_LINES + 1) {
        parsed.push(parse(line.as_bytes().trim_ascii(), headers)?);
    }
    if parsed.len() > MAX_SIGNATURE_LINES {
        return Err(Refusal::Malformed);
    }
    let mut proof: Option<Proof> = None;
    for line in &parsed {
        let signed_ms = milliseconds(line.timestamp)?;
        let (secret, compacted) = find(line, body, keys).ok_or(Refusal::Mismatch)?;
        // Only a timestamp that is signed says anything about clocks, so staleness comes after the signature.
        let skew_ms = now_ms.saturating_sub(signed_ms);
        if tolerance.is_some_and(|limit| u128::from(skew_ms.unsigned_abs()) > limit.as_millis()) {
            return Err(Refusal::Stale);
        }
        proof.get_or_insert(Proof { secret, skew_ms: Some(skew_ms), compacted });
    }
    proof.ok_or(Refusal::Missing)
}

/// The secret that verifies a line, and whether only the compacted body does.
fn find(line: &Line<'_>, body: &[u8], keys: &Sha512Keys) -> Option<(usize, bool)> {
    let prefix = once(line.timestamp).chain(once(&b","[..]));
    if let Some(secret) = keys.find(&prefix.clone().chain(once(body)), &line.signatures) {
        return Some((secret, false));
    }
    if line.style == Style::Plain || json::compacting_joins_tokens(body) {
        return None;
    }
    keys.find(&prefix.chain(json::compact(body)), &line.signatures).map(|secret| (secret, true))
}

fn parse<'h>(line: &'h [u8], headers: &'h HeaderMap) -> Result<Line<'h>, Refusal> {
    // A hexadecimal signature has no `=`.
    if line.contains(&b'=') {
        return parse_versioned(line);
    }
    let signature = hex::decode(line).ok_or(Refusal::Malformed)?;
    let mut timestamps = headers.get_all(TIMESTAMP_HEADER).iter();
    let timestamp = timestamps.next().ok_or(Refusal::Missing)?.as_bytes().trim_ascii();
    if timestamps.next().is_some() {
        return Err(Refusal::Malformed);
    }
    Ok(Line { timestamp, signatures: vec![signature], style: Style::Plain })
}

/// Signatures of another length (another `vN`'s hash) are passed over: one that matches is enough.
fn parse_versioned(line: &[u8]) -> Result<Line<'_>, Refusal> {
    let mut timestamp = None;
    let mut signatures = Vec::with_capacity(2);
    for part in line.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
        if let Some(value) = part.strip_prefix(b"t=") {
            if timestamp.replace(value).is_some() {
                return Err(Refusal::Malformed);
            }
        } else if let Some((b'v', rest)) = part.split_first() {
            let value = rest.splitn(2, |&b| b == b'=').nth(1);
            signatures.extend(value.and_then(hex::decode));
        }
    }
    match timestamp {
        Some(timestamp) if !signatures.is_empty() => Ok(Line { timestamp, signatures, style: Style::Versioned }),
        _ => Err(Refusal::Malformed),
    }
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
