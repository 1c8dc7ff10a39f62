//! Audit1: hex HMAC-SHA256 over the body, in `X-Audit1-Signature` (portal guide: bare) and `Audit1-Signature`
//! (developer tutorial: `sha256=` before it); either spelling is taken in either header. No timestamp is signed, so
//! there is no replay window: repeats are recognised later, by id.

use std::iter::once;

use http::HeaderMap;

use super::{Proof, Refusal, hex, keys::Sha256Keys};

/// The two documented header names.
pub(super) const SIGNATURE_HEADERS: [&str; 2] = ["x-audit1-signature", "audit1-signature"];

pub(super) fn check(headers: &HeaderMap, body: &[u8], keys: &Sha256Keys) -> Result<Proof, Refusal> {
    let lines = || SIGNATURE_HEADERS.iter().flat_map(|name| headers.get_all(*name));
    if lines().next().is_none() {
        return Err(Refusal::Missing);
    }
    if lines().any(|line| signature(line.as_bytes()).is_none()) {
        return Err(Refusal::Malformed);
    }
    let mut proof = None;
    for signature in lines().filter_map(|line| signature(line.as_bytes())) {
        let secret = keys.find(&once(body), &[signature]).ok_or(Refusal::Mismatch)?;
        proof.get_or_insert(Proof { secret, skew_ms: None });
    }
    proof.ok_or(Refusal::Missing)
}

fn signature(line: &[u8]) -> Option<[u8; 32]> {
    let line = line.trim_ascii();
    hex::decode(line.strip_prefix(b"sha256=").unwrap_or(line))
}
