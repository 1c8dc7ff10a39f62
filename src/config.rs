//! Configuration: one TOML file, the environment on top, checked in two steps.
//!
//! In: a path and the environment. Out: a [`Config`] in which every value is typed, bounded and ready to use, or
//! [`Problems`]: everything that is wrong, at once, each with its key path. Only the checked types leave this room.
//! It never opens a socket, never keeps a secret's text (it reads each secret file once, to see that it can be read),
//! and never repeats a configured value in a message.

mod check;
mod defaults;
mod findings;
mod kafka;
mod nats;
mod raw;
mod rules;
mod sources;
mod table;
#[cfg(test)]
mod tests;
pub mod units;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::{
    defaults::TOLERANCE,
    findings::{Finding, Problems},
    kafka::{Kafka, KafkaProvision, KafkaSasl, KafkaTls, SaslMechanism},
};
use crate::{envelope::route::Template, vendor::Vendor};

/// The whole checked configuration. Every field has its TOML key as its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[listener]`: where the vendors' webhooks arrive.
    pub listener: Listener,
    /// `[admin]`: metrics and health.
    pub admin: Admin,
    /// `[log]`.
    pub log: Log,
    /// `[bus]`: where events go.
    pub bus: Bus,
    /// `[journal]`: the durable log on local disk.
    pub journal: Journal,
    /// `[[sources]]`: one per vendor account and path; at least one.
    pub sources: Vec<Source>,
}

/// A configuration that may be used, and what its operator should still hear.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The checked configuration.
    pub config: Config,
    /// What works but is unwise, section by section as in `config.example.toml`.
    pub warnings: Vec<Finding>,
}

impl Config {
    /// Reads the file at `path`, lays the variables `HOOKBUS__SECTION__KEY` of `environment` on top (all other
    /// variables are ignored) and checks the result. It also reads every secret file once. Errors: every problem found;
    /// only a file that cannot be read or is no TOML hides the problems inside it.
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, Problems> {
        let (tree, mut findings) = raw::read(path, environment)?;
        let config = check::config(&tree, &mut findings);
        rules::rules(&config, &mut findings);
        findings.finish().map(|warnings| Loaded { config, warnings })
    }
}

/// `[listener]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Address and port of the plain HTTP/1.1 listener.
    pub address: SocketAddr,
    /// Threads that serve requests, each with its own event loop; 0 = one per CPU.
    pub workers: usize,
    /// Length of the kernel's queue of connections not yet accepted.
    pub backlog: u32,
    /// Open connections at once; one more is answered `503` and closed.
    pub max_connections: usize,
    /// Bytes of one request body; more is answered `413`.
    pub max_body: usize,
    /// Bytes of one request head; more is answered `431`.
    pub max_head: usize,
    /// Bytes of all request bodies in memory at once; beyond it, `503` before a body is read.
    pub max_inflight: usize,
    /// From the first byte of a head to its last; then the connection is closed without an answer.
    pub head_timeout: Duration,
    /// A connection without a request is closed after this.
    pub idle_timeout: Duration,
    /// Longest pause between two pieces of a body; then `408`.
    pub body_timeout: Duration,
    /// From a request's head to the end of its body; then `408`.
    pub request_timeout: Duration,
    /// From the end of a body to its answer; then `503`. The vendors give up at 10 s (Audit1) and 30 s (1099Policy).
    pub answer_timeout: Duration,
    /// After SIGTERM: how long connections are still accepted while `/readyz` already answers 503.
    pub drain_delay: Duration,
    /// After that delay: how long requests in flight may take before they are cut.
    pub drain_deadline: Duration,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// Address and port of `/metrics`, `/livez` and `/readyz`.
    pub address: SocketAddr,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// One JSON object or one line of text per entry.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for a terminal.
    Text,
}

/// `log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what needs somebody.
    Error,
    /// And what may soon.
    Warn,
    /// And one line per finished request.
    Info,
    /// And what a developer asks for.
    Debug,
}

/// `[bus]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Bus {
    /// Which bus; has no default, so that nobody gets a local file by forgetting a key.
    pub kind: BusKind,
    /// How an event is laid into a message.
    pub encoding: Encoding,
    /// Subject (or topic) of a documented event.
    pub subject: Template,
    /// Events remembered as already durable, whose repeats are answered and not published again.
    pub recent_events: usize,
    /// `[bus.kafka]`: used when `kind` says so.
    pub kafka: Kafka,
    /// Where routable types go that no catalogue lists.
    pub unknown_types: UnknownTypes,
    /// What the operator has been told and accepts: streams that may lose acknowledged events.
    pub waive: Vec<Waiver>,
    /// `[bus.nats]`; read and checked for every kind, used for [`BusKind::Nats`].
    pub nats: Nats,
}

