//! Signature headers. The input writes the header lines, in which `$` and a letter stand for what an attacker cannot
//! compute: right and wrong signatures. Expected is what the vendors' documents say, written down once more.
//!
//! First byte: the vendor. Then lines `c…` (`convoy-timestamp`), `x…` (`x-convoy-signature`), `a…` (`X-Audit1-Signature`),
//! `b…` (`Audit1-Signature`); an empty line; the body.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use hookbus::{source::Identity, vendors::Vendor, verify::Verifier};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    SECRETS, fault,
    naive::{compact, hex, hmac_sha256, hmac_sha512, unhex},
    secret_files,
};

/// The clock of every check.
const NOW_MS: i64 = 1_767_312_145_500;
const TOLERANCE_MS: i64 = 300_000;
const NAMES: [(u8, &str); 4] = [
    (b'c', "convoy-timestamp"),
    (b'x', "x-convoy-signature"),
    (b'a', "x-audit1-signature"),
    (b'b', "audit1-signature"),
];

static VERIFIERS: LazyLock<[Verifier; 2]> = LazyLock::new(|| {
    [Vendor::Policy1099, Vendor::Audit1].map(|vendor| {
        let tolerance = Duration::from_millis(TOLERANCE_MS.unsigned_abs());
        Verifier::load(identity(vendor), secret_files(), Some(tolerance)).expect("secrets")
    })
});

pub(crate) fn identity(vendor: Vendor) -> Arc<Identity> {
    let ce_source = format!("//hookbus/{vendor}/fuzz");
    Arc::new(Identity { vendor, name: "fuzz".into(), ce_source, tenant: None, environment: "test".into() })
}

/// One request: what hookbus says of its signature must be what the documents say.
pub fn run(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else { return };
    let vendor = if choice % 2 == 0 { Vendor::Policy1099 } else { Vendor::Audit1 };
    let end = rest.windows(2).position(|two| two == b"\n\n").unwrap_or(rest.len());
    let body = rest.get(end + 2..).unwrap_or_default();
    let headers = headers(vendor, &rest[..end], body);
    let expected = is_signed(vendor, &headers, body);
    let seen = if fault() { first_lines(&headers) } else { headers.clone() };
    let found = VERIFIERS[usize::from(choice % 2)].check(&seen, body, NOW_MS);
    assert_eq!(found.is_ok(), expected, "{found:?}: {headers:?} {:?}", String::from_utf8_lossy(body));
}

/// The planted fault: only the first line of each header is looked at.
fn first_lines(headers: &HeaderMap) -> HeaderMap {
    headers.keys().map(|name| (name.clone(), headers[name].clone())).collect()
}

