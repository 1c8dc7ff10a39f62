//! `[sources.api]`: the vendor's own API, for `hookbus endpoints` and `hookbus reconcile`. The gateway does not use it, and reads none of its files.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use http::Uri;

use super::{
    findings::Findings,
    key::{MINUTE, Reading, count, duration, list, optional, path, text},
    section::section,
};
use crate::{
    apis::{self, Api, Login, Wanted},
    subject::is_routable,
    vendors::Vendor,
};

/// Most bytes of a URL.
const MOST_URL: usize = 2048;
/// What the catalogue calls the thing that a follow-up call fetches.
const CERTIFICATE: &str = "certificate";
/// Most characters of a description.
const MOST_DESCRIPTION: usize = 200;

section! {
    /// One `[sources.api]` table.
    pub struct ApiConfig {
        /// Required: file with the key of the API: 1099Policy's secret key, Audit1's client secret.
        key_file: PathBuf = text("secrets/1099policy-api", path("file"))
            .required("name the file with the key of the vendor's API, such as \"secrets/acme-api\""),
        /// Only for Audit1, and required there: file with the client's id.
        client_id_file: Option<PathBuf> = optional("secrets/audit1-client", path("file")),
        /// Only for 1099Policy: "production" or "sandbox", sent as a header to the vendor's API; events do not get it. Without
        /// it the key alone decides.
        environment: Option<&'static str> = optional("sandbox", environment),
        /// Required: the public URL that the vendor posts to. https, or http to this machine.
        endpoint_url: String = text("https://hooks.example.com/webhooks/1099policy", url)
            .required("write the public URL that the vendor posts to"),
        /// Event types that the endpoint gets; "all" = every one that the vendor documents for it.
        events: Option<Vec<String>> = list("event types", &["all"], events).or_all(),
        /// Only for 1099Policy: event types after which `hookbus reconcile` fetches the certificate with the results of its review
        /// and publishes it as com.hookbus.details.certificate, such as ["certificate.flagged"]. See docs/vendors.md.
        follow_up: Vec<String> = list("event types", &[], follow_up),
        /// Most of these calls at once. Events whose calls fail wait for the next one beside them, 256 more at most.
        follow_up_calls: usize = count(4, 1..=64),
        /// Optional, no default: a text for people, sent when the endpoint is made.
        description: Option<String> = optional("hookbus, production", description),
        /// Where the API is, if not at the documented URL. https, or http to this machine. Proxies: `HTTPS_PROXY`, `NO_PROXY`.
        base_url: Option<String> = optional("https://api.1099policy.com/api/v1", base_url),
        /// PEM file of authorities that are trusted beside the system's.
        ca_file: Option<PathBuf> = optional("tls/api-ca.pem", path("file")),
        /// How long one call may take.
        timeout: Duration = duration(MINUTE / 2, Duration::from_secs(1)..=5 * MINUTE),
    }
}

impl ApiConfig {
    /// The base URL.
    pub fn base(&self, api: &Api) -> String {
        self.base_url.clone().unwrap_or_else(|| api.base_url.into())
    }

    /// What the endpoint shall be; `all`: every event that it can ask for.
    pub fn wanted(&self, all: &BTreeSet<String>) -> Wanted {
        let events = self.events.as_ref().map_or_else(|| all.clone(), |events| events.iter().cloned().collect());
        Wanted { url: self.endpoint_url.clone(), events, description: self.description.clone() }
    }
}