impl Bus {
    /// The template, which also says whether unknown types have subjects of their own.
    pub fn template(&self) -> Template {
        self.subject.clone().routing_unknown(self.unknown_types == UnknownTypes::Route)
    }
}

/// `bus.unknown_types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownTypes {
    /// To `webhooks.<vendor>.unknown`.
    CatchAll,
    /// To a subject of their own, by the template. Only where subjects need not be made first: on NATS.
    Route,
}

/// One word of `bus.waive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiver {
    /// A stream that is kept in memory: a restart of its servers loses it.
    MemoryStorage,
    /// A stream that acknowledges nothing, so that no event is ever known to be stored.
    NoAck,
}

/// `[bus.nats]`. Files are named here and read once by the check, to see that they can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Nats {
    /// URLs, `nats://host:port` or `tls://host:port`, without user or password; at least one.
    pub servers: Vec<String>,
    /// The stream that every event must end up in.
    pub stream: String,
    /// A `.creds` file: JWT and nkey seed.
    pub credentials_file: Option<PathBuf>,
    /// User name; goes with `password_file`.
    pub user: Option<String>,
    /// File with the password, less one final newline.
    pub password_file: Option<PathBuf>,
    /// File with an nkey seed.
    pub nkey_seed_file: Option<PathBuf>,
    /// PEM file of the authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate; goes with `key_file`.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of the certificate's key.
    pub key_file: Option<PathBuf>,
    /// Refuse servers that do not speak TLS.
    pub require_tls: bool,
    /// How long one attempt waits for its acknowledgement.
    pub ack_timeout: Duration,
    /// How long a publication goes on, all attempts together.
    pub publish_timeout: Duration,
    /// `[bus.nats.provision]`: what `hookbus provision` makes.
    pub provision: NatsProvision,
}

/// `[bus.nats.provision]`; the gateway itself does not use it.
#[derive(Debug, Clone, PartialEq)]
pub struct NatsProvision {
    /// Copies of the stream, on as many servers.
    pub replicas: usize,
    /// Age at which a message goes.
    pub max_age: Duration,
    /// Bytes of the stream, beyond which it refuses; `None` (`"off"`) leaves that to the server's disk.
    pub max_size: Option<u64>,
    /// How long message ids are remembered; at most `max_age`.
    pub duplicate_window: Duration,
}

/// `bus.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusKind {
    /// The embedded bus: the journal itself, read with `hookbus tail`.
    Journal,
    /// Apache Kafka, or what speaks its protocol.
    Kafka,
    /// A NATS JetStream stream.
    Nats,
}

/// `bus.encoding`: the two content modes of CloudEvents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The message is one JSON object, `application/cloudevents+json`.
    Structured,
    /// The message is the webhook's body; the attributes are headers.
    Binary,
}

/// `[journal]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Journal {
    /// Directory of the segments; made at the start, mode 0700.
    pub directory: PathBuf,
    /// Bytes of all segments together; the oldest segment goes first.
    pub max_size: u64,
    /// Age at which a segment goes; `None` (`"off"`) keeps by size alone.
    pub max_age: Option<Duration>,
    /// Bytes of one preallocated segment.
    pub segment_size: u64,
    /// Bytes that stay free on the file system; below, nothing is accepted.
    pub reserve: u64,
    /// Whether a bus that is elsewhere has a spool here; `"off"` leaves an outage to the senders' retries.
    pub spool: bool,
    /// An event not acknowledged by the bus for this long is spooled and answered.
    pub hedge_after: Duration,
}

/// One `[[sources]]` table.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// `[a-z0-9_]{1,32}`, unique; part of ids, keys and metric labels.
    pub name: String,
    /// Whose webhooks these are.
    pub vendor: Vendor,
    /// The exact request path, unique.
    pub path: String,
    /// CloudEvents extension `tenant`, `[A-Za-z0-9_-]{1,64}`.
    pub tenant: Option<String>,
    /// CloudEvents `source` (key `ce_source`); by default `//hookbus/<vendor>/<name>`.
    pub ce_source: String,
    /// Files with the live secrets; any of them verifies. File names differ within a source.
    pub secret_files: Vec<PathBuf>,
    /// Largest distance between the signed timestamp and the clock, both ways; `None` (`"off"`) checks none.
    /// Only for [`Vendor::Policy1099`]: Audit1 signs no timestamp.
    pub tolerance: Option<Duration>,
    /// Overrides `listener.max_body` for this source.
    pub max_body: usize,
}
