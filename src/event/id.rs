//! Event ids and entity ids: which texts may serve as one, and the id of an event that brought none.
//!
//! In: texts and bytes. Out: an id without control characters, so that it can stand in headers, keys and log lines.

use crate::vendors::Vendor;
use sha2::{Digest, Sha256};

/// Most bytes of an id that is taken from a body.
const MAX_ID_BYTES: usize = 256;

/// Whether a text may serve as an id: 1 to 256 bytes, neither control characters nor Unicode noncharacters (CloudEvents
/// 1.0 forbids both in its strings).
pub(super) fn is_id(text: &str) -> bool {
    if text.is_empty() || text.len() > MAX_ID_BYTES {
        return false;
    }
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        || !text.chars().any(|letter| letter.is_control() || is_noncharacter(letter))
}

fn is_noncharacter(letter: char) -> bool {
    let code = u32::from(letter);
    (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

/// The id of an event without one: `sha256:` and the hash over vendor, source name and body, zero bytes between.
///
/// The whole body enters it, since times have a grain of one second and two events can agree in everything else that
/// looks like an identity. The source enters it, since two accounts may be sent equal bytes. Headers do not: no HMAC
/// covers them, and a retry may change them.
pub fn derived_id(vendor: Vendor, source_name: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(vendor.as_str());
    hash.update([0]);
    hash.update(source_name);
    hash.update([0]);
    hash.update(body);
    let mut id = String::with_capacity("sha256:".len() + 64);
    id.push_str("sha256:");
    id.push_str(const_hex::Buffer::<32>::new().format(&hash.finalize().into()));
    id
}
