//! Verification: is this request signed by the vendor, over exactly the bytes received?
//!
//! In: a [`Received`] request and its endpoint's live secrets. Out: [`Verified`], which only this room can make, or a
//! [`Refusal`]. It compares in constant time, tries every live secret, and never reads JSON: no code
//! interprets an unsigned body (P2).
//!
//! Rules common to all schemes: at least one signature header, and every signature line that is there must verify
//! under some live secret. Parsing comes before hashing, and the first line that does not verify ends the work, so an
//! unsigned request costs two hashes of its body per live secret at the most, a signed one four.

mod attempt;
mod check;
mod keys;
mod lines;
pub mod metrics;
mod refusal;
pub mod sign;

use std::{borrow::Cow, path::PathBuf, sync::Arc, time::Duration};

use hmac::Hmac;
use http::HeaderMap;
use sha2::{Sha256, Sha512};

pub use self::{attempt::Attempt, check::Proof, refusal::Refusal};
use self::{check::check, keys::Keys};
use crate::{
    json,
    request::Received,
    secrets::{Reload, SecretError, Watched},
    source::Identity,
    vendors::profile::Hash,
};

/// A request whose signature holds. Its fields are private and [`Verifier::verify`] is its only constructor, so no event
/// can be read around it, and none under the name of another source:
///
/// ```compile_fail
/// use std::sync::Arc;
/// use hookbus::{request::Received, source::Identity, verify::{Proof, Verified}};
///
/// fn forge(received: Received, identity: Arc<Identity>, proof: Proof) {
///     let _ = Verified { received, identity, proof };
/// }
/// ```
///
/// The same lines without the forgery compile, so it is the forgery that does not:
///
/// ```
/// use std::sync::Arc;
/// use hookbus::{request::Received, source::Identity, verify::{Proof, Verified}};
///
/// fn keep(received: Received, identity: Arc<Identity>, proof: Proof) {
///     let _ = (received, identity, proof);
/// }
/// ```
#[derive(Debug)]
pub struct Verified<'h> {
    received: Received<'h>,
    identity: Arc<Identity>,
    proof: Proof,
}

impl<'h> Verified<'h> {
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
    pub fn received(&self) -> &Received<'h> {
        &self.received
    }

    /// The source that signed it.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The request and its source, for the envelope.
    pub fn into_parts(self) -> (Received<'h>, Arc<Identity>) {
        (self.received, self.identity)
    }
}

/// One source's scheme and live secrets.
#[derive(Debug)]
pub struct Verifier {
    identity: Arc<Identity>,
    keys: LiveKeys,
    tolerance: Option<Duration>,
}

/// The live secrets, keyed for the hash of the vendor's scheme.
#[derive(Debug)]
enum LiveKeys {
    Sha256(Watched<Keys<Hmac<Sha256>>>),
    Sha512(Watched<Keys<Hmac<Sha512>>>),
}

impl Verifier {
    /// Reads and keys the secrets. `tolerance`: largest distance between a signed timestamp and the clock, both ways;
    /// `None` checks none.
    ///
    /// # Errors
    /// When a file is missing, unreadable, empty or too large: no secret, no start.
    pub fn load(identity: Arc<Identity>, files: &[PathBuf], tolerance: Option<Duration>) -> Result<Self, SecretError> {
        let keys = match identity.vendor.profile().hash {
            Hash::Sha256 => LiveKeys::Sha256(Watched::load(files, keys::derive)?),
            Hash::Sha512 => LiveKeys::Sha512(Watched::load(files, keys::derive)?),
        };
        Ok(Verifier { identity, keys, tolerance })
    }

    /// Reads the secret files again; keeps the old secrets unless all files are good.
    pub fn reload(&self) -> Reload {
        match &self.keys {
            LiveKeys::Sha256(keys) => keys.reload(),
            LiveKeys::Sha512(keys) => keys.reload(),
        }
    }

    /// The digests of the live secrets.
    pub fn secret_digests(&self) -> Vec<[u8; 32]> {
        match &self.keys {
            LiveKeys::Sha256(keys) => keys.digests(),
            LiveKeys::Sha512(keys) => keys.digests(),
        }
    }

    /// Checks headers and body. `now_ms`: Unix time in milliseconds.
    ///
    /// # Errors
    /// The [`Refusal`], for metrics and logs only.
    pub fn check(&self, headers: &HeaderMap, body: &[u8], now_ms: i64) -> Result<Proof, Refusal> {
        let (scheme, request) = (&self.identity.vendor.profile().scheme, (headers, body));
        match &self.keys {
            LiveKeys::Sha256(keys) => check::<_, 32>(scheme, request, &keys.current(), now_ms, self.tolerance),
            LiveKeys::Sha512(keys) => check::<_, 64>(scheme, request, &keys.current(), now_ms, self.tolerance),
        }
    }

    /// Turns a received request into a verified one.
    ///
    /// # Errors
    /// The request's body is dropped with it; only the reason remains.
    pub fn verify<'h>(&self, received: Received<'h>) -> Result<Verified<'h>, Refusal> {
        let proof = self.check(&received.headers, received.body.bytes(), received.arrival.as_millisecond())?;
        Ok(Verified { received, identity: Arc::clone(&self.identity), proof })
    }
}

#[cfg(test)]
mod tests;
