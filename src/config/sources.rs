//! `[[sources]]`: names, paths, secrets, and what one source may not share with another. Secret files are read once to see
//! that they can be, and what they say is dropped at once.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{
    api::{self, ApiConfig},
    findings::Findings,
    key::{
        GIB, Key, MIB, MOST_URI, Reading, WEEK, duration, list, made_of, one_of, optional, request_path, size, text,
        word,
    },
    listener::ListenerConfig,
    section::section,
    table::Part as _,
};
use crate::{
    apis::{self, Api},
    secrets::{Secret, shared},
    source::Identity,
    vendors::Vendor,
};

/// Most secrets of one source: each costs every forged request another HMAC over its body.
const MOST_SECRETS: usize = 8;

/// The label of requests that no source takes.
const NO_SOURCE: &str = "none";

/// `environment` of a source that has none of its own.
const PRODUCTION: &str = "production";

/// `max_body` of a source that has none of its own, until the listener's takes its place.
const INHERITED: usize = 0;

section! {
    /// One `[[sources]]` table.
    pub struct SourceConfig {
        /// Required, unique: 1 to 32 of a-z, 0-9 and _. Part of event ids and metric labels: keep it once events have flowed.
        name: String = text("acme", name).required("write a unique name of a-z, 0-9 and _"),
        /// Required: whose webhooks these are.
        vendor: Vendor = vendor(),
        /// Required, unique: the exact path of the URL given to the vendor. Use lower case: one sender lower-cases URLs.
        path: String = text("/webhooks/1099policy", request_path)
            .required("write the request path that the vendor posts to, such as \"/webhooks/acme\""),
        /// Optional, no default: CloudEvents extension `tenant` and {tenant} in subjects; 1 to 64 of A-Z, a-z, 0-9, _ and -.
        tenant: Option<String> = optional("acme", tenant).shown(),
        /// CloudEvents extension `environment`, by which subscribers tell a sandbox and test senders from the rest; 1 to 32 of
        /// a-z, 0-9, _ and -. A vendor's sandbox, and an endpoint for its test button, are sources of their own.
        environment: String = text(PRODUCTION, environment),
        /// CloudEvents `source`, a URI reference.
        ce_source: String = text(&default_ce_source(vendor, &name), ce_source),
        /// Required: files with the signing secrets, each the whole text less one final newline; any of them verifies. List
        /// two, both with the same text: to rotate, write the new secret into the second file, see docs/rotate.md. A changed
        /// text is read again without a restart, a changed list is not. File names differ within a source.
        secret_files: Vec<PathBuf> =
            list("paths", &["secrets/1099policy", "secrets/1099policy.next"], secret_files)
                .required("list the files that hold its signing secrets, such as [\"secrets/acme\"]"),
        /// Only where the vendor signs a timestamp: its largest distance from the clock, both ways; "off" accepts any replay.
        tolerance: Option<Duration> = tolerance(vendor),
        /// Largest body for this source; by default that of `[listener]`.
        max_body: usize = size(5 * MIB, 1..=GIB).absent(INHERITED),
        /// The vendor's own API, for `hookbus endpoints`. Leave the table out to set endpoints up in the vendor's portal.
        api: Option<ApiConfig>,
    }
}

impl SourceConfig {
    /// A source with every optional key at its default.
    pub fn defaults(name: &str, vendor: Vendor, path: &str, secret_files: Vec<PathBuf>) -> Self {
        SourceConfig {
            name: name.into(),
            vendor,
            path: path.into(),
            tenant: None,
            environment: PRODUCTION.into(),
            ce_source: default_ce_source(vendor, name),
            secret_files,
            tolerance: vendor.profile().scheme.tolerance(),
            max_body: ListenerConfig::absent().max_body,
            api: None,
        }
    }

    /// Takes from the listener what it has not of its own.
    pub(super) fn inherit(&mut self, listener: &ListenerConfig) {
        if self.max_body == INHERITED {
            self.max_body = listener.max_body;
        }
    }

    /// Its `[sources.api]`, and what its vendor documents of that.
    pub fn api(&self) -> Option<(&ApiConfig, &'static Api)> {
        self.api.as_ref().zip(apis::of(self.vendor))
    }

    /// Whether details are fetched after some of its events.
    pub fn has_follow_up(&self) -> bool {
        self.api.as_ref().is_some_and(|api| !api.follow_up.is_empty())
    }

    /// What its name and configuration say about each of its events.
    pub fn identity(&self) -> Identity {
        Identity {
            vendor: self.vendor,
            name: self.name.clone(),
            ce_source: self.ce_source.clone(),
            tenant: self.tenant.clone(),
            environment: self.environment.clone(),
        }
    }
}

fn default_ce_source(vendor: Vendor, name: &str) -> String {
    format!("//hookbus/{vendor}/{name}")
}

/// Rules over several keys, of one source and of two.
pub(super) fn rules(sources: &[SourceConfig], findings: &mut Findings) {
    for (index, source) in sources.iter().enumerate() {
        if let Some(config) = &source.api {
            api::rules(config, source.vendor, &source.path, &format!("sources[{index}].api"), findings);
        }
        if source.path.bytes().any(|b| b.is_ascii_uppercase()) {
            let text = "has upper-case letters, and one sender lower-cases URLs; use lower case";
            findings.warning(&format!("sources[{index}].path"), text);
        }
    }
    unique("name", sources.iter().map(|source| &source.name), "names are unique", findings);
    unique("path", sources.iter().map(|source| &source.path), "one path belongs to one source", findings);
    accounts(sources, findings);
}

