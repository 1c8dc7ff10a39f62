//! The defaults, all in one place.
//!
//! In: nothing. Out: what each section is when its table is absent. `config.example.toml` shows the same values, and a
//! test compares the two. What has no default (the bus, the sources' names, vendors, paths and secrets) is an argument.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    Admin, Bus, BusKind, Config, Encoding, Journal, Kafka, Listener, Log, LogFormat, LogLevel, Nats, NatsProvision,
    Source, UnknownTypes,
};
use crate::{envelope::route::Template, vendor::Vendor};

/// 1024 bytes.
pub(super) const KIB: u64 = 1 << 10;
/// 1024 KiB.
pub(super) const MIB: u64 = 1 << 20;
/// 1024 MiB.
pub(super) const GIB: u64 = 1 << 30;

/// Largest age of a signed timestamp unless configured; only for vendors that sign one.
pub const TOLERANCE: Duration = Duration::from_mins(5);

impl Config {
    /// A configuration with these parts and every other key at its default.
    pub fn defaults(kind: BusKind, sources: Vec<Source>) -> Self {
        Config {
            listener: Listener::default(),
            admin: Admin::default(),
            log: Log::default(),
            bus: Bus::defaults(kind),
            journal: Journal::default(),
            sources,
        }
    }
}

impl Default for Listener {
    fn default() -> Self {
        Listener {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            workers: 0,
            backlog: 4096,
            max_connections: 10_000,
            max_body: 5 << 20,
            max_head: 16 << 10,
            max_inflight: 64 << 20,
            head_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(15),
            answer_timeout: Duration::from_secs(5),
            drain_delay: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(20),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Admin { address: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { format: LogFormat::Json, level: LogLevel::Info }
    }
}

impl Bus {
    /// This bus with every other key of `[bus]` at its default.
    pub fn defaults(kind: BusKind) -> Self {
        Bus {
            kind,
            encoding: Encoding::Structured,
            subject: Template::default(),
            recent_events: 100_000,
            kafka: Kafka::default(),
            unknown_types: UnknownTypes::CatchAll,
            waive: Vec::new(),
            nats: Nats::default(),
        }
    }
}

impl Default for Nats {
    fn default() -> Self {
        Nats {
            servers: vec!["nats://127.0.0.1:4222".into()],
            stream: "WEBHOOKS".into(),
            credentials_file: None,
            user: None,
            password_file: None,
            nkey_seed_file: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            require_tls: false,
            ack_timeout: Duration::from_secs(2),
            publish_timeout: Duration::from_secs(4),
            provision: NatsProvision::default(),
        }
    }
}

impl Default for NatsProvision {
    fn default() -> Self {
        NatsProvision {
            replicas: 3,
            max_age: Duration::from_hours(7 * 24),
            max_size: None,
            duplicate_window: Duration::from_hours(12),
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Journal {
            directory: PathBuf::from("hookbus-data"),
            max_size: 10 * GIB,
            max_age: Some(Duration::from_hours(7 * 24)),
            segment_size: 64 * MIB,
            reserve: 512 * MIB,
            spool: true,
            hedge_after: Duration::from_millis(1500),
        }
    }
}

impl Source {
    /// A source with every optional key at its default, `max_body` at the listener's default.
    pub fn defaults(name: &str, vendor: Vendor, path: &str, secret_files: Vec<PathBuf>) -> Self {
        Source {
            name: name.into(),
            vendor,
            path: path.into(),
            tenant: None,
            ce_source: format!("//hookbus/{}/{name}", vendor.as_str()),
            secret_files,
            tolerance: match vendor {
                Vendor::Policy1099 => Some(TOLERANCE),
                Vendor::Audit1 => None,
            },
            max_body: Listener::default().max_body,
        }
    }
}
