//! Every case of `tests/data/vectors.json`, and the property that one flipped bit is always refused.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::*;
use crate::{secrets::Secret, vendors::Vendor};

#[derive(Deserialize)]
struct Vector {
    name: String,
    vendor: String,
    secrets: Vec<String>,
    now: i64,
    headers: Vec<(String, String)>,
    expect: String,
    tolerance: Option<String>,
    body: Option<String>,
    body_b64: Option<String>,
    matched_secret: Option<usize>,
}

impl Vector {
    fn body(&self) -> Vec<u8> {
        match (&self.body, &self.body_b64) {
            (Some(path), None) => fs::read(Path::new("src/vendors").join(path)).unwrap(),
            (None, Some(text)) => STANDARD.decode(text).unwrap(),
            _ => panic!("{}: one body", self.name),
        }
    }

    fn headers(&self) -> HeaderMap {
        let pair = |(name, value): &(String, String)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        self.headers.iter().map(pair).for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    fn verifier(&self) -> Verifier {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<_> = self
            .secrets
            .iter()
            .enumerate()
            .map(|(i, secret)| {
                let file = dir.path().join(i.to_string());
                fs::write(&file, secret).unwrap();
                file
            })
            .collect();
        let tolerance = match self.tolerance.as_deref() {
            Some("5m") => Some(Duration::from_secs(300)),
            Some("off") | None => None,
            Some(other) => panic!("tolerance {other}"),
        };
        Verifier::load(identity(vendor(&self.vendor)), &files, tolerance).unwrap()
    }

    fn check(&self) -> Result<Proof, Refusal> {
        self.verifier().check(&self.headers(), &self.body(), self.now * 1000)
    }
}

fn vendor(name: &str) -> Vendor {
    Vendor::ALL.into_iter().find(|vendor| vendor.as_str() == name).unwrap()
}

fn identity(vendor: Vendor) -> Arc<Identity> {
    Arc::new(Identity {
        vendor,
        name: "acme".into(),
        ce_source: "//hookbus/acme".into(),
        tenant: None,
        environment: "test".into(),
    })
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(&fs::read_to_string("tests/data/vectors.json").unwrap()).unwrap()
}

#[test]
fn every_vector_gives_its_named_result() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 56, "the vectors are all here");
    for vector in &vectors {
        let result = match vector.check() {
            Ok(_) => "ok".to_owned(),
            Err(refusal) => refusal.to_string(),
        };
        assert_eq!(result, vector.expect, "{}", vector.name);
        assert_eq!(vector.check().ok().map(|proof| proof.secret), vector.matched_secret, "{}", vector.name);
    }
}

#[test]
fn skew_is_the_clock_minus_the_signed_time() {
    let vector = vectors().into_iter().find(|v| v.name.starts_with("retry: same body")).unwrap();
    assert_eq!(vector.check().unwrap().skew_ms, Some(1000));
}

/// 100,000 mutants: one bit flipped in the signature, in the timestamp or in the body is refused, for both shapes of
/// scheme and both styles of a timestamped one.
#[test]
fn one_flipped_bit_is_refused() {
    let names =
        ["flat form, documented scheme", "t= style", "portal guide: bare hex", "developer tutorial: sha256= prefix"];
    let mut rng = fastrand::Rng::with_seed(1099);
    let mut refused = 0;
    for vector in vectors().iter().filter(|v| names.contains(&v.name.as_str())) {
        let (verifier, headers, body) = (vector.verifier(), vector.headers(), vector.body());
        let now_ms = vector.now * 1000;
        assert!(verifier.check(&headers, &body, now_ms).is_ok());
        while refused % 25_000 != 24_999 {
            let (mut headers, mut body) = (headers.clone(), body.clone());
            if rng.u8(..) < 64 {
                let bit = rng.usize(..body.len() * 8);
                body[bit / 8] ^= 1 << (bit % 8);
            } else if !flip_header(&mut headers, &mut rng) {
                continue;
            }
            assert!(verifier.check(&headers, &body, now_ms).is_err(), "{}: {headers:?}", vector.name);
            refused += 1;
        }
        refused += 1;
    }
    assert_eq!(refused, 4 * 25_000);
}

/// Flips one bit of a signature or timestamp; `false` when the result means the same (hexadecimal has two cases,
/// the number in `v1=` is a label, `X-Audit1-Event` is not signed) or is no header value at all.
fn flip_header(headers: &mut HeaderMap, rng: &mut fastrand::Rng) -> bool {
    let names: Vec<_> = headers.keys().filter(|name| *name != "x-audit1-event").cloned().collect();
    let name = rng.choice(&names).unwrap();
    let old = headers[name].as_bytes().to_vec();
    let mut new = old.clone();
    let bit = rng.usize(..new.len() * 8);
    new[bit / 8] ^= 1 << (bit % 8);
    let Ok(value) = HeaderValue::from_bytes(&new) else { return false };
    headers.insert(name.clone(), value);
    let at = bit / 8;
    let version_label = at > 0 && old[at - 1] == b'v' && old.get(at + 1) == Some(&b'=');
    !version_label && !new.eq_ignore_ascii_case(&old)
}

#[test]
fn what_the_vendor_side_signs_verifies() {
    let secret = Secret::from_text(b"whsec_test".to_vec()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    fs::write(&file, "whsec_test\n").unwrap();
    for vendor in Vendor::ALL {
        let verifier =
            Verifier::load(identity(vendor), std::slice::from_ref(&file), Some(Duration::from_secs(300))).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in sign::headers(vendor, &secret, 1_767_312_145, b"{}") {
            headers.insert(name, value.parse().unwrap());
        }
        assert!(verifier.check(&headers, b"{}", 1_767_312_145_000).is_ok());
        assert_eq!(verifier.check(&headers, b"{ }", 1_767_312_145_000), Err(Refusal::Mismatch));
    }
}
