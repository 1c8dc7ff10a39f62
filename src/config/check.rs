//! The check: from the raw tree to the typed configuration, section by section.
//!
//! In: the raw tree. Out: a [`Config`] beside everything that is wrong with it; while anything is, the values in it
//! stand in for bad ones and nobody may use it. Bounds stand next to the keys that they bound, with a name when they
//! need a reason. It never looks at two tables at once; that is for `rules`.

use std::{path::PathBuf, time::Duration};

use figment::value::{Dict, Value};

use super::{
    Admin, Bus, BusKind, Config, Encoding, Journal, Listener, Log, LogFormat, LogLevel, UnknownTypes, Waiver,
    defaults::{GIB, KIB, MIB},
    findings::Findings,
    kafka, nats, sources,
    table::{Bounds, Reading, Table, choice, kind, text},
};
use crate::envelope::route::Template;

/// hyper reads a head into a buffer of at least this size.
const LEAST_HEAD: u64 = 8 * KIB;

/// Audit1 gives up on an answer after 10 s, so a later one is never seen.
const ANSWER: Bounds<Duration> =
    Bounds { range: Duration::from_millis(100)..=ANSWER_MOST, why: "Audit1 gives up after 10s" };
const ANSWER_MOST: Duration = Duration::from_millis(8_000);

/// No timer shorter than this can tell a slow peer from a busy moment.
const SHORT: Duration = Duration::from_millis(100);

/// Bytes of the smallest useful segment; each one costs a file and a sync of its directory.
const LEAST_SEGMENT: u64 = 64 * KIB;

/// What stands in for a table that is absent or is none.
static EMPTY: Dict = Dict::new();

/// Checks everything that one table can say about itself.
pub(super) fn config(tree: &Dict, findings: &mut Findings) -> Config {
    let mut root = Table::new(tree, String::new(), "", findings);
    let [listener_table, admin_table, log_table, bus_table, journal_table] =
        ["listener", "admin", "log", "bus", "journal"].map(|name| section(&mut root, name));
    let sources = root.raw("sources");
    root.finish();
    let listener = listener(Table::new(listener_table, "listener".into(), "listener", findings));
    let admin = admin(Table::new(admin_table, "admin".into(), "admin", findings));
    let log = log(Table::new(log_table, "log".into(), "log", findings));
    let bus = bus(Table::new(bus_table, "bus".into(), "bus", findings));
    let journal = journal(Table::new(journal_table, "journal".into(), "journal", findings));
    let sources = sources::sources(sources, listener.max_body, findings);
    Config { listener, admin, log, bus, journal, sources }
}

pub(super) fn section<'a>(root: &mut Table<'a, '_>, name: &'static str) -> &'a Dict {
    match root.raw(name) {
        None => &EMPTY,
        Some(Value::Dict(_, keys)) => keys,
        Some(other) => {
            let path = root.path(name);
            let text = format!("must be a table, [{path}], not {}", kind(other));
            root.findings().problem(&path, text);
            &EMPTY
        }
    }
}

fn listener(mut table: Table<'_, '_>) -> Listener {
    let default = Listener::default();
    let minute = Duration::from_mins(1);
    let hour = Duration::from_hours(1);
    let listener = Listener {
        address: table.address("address", default.address),
        workers: table.count("workers", default.workers, 0..=1024),
        backlog: table.count("backlog", default.backlog, 1..=65_535),
        max_connections: table.count("max_connections", default.max_connections, 1..=1_000_000),
        max_body: table.memory("max_body", default.max_body, 1..=GIB),
        max_head: table.memory("max_head", default.max_head, LEAST_HEAD..=MIB),
        max_inflight: table.memory("max_inflight", default.max_inflight, 1..=1024 * GIB),
        head_timeout: table.duration("head_timeout", default.head_timeout, SHORT..=minute),
        idle_timeout: table.duration("idle_timeout", default.idle_timeout, SHORT..=hour),
        body_timeout: table.duration("body_timeout", default.body_timeout, SHORT..=minute),
        request_timeout: table.duration("request_timeout", default.request_timeout, SHORT..=hour),
        answer_timeout: table.duration("answer_timeout", default.answer_timeout, ANSWER),
        drain_delay: table.duration("drain_delay", default.drain_delay, Duration::ZERO..=hour),
        drain_deadline: table.duration("drain_deadline", default.drain_deadline, Duration::ZERO..=hour),
    };
    table.finish();
    listener
}

