//! Verification: is this request signed by the vendor, over exactly the bytes received?
//!
//! In: a [`Received`] request and its endpoint's live secrets. Out: [`Verified`], which only this room can make, or a
//! [`Refusal`]. It compares in constant time, tries every live secret, and never reads JSON: whatever an unsigned body
//! says, nobody has looked at it (P2).
//!
//! Rules common to both vendors: at least one signature header, and every signature line that is there must verify
//! under some live secret. Parsing comes before hashing, and the first line that does not verify ends the work, so an
//! unsigned request costs two hashes of its body per live secret at the most, a signed one four.

mod audit1;
mod hex;
mod keys;
mod policy1099;
pub mod sign;

use std::{borrow::Cow, path::PathBuf, time::Duration};

use crate::{
    intake::Received,
    json,
    secrets::{Reload, SecretError, Watched},
    vendor::Vendor,
};

/// Most signature lines of one request; the documents know one. Each that verifies costs a hash of the whole body.
const MAX_SIGNATURE_LINES: usize = 4;

/// A request whose signature holds. Its fields are private and [`verify`] is its only constructor, so no vendor module
/// can be reached around it:
///
/// ```compile_fail
/// fn forge(received: hookbus::intake::Received, proof: hookbus::verify::Proof) {
///     let _ = hookbus::verify::Verified { received, proof };
/// }
/// ```
///
/// The same lines without the forgery compile, so it is the forgery that does not:
///
/// ```
/// fn keep(received: hookbus::intake::Received, proof: hookbus::verify::Proof) {
///     let _ = (received, proof);
/// }
/// ```
#[derive(Debug)]
pub struct Verified {
    received: Received,
    proof: Proof,
}

impl Verified {
    /// What the signature proved.
    pub fn proof(&self) -> Proof {
        self.proof
    }

    /// The bytes that the signature covers: the body, or the body without its insignificant white space.
    pub fn signed(&self) -> Cow<'_, [u8]> {
        let body = self.received.body.bytes();
        if self.proof.compacted { json::compact(body).collect::<Vec<_>>().concat().into() } else { body.into() }
    }

    /// The request, read only.
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// The request, to be taken apart by the next room.
    pub fn into_received(self) -> Received {
        self.received
    }
}

/// What a signature that holds has proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Index of the live secret that verified the first signature line.
    pub secret: usize,
    /// Clock minus signed timestamp in milliseconds; `None` for Audit1, which signs no timestamp.
    pub skew_ms: Option<i64>,
    /// The signature covers the body without its insignificant white space (Convoy's `t=` style only).
    pub compacted: bool,
}

/// Why a request is refused. The sender gets one constant `401` for all of them; metrics and logs tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No signature header of this vendor, or no timestamp beside a plain 1099Policy signature.
    #[error("missing")]
    Missing,
    /// A signature or timestamp that cannot be one.
    #[error("malformed")]
    Malformed,
    /// A well-formed signature that no live secret made over these bytes.
    #[error("mismatch")]
    Mismatch,
    /// Rightly signed, but too long ago or too far ahead: a replay, or a wrong clock on either side.
    #[error("stale")]
    Stale,
}

/// One endpoint's scheme and live secrets.
#[derive(Debug)]
pub enum Verifier {
    /// HMAC-SHA512 with a signed timestamp.
    Policy1099 {
        /// The live secrets, keyed.
        keys: Watched<keys::Sha512Keys>,
        /// Largest distance between timestamp and clock, both ways; `None` checks none.
        tolerance: Option<Duration>,
    },
    /// HMAC-SHA256 over the body alone.
    Audit1 {
        /// The live secrets, keyed.
        keys: Watched<keys::Sha256Keys>,
    },
}

impl Verifier {
    /// Reads and keys the secrets.
    ///
    /// # Errors
    /// When a file is missing, unreadable, empty or too large: no secret, no start.
    pub fn load(vendor: Vendor, files: &[PathBuf], tolerance: Option<Duration>) -> Result<Self, SecretError> {
        Ok(match vendor {
            Vendor::Policy1099 => Verifier::Policy1099 { keys: Watched::load(files, keys::derive)?, tolerance },
            Vendor::Audit1 => Verifier::Audit1 { keys: Watched::load(files, keys::derive)? },
        })
    }

    /// Reads the secret files again; keeps the old secrets unless all files are good.
    pub fn reload(&self) -> Reload {
        match self {
            Verifier::Policy1099 { keys, .. } => keys.reload(),
            Verifier::Audit1 { keys } => keys.reload(),
        }
    }

    /// Checks headers and body. `now_ms`: Unix time in milliseconds.
    ///
    /// # Errors
    /// The [`Refusal`], for metrics and logs only.
    pub fn check(&self, headers: &http::HeaderMap, body: &[u8], now_ms: i64) -> Result<Proof, Refusal> {
        match self {
            Verifier::Policy1099 { keys, tolerance } => {
                policy1099::check(headers, body, &keys.current(), now_ms, *tolerance)
            }
            Verifier::Audit1 { keys } => audit1::check(headers, body, &keys.current()),
        }
    }
}

/// Turns a received request into a verified one.
///
/// # Errors
/// The request's body is dropped with it; only the reason remains.
pub fn verify(received: Received) -> Result<Verified, Refusal> {
    let now_ms = received.arrival.as_millisecond();
    let proof = received.endpoint.verifier.check(&received.headers, received.body.bytes(), now_ms)?;
    Ok(Verified { received, proof })
}

#[cfg(test)]
mod tests;