fn headers(vendor: Vendor, head: &[u8], body: &[u8]) -> HeaderMap {
    let lines: Vec<_> = head.split(|byte| *byte == b'\n').filter_map(<[u8]>::split_first).collect();
    let timestamp = lines.iter().find(|(letter, _)| **letter == b'c').map_or(&b""[..], |(_, value)| value);
    let timestamp = expand(vendor, timestamp, b"", body);
    let mut headers = HeaderMap::new();
    for (letter, value) in lines {
        let Some((_, name)) = NAMES.iter().find(|(known, _)| known == letter) else { continue };
        let own = value.split(|byte| *byte == b',').find_map(|part| part.trim_ascii().strip_prefix(b"t="));
        let signed_at = own.map_or_else(|| timestamp.clone(), |own| expand(vendor, own, b"", body));
        if let Ok(value) = HeaderValue::from_bytes(&expand(vendor, value, signed_at.trim_ascii(), body)) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// Writes `$` and a letter out: `1` and `2` are right signatures, `3` one under another secret, `4` one over the compact
/// body, `5` one over the body alone, `6` one in capitals; `n`, `o`, `p`, `q` are times, `m` one in milliseconds.
fn expand(vendor: Vendor, value: &[u8], timestamp: &[u8], body: &[u8]) -> Vec<u8> {
    let before = if vendor == Vendor::Policy1099 { [timestamp, b","].concat() } else { Vec::new() };
    let sign = |key: &str, before: &[u8], body: &[u8]| digest(vendor, key, &[before, body].concat());
    let seconds = NOW_MS / 1000;
    let mut out = Vec::new();
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        let text = match (byte, bytes.as_slice().first()) {
            (b'$', Some(b'1')) => hex(&sign(SECRETS[0], &before, body)),
            (b'$', Some(b'2')) => hex(&sign(SECRETS[1], &before, body)),
            (b'$', Some(b'3')) => hex(&sign("whsec_another", &before, body)),
            (b'$', Some(b'4')) => hex(&sign(SECRETS[0], &before, &compact(body).0)),
            (b'$', Some(b'5')) => hex(&sign(SECRETS[0], b"", body)),
            (b'$', Some(b'6')) => hex(&sign(SECRETS[0], &before, body)).to_uppercase(),
            (b'$', Some(b'n')) => seconds.to_string(),
            (b'$', Some(b'o')) => (seconds - 299).to_string(),
            (b'$', Some(b'p')) => (seconds - 300).to_string(),
            (b'$', Some(b'q')) => (seconds + 301).to_string(),
            (b'$', Some(b'm')) => (NOW_MS + TOLERANCE_MS).to_string(),
            _ => {
                out.push(byte);
                continue;
            }
        };
        bytes.next();
        out.extend(text.into_bytes());
    }
    out
}

fn digest(vendor: Vendor, key: &str, message: &[u8]) -> Vec<u8> {
    if vendor == Vendor::Policy1099 { hmac_sha512(key, message) } else { hmac_sha256(key, message) }
}

fn is_signed(vendor: Vendor, headers: &HeaderMap, body: &[u8]) -> bool {
    let names: &[&str] = if vendor == Vendor::Policy1099 {
        &["x-convoy-signature"]
    } else {
        &["x-audit1-signature", "audit1-signature"]
    };
    let lines: Vec<_> = names.iter().flat_map(|name| headers.get_all(*name)).map(HeaderValue::as_bytes).collect();
    let holds = |line: &[u8]| match vendor {
        Vendor::Audit1 => body_only(line, body),
        Vendor::Policy1099 => timestamped(line, headers, body),
    };
    (1..=4).contains(&lines.len()) && lines.iter().all(|line| holds(line.trim_ascii()))
}

fn body_only(line: &[u8], body: &[u8]) -> bool {
    let signature = unhex(line.strip_prefix(b"sha256=").unwrap_or(line));
    signature.is_some_and(|signature| SECRETS.iter().any(|key| hmac_sha256(key, body) == signature))
}

fn timestamped(line: &[u8], headers: &HeaderMap, body: &[u8]) -> bool {
    let over = |timestamp: &[u8], body: &[u8], signature: &[u8]| {
        SECRETS.iter().any(|key| hmac_sha512(key, &[timestamp, b",", body].concat()) == signature)
    };
    if !line.contains(&b'=') {
        let timestamps: Vec<_> = headers.get_all("convoy-timestamp").iter().collect();
        let ([timestamp], Some(signature)) = (&timestamps[..], unhex(line)) else { return false };
        let timestamp = timestamp.as_bytes().trim_ascii();
        return is_fresh(timestamp) && over(timestamp, body, &signature);
    }
    let parts: Vec<_> = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    let timestamps: Vec<_> = parts.iter().filter_map(|part| part.strip_prefix(b"t=")).collect();
    let [timestamp] = timestamps[..] else { return false };
    let signatures = parts.iter().filter(|part| part.starts_with(b"v")).filter_map(|part| {
        let (_, value) = part.split_at(part.iter().position(|byte| *byte == b'=')?);
        unhex(&value[1..])
    });
    let (compacted, joined) = compact(body);
    let mut signatures = signatures;
    is_fresh(timestamp)
        && signatures
            .any(|signature| over(timestamp, body, &signature) || (!joined && over(timestamp, &compacted, &signature)))
}

fn is_fresh(timestamp: &[u8]) -> bool {
    let text = std::str::from_utf8(timestamp).unwrap_or_default();
    if !(1..=16).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let number: i64 = text.parse().expect("sixteen digits");
    let signed_ms = if number > 1_000_000_000_000 { number } else { number * 1000 };
    (NOW_MS - signed_ms).abs() <= TOLERANCE_MS
}
