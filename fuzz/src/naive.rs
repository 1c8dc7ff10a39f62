//! What the rooms do fast, done slowly: signatures and white space, as the vendors' documents say it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha512};

pub(crate) fn hmac_sha256(key: &str, message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any key");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn hmac_sha512(key: &str, message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key.as_bytes()).expect("any key");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let pair = |pair: &[u8]| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok();
    text.len().is_multiple_of(2).then(|| text.chunks(2).map(pair).collect()).flatten()
}

/// The body without the white space outside its strings, and whether that joined two tokens.
pub(crate) fn compact(body: &[u8]) -> (Vec<u8>, bool) {
    let (mut out, mut joined) = (Vec::new(), false);
    let (mut inside, mut escaped, mut gap) = (false, false, false);
    let is_structure = |byte: u8| b"{}[]:,".contains(&byte);
    for &byte in body {
        if inside {
            out.push(byte);
            (inside, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        if b" \n\r\t".contains(&byte) {
            gap = true;
            continue;
        }
        if let Some(&before) = out.last() {
            joined |= gap && !is_structure(before) && !is_structure(byte);
        }
        gap = false;
        inside = byte == b'"';
        out.push(byte);
    }
    (out, joined)
}
