//! An event beside what its request's headers say.

use std::{borrow::Cow, sync::Arc};

use http::HeaderMap;
use jiff::Timestamp;

use super::*;
use crate::{
    request::{Body, Received},
    secrets::Secret,
    source::Identity,
    vendors::Vendor::{self, Audit1, Policy1099},
    verify::{Verifier, sign},
};

/// The header is not signed: it chooses nothing, and is only compared.
#[test]
fn a_header_that_says_another_type_is_seen() {
    let event = |vendor: Vendor, header: Option<&'static str>, body: &'static str| {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "whsec_test").unwrap();
        let identity =
            Identity { vendor, name: "acme".into(), ce_source: "//a".into(), tenant: None, environment: "test".into() };
        let verifier = Verifier::load(Arc::new(identity), &[secret.path().to_owned()], None).unwrap();
        let signed = sign::headers(vendor, &Secret::from_text(b"whsec_test".to_vec()).unwrap(), 1, body.as_bytes());
        let mut headers: HeaderMap =
            signed.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        header.map(|said| headers.insert("x-audit1-event", said.parse().unwrap()));
        let body = Body::unbudgeted(body.as_bytes().into());
        Event::new(
            verifier.verify(Received { headers: Cow::Owned(headers), body, arrival: Timestamp::UNIX_EPOCH }).unwrap(),
        )
    };
    let file = r#"{"event":"file.failed","data":{}}"#;
    for (vendor, header, body, contradicts) in [
        (Audit1, None, file, false),
        (Audit1, Some("file.failed"), file, false),
        (Audit1, Some("file.processed"), file, true),
        (Audit1, Some("file.failed"), "not json", true),
        (Policy1099, Some("file.processed"), r#"{"type":"policy.active"}"#, false),
    ] {
        assert_eq!(event(vendor, header, body).contradicts_header(), contradicts, "{header:?} {body}");
    }
}