/// Rules over several keys of one source. `place`: where the table stands.
pub(super) fn rules(config: &ApiConfig, vendor: Vendor, path: &str, place: &str, findings: &mut Findings) {
    let vendor_key = format!("{}.vendor", place.trim_end_matches(".api"));
    let at = |key: &str| format!("{place}.{key}");
    let api = apis::of(vendor);
    findings.rule(&[place, &vendor_key], api.is_some(), format!("{} has no API for it; remove it", vendor));
    let Some(api) = api else { return };
    let (has_id, wants_id) = (config.client_id_file.is_some(), api.login != Login::Basic);
    let needs = format!("is required: {} asks for a client's id beside the key", vendor);
    findings.rule(&[&at("client_id_file"), &vendor_key], has_id || !wants_id, needs);
    let text = format!("{} knows no client's id; remove it", vendor);
    findings.rule(&[&at("client_id_file"), &vendor_key], wants_id || !has_id, text);
    findings.rule(
        &[&at("environment"), &vendor_key],
        config.environment.is_none() || api.environment_header.is_some(),
        format!("{} knows no environments; its sandbox has a base_url of its own", vendor),
    );
    follow_up_rules(config, vendor, &at("follow_up"), &vendor_key, findings);
    if !findings.are_sound(&[place, &vendor_key, &at("endpoint_url"), &at("events")]) {
        return;
    }
    let uri: Uri = config.endpoint_url.parse().unwrap_or_default();
    if uri.path() != path {
        let text = "has another path than the source: its webhooks arrive only if a proxy rewrites it";
        findings.warning(&at("endpoint_url"), text);
    }
    let all = api.all_events(vendor.profile().catalogue);
    if config.events.iter().flatten().any(|event| !all.contains(event)) {
        let text = format!("has an event type that {} does not document for its API", vendor);
        findings.warning(&at("events"), text);
    }
}

fn follow_up_rules(config: &ApiConfig, vendor: Vendor, key: &str, vendor_key: &str, findings: &mut Findings) {
    if config.follow_up.is_empty() {
        return;
    }
    let has_call = apis::of(vendor).is_some_and(|api| api.certificates.is_some());
    findings.rule(&[key, vendor_key], has_call, format!("{vendor} documents no call for it; remove it"));
    let profile = vendor.profile();
    let has_certificate = |event: &String| profile.find(None, event).is_some_and(|entry| entry.entity == CERTIFICATE);
    findings.rule(
        &[key, vendor_key],
        !has_call || config.follow_up.iter().all(has_certificate),
        "has an event type that is not one of a certificate, such as \"certificate.flagged\"",
    );
}

fn environment(word: &str) -> Reading<&'static str> {
    let known = ["production", "sandbox"].into_iter().find(|known| *known == word);
    known.ok_or_else(|| "must be \"production\" or \"sandbox\"".into())
}

fn url(url: &str) -> Reading<String> {
    let wrong =
        || "must be an https URL with a path and no user, query or fragment; http only to this machine".to_owned();
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let host = uri.host().unwrap_or_default();
    let is_plain = uri.query().is_none() && !url.contains(['#', '@']) && url.len() <= MOST_URL;
    match uri.scheme_str() {
        Some("https") if !host.is_empty() && is_plain => Ok(url.into()),
        Some("http") if is_loopback(host) && is_plain => Ok(url.into()),
        _ => Err(wrong()),
    }
}

fn base_url(text: &str) -> Reading<String> {
    url(text).map(|url| url.trim_end_matches('/').into())
}

/// Whether a host of a URL is this machine.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn events(types: &[&str]) -> Reading<Vec<String>> {
    if types.is_empty() || !types.iter().all(|event| is_routable(event)) {
        return Err("must be \"all\" or a list of event types".into());
    }
    Ok(types.iter().copied().map(Into::into).collect())
}

fn follow_up(types: &[&str]) -> Reading<Vec<String>> {
    if !types.iter().all(|event| is_routable(event)) {
        return Err("must be a list of event types".into());
    }
    Ok(types.iter().copied().map(Into::into).collect())
}

fn description(text: &str) -> Reading<String> {
    if text.is_empty() || MOST_DESCRIPTION < text.chars().count() || text.chars().any(char::is_control) {
        return Err(format!("must be 1 to {MOST_DESCRIPTION} characters on one line"));
    }
    Ok(text.into())
}
