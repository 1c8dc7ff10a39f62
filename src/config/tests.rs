//! Tests of the whole room, through [`Config::load`] and real files.

use std::{fs, path::PathBuf, time::Duration};

use figment::{
    Figment,
    providers::{Format as _, Toml},
};
use tempfile::TempDir;

use super::{
    example::{example, rows_of},
    key::{because, count, duration, flag, optional, text},
    section::section,
    *,
};
use crate::{apis::Wanted, envelope::route::Template, vendors::Vendor};

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// A folder with the secrets of the example, which a configuration text names as `secrets/…`.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Place { folder: TempDir::new().unwrap() };
        place.write("1099policy", "0123456789abcdef0123456789abcdef\n");
        place.write("1099policy.next", "0123456789abcdef0123456789abcdef\n");
        place.write("audit1", "fedcba9876543210fedcba9876543210\n");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    fn load(&self, text: &str) -> Result<Loaded, Problems> {
        self.load_with(text, &[])
    }

    fn load_with(&self, text: &str, environment: &[(&str, &str)]) -> Result<Loaded, Problems> {
        let text = text.replace("secrets/", &format!("{}/", self.folder.path().display()));
        self.write("hookbus.toml", &text);
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(&self.at("hookbus.toml"), environment)
    }

    /// The lines of a configuration that must not load.
    fn lines(&self, text: &str) -> Vec<String> {
        self.lines_with(text, &[])
    }

    fn lines_with(&self, text: &str, environment: &[(&str, &str)]) -> Vec<String> {
        self.load_with(text, environment).unwrap_err().to_string().lines().map(Into::into).collect()
    }
}

/// The least that loads, after other tables.
fn with_minimum(tables: &str) -> String {
    format!(
        r#"{tables}
[bus]
kind = "journal"
[[sources]]
name = "acme"
vendor = "audit1"
path = "/hook"
secret_files = ["secrets/audit1"]
"#
    )
}

/// The least that loads, with more keys in its source.
fn with_source_keys(keys: &str) -> String {
    format!("{}{keys}\n", with_minimum(""))
}

fn assert_one(lines: &[String], start: &str) {
    assert!(matches!(lines, [line] if line.starts_with(start)), "wanted one line `{start}`, got {lines:#?}");
}

#[test]
fn the_minimum_is_the_defaults() {
    let place = Place::new();
    let loaded = place.load(&with_minimum("")).unwrap();
    let source = SourceConfig::defaults("acme", Vendor::Audit1, "/hook", vec![place.at("audit1")]);
    assert_eq!(loaded.config, Config::defaults(BusKind::Journal, vec![source]));
    assert_eq!(loaded.warnings, []);
}

