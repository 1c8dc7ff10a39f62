//! `[bus.nats]`. Every file that it names is read once, to see that it can be.

use std::{fs::File, path::PathBuf, str::FromStr as _, time::Duration};

use super::{
    findings::Findings,
    key::{
        GIB, MIB, MINUTE, Reading, SHORT, TEN_YEARS, TIB, WEEK, count, duration, flag, list, made_of, optional, size,
        text, user,
    },
    section::section,
};
use crate::secrets::Secret;

/// Most bytes of a stream's name, as the server has it.
const MOST_NAME: usize = 255;
/// Most copies of a stream, as the server has it.
const MOST_REPLICAS: usize = 5;
/// Most servers of one cluster to begin with; the client learns the others from them.
const MOST_SERVERS: usize = 64;

section! {
    /// `[bus.nats]`.
    pub struct NatsConfig {
        /// URLs, nats:// or tls://, without user and password. The other servers of a cluster are learnt from these.
        servers: Vec<String> = list("URLs", &["nats://127.0.0.1:4222"], servers),
        /// The stream that takes the events; `hookbus provision` makes it. The gateway itself never changes it.
        stream: String = text("WEBHOOKS", stream),
        /// Login with a .creds file: JWT and nkey seed. There is one login at most: this, a user, or an nkey seed.
        credentials_file: Option<PathBuf> = optional("secrets/nats.creds", file),
        /// Login with a user's name; goes with password_file.
        user: Option<String> = optional("hookbus", user),
        /// File with the user's password, less one final newline.
        password_file: Option<PathBuf> = optional("secrets/nats", file),
        /// Login with the nkey seed in this file.
        nkey_seed_file: Option<PathBuf> = optional("secrets/nats.nk", file),
        /// PEM file of the authorities that are trusted beside the system's.
        ca_file: Option<PathBuf> = optional("tls/ca.pem", pem),
        /// PEM file of this client's certificate; goes with key_file.
        certificate_file: Option<PathBuf> = optional("tls/client.pem", pem),
        /// PEM file of the certificate's key.
        key_file: Option<PathBuf> = optional("tls/client.key", file),
        /// Refuse servers without TLS.
        require_tls: bool = flag(false),
        /// How long one attempt waits for its acknowledgement; then it is repeated with the same message id.
        ack_timeout: Duration = duration(Duration::from_secs(2), SHORT..=MINUTE / 2),
        /// How long a publication goes on, all attempts together; below listener.answer_timeout.
        publish_timeout: Duration = duration(Duration::from_secs(4), SHORT..=5 * MINUTE),
        /// What `hookbus provision` makes: the stream, with file storage, which refuses new messages when it is full.
        provision: NatsProvision,
    }
}

section! {
    /// `[bus.nats.provision]`; the gateway itself does not use it.
    pub struct NatsProvision {
        /// Copies of the stream, 1 to 5, each on another server; 3 survive the loss of one.
        replicas: usize = count(3, 1..=MOST_REPLICAS),
        /// Age at which a message goes, read or not.
        max_age: Duration = duration(WEEK, MINUTE..=TEN_YEARS),
        /// Bytes of the stream; "off" leaves the limit to the servers' disks.
        max_size: Option<u64> = size(10 * GIB, MIB..=1024 * TIB).or_off().off(),
        /// How long a repeated event is recognised, at most max_age; 12h holds all the vendors' documented retries.
        duplicate_window: Duration = duration(Duration::from_hours(12), SHORT..=TEN_YEARS),
    }
}

/// Rules over several keys.
pub(super) fn rules(nats: &NatsConfig, findings: &mut Findings) {
    let (user, password) = ("bus.nats.user", "bus.nats.password_file");
    let (certificate, key) = ("bus.nats.certificate_file", "bus.nats.key_file");
    let (has_user, has_password) = (nats.user.is_some(), nats.password_file.is_some());
    let (has_certificate, has_key) = (nats.certificate_file.is_some(), nats.key_file.is_some());
    findings.rule(&[user, password], has_password || !has_user, "goes with password_file");
    findings.rule(&[password, user], has_user || !has_password, "goes with user");
    findings.rule(&[certificate, key], has_key || !has_certificate, "needs key_file");
    findings.rule(&[key, certificate], has_certificate || !has_key, "needs certificate_file");
    let logins = [nats.credentials_file.is_some(), has_user, nats.nkey_seed_file.is_some()];
    findings.rule(
        &[if nats.credentials_file.is_some() { "bus.nats.credentials_file" } else { "bus.nats.nkey_seed_file" }],
        logins.into_iter().filter(|there| *there).count() <= 1,
        "is one login of several; keep one of credentials_file, nkey_seed_file, user with password_file",
    );
    findings.rule(
        &["bus.nats.ack_timeout", "bus.nats.publish_timeout"],
        nats.ack_timeout <= nats.publish_timeout,
        "must be at most bus.nats.publish_timeout, which ends the publication first",
    );
    findings.rule(
        &["bus.nats.provision.duplicate_window", "bus.nats.provision.max_age"],
        nats.provision.duplicate_window <= nats.provision.max_age,
        "must be at most bus.nats.provision.max_age",
    );
}

fn servers(urls: &[&str]) -> Reading<Vec<String>> {
    if !(1..=MOST_SERVERS).contains(&urls.len()) {
        return Err(format!("must list 1 to {MOST_SERVERS} servers"));
    }
    urls.iter().map(|url| server(url)).collect()
}

fn server(url: &str) -> Reading<String> {
    let parsed = async_nats::ServerAddr::from_str(url).ok();
    if !parsed.is_some_and(|url| matches!(url.scheme(), "nats" | "tls") && !url.host().is_empty()) {
        return Err("must be URLs such as \"nats://127.0.0.1:4222\" or \"tls://nats.example.com:4222\"".into());
    }
    if url.contains('@') {
        return Err("must not hold a user, password or token: use user and password_file".into());
    }
    Ok(url.into())
}

fn stream(name: &str) -> Reading<String> {
    if !made_of(name, MOST_NAME, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        return Err(format!("must be the stream's name: 1 to {MOST_NAME} of A-Z, a-z, 0-9, _ and -"));
    }
    Ok(name.into())
}

/// A bundle of authorities is larger than any secret.
fn pem(path: &str) -> Reading<PathBuf> {
    let path = PathBuf::from(path);
    // Asked before it is opened: opening a named pipe would wait for a writer.
    if !path.metadata().is_ok_and(|metadata| metadata.is_file()) || File::open(&path).is_err() {
        return Err("must be the path of a readable PEM file (relative to the working directory)".into());
    }
    Ok(path)
}

/// What the file says is dropped at once. No line repeats its path: a password may stand where its file belongs.
fn file(path: &str) -> Reading<PathBuf> {
    let path = PathBuf::from(path);
    Secret::read(&path)
        .map_err(|fault| format!("the file {fault}; name a readable file (relative to the working directory)"))?;
    Ok(path)
}
