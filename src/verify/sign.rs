//! The vendors' side of the signature, for `hookbus trigger` and for tests: the same schemes, written forwards.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};

use crate::{
    secrets::Secret,
    text::hex_encode,
    vendors::{
        Vendor,
        profile::{Hash, Scheme},
    },
};

/// The headers with which the vendor would send `body` at `unix_seconds` under `secret`.
pub fn headers(vendor: Vendor, secret: &Secret, unix_seconds: i64, body: &[u8]) -> Vec<(&'static str, String)> {
    let profile = vendor.profile();
    let sign = |pieces: &[&[u8]]| match profile.hash {
        Hash::Sha256 => mac::<Hmac<Sha256>>(secret, pieces),
        Hash::Sha512 => mac::<Hmac<Sha512>>(secret, pieces),
    };
    match profile.scheme {
        Scheme::Timestamped { header, timestamp_header, separator, .. } => {
            let timestamp = unix_seconds.to_string();
            let signature = sign(&[timestamp.as_bytes(), separator.as_bytes(), body]);
            match timestamp_header {
                Some(name) => vec![(name, timestamp), (header, signature)],
                None => vec![(header, format!("t={timestamp},v1={signature}"))],
            }
        }
        Scheme::BodyOnly { headers, prefix, .. } => {
            headers.last().map(|header| (*header, format!("{prefix}{}", sign(&[body])))).into_iter().collect()
        }
    }
}

fn mac<M: Mac + KeyInit>(secret: &Secret, pieces: &[&[u8]]) -> String {
    // HMAC takes a key of any length; an empty text would only mean a signature that no receiver takes.
    M::new_from_slice(secret.expose()).map_or_else(
        |_| String::new(),
        |mut mac| {
            pieces.iter().for_each(|piece| mac.update(piece));
            hex_encode(&mac.finalize().into_bytes())
        },
    )
}
