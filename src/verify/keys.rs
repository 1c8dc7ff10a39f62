//! Pre-keyed HMAC states: keying costs two hash blocks per request when it is done anew each time, nothing when a
//! keyed state is cloned. Never shows a secret: the states print as nothing.

use hmac::{KeyInit, Mac};

use crate::secrets::NamedSecret;

/// The keyed states of one source's live secrets, in the order of its files.
pub(super) struct Keys<M>(Vec<M>);

impl<M> std::fmt::Debug for Keys<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} secrets)", self.0.len())
    }
}

/// The key is the whole secret as text, `whsec_` included (so the vendors' documents).
pub(super) fn derive<M: KeyInit>(secrets: &[NamedSecret]) -> Keys<M> {
    // HMAC takes a key of any length, so no secret is skipped here.
    Keys(secrets.iter().filter_map(|secret| M::new_from_slice(secret.secret.expose()).ok()).collect())
}

impl<M: Mac + Clone> Keys<M> {
    /// The index of the first secret under which `message` has one of the `candidates`, compared in constant time.
    pub(super) fn find<'m, S: AsRef<[u8]>>(
        &self,
        message: &(impl Iterator<Item = &'m [u8]> + Clone),
        candidates: &[S],
    ) -> Option<usize> {
        self.0.iter().position(|keyed| {
            let mut mac = keyed.clone();
            message.clone().for_each(|piece| mac.update(piece));
            candidates.iter().any(|candidate| mac.clone().verify_slice(candidate.as_ref()).is_ok())
        })
    }
}