#[test]
fn six_faults_are_six_lines() {
    let lines = Place::new().lines(
        r#"
[listener]
workers = "four"
max_body = "5MX"
adress = "127.0.0.1:1"
[log]
level = 3
[bus]
kind = "journal"
waived = []
[[sources]]
name = "acme"
vendor = "audit1"
path = "/hook"
secret_files = ["secrets/nowhere"]
"#,
    );
    let expected = [
        "listener.workers: must be a whole number without quotes, not text",
        "listener.max_body: does not end in a known unit right after a whole number; \
         write it like \"5MiB\", with one of B, KiB, MiB, GiB",
        "listener.adress: unknown key; did you mean `address`?",
        "log.level: must be text in quotes, not a whole number",
        "bus.waived: unknown key; did you mean `waive`?",
        "sources[0].secret_files[0]: the secret file does not exist; \
         name a readable file with the secret (relative to the working directory)",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_one_line_without_its_text() {
    let place = Place::new();
    let missing = Config::load(&place.at("none.toml"), []).unwrap_err().to_string();
    assert!(missing.starts_with(&format!("{}: the configuration file cannot", place.at("none.toml").display())));
    for text in ["a = hunter2", "[a\nhunter2", "hunter2\n", "a = 'hunter2", "a = 1\na = \"hunter2\"", "\u{0}hunter2"] {
        let lines = place.lines(text);
        assert_one(&lines, &format!("{}: TOML parse error at line ", place.at("hookbus.toml").display()));
        assert!(!lines.concat().contains("hunter2"), "{lines:?}");
    }
    fs::write(place.at("bytes.toml"), b"a = \"\xff\"").unwrap();
    assert!(Config::load(&place.at("bytes.toml"), []).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn nothing_at_all_asks_for_what_is_required() {
    let lines = Place::new().lines("");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].starts_with("bus.kind: is required") && lines[1].starts_with("sources: at least one"));
    let lines = Place::new().lines("[[sources]]\n[bus]\nkind = 'journal'\n");
    let keys: Vec<_> = lines.iter().filter_map(|line| line.split_once(": ")).map(|(key, _)| key).collect();
    assert_eq!(keys, ["sources[0].name", "sources[0].vendor", "sources[0].path", "sources[0].secret_files"]);
}

#[test]
fn each_bad_value_is_one_line_at_its_key() {
    let place = Place::new();
    for (section, key, values) in [
        ("listener", "address", &["\"localhost:80\"", "\":80\"", "80", "\"1.2.3.4\""][..]),
        ("listener", "workers", &["-1", "1025", "1.5", "\"4\"", "99999999999999", "true", "1979-05-27"]),
        ("listener", "backlog", &["0", "65536"]),
        ("listener", "max_connections", &["0", "1000001"]),
        ("listener", "max_body", &["5242880", "\"0B\"", "\"2GiB\"", "\"5 MiB\"", "\"5M\"", "{}", "\"65MiB\""]),
        ("listener", "max_head", &["\"8191B\"", "\"2MiB\"", "8192"]),
        ("listener", "max_inflight", &["\"1MiB\""]),
        ("listener", "head_timeout", &["5", "\"5\"", "\"99ms\"", "\"61s\"", "[]"]),
        ("listener", "body_timeout", &["\"16s\""]),
        ("listener", "answer_timeout", &["\"10s\"", "\"0s\""]),
        ("listener", "discard_max", &["\"2PiB\"", "\"1025TiB\"", "64"]),
        ("listener", "discard_timeout", &["\"0s\"", "\"61s\"", "\"off\""]),
        ("listener", "health_path", &["\"healthz\"", "\"/health?z\"", "\"\"", "5", "\"/hook\""]),
        ("admin", "address", &["\"127.0.0.1:8080\"", "\"\""]),
        ("log", "format", &["\"yaml\"", "1"]),
        ("journal", "directory", &["\"\"", "1", "\"a\\u0000b\""]),
        ("journal", "max_size", &["\"127MiB\"", "\"1KiB\""]),
        ("journal", "max_age", &["\"0s\"", "7", "\"never\"", "\"OFF\"", "false"]),
        ("journal", "segment_size", &["\"9KiB\"", "\"5TiB\""]),
        ("journal", "reserve", &["0"]),
    ] {
        for value in values {
            let lines = place.lines(&with_minimum(&format!("[{section}]\n{key} = {value}")));
            let blamed = if *value == "\"65MiB\"" { "listener.max_inflight" } else { &format!("{section}.{key}") };
            assert_one(&lines, &format!("{blamed}: "));
        }
    }
}

#[test]
fn each_bad_value_of_the_bus_and_of_a_source_is_one_line() {
    let place = Place::new();
    for (good, bad) in [
        ("kind = \"journal\"", "kind = \"kafka\""),
        ("kind = \"journal\"", "kind = \"journal\"\nkafka = { linger = 5 }"),
        ("kind = \"journal\"", "kind = \"file\""),
        ("kind = \"journal\"", "kind = \"journal\"\nencoding = \"json\""),
        ("kind = \"journal\"", "kind = \"journal\"\nsubject = \"a..{type}\""),
        ("kind = \"journal\"", "kind = \"journal\"\nsubject = \"a.{ty\\npe}\""),
        ("kind = \"journal\"", "kind = \"journal\"\nrecent_events = 0"),
        ("kind = \"journal\"", "kind = \"journal\"\nunknown_types = \"route\""),
        ("kind = \"journal\"", "kind = \"journal\"\nunknown_types = \"drop\""),
        ("kind = \"journal\"", "kind = \"journal\"\nwaive = \"no_ack\""),
        ("kind = \"journal\"", "kind = \"journal\"\nwaive = [\"everything\"]"),
        ("kind = \"journal\"", "kind = \"journal\"\nnats = 1"),
        ("\"acme\"", "\"\""),
        ("\"acme\"", "\"Acme\""),
        ("\"acme\"", "\"none\""),
        ("\"acme\"", "\"a23456789012345678901234567890123\""),
        ("\"audit1\"", "\"Audit1\""),
        ("\"audit1\"", "[\"audit1\"]"),
        ("\"/hook\"", "\"hook\""),
        ("\"/hook\"", "\"/hook?a=b\""),
        ("\"/hook\"", "\"/hook#a\""),
        ("\"/hook\"", "\"/h%6fok\""),
        ("\"/hook\"", "\"/h ook\""),
        ("\"/hook\"", "\"/hö\""),
        ("\"/hook\"", "\"//hook\""),
        ("\"/hook\"", "\"/a/../hook\""),
        ("\"/hook\"", "\"\""),
        ("[\"secrets/audit1\"]", "[]"),
        ("[\"secrets/audit1\"]", "\"secrets/audit1\""),
        ("[\"secrets/audit1\"]", "[1]"),
        ("[\"secrets/audit1\"]", "[\"secrets/\"]"),
        ("[\"secrets/audit1\"]", "[\"\"]"),
        ("[\"secrets/audit1\"]", "[\"secrets/audit1\", \"secrets/./audit1\"]"),
        ("[\"secrets/audit1\"]", "[\"secrets/audit1\"]\ntenant = \"a.b\""),
        ("[\"secrets/audit1\"]", "[\"secrets/audit1\"]\nce_source = \"a b\""),
        ("[\"secrets/audit1\"]", "[\"secrets/audit1\"]\ntolerance = \"5m\""),
        ("[\"secrets/audit1\"]", "[\"secrets/audit1\"]\ntolerance = \"off\""),
        ("[\"secrets/audit1\"]", "[\"secrets/audit1\"]\nmax_body = \"33MiB\""),
        ("[\"secrets/audit1\"]", "[\"secrets/audit1\"]\nsecrets = \"hunter2\""),
    ] {
        let key = bad.rsplit('\n').next().filter(|_| bad.contains('\n')).and_then(|line| line.split(' ').next());
        let lines = place.lines(&with_minimum("").replacen(good, bad, 1));
        assert_one(&lines, if good.starts_with("kind") { "bus." } else { "sources[0]." });
        assert!(key.is_none_or(|key| lines.concat().contains(key)), "{bad}: {lines:?}");
    }
}

#[test]
fn each_bad_value_of_nats_is_one_line() {
    let place = Place::new();
    for (keys, blamed) in [
        ("servers = []", "servers"),
        ("servers = 'nats://a:4222'", "servers"),
        ("servers = ['http://a']", "servers"),
        ("servers = ['nats://user:hunter2@a:4222']", "servers"),
        ("servers = [1]", "servers"),
        ("stream = 'A.B'", "stream"),
        ("stream = ''", "stream"),
        ("credentials_file = 'secrets/none'", "credentials_file"),
        ("user = 'a'", "user"),
        ("user = ''", "user"),
        ("password_file = 'secrets/audit1'", "password_file"),
        ("password_file = 'hunter2'\nuser = 'a'", "password_file"),
        ("credentials_file = 'secrets/audit1'\nnkey_seed_file = 'secrets/audit1'", "credentials_file"),
        ("user = 'a'\npassword_file = 'secrets/audit1'\nnkey_seed_file = 'secrets/audit1'", "nkey_seed_file"),
        ("ca_file = 'secrets/'", "ca_file"),
        ("certificate_file = 'secrets/audit1'", "certificate_file"),
        ("key_file = 'secrets/audit1'", "key_file"),
        ("require_tls = 'true'", "require_tls"),
        ("ack_timeout = '6s'", "ack_timeout"),
        ("ack_timeout = '0s'", "ack_timeout"),
        ("publish_timeout = '1h'", "publish_timeout"),
        ("server = ['nats://a:4222']", "server"),
        ("provision.replicas = 6", "provision.replicas"),
        ("provision = { max_age = '30h', duplicate_window = '31h' }", "provision.duplicate_window"),
        ("provision.max_size = '1KiB'", "provision.max_size"),
        ("provision = 'on'", "provision"),
    ] {
        let text = with_minimum("").replace("kind = \"journal\"", &format!("kind = \"nats\"\n[bus.nats]\n{keys}"));
        let lines = place.lines(&text);
        assert_one(&lines, &format!("bus.nats.{blamed}: "));
        assert!(!lines.concat().contains("hunter2"), "{lines:?}");
    }
}

#[test]
fn nats_needs_nothing_but_its_kind() {
    let place = Place::new();
    let text = with_minimum("").replace("kind = \"journal\"", "kind = \"nats\"");
    let bus = place.load(&text).unwrap().config.bus;
    assert_eq!(bus, BusConfig { kind: BusKind::Nats, ..BusConfig::absent() });
    let keys = "unknown_types = 'route'\nwaive = ['no_ack', 'memory_storage']\n[bus.nats]\nservers = ['tls://a', 'nats://b:1']\n\
                user = 'u'\npassword_file = 'secrets/audit1'\nrequire_tls = true";
    let bus = place.load(&text.replace("kind = \"nats\"", &format!("kind = \"nats\"\n{keys}"))).unwrap().config.bus;
    assert_eq!((bus.unknown_types, bus.waive), (UnknownTypes::Route, vec![Danger::NoAck, Danger::MemoryStorage]));
    assert_eq!((bus.nats.servers.len(), bus.nats.user.as_deref(), bus.nats.require_tls), (2, Some("u"), true));
}

#[test]
fn a_table_in_the_wrong_form_is_one_line() {
    let place = Place::new();
    let bus = "bus = { kind = \"journal\" }\n";
    for (text, start) in [
        (format!("{bus}listener = 5\nsources = 5"), "listener: must be a table"),
        (format!("{bus}[sources]\nname = 'a'"), "sources: must be a list of tables; write [[sources]]"),
        (format!("{bus}sources = []"), "sources: at least one"),
        (format!("{bus}sources = [5]"), "sources[0]: must be a [[sources]] table"),
        (with_minimum("[listner]\na = 1"), "listner: unknown key; did you mean `listener`?"),
        (with_minimum("\"a\\nb: c\" = 1"), "\"a\\nb: c\": unknown key"),
    ] {
        let lines = place.lines(&text);
        assert_one(lines.split_at(1).0, start);
        assert_eq!(lines.len(), if text.contains("listener = 5") { 2 } else { 1 }, "{lines:#?}");
    }
}

#[test]
fn names_and_paths_are_unique() {
    let place = Place::new();
    let second = "[[sources]]\nname = 'acme'\nvendor = '1099policy'\npath = '/hook'\nsecret_files = ['secrets/audit1']";
    let lines = place.lines(&with_source_keys(second));
    assert_eq!(
        lines,
        [
            "sources[1].name: is the name of sources[0]; names are unique",
            "sources[1].path: is the path of sources[0]; one path belongs to one source",
        ]
    );
}

#[test]
fn a_rule_is_silent_beside_a_bad_value() {
    let lines = Place::new().lines(&with_minimum("[listener]\nmax_inflight = \"lots\"\nmax_body = \"20MiB\""));
    assert_one(&lines, "listener.max_inflight: does not start with");
}

#[test]
fn secret_files_are_read_once_and_warned_of() {
    let place = Place::new();
    place.write("short", "fifteen bytes..\n");
    place.write("empty", "\n");
    let warnings = |text: &str| {
        let found = place.load(text).unwrap().warnings;
        found.iter().map(|warning| warning.key.clone()).collect::<Vec<_>>()
    };
    let short = with_minimum("[listener]\nidle_timeout = \"59s\"")
        .replace("/audit1\"]", "/audit1\", \"secrets/short\"]")
        .replace("/hook", "/Hook");
    assert_eq!(warnings(&short), ["listener.idle_timeout", "sources[0].secret_files[1]", "sources[0].path"]);
    let lines = place.lines(&with_minimum("").replace("/audit1", "/empty"));
    assert_one(&lines, "sources[0].secret_files[0]: the secret file is empty");
}

#[test]
fn a_problem_never_repeats_a_value() {
    let place = Place::new();
    let mut file = with_minimum("[listener]\naddress = 'hunter2'\nmax_body = 'hunter2'\nidle_timeout = '7hunter2'");
    file = file.replace("[bus]", "[bus]\nsubject = '{hunter2}'");
    for (good, bad) in [("journal", "hunter2"), ("acme", "-hunter2"), ("/hook", "hunter2"), ("\"audit1", "\"hunter2")] {
        file = file.replace(good, bad);
    }
    file = file.replace("secrets/audit1", "hunter2");
    let environment = [
        ("HOOKBUS__LOG__LEVEL", "hunter2"),
        ("HOOKBUS__LISTENER__WORKERS", "hunter2"),
        ("HOOKBUS__SOURCES__0__SECRET", "hunter2"),
        ("HOOKBUS__ADMIN", "hunter2"),
        ("HOOKBUS__ADMIN__TOKEN", "hunter2"),
        ("HOOKBUS__LOG__TOKEN", "hunter2"),
    ];
    let lines = place.lines_with(&file, &environment);
    assert!(12 <= lines.len(), "{lines:#?}");
    assert!(!lines.concat().contains("hunter2"), "{lines:#?}");
}

#[test]
fn the_environment_lies_on_top_and_is_text() {
    let place = Place::new();
    let environment = [
        ("HOOKBUS__LISTENER__MAX_BODY", "1MiB"),
        ("HOOKBUS__LISTENER__WORKERS", "4"),
        ("HOOKBUS__JOURNAL__DIRECTORY", "12345"),
        ("HOOKBUS__JOURNAL__MAX_AGE", "off"),
        ("HOOKBUS__BUS__SUBJECT", "true"),
        ("HOOKBUS_CONFIG", "/etc/hookbus.toml"),
        ("HOOKBUS_PORT", "tcp://10.0.0.1:80"),
        ("HOOKBUS_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    let config = place.load_with(&with_minimum("[listener]\nmax_body = 7\nbacklog = 9"), &environment).unwrap().config;
    assert_eq!((config.listener.max_body, config.listener.workers, config.listener.backlog), (1 << 20, 4, 9));
    assert_eq!(config.sources[0].max_body, 1 << 20);
    assert_eq!((config.journal.directory, config.journal.max_age), ("12345".into(), None));
    assert_eq!(config.bus.subject, "true".parse::<Template>().unwrap());
}

/// Tables inside tables, and lists with commas.
#[test]
fn the_environment_reaches_every_key_but_those_of_sources() {
    let place = Place::new();
    let environment = [
        ("HOOKBUS__BUS__NATS__SERVERS", "nats://a:4222, tls://b:4222"),
        ("HOOKBUS__BUS__NATS__REQUIRE_TLS", "true"),
        ("HOOKBUS__BUS__NATS__PROVISION__REPLICAS", "1"),
        ("HOOKBUS__BUS__KAFKA__BROKERS", "a:9092"),
        ("HOOKBUS__BUS__KAFKA__SASL__USER", "alice"),
        ("HOOKBUS__BUS__KAFKA__SASL__PASSWORD_FILE", "secrets/kafka"),
        ("HOOKBUS__BUS__KAFKA__PROVISION__PARTITIONS", "7"),
        ("HOOKBUS__BUS__KAFKA__PROPERTIES__MESSAGE_MAX_BYTES", "2000000"),
        ("HOOKBUS__BUS__WAIVE", "memory_storage,no_ack"),
    ];
    let file = with_minimum("[bus.nats]\nservers = [\"nats://file:1\"]\nstream = \"S\"");
    let bus = place.load_with(&file, &environment).unwrap().config.bus;
    assert_eq!(bus.nats.servers, ["nats://a:4222", "tls://b:4222"]);
    assert_eq!((bus.nats.stream.as_str(), bus.nats.require_tls, bus.nats.provision.replicas), ("S", true, 1));
    assert_eq!((bus.kafka.brokers, bus.kafka.provision.partitions), (vec!["a:9092".to_owned()], 7));
    assert_eq!(bus.kafka.sasl.unwrap().user, "alice");
    assert_eq!(bus.kafka.properties["message.max.bytes"], "2000000");
    assert_eq!(bus.waive.len(), 2);
    // In the file a list is a list.
    assert_one(
        &place.lines(&file.replace("[\"nats://file:1\"]", "\"nats://file:1\"")),
        "bus.nats.servers: must be a list",
    );
    let none = place.load_with(&with_minimum(""), &[("HOOKBUS__BUS__WAIVE", "")]).unwrap().config;
    assert!(none.bus.waive.is_empty());
}

#[test]
fn a_bad_variable_is_named() {
    let place = Place::new();
    for (variable, value, line) in [
        (
            "HOOKBUS__LISTENER__MAX_BODY",
            "5242880",
            "listener.max_body: is a number without a unit; write it like \"5MiB\"",
        ),
        ("HOOKBUS__LISTENER__WORKERS", "", "listener.workers: must be a whole number (set by "),
        ("HOOKBUS__LISTENER__ADRESS", "x", "listener.adress: unknown key; did you mean `address`? (set by "),
        ("HOOKBUS__LISTENER", "x", "listener: must be a table, [listener], not text (set by "),
        ("HOOKBUS__NATS__URL", "x", "nats: unknown key; remove it or correct its name (set by "),
        ("HOOKBUS__SOURCES__0__NAME", "x", "HOOKBUS__SOURCES__0__NAME: sources come only from the file"),
        ("HOOKBUS__SOURCES", "x", "HOOKBUS__SOURCES: sources come only from the file"),
        ("HOOKBUS__LISTENER__A__B", "x", "listener.a: unknown key; remove it or correct its name (set by "),
        ("HOOKBUS__BUS__NATS__SERVERS", "hunter2, http://a", "bus.nats.servers: must be URLs"),
        ("HOOKBUS__BUS__NATS__SERVERS", "", "bus.nats.servers: must list 1 to 64 servers (set by "),
        ("HOOKBUS__BUS__NATS__SERVERS__0", "nats://a:1", "bus.nats.servers: must be a list of URLs, not a table"),
        ("HOOKBUS__BUS__NATS", "x", "bus.nats: must be a table, [bus.nats], not text (set by "),
        ("HOOKBUS__BUS__NATS__PROVISION__REPLICAS", "9", "bus.nats.provision.replicas: must be from 1 to 5 (set by "),
        ("HOOKBUS__BUS__KAFKA__BROKERS", "a:1,b", "bus.kafka.brokers: must be a list of hosts"),
        ("HOOKBUS__BUS__KAFKA__PROPERTIES__ACKS", "1", "bus.kafka.properties.\"acks\": belongs to hookbus"),
        ("HOOKBUS__BUS__WAIVE", "everything", "bus.waive: must be a list of"),
        ("HOOKBUS__", "x", "HOOKBUS__: a variable is written"),
        ("HOOKBUS__LISTENER__", "x", "HOOKBUS__LISTENER__: a variable is written"),
        ("HOOKBUS__listener__workers", "1", "HOOKBUS__listener__workers: a variable is written"),
    ] {
        let lines = place.lines_with(&with_minimum(""), &[(variable, value)]);
        assert_one(&lines, line);
        assert!(lines.concat().contains(variable), "{lines:?}");
    }
}

#[test]
fn kafka_asks_for_its_brokers_and_files_only_when_it_is_the_bus() {
    let place = Place::new();
    let tables = "[bus.kafka.sasl]\nuser = 'a'\npassword_file = 'secrets/nowhere'\nmechanism = 'PLAIN'\n\
                  [bus.kafka.tls]\nca_file = 'secrets/nowhere.pem'";
    assert_eq!(place.load(&with_minimum(tables)).unwrap().warnings, []);
    let kafka = |tables: &str| with_minimum(tables).replace("\"journal\"", "\"kafka\"");
    let lines = place.lines(&kafka(tables));
    let keys: Vec<_> = lines.iter().filter_map(|line| line.split_once(": ")).map(|(key, _)| key).collect();
    assert_eq!(keys, ["bus.kafka.brokers", "bus.kafka.tls.ca_file", "bus.kafka.sasl.password_file"], "{lines:#?}");
    let sasl =
        "[bus.kafka]\nbrokers = ['a:1']\nsasl = { user = 'a', password_file = 'secrets/audit1', mechanism = 'PLAIN' }";
    let loaded = place.load(&kafka(sasl)).unwrap();
    assert!(matches!(loaded.warnings.as_slice(), [warning] if warning.key == "bus.kafka.sasl.mechanism"));
    let long =
        kafka("[bus.kafka]\nbrokers = ['a:1']").replace("[bus]", &format!("[bus]\nsubject = '{}'", "x".repeat(250)));
    assert_one(&place.lines(&long), "bus.subject: makes topics");
}

/// The example with every commented-out key switched on.
fn uncommented() -> String {
    let is_key = |line: &str| {
        let key = line.strip_prefix("# ").and_then(|line| line.split_once(" = ")).map(|(key, _)| key);
        key.is_some_and(|key| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    EXAMPLE
        .lines()
        .map(|line| if is_key(line) { line.trim_start_matches("# ") } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_example_loads_and_its_comments_are_the_defaults() {
    let place = Place::new();
    let loaded = place.load(EXAMPLE).unwrap();
    assert_eq!(loaded.warnings, []);
    let files = ["1099policy", "1099policy.next"].map(|name| place.at(name)).into();
    let mut acme = SourceConfig::defaults("acme", Vendor::Policy1099, "/webhooks/1099policy", files);
    acme.tenant = Some("acme".into());
    let events = None;
    let (client_id_file, environment, description, base_url, ca_file) = Default::default();
    acme.api = Some(ApiConfig {
        key_file: place.at("1099policy-api"),
        endpoint_url: "https://hooks.example.com/webhooks/1099policy".into(),
        follow_up: Vec::new(),
        follow_up_calls: 4,
        timeout: Duration::from_secs(30),
        client_id_file,
        environment,
        events,
        description,
        base_url,
        ca_file,
    });
    let payroll = SourceConfig::defaults("payroll", Vendor::Audit1, "/webhooks/audit1", vec![place.at("audit1")]);
    let mut config = Config::defaults(BusKind::Journal, vec![acme, payroll]);
    config.bus.kafka = KafkaConfig {
        brokers: ["kafka-1.example.com:9092", "kafka-2.example.com:9092"].map(Into::into).into(),
        tls: Some(KafkaTls {
            ca_file: Some(place.at("kafka-ca.pem")),
            certificate_file: Some(place.at("kafka-client.pem")),
            key_file: Some(place.at("kafka-client.key")),
        }),
        sasl: Some(KafkaSasl {
            mechanism: SaslMechanism::ScramSha512,
            user: "hookbus".into(),
            password_file: place.at("kafka-password"),
        }),
        ..KafkaConfig::absent()
    };
    config.reconcile = Some(ReconcileConfig::absent());
    assert_eq!(loaded.config, config);
    assert_eq!(place.load(&uncommented()).unwrap(), loaded);
}

/// `make config-example` sets the variable.
#[test]
fn the_example_is_what_the_rows_say() {
    if std::env::var_os("HOOKBUS_WRITE_EXAMPLE").is_some() {
        return fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml"), example()).unwrap();
    }
    assert!(example() == EXAMPLE, "config.example.toml differs from the rows in src/config: run `make config-example`");
}

section! {
    /// A section with one row of each kind.
    struct Tried {
        /// A count
        /// in two lines.
        count: u32 = count(7, because(1..=9, "one digit")),
        /// It must be there.
        name: String = text("acme", key::user).required("write a name"),
        /// It may be there.
        file: Option<PathBuf> = optional("a/b", key::path("file")),
        /// It can be off.
        pause: Option<Duration> = duration(Duration::from_secs(5), key::SHORT..=key::MINUTE).or_off(),
        /// A table.
        inner: Option<Inner>,
    }
}

section! {
    /// Inside.
    struct Inner {
        /// A switch that follows.
        on: bool = flag(true),
    }
}

/// What a new key takes: its row is read, bounded, known by its name, and stands in the example with its comment.
#[test]
fn a_row_is_the_field_the_check_the_default_and_the_example() {
    let shown = "# A count in two lines. It is from 1 to 9 (one digit).\n# count = 7\n# It must be there.\nname = \"acme\"\n# It may be there.\n\
                 ## file = \"a/b\"\n# It can be off.\n# pause = \"5s\"\n\n# A table.\n[inner]\n\
                 # A switch that follows.\n# on = true\n";
    assert_eq!(rows_of::<Tried>(), shown);
    let tree: figment::value::Dict =
        Figment::from(Toml::string("count = 0\ninner = { onn = 1 }\nfiles = 1")).extract().unwrap();
    let mut findings = findings::Findings::default();
    let read = Tried::read(Some(&tree.into()), "tried", &mut findings);
    assert_eq!(
        (read.count, read.file, read.pause, read.inner),
        (7, None, Some(Duration::from_secs(5)), Some(Inner { on: true }))
    );
    assert_eq!(
        findings.finish().unwrap_err().to_string().lines().collect::<Vec<_>>(),
        [
            "tried.count: must be from 1 to 9 (one digit)",
            "tried.name: is required; write a name",
            "tried.inner.onn: unknown key; did you mean `on`?",
            "tried.files: unknown key; did you mean `file`?",
        ]
    );
}

const POLICY_SOURCE: &str = "[bus]\nkind = \"journal\"\n[[sources]]\nname = \"acme\"\nvendor = \"1099policy\"\npath = \"/hook\"\n\
    secret_files = [\"secrets/1099policy\"]\n";
const AUDIT_API: &str =
    "[sources.api]\nkey_file = \"k\"\nclient_id_file = \"i\"\nendpoint_url = \"https://a.example/hook\"\n";
const POLICY_API: &str = "[sources.api]\nkey_file = \"k\"\nendpoint_url = \"https://a.example/hook\"\n";

fn wanted(loaded: &Loaded) -> Wanted {
    let source = &loaded.config.sources[0];
    let (config, api) = source.api().unwrap();
    config.wanted(&api.all_events(source.vendor.profile().catalogue))
}

#[test]
fn the_api_of_a_source_is_read_and_its_files_are_not() {
    let place = Place::new();
    let loaded = place.load(&with_source_keys(&format!("{AUDIT_API}events = [\"file.failed\"]"))).unwrap();
    assert_eq!((&loaded.warnings[..], wanted(&loaded).events.len()), (&[][..], 1));
    assert_eq!(wanted(&loaded).url, "https://a.example/hook");
    // "all" is what the vendor documents for this API: not the portal's events, nor the test event.
    let all = wanted(&place.load(&with_source_keys(AUDIT_API)).unwrap()).events;
    let has = |event: &str| all.contains(event);
    assert!(
        has("file.processed") && !has("file.premium_calculated") && !has("webhook.test") && !has("installment.paid")
    );
    let all = wanted(&place.load(&format!("{POLICY_SOURCE}{POLICY_API}events = \"all\"")).unwrap()).events;
    assert!(all.contains("certificate.error") && all.contains("policy.active.media"));
}

#[test]
fn each_contradiction_of_an_api_is_one_line_at_its_key() {
    let place = Place::new();
    let (audit, policy) = (with_source_keys(AUDIT_API), format!("{POLICY_SOURCE}{POLICY_API}"));
    let no_id = audit.replace("client_id_file = \"i\"\n", "");
    assert_one(&place.lines(&no_id), "sources[0].api.client_id_file: is required: audit1 asks for");
    let lines = place.lines(&format!("{policy}client_id_file = \"i\""));
    assert_one(&lines, "sources[0].api.client_id_file: 1099policy knows no client's id");
    assert_one(
        &place.lines(&format!("{audit}environment = \"sandbox\"")),
        "sources[0].api.environment: audit1 knows no",
    );
    assert_one(&place.lines(&format!("{policy}environment = \"test\"")), "sources[0].api.environment: must be");
    for bad in
        ["http://a.example/hook", "https://u:p@a.example/hook", "https://a.example/hook?a=b", "a.example", "https://"]
    {
        let lines = place.lines(&policy.replace("https://a.example/hook", bad));
        assert_one(&lines, "sources[0].api.endpoint_url: must be an https URL");
        assert_one(
            &place.lines(&format!("{policy}base_url = \"{bad}\"")),
            "sources[0].api.base_url: must be an https URL",
        );
    }
    for bad in ["[]", "[\"a b\"]", "\"every\"", "3"] {
        assert_one(&place.lines(&format!("{policy}events = {bad}")), "sources[0].api.events: must be ");
    }
    let lines = place.lines(&policy.replace("key_file = \"k\"\nendpoint_url = \"https://a.example/hook\"\n", ""));
    assert_eq!(lines.len(), 2, "{lines:?}");
    // Two sources with one endpoint or one file.
    let second =
        POLICY_SOURCE.replace("[bus]\nkind = \"journal\"\n", "").replace("acme", "second").replace("/hook", "/2");
    let twins = format!("{policy}{second}{}", POLICY_API.replace("\"k\"", "\"other\""));
    let lines = place.lines(&twins);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("sources[1].api.endpoint_url: one URL belongs")).count(), 1);
    assert_eq!(
        lines.iter().filter(|line| line.contains("sources[1].secret_files: `hookbus endpoints` writes")).count(),
        1
    );
    // What may be meant is a warning.
    let odd = policy.replace("example/hook", "example/other") + "events = [\"certificate.lost\"]";
    let warnings = place.load(&odd).unwrap().warnings;
    let keys: Vec<_> = warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(keys, ["sources[0].api.endpoint_url", "sources[0].api.events"]);
}

#[test]
fn the_commands_that_make_the_secrets_do_not_ask_for_them() {
    let place = Place::new();
    let text = POLICY_SOURCE.replace("secrets/1099policy", "secrets/none");
    assert_eq!(place.lines(&text).len(), 1);
    assert!(Config::load_before_secrets(&place.at("hookbus.toml"), []).is_ok());
}

#[test]
fn proxies_are_networks_or_addresses() {
    let place = Place::new();
    let listener = |keys: &str| with_minimum(&format!("[listener]\n{keys}\n"));
    let loaded = place.load(&listener(
        "trusted_proxies = [\"10.0.0.0/8\", \"2001:db8::7\"]\nforwarded_header = \"forwarded\"\nproxy_protocol = true",
    ));
    let networks = loaded.unwrap().config.listener.trusted_proxies;
    assert_eq!(networks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "2001:db8::7/128"]);
    for bad in ["10.0.0.0/33", "proxy.example.com", "10.0.0.1:80", ""] {
        let lines = place.lines(&listener(&format!("trusted_proxies = [\"{bad}\"]")));
        assert_one(&lines, "listener.trusted_proxies: must be networks such as \"10.0.0.0/8\"");
    }
    let many = vec!["\"10.0.0.1\""; 257].join(",");
    assert_one(
        &place.lines(&listener(&format!("trusted_proxies = [{many}]"))),
        "listener.trusted_proxies: must list at most 256",
    );
    assert_one(
        &place.lines(&listener("proxy_protocol = true")),
        "listener.proxy_protocol: needs listener.trusted_proxies",
    );
    let two = |more: &str| {
        let text = listener(&format!("trusted_proxies = [\"10.0.0.1\"]\nproxy_protocol = true\n{more}"));
        place.load(&text).unwrap().warnings.iter().map(|warning| warning.key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(two(""), ["listener.forwarded_header"]);
    assert_eq!(two("forwarded_header = \"forwarded\""), ["listener.forwarded_header"]);
    assert!(two("forwarded_header = \"off\"").is_empty());
    let all = place.load(&listener("trusted_proxies = [\"::/0\"]")).unwrap().warnings;
    assert!(matches!(&all[..], [one] if one.key == "listener.trusted_proxies"), "{all:?}");
}

#[test]
fn an_environment_is_a_short_plain_word() {
    let place = Place::new();
    let of = |word: &str| place.load(&with_source_keys(&format!("environment = \"{word}\"")));
    assert_eq!(place.load(&with_minimum("")).unwrap().config.sources[0].identity().environment, "production");
    assert_eq!(of("test-2").unwrap().config.sources[0].identity().environment, "test-2");
    for bad in ["", "Production", "a b", &"x".repeat(33)] {
        assert!(of(bad).unwrap_err().to_string().starts_with("sources[0].environment: must be 1 to 32 of"), "{bad}");
    }
}

#[test]
fn the_reconciler_needs_somebody_to_ask_and_time_to_ask_for() {
    let place = Place::new();
    let with = |keys: &str| with_minimum(&format!("[reconcile]\n{keys}\n"));
    let api = "[sources.api]\nkey_file = \"k\"\nclient_id_file = \"c\"\nendpoint_url = \"https://a.example/hook\"\n";
    let lines = place.lines(&with(""));
    assert_eq!(lines, ["reconcile: needs a source with a [sources.api] table: without one there is nobody to ask"]);
    let loaded = place.load(&(with("") + api)).unwrap().config.reconcile.unwrap();
    assert_eq!(
        (loaded.stuck_after.as_secs(), loaded.look_back.as_secs(), loaded.publish_missed),
        (7_200, 172_800, false)
    );
    let lines = place.lines(&(with("look_back = \"1h\"\npublish_missed = true\naddress = \"127.0.0.1:9464\"") + api));
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, begin) in lines.iter().zip([
        "reconcile.grace: must be below reconcile.look_back",
        "reconcile.publish_missed: needs a broker",
        "reconcile.address: is admin.address",
    ]) {
        assert!(line.starts_with(begin), "{line}");
    }
    assert_eq!(place.load(&with_minimum("")).unwrap().config.reconcile, None);
}