fn admin(mut table: Table<'_, '_>) -> Admin {
    let admin = Admin { address: table.address("address", Admin::default().address) };
    table.finish();
    admin
}

fn log(mut table: Table<'_, '_>) -> Log {
    let default = Log::default();
    let formats = [("json", LogFormat::Json), ("text", LogFormat::Text)];
    let levels =
        [("error", LogLevel::Error), ("warn", LogLevel::Warn), ("info", LogLevel::Info), ("debug", LogLevel::Debug)];
    let log = Log {
        format: table.choice("format", default.format, &formats),
        level: table.choice("level", default.level, &levels),
    };
    table.finish();
    log
}

fn bus(mut table: Table<'_, '_>) -> Bus {
    let stand_in = BusKind::Journal;
    let advice = "write kind = \"nats\", \"kafka\" or \"journal\" under [bus]";
    let kind = table.required("kind", advice, bus_kind).unwrap_or(stand_in);
    let default = Bus::defaults(kind);
    let encodings = [("structured", Encoding::Structured), ("binary", Encoding::Binary)];
    let unknown_types = [("catch_all", UnknownTypes::CatchAll), ("route", UnknownTypes::Route)];
    let nats_table = section(&mut table, "nats");
    let mut bus = Bus {
        kind,
        encoding: table.choice("encoding", default.encoding, &encodings),
        subject: table.or("subject", default.subject, subject),
        recent_events: table.count("recent_events", default.recent_events, 1..=10_000_000),
        kafka: default.kafka,
        unknown_types: table.choice("unknown_types", default.unknown_types, &unknown_types),
        waive: table.list("waive", default.waive, waive),
        nats: nats::nats(Table::new(nats_table, "bus.nats".into(), "bus.nats", table.findings())),
    };
    let kafka_table = table.raw("kafka");
    bus.kafka = kafka::kafka(kafka_table, table.findings());
    table.finish();
    bus
}

/// The template's own error quotes the text, which no line here does.
fn subject(value: &Value) -> Reading<Template> {
    let form = "must be tokens of letters, digits, _ and - with single dots between; the placeholders are {vendor}, \
                {source}, {tenant}, {type} and {category}";
    text(value)?.parse().map_err(|_| form.into())
}

fn bus_kind(value: &Value) -> Reading<BusKind> {
    choice(value, &[("nats", BusKind::Nats), ("kafka", BusKind::Kafka), ("journal", BusKind::Journal)])
}

fn waive(value: &Value) -> Reading<Vec<Waiver>> {
    let words = [("memory_storage", Waiver::MemoryStorage), ("no_ack", Waiver::NoAck)];
    let form = "must be a list of \"memory_storage\" and \"no_ack\"";
    let list = value.as_array().ok_or(form)?;
    list.iter().map(|word| choice(word, &words).map_err(|_| form.into())).collect()
}

fn journal(mut table: Table<'_, '_>) -> Journal {
    let default = Journal::default();
    let week = Duration::from_hours(7 * 24);
    let years = Duration::from_hours(3650 * 24);
    let journal = Journal {
        directory: table.or("directory", default.directory, directory),
        max_size: table.size("max_size", default.max_size, LEAST_SEGMENT..=1024 * 1024 * GIB),
        max_age: table.duration_or_off("max_age", default.max_age, week, Duration::from_secs(1)..=years),
        segment_size: table.size("segment_size", default.segment_size, LEAST_SEGMENT..=4 * GIB),
        reserve: table.size("reserve", default.reserve, 0..=1024 * 1024 * GIB),
        spool: table.choice("spool", default.spool, &[("on", true), ("off", false)]),
        hedge_after: table.duration("hedge_after", default.hedge_after, Duration::from_millis(10)..=ANSWER_MOST),
    };
    table.finish();
    journal
}

fn directory(value: &Value) -> Reading<PathBuf> {
    let path = text(value)?;
    // A path with a NUL byte is refused by every system call, long after the start.
    if path.is_empty() || path.contains('\0') {
        return Err("must be the path of a directory".into());
    }
    Ok(path.into())
}
