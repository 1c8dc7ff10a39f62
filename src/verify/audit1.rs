//! Audit1: hex HMAC-SHA256 over the body, in `X-Audit1-Signature` (portal guide: bare) and `Audit1-Signature`
//! (developer tutorial: `sha256=` before it); either spelling is taken in either header. No timestamp is signed, so
//! there is no replay window: repeats are recognised later, by id.

use std::iter::once;

use http::HeaderMap;

use super::{MAX_SIGNATURE_LINES, Proof, Refusal, hex, keys::Sha256Keys};

/// The two documented header names.
pub(super) const SIGNATURE_HEADERS: [&str; 2] = ["x-audit1-signature", "audit1-signature"];

pub(super) fn check(headers: &HeaderMap, body: &[u8], keys: &Sha256Keys) -> Result<Proof, Refusal> {
    let lines = SIGNATURE_HEADERS.iter().flat_map(|name| headers.get_all(*name)).take(MAX_SIGNATURE_LINES + 1);
    let signatures: Option<Vec<_>> = lines.map(|line| signature(line.as_bytes())).collect();
    let signatures = signatures.filter(|all| all.len() <= MAX_SIGNATURE_LINES).ok_or(Refusal::Malformed)?;
    let mut proof = Err(Refusal::Missing);
    for signature in signatures {
        let secret = keys.find(&once(body), &[signature]).ok_or(Refusal::Mismatch)?;
        proof = proof.or(Ok(Proof { secret, skew_ms: None, compacted: false }));
    }
    proof
}

fn signature(line: &[u8]) -> Option<[u8; 32]> {
    let line = line.trim_ascii();
    hex::decode(line.strip_prefix(b"sha256=").unwrap_or(line))
}