/// What `hookbus endpoints` makes for one source is no other's: neither at the vendor nor in its files.
fn accounts(sources: &[SourceConfig], findings: &mut Findings) {
    let url = |source: &SourceConfig| source.api.as_ref().map(|api| api.endpoint_url.clone());
    for (later, source) in sources.iter().enumerate() {
        for (earlier, other) in sources.iter().enumerate().take(later) {
            let mut apart = |key: &str, is_shared: bool, text: &str| {
                let [key, twin] = [later, earlier].map(|index| format!("sources[{index}].{key}"));
                findings.rule(&[&key, &twin], !is_shared, format!("{text} sources[{earlier}]"));
            };
            let is_same = url(source).is_some() && url(source) == url(other);
            apart("api.endpoint_url", is_same, "one URL belongs to one source; it is also that of");
            let has_api = source.api.is_some() || other.api.is_some();
            let has_same = source.secret_files.iter().any(|file| other.secret_files.contains(file));
            apart(
                "secret_files",
                has_api && has_same,
                "`hookbus endpoints` writes one, so that it cannot also be that of",
            );
        }
    }
}

/// Reads the secret files of all sources.
pub(super) fn secrets(sources: &[SourceConfig], findings: &mut Findings) {
    let read = |(index, source)| secrets_of(source, &format!("sources[{index}].secret_files"), findings);
    let digests: Vec<_> = sources.iter().enumerate().map(read).collect();
    for (earlier, later) in shared(digests.iter().map(Vec::as_slice)) {
        let text = format!("holds a secret of sources[{earlier}]: what is signed for one is valid at the other");
        findings.warning(&format!("sources[{later}].secret_files"), text);
    }
}

fn unique<'s>(key: &str, values: impl Iterator<Item = &'s String>, rule: &str, findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for (index, value) in values.enumerate() {
        let place = format!("sources[{index}].{key}");
        // A bad value has the example's in its place.
        if findings.are_sound(&[&place])
            && let Some(twin) = seen.insert(value, index)
        {
            findings.problem(&place, format!("is the {key} of sources[{twin}]; {rule}"));
        }
    }
}

/// Reads a source's secret files; their digests. No line repeats a path: it may be a secret that stands where its file belongs.
fn secrets_of(source: &SourceConfig, key: &str, findings: &mut Findings) -> Vec<[u8; 32]> {
    let mut digests = Vec::new();
    if !findings.are_sound(&[key]) {
        return digests;
    }
    let mut names = BTreeMap::new();
    for (index, file) in source.secret_files.iter().enumerate() {
        let key = format!("{key}[{index}]");
        match Secret::read(file) {
            Ok(secret) => {
                secret.oddities().iter().for_each(|oddity| findings.warning(&key, oddity.to_string()));
                digests.push(secret.digest());
            }
            Err(fault) => {
                let advice = "name a readable file with the secret (relative to the working directory)";
                findings.problem(&key, format!("the secret file {fault}; {advice}"));
                continue;
            }
        }
        if let Some(twin) = file.file_name().and_then(|name| names.insert(name, index)) {
            let text = "which metrics tell secrets by; rename one of them";
            findings.problem(&key, format!("has the file name of secret_files[{twin}], {text}"));
        }
    }
    digests
}

fn name(name: &str) -> Reading<String> {
    if !made_of(name, 32, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Err("must be 1 to 32 of a-z, 0-9 and _".into());
    }
    if name == NO_SOURCE {
        return Err("\"none\" means requests without a source in the metrics; choose another name".into());
    }
    Ok(name.into())
}

fn vendor() -> Key<Vendor> {
    let words = Vendor::ALL.map(|vendor| (vendor.as_str(), vendor));
    let all = one_of(words.iter().map(|(word, _)| *word));
    word(Vendor::Policy1099, &words).required(format!("write {all}")).noted(format!("Write {all}."))
}

fn tenant(tenant: &str) -> Reading<String> {
    if !made_of(tenant, 64, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        return Err("must be 1 to 64 of A-Z, a-z, 0-9, _ and -".into());
    }
    Ok(tenant.into())
}

fn environment(environment: &str) -> Reading<String> {
    if !made_of(environment, 32, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-') {
        return Err("must be 1 to 32 of a-z, 0-9, _ and -".into());
    }
    Ok(environment.into())
}

/// A URI reference, by its alphabet: it becomes a header, and CloudEvents asks for no more.
fn ce_source(uri: &str) -> Reading<String> {
    if !made_of(uri, MOST_URI, |b| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b)) {
        return Err(format!("must be a URI reference of 1 to {MOST_URI} bytes, such as \"//hookbus/audit1/acme\""));
    }
    Ok(uri.into())
}

fn secret_files(files: &[&str]) -> Reading<Vec<PathBuf>> {
    if !(1..=MOST_SECRETS).contains(&files.len()) {
        return Err(format!("must list 1 to {MOST_SECRETS} files"));
    }
    Ok(files.iter().map(PathBuf::from).collect())
}

fn tolerance(vendor: Vendor) -> Key<Option<Duration>> {
    match vendor.profile().scheme.tolerance() {
        Some(default) => duration(default, Duration::from_secs(1)..=WEEK).or_off(),
        None => Key::refused(format!("{vendor} signs no timestamp to compare; remove it")),
    }
}
