//! The vendors' side of the signature, for `hookbus trigger` and for tests: the same two schemes, written forwards.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};

use super::{audit1, hex, policy1099};
use crate::{secrets::Secret, vendor::Vendor};

/// The headers with which the vendor would send `body` at `unix_seconds` under `secret`.
pub fn headers(vendor: Vendor, secret: &Secret, unix_seconds: i64, body: &[u8]) -> Vec<(&'static str, String)> {
    match vendor {
        Vendor::Policy1099 => {
            let timestamp = unix_seconds.to_string();
            let signature = mac::<Hmac<Sha512>>(secret, &[timestamp.as_bytes(), b",", body]);
            vec![(policy1099::TIMESTAMP_HEADER, timestamp), (policy1099::SIGNATURE_HEADER, signature)]
        }
        Vendor::Audit1 => {
            vec![(audit1::SIGNATURE_HEADERS[1], format!("sha256={}", mac::<Hmac<Sha256>>(secret, &[body])))]
        }
    }
}

fn mac<M: Mac + KeyInit>(secret: &Secret, pieces: &[&[u8]]) -> String {
    // HMAC takes a key of any length; an empty text would only mean a signature that no receiver takes.
    M::new_from_slice(secret.expose()).map_or_else(
        |_| String::new(),
        |mut mac| {
            pieces.iter().for_each(|piece| mac.update(piece));
            hex::encode(&mac.finalize().into_bytes())
        },
    )
}
