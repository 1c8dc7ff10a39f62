//! The check of `[bus.nats]`.
//!
//! In: the raw table. Out: the typed section beside everything that is wrong. Every file it names is opened once, to see
//! that it can be; no line repeats a value, since a password may stand where its file belongs.

use std::{fs::File, path::PathBuf, str::FromStr as _, time::Duration};

use figment::value::Value;

use super::{
    Nats, NatsProvision,
    check::section,
    defaults::{GIB, MIB},
    table::{Reading, Table, kind, text},
};
use crate::secrets::Secret;

/// Most bytes of a stream's name, as the server has it.
const MOST_NAME: usize = 255;
/// Most servers of one cluster to begin with; the client learns the others from them.
const MOST_SERVERS: usize = 64;

/// Checks the table.
pub(super) fn nats(mut table: Table<'_, '_>) -> Nats {
    let default = Nats::default();
    let provision_table = section(&mut table, "provision");
    let short = Duration::from_millis(100);
    let nats = Nats {
        servers: table.list("servers", default.servers, servers),
        stream: table.or("stream", default.stream, stream),
        credentials_file: table.maybe("credentials_file", file),
        user: table.maybe("user", user),
        password_file: table.maybe("password_file", file),
        nkey_seed_file: table.maybe("nkey_seed_file", file),
        ca_file: table.maybe("ca_file", pem),
        certificate_file: table.maybe("certificate_file", pem),
        key_file: table.maybe("key_file", file),
        require_tls: table.flag("require_tls", default.require_tls),
        ack_timeout: table.duration("ack_timeout", default.ack_timeout, short..=Duration::from_secs(30)),
        publish_timeout: table.duration("publish_timeout", default.publish_timeout, short..=Duration::from_mins(5)),
        provision: provision(Table::new(
            provision_table,
            "bus.nats.provision".into(),
            "bus.nats.provision",
            table.findings(),
        )),
    };
    rules(&nats, &mut table);
    table.finish();
    nats
}

fn provision(mut table: Table<'_, '_>) -> NatsProvision {
    let default = NatsProvision::default();
    let years = Duration::from_hours(3650 * 24);
    let provision = NatsProvision {
        // The server's own limit.
        replicas: table.count("replicas", default.replicas, 1..=5),
        max_age: table.duration("max_age", default.max_age, Duration::from_mins(1)..=years),
        max_size: table.size_or_off("max_size", default.max_size, 10 * GIB, MIB..=1024 * 1024 * GIB),
        duplicate_window: table.duration(
            "duplicate_window",
            default.duplicate_window,
            Duration::from_millis(100)..=years,
        ),
    };
    let [window, age] = ["duplicate_window", "max_age"].map(|key| table.path(key));
    let holds = provision.duplicate_window <= provision.max_age;
    table.findings().rule(&[&window, &age], holds, "must be at most bus.nats.provision.max_age");
    table.finish();
    provision
}

fn rules(nats: &Nats, table: &mut Table<'_, '_>) {
    let [credentials, user, password, seed, certificate, key, ack, total] = [
        "credentials_file",
        "user",
        "password_file",
        "nkey_seed_file",
        "certificate_file",
        "key_file",
        "ack_timeout",
        "publish_timeout",
    ]
    .map(|key| table.path(key));
    let findings = table.findings();
    findings.rule(&[&user, &password], nats.user.is_none() || nats.password_file.is_some(), "goes with password_file");
    findings.rule(&[&password, &user], nats.password_file.is_none() || nats.user.is_some(), "goes with user");
    findings.rule(&[&certificate, &key], nats.certificate_file.is_none() || nats.key_file.is_some(), "needs key_file");
    findings.rule(
        &[&key, &certificate],
        nats.key_file.is_none() || nats.certificate_file.is_some(),
        "needs certificate_file",
    );
    let logins = [nats.credentials_file.is_some(), nats.user.is_some(), nats.nkey_seed_file.is_some()];
    let blamed = if nats.credentials_file.is_some() { &credentials } else { &seed };
    findings.rule(
        &[blamed],
        logins.into_iter().filter(|there| *there).count() <= 1,
        "is one login of several; keep one of credentials_file, nkey_seed_file, user with password_file",
    );
    findings.rule(
        &[&ack, &total],
        nats.ack_timeout <= nats.publish_timeout,
        "must be at most bus.nats.publish_timeout, which ends the publication first",
    );
}

fn servers(value: &Value) -> Reading<Vec<String>> {
    let form = "must be URLs such as \"nats://127.0.0.1:4222\" or \"tls://nats.example.com:4222\"";
    let list = value.as_array().ok_or_else(|| format!("must be a list of URLs, not {}", kind(value)))?;
    if !(1..=MOST_SERVERS).contains(&list.len()) {
        return Err(format!("must list 1 to {MOST_SERVERS} servers"));
    }
    list.iter()
        .map(|server| {
            let url = text(server)?;
            let parsed = async_nats::ServerAddr::from_str(url).map_err(|_| form)?;
            if !matches!(parsed.scheme(), "nats" | "tls") || parsed.host().is_empty() {
                return Err(form.into());
            }
            if url.contains('@') {
                return Err("must not hold a user, password or token: use user and password_file".into());
            }
            Ok(url.into())
        })
        .collect()
}

fn stream(value: &Value) -> Reading<String> {
    let name = text(value)?;
    let is_ours = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !(1..=MOST_NAME).contains(&name.len()) || !name.bytes().all(is_ours) {
        return Err(format!("must be the stream's name: 1 to {MOST_NAME} of A-Z, a-z, 0-9, _ and -"));
    }
    Ok(name.into())
}

fn user(value: &Value) -> Reading<String> {
    let user = text(value)?;
    if user.is_empty() || user.chars().any(char::is_control) {
        return Err("must be a user's name".into());
    }
    Ok(user.into())
}

/// A bundle of authorities is larger than any secret.
fn pem(value: &Value) -> Reading<PathBuf> {
    let path = PathBuf::from(text(value)?);
    // Asked before it is opened: opening a named pipe would wait for a writer.
    if !path.metadata().is_ok_and(|metadata| metadata.is_file()) || File::open(&path).is_err() {
        return Err("must be the path of a readable PEM file (relative to the working directory)".into());
    }
    Ok(path)
}

fn file(value: &Value) -> Reading<PathBuf> {
    let path = PathBuf::from(text(value)?);
    // What it says is dropped at once.
    Secret::read(&path)
        .map_err(|fault| format!("the file {fault}; name a readable file (relative to the working directory)"))?;
    Ok(path)
}
