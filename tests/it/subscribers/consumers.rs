//! The examples for subscribers, each as its reader would run it: against a real broker, behind a real gateway, in both
//! content modes, killed in the middle and started again, left without its broker for a while (on NATS), and given everything
//! twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use async_nats::jetstream::consumer::PullConsumer;
use hookbus::{event::derived_id, vendors::Vendor};
use serde_json::json;

use crate::support::{
    brokers::{
        kafka::{Broker, shared},
        nats::{NatsServer, Operator},
    },
    harness::{AUDIT, Gateway, HOOKBUS, POLICY},
    process::{Process, log_file},
    wait::wait_at_most,
};

/// Events before the kill, and as many after it.
const HALF: usize = 60;

/// Events after an outage of the broker.
const AFTER_OUTAGE: usize = 10;

#[derive(Clone, Copy)]
enum Language {
    Python,
    Node,
    Go,
    Rust,
}

impl Language {
    fn name(self) -> &'static str {
        match self {
            Language::Python => "python",
            Language::Node => "node",
            Language::Go => "go",
            Language::Rust => "rust",
        }
    }

    /// The example as its reader would start it. `bus`: `nats` or `kafka`.
    fn command(self, bus: &str, folder: &Path) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (examples, tools) = (root.join("examples/consumers"), root.join("target/tools/consumers"));
        match self {
            Language::Python => {
                let mut command = Command::new("python3");
                command.arg(examples.join(format!("python/{bus}_consumer.py")));
                command.env("PYTHONPATH", existing(tools.join("python/nats"), "make tools").parent().unwrap());
                command.env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
            Language::Node => {
                // Modules are looked for beside a script, so it gets a place beside them.
                for file in ["handled.mjs", "nats.mjs", "kafka.mjs"] {
                    fs::copy(examples.join("node").join(file), folder.join(file)).unwrap();
                }
                let modules = existing(tools.join("node/node_modules"), "make tools");
                let _there = std::os::unix::fs::symlink(modules, folder.join("node_modules"));
                let mut command = Command::new("node");
                command.arg(folder.join(format!("{bus}.mjs")));
                command
            }
            Language::Go => Command::new(existing(tools.join("go").join(bus), "make tools")),
            Language::Rust => {
                let example = Path::new(HOOKBUS).with_file_name("examples").join(format!("{bus}_consumer"));
                Command::new(existing(example, "cargo build --examples"))
            }
        }
    }
}

fn existing(path: PathBuf, how: &str) -> PathBuf {
    assert!(path.exists(), "{} is not there: run `{how}`", path.display());
    path
}

/// A group of Kafka takes its time, and eight of them share a machine with eight gateways and as many brokers.
const PATIENCE: Duration = Duration::from_mins(4);

fn wait(what: &str, done: impl FnMut() -> bool) {
    wait_at_most(PATIENCE, what, done);
}

/// A subscriber's service: its folder, and how it is started.
struct Service {
    folder: tempfile::TempDir,
    language: Language,
    bus: &'static str,
    pattern: String,
    broker: (&'static str, String),
    /// Before each name of a group or a durable consumer, where others use the same broker.
    names: String,
}

/// A running instance of it; killed when dropped.
struct Instance(Process);

impl Service {
    /// `name`: of the durable consumer or the group.
    fn start(&self, name: &str) -> Instance {
        let (path, name) = (self.folder.path(), format!("{}{name}", self.names));
        // A kill in the middle of a write leaves a part of a line; what is printed then begins another one.
        let out = log_file(&path.join("out"));
        let printed = fs::read(path.join("out")).unwrap();
        let whole = printed.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        out.set_len(whole as u64).unwrap();
        let mut command = self.language.command(self.bus, path);
        command
            .arg(&self.pattern)
            .env(self.broker.0, &self.broker.1)
            .env("DURABLE", &name)
            .env("GROUP", &name)
            .current_dir(path)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(log_file(&path.join("err")));
        Instance(Process::start(&mut command))
    }

    /// What it has remembered: type, source and id, in the order of handling.
    fn handled(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("handled.txt")).unwrap_or_default();
        // A line that is being written does not count.
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }

    fn wait_for(&self, instance: &mut Instance, count: usize) {
        wait(&format!("{count} events"), || {
            let ended = instance.0.ended();
            assert!(ended.is_none(), "ended with {ended:?}: {}", self.errors());
            self.handled().len() >= count
        });
    }

