//! The same check of something else: other secrets, another scheme, a request that was changed. For `hookbus explain`,
//! which finds out what a sender signed in the place of what came. It makes no [`super::Verified`].

use hmac::Hmac;
use http::HeaderMap;
use sha2::{Sha256, Sha512};

use super::{check, keys, refusal::Refusal};
use crate::{
    secrets::NamedSecret,
    vendors::profile::{Hash, Scheme},
};

/// What is checked.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// How it would be signed.
    pub scheme: &'a Scheme,
    /// Under which hash.
    pub hash: Hash,
    /// With one of these.
    pub secrets: &'a [NamedSecret],
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a [u8],
}

impl Attempt<'_> {
    /// The index of the secret that verifies the first signature line, if all lines verify. Whether a timestamp is stale
    /// is not asked.
    ///
    /// # Errors
    /// The [`Refusal`].
    pub fn secret(&self) -> Result<usize, Refusal> {
        let request = (self.headers, self.body);
        let proof = match self.hash {
            Hash::Sha256 => {
                check::check::<Hmac<Sha256>, 32>(self.scheme, request, &keys::derive(self.secrets), 0, None)
            }
            Hash::Sha512 => {
                check::check::<Hmac<Sha512>, 64>(self.scheme, request, &keys::derive(self.secrets), 0, None)
            }
        };
        proof.map(|proof| proof.secret)
    }
}
