//! The third vendor from end to end: configuration, signature, replay window, meaning, envelope, new events, documents.

use std::{borrow::Cow, fs, path::PathBuf, sync::Arc, time::Duration};

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use crate::{
    commands::trigger::fresh::fresh,
    config::{Config, SourceConfig},
    envelope::{Attributes, Envelope, Stamp, attributes::Attribute},
    event::Event,
    request::{Body, Received},
    schema::{Document, Scope},
    secrets::Secret,
    vendors::Vendor,
    verify::{Refusal, Verified, Verifier, sign},
};

const SECRET: &str = "whsec_third_vendor";
const NOW: i64 = 1_796_000_123;

struct Place {
    _folder: TempDir,
    secret_file: PathBuf,
    config: Config,
}

/// A configuration as an operator writes it, with more keys in its source.
fn place(keys: &str) -> Place {
    let folder = TempDir::new().unwrap();
    let (file, secret_file) = (folder.path().join("hookbus.toml"), folder.path().join("secret"));
    fs::write(&secret_file, SECRET).unwrap();
    let text = format!(
        "[bus]\nkind = \"nats\"\n[[sources]]\nname = \"shop\"\nvendor = \"stripe\"\npath = \"/hook\"\n\
         secret_files = [{secret_file:?}]\n{keys}\n"
    );
    fs::write(&file, text).unwrap();
    let config = Config::load(&file, []).unwrap().config;
    Place { _folder: folder, secret_file, config }
}

impl Place {
    fn source(&self) -> &SourceConfig {
        &self.config.sources[0]
    }

    fn verifier(&self) -> Verifier {
        let source = self.source();
        Verifier::load(Arc::new(source.identity()), &source.secret_files, source.tolerance).unwrap()
    }

    /// A request as the vendor signs it now, at another time of ours.
    fn verify(&self, body: &[u8], later: i64) -> Result<Verified<'static>, Refusal> {
        let secret = Secret::read(&self.secret_file).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in sign::headers(Vendor::Stripe, &secret, NOW, body) {
            headers.insert(name, value.parse().unwrap());
        }
        let arrival = Timestamp::from_second(NOW).unwrap() + SignedDuration::from_secs(later);
        let body = Body::unbudgeted(bytes::Bytes::copy_from_slice(body));
        self.verifier().verify(Received { headers: Cow::Owned(headers), body, arrival })
    }

    fn attributes(&self, body: &[u8]) -> Attributes {
        let event = Event::new(self.verify(body, 0).unwrap());
        Envelope::new(event, &self.config.bus.template(), &Stamp::new("pod", 1)).attributes().clone()
    }
}

/// Made with another implementation of HMAC.
#[test]
fn the_signature_is_the_documented_one() {
    let body = br#"{"id":"evt_1","type":"invoice.paid"}"#;
    let signature = "9d14c98d01fec007a4e90bf7b4f1c1a360fd9fa79363ff99427b0f0ee38b8faf";
    let verifier = place("").verifier();
    let check = |header: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("stripe-signature", header.parse().unwrap());
        verifier.check(&headers, body, 1_686_089_971_000).map(|proof| proof.skew_ms)
    };
    assert_eq!(check(&format!("t=1686089970,v1={signature}")), Ok(Some(1000)));
    assert_eq!(check(&format!("t=1686089970,v1={},v1={signature},v0=00", "0".repeat(64))), Ok(Some(1000)));
    assert_eq!(check(&format!("t=1686089971,v1={signature}")), Err(Refusal::Mismatch));
    assert_eq!(check(signature), Err(Refusal::Malformed), "no signature stands alone");
    assert_eq!(verifier.check(&HeaderMap::new(), body, 0).unwrap_err(), Refusal::Missing);
}

#[test]
fn an_old_request_is_stale_unless_the_operator_says_otherwise() {
    let body = Vendor::Stripe.profile().catalogue[0].sample.as_bytes();
    let place_ = place("");
    assert_eq!(place_.source().tolerance, Some(Duration::from_mins(5)));
    for (later, refusal) in [(300, None), (301, Some(Refusal::Stale)), (-300, None), (-301, Some(Refusal::Stale))] {
        assert_eq!(place_.verify(body, later).err(), refusal, "{later}");
    }
    assert!(place("tolerance = \"off\"").verify(body, 86_400).is_ok());
    assert_eq!(place("tolerance = \"10s\"").verify(body, 11).err(), Some(Refusal::Stale));
}

#[test]
fn every_row_goes_its_way_with_new_events() {
    let place = place("");
    let mut random = fastrand::Rng::with_seed(3);
    for entry in Vendor::Stripe.profile().catalogue {
        let body = fresh(Vendor::Stripe, entry, NOW * 1000, &mut random);
        let attributes = place.attributes(&body);
        let get = |attribute| attributes.get(attribute).unwrap_or_default();
        assert_eq!(get(Attribute::Type), format!("com.stripe.{}", entry.event));
        assert_eq!(get(Attribute::Source), "//hookbus/stripe/shop");
        assert_eq!(get(Attribute::Form), "snapshot");
        assert_eq!((get(Attribute::Entity), get(Attribute::EntityPath)), (entry.entity, "/data/object"));
        assert_eq!(get(Attribute::Time), "2026-11-30T00:55:23Z");
        assert_eq!(get(Attribute::Route), format!("webhooks.stripe.{}", entry.event));
        assert!(get(Attribute::Id).starts_with("evt_1") && get(Attribute::Subject).contains("_1"));
        assert_ne!(get(Attribute::Id), place.attributes(entry.sample.as_bytes()).get(Attribute::Id).unwrap());
    }
    let attributes = place.attributes(br#"{"id":"evt_1","type":"invoice.gone","data":{"object":{"id":"in_1"}}}"#);
    assert_eq!(attributes.get(Attribute::Route), Some("webhooks.stripe.unknown"));
    assert_eq!(attributes.get(Attribute::Subject), Some("in_1"));
}

#[test]
fn the_documents_speak_of_it() {
    let scope = Scope::of(&place("").config);
    let asyncapi = Document::AsyncApi.text(&scope);
    assert!(asyncapi.contains("\"address\": \"webhooks.stripe.invoice.paid\""));
    let payload = Document::named("stripe/invoice.paid").unwrap().text(&scope);
    let payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
    let snapshot = &payload["$defs"]["snapshot"];
    assert_eq!(snapshot["required"], serde_json::json!(["type", "id", "data"]));
    assert_eq!(snapshot["properties"]["data"]["required"], serde_json::json!(["object"]));
    assert!(snapshot["description"].as_str().unwrap().contains("as docs.stripe.com API reference prints them"));
}