    fn errors(&self) -> String {
        fs::read_to_string(self.folder.path().join("err")).unwrap_or_default()
    }

    /// What it printed: type and id.
    fn printed(&self) -> Vec<String> {
        fs::read_to_string(self.folder.path().join("out")).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Instance {
    fn kill(mut self) {
        self.0.kill();
    }

    /// SIGTERM; it must end by itself, and well.
    fn stop(mut self, service: &Service) {
        self.0.signal("-TERM");
        assert_eq!(self.0.wait_at_most(PATIENCE).code(), Some(0), "{}", service.errors());
    }
}

/// One event that was posted: its place in the subscriber's memory, its line, and what it shares its order with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Posted {
    handled: String,
    printed: String,
    key: String,
}

/// Posts events of both vendors. Ids with all kinds of letters: they have to come through headers, too. `odd`: some that
/// go to quarantine as well.
fn post(gateway: &Gateway, numbers: std::ops::Range<usize>, odd: bool) -> Vec<Posted> {
    let one = |number: usize| {
        let entity = number % 3;
        let (path, source, kind, id, body) = if odd && number % 10 == 7 {
            let body = format!("not JSON {number}").into_bytes();
            let id = derived_id(Vendor::Audit1, "payroll", &body);
            (AUDIT, "//hookbus/audit1/payroll", "com.audit1.quarantine", id, body)
        } else if number.is_multiple_of(2) {
            let id = format!("evt {number} é%41 50% \"x\"");
            let body =
                json!({"id": id, "type": "policy.active", "data": {"object": "policy", "id": format!("pl_{entity}")}});
            (POLICY, "//hookbus/1099policy/acme", "com.1099policy.policy.active", id, body.to_string().into_bytes())
        } else {
            let id = format!("evt_{number}");
            let body = json!({"id": id, "type": "file.processed", "data": {"fileId": format!("f_{entity}")}});
            (AUDIT, "//hookbus/audit1/payroll", "com.audit1.file.processed", id, body.to_string().into_bytes())
        };
        assert_eq!(gateway.post(path, &body).status, 200);
        Posted {
            handled: format!("{kind}\t{source}\t{id}"),
            printed: format!("{kind} {id}"),
            key: format!("{kind}/{entity}"),
        }
    };
    numbers.map(one).collect()
}

/// The life of a service. `outage`: ends the broker and starts it again. `caught_up`: whether everything was
/// acknowledged under a name.
fn live(service: &Service, gateway: &Gateway, outage: &mut dyn FnMut(), caught_up: &dyn Fn(&str) -> bool) -> String {
    let odd = service.bus == "nats"; // on Kafka quarantine is one topic for all tests
    // The kill comes while events come in: the first one shows that it is awake.
    let mut posted = post(gateway, 0..1, odd);
    let mut first = service.start("example");
    service.wait_for(&mut first, 1);
    let before = thread::scope(|scope| {
        let poster = scope.spawn(|| post(gateway, 1..HALF, odd));
        service.wait_for(&mut first, HALF / 4);
        first.kill();
        // As a kill in the middle of a write leaves it.
        log_file(&service.folder.path().join("handled.txt")).write_all(b"com.1099policy.pol").unwrap();
        let before = service.handled().len();
        posted.extend(poster.join().unwrap());
        before
    });

    posted.extend(post(gateway, HALF..2 * HALF, odd));
    let mut second = service.start("example");
    service.wait_for(&mut second, 2 * HALF);
    outage();
    posted.extend(post(gateway, 2 * HALF..2 * HALF + AFTER_OUTAGE, odd));
    service.wait_for(&mut second, posted.len());
    wait("acknowledgements", || caught_up("example"));
    second.stop(service);

    // Nothing skipped, nothing handled twice, and each key in the order in which it was posted.
    let handled = service.handled();
    let expected: BTreeSet<&str> = posted.iter().map(|event| event.handled.as_str()).collect();
    assert_eq!(handled.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    assert_eq!(handled.len(), posted.len(), "something was handled twice");
    assert_eq!(by_key(&posted, &handled), by_key(&posted, &expected_order(&posted)), "out of order");
    // What was printed is what was handled; once more at most, for a kill between the work and its note.
    let printed = service.printed();
    let lines: BTreeSet<&str> = posted.iter().map(|event| event.printed.as_str()).collect();
    assert_eq!(printed.iter().map(String::as_str).collect::<BTreeSet<_>>(), lines);
    assert!(printed.len() <= posted.len() + 1, "{} lines for {} events", printed.len(), posted.len());

    // A new name gets everything again: each event is known and only acknowledged.
    let third = service.start("another");
    wait("acknowledgements", || caught_up("another"));
    third.stop(service);
    assert_eq!(service.handled(), handled);
    assert_eq!(service.printed(), printed);
    format!(
        "{} {} {}: killed after {before}, then {} handled once each, {} printed, all given again and none handled",
        service.language.name(),
        service.bus,
        service.pattern,
        handled.len(),
        printed.len()
    )
}

fn expected_order(posted: &[Posted]) -> Vec<String> {
    posted.iter().map(|event| event.handled.clone()).collect()
}

fn by_key<'a>(posted: &'a [Posted], order: &'a [String]) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for handled in order {
        let event = posted.iter().find(|event| &event.handled == handled).unwrap();
        keys.entry(&event.key).or_default().push(handled);
    }
    keys
}

