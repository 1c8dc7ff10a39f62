//! The check of `[[sources]]`: names, paths, secrets, and what one source may not share with another.
//!
//! In: the raw list. Out: the typed sources beside everything that is wrong. Secret files are read once to see that
//! they can be, and what they say is dropped at once.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::value::Value;

use super::{
    Source,
    defaults::{GIB, TOLERANCE},
    findings::Findings,
    table::{Reading, Table, choice, kind, text},
};
use crate::{secrets::Secret, vendor::Vendor};

/// Most bytes of a source's `path` and `ce_source`; the second one is in every message.
const MOST_URI: usize = 256;

/// Most secrets of one source: each costs every forged request another HMAC over its body.
const MOST_SECRETS: usize = 8;

/// The label of requests that no source takes.
const NO_SOURCE: &str = "none";

/// Checks the list. What is no table is stood in for, so that a later source keeps its index.
pub(super) fn sources(list: Option<&Value>, max_body: usize, findings: &mut Findings) -> Vec<Source> {
    let tables = match list {
        Some(Value::Array(_, tables)) => tables.as_slice(),
        None => &[],
        Some(Value::Dict(..)) => {
            findings.problem("sources", "must be a list of tables; write [[sources]] with two brackets");
            return Vec::new();
        }
        Some(other) => {
            findings.problem("sources", format!("must be a list of [[sources]] tables, not {}", kind(other)));
            return Vec::new();
        }
    };
    if tables.is_empty() {
        findings.problem("sources", "at least one is required; add a [[sources]] table");
    }
    let mut sources = Vec::with_capacity(tables.len());
    for (index, value) in tables.iter().enumerate() {
        let path = format!("sources[{index}]");
        match value {
            Value::Dict(_, keys) => sources.push(source(Table::new(keys, path, "sources", findings), max_body)),
            other => {
                findings.problem(&path, format!("must be a [[sources]] table, not {}", kind(other)));
                sources.push(Source::defaults("", Vendor::Audit1, "", Vec::new()));
            }
        }
    }
    sources
}

fn source(mut table: Table<'_, '_>, max_body: usize) -> Source {
    let name = table.required("name", "write a unique name of a-z, 0-9 and _", name).unwrap_or_default();
    let vendors = Vendor::ALL.map(|vendor| (vendor.as_str(), vendor));
    let vendor = table.required("vendor", "write \"1099policy\" or \"audit1\"", |value| choice(value, &vendors));
    let path =
        table.required("path", "write the request path that the vendor posts to, such as \"/webhooks/acme\"", path);
    let default = Source::defaults(&name, vendor.unwrap_or(Vendor::Audit1), &path.unwrap_or_default(), Vec::new());
    let source = Source {
        tenant: table.maybe("tenant", tenant),
        ce_source: table.or("ce_source", default.ce_source, ce_source),
        secret_files: secret_files(&mut table),
        tolerance: tolerance(&mut table, vendor),
        max_body: table.memory("max_body", max_body, 1..=GIB),
        ..default
    };
    if source.path.bytes().any(|b| b.is_ascii_uppercase()) {
        let path = table.path("path");
        table.findings().warning(&path, "has upper-case letters, and one sender lower-cases URLs; use lower case");
    }
    table.finish();
    source
}

fn name(value: &Value) -> Reading<String> {
    let name = text(value)?;
    let is_ours = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !(1..=32).contains(&name.len()) || !name.bytes().all(is_ours) {
        return Err("must be 1 to 32 of a-z, 0-9 and _".into());
    }
    if name == NO_SOURCE {
        return Err("\"none\" means requests without a source in the metrics; choose another name".into());
    }
    Ok(name.into())
}

/// Paths match byte for byte, so what a sender or a proxy would rewrite can never match and is refused.
fn path(value: &Value) -> Reading<String> {
    let path = text(value)?;
    if !path.starts_with('/') {
        return Err("must begin with \"/\"".into());
    }
    if MOST_URI < path.len() {
        return Err(format!("must have at most {MOST_URI} bytes"));
    }
    // RFC 3986 `pchar` without percent-encoding.
    if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&b)) {
        return Err("must be letters, digits and -._~!$&'()*+,;=:@ between slashes; no query, fragment or %".into());
    }
    if path.contains("//") || path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("must not have empty, \".\" or \"..\" segments, which proxies remove".into());
    }
    Ok(path.into())
}

fn tenant(value: &Value) -> Reading<String> {
    let tenant = text(value)?;
    if !(1..=64).contains(&tenant.len()) || !tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    {
        return Err("must be 1 to 64 of A-Z, a-z, 0-9, _ and -".into());
    }
    Ok(tenant.into())
}

/// A URI reference, by its alphabet: it becomes a header, and CloudEvents asks for no more.
fn ce_source(value: &Value) -> Reading<String> {
    let uri = text(value)?;
    let is_uri = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    if !(1..=MOST_URI).contains(&uri.len()) || !uri.bytes().all(is_uri) {
        return Err(format!("must be a URI reference of 1 to {MOST_URI} bytes, such as \"//hookbus/audit1/acme\""));
    }
    Ok(uri.into())
}

fn tolerance(table: &mut Table<'_, '_>, vendor: Option<Vendor>) -> Option<Duration> {
    let bounds = Duration::from_secs(1)..=Duration::from_hours(7 * 24);
    let default = (vendor == Some(Vendor::Policy1099)).then_some(TOLERANCE);
    if vendor == Some(Vendor::Audit1) && table.maybe("tolerance", |_| Ok(())).is_some() {
        let key = table.path("tolerance");
        table.findings().problem(&key, "Audit1 signs no timestamp to compare; remove it");
        return None;
    }
    table.duration_or_off("tolerance", default, TOLERANCE, bounds)
}

fn secret_files(table: &mut Table<'_, '_>) -> Vec<PathBuf> {
    let form = "list the files that hold its signing secrets, such as [\"secrets/acme\"]";
    let list = table.required("secret_files", form, |value| match value {
        Value::Array(_, files) if (1..=MOST_SECRETS).contains(&files.len()) => Ok(files.clone()),
        Value::Array(..) => Err(format!("must list 1 to {MOST_SECRETS} files")),
        other => Err(format!("must be a list of paths, not {}", kind(other))),
    });
    let mut names = BTreeMap::new();
    let mut files = Vec::new();
    for (index, value) in list.unwrap_or_default().iter().enumerate() {
        let key = format!("{}[{index}]", table.path("secret_files"));
        match text(value).and_then(|path| secret_file(Path::new(path), &key, table.findings())) {
            Ok(file) => {
                let twin = file.file_name().and_then(|name| names.insert(name.to_owned(), index));
                if let Some(twin) = twin {
                    let text = format!(
                        "has the file name of secret_files[{twin}], which metrics tell secrets by; rename one of them"
                    );
                    table.findings().problem(&key, text);
                }
                files.push(file);
            }
            Err(text) => table.findings().problem(&key, text),
        }
    }
    files
}

/// Errors do not repeat the path: it may be a secret that somebody has put where its file belongs.
fn secret_file(file: &Path, key: &str, findings: &mut Findings) -> Reading<PathBuf> {
    let secret = Secret::read(file).map_err(|fault| {
        format!("the secret file {fault}; name a readable file with the secret (relative to the working directory)")
    })?;
    if secret.is_short() {
        findings.warning(key, "the secret has fewer than 16 bytes and can be guessed; use a longer one");
    }
    Ok(file.into())
}