fn on_nats(language: Language) -> String {
    let both = ["structured", "binary"].map(|encoding| {
        let mut server = NatsServer::start();
        let operator = server.operator();
        operator.create(Operator::settings());
        let gateway = server.setup(&format!("encoding = \"{encoding}\""), "").start();
        let service = Service {
            folder: tempfile::tempdir().unwrap(),
            language,
            bus: "nats",
            pattern: "webhooks.>".into(),
            broker: ("NATS_URL", server.url()),
            names: String::new(),
        };
        let mut outage = || {
            server.kill();
            gateway.wait_for_metric("bus_up", 0.0);
            server.run();
            gateway.wait_for_metric("bus_up", 1.0);
        };
        live(&service, &gateway, &mut outage, &|durable| {
            operator.runtime.block_on(async {
                let Ok(stream) = operator.context.get_stream("WEBHOOKS").await else { return false };
                let Ok(mut consumer): Result<PullConsumer, _> = stream.get_consumer(durable).await else {
                    return false;
                };
                consumer.info().await.is_ok_and(|info| info.num_pending == 0 && info.num_ack_pending == 0)
            })
        })
    });
    both.join("\n")
}

fn on_kafka(language: Language) -> String {
    let broker: &Broker = shared();
    let both = ["structured", "binary"].map(|encoding| {
        let prefix = format!("consumer_{}_{encoding}", language.name());
        let topics = [format!("{prefix}.1099policy.policy"), format!("{prefix}.audit1.file")];
        broker.create(&topics.each_ref().map(String::as_str));
        let bus = format!("encoding = \"{encoding}\"\nsubject = \"{prefix}.{{vendor}}.{{category}}\"");
        let gateway = broker.setup("", &bus, "").start();
        let service = Service {
            folder: tempfile::tempdir().unwrap(),
            language,
            bus: "kafka",
            pattern: format!("^{prefix}\\."),
            broker: ("KAFKA_BROKERS", broker.address()),
            names: format!("{prefix}."),
        };
        // The broker is shared with other tests: it stays.
        live(&service, &gateway, &mut || {}, &|group| {
            topics.iter().all(|topic| broker.has_committed_all(&format!("{prefix}.{group}"), topic))
        })
    });
    both.join("\n")
}

#[test]
fn python_from_nats() {
    println!("{}", on_nats(Language::Python));
}

#[test]
fn python_from_kafka() {
    println!("{}", on_kafka(Language::Python));
}

#[test]
fn node_from_nats() {
    println!("{}", on_nats(Language::Node));
}

#[test]
fn node_from_kafka() {
    println!("{}", on_kafka(Language::Node));
}

#[test]
fn go_from_nats() {
    println!("{}", on_nats(Language::Go));
}

#[test]
fn go_from_kafka() {
    println!("{}", on_kafka(Language::Go));
}

#[test]
fn rust_from_nats() {
    println!("{}", on_nats(Language::Rust));
}

#[test]
fn rust_from_kafka() {
    println!("{}", on_kafka(Language::Rust));
}
