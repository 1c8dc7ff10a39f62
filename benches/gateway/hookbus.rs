//! hookbus as an operator runs it: the release binary, a configuration file, its log read through a pipe.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use crate::{
    brokers::{KafkaBroker, NatsServer},
    events::{SECRET, path},
    process::Kept,
};

/// The binary under measure.
pub const BINARY: &str = env!("CARGO_BIN_EXE_hookbus");

/// What a configuration has beside its bus.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Number of its sources.
    pub sources: usize,
    /// `bus.subject`, if it is not the default.
    pub subject: Option<&'static str>,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { sources: 1, subject: None }
    }
}

/// A folder with a configuration.
pub struct Setup {
    directory: PathBuf,
}

/// A running gateway.
pub struct Gateway {
    process: Kept,
    pub address: SocketAddr,
    admin: SocketAddr,
}

impl Setup {
    /// On the embedded bus.
    pub fn on_journal(directory: PathBuf) -> Self {
        Setup::on_journal_as(directory, Shape::default())
    }

    /// On a stream of that server, which is made here.
    pub fn on_nats(directory: PathBuf, server: &NatsServer) -> Self {
        Setup::on_nats_as(directory, server, Shape::default())
    }

    /// On topics of that broker, which are made here.
    pub fn on_kafka(directory: PathBuf, broker: &KafkaBroker) -> Self {
        Setup::on_kafka_as(directory, broker, Shape::default())
    }

    /// The same in another shape.
    pub fn on_journal_as(directory: PathBuf, shape: Shape) -> Self {
        Setup::new(directory, "journal", "", shape)
    }

    /// The same in another shape.
    pub fn on_nats_as(directory: PathBuf, server: &NatsServer, shape: Shape) -> Self {
        let tables = format!("[bus.nats]\nservers = [\"{}\"]\n[bus.nats.provision]\nreplicas = 1\n", server.url());
        Setup::new(directory, "nats", &tables, shape).provision()
    }

    /// The same in another shape.
    pub fn on_kafka_as(directory: PathBuf, broker: &KafkaBroker, shape: Shape) -> Self {
        let tables = format!("[bus.kafka]\nbrokers = [\"{}\"]\n[bus.kafka.provision]\n", broker.address());
        Setup::new(directory, "kafka", &format!("{tables}replication = 1\nmin_insync = 1\n"), shape).provision()
    }

    /// `tables`: those below `[bus]`. Everything that is not said is as it comes.
    fn new(directory: PathBuf, kind: &str, tables: &str, shape: Shape) -> Self {
        fs::create_dir(&directory).expect("a folder");
        fs::write(directory.join("secret"), SECRET).expect("a secret");
        let mut text = "[listener]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n".to_owned();
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "[bus]\nkind = \"{kind}\"");
        if let Some(subject) = shape.subject {
            let _infallible = writeln!(text, "subject = \"{subject}\"");
        }
        text.push_str(tables);
        for number in 0..shape.sources {
            let (name, path) = (source(number), path(number));
            let _infallible = writeln!(
                text,
                "[[sources]]\nname = \"{name}\"\nvendor = \"1099policy\"\npath = \"{path}\"\nsecret_files = [\"secret\"]"
            );
        }
        fs::write(directory.join("hookbus.toml"), text).expect("a configuration");
        Setup { directory }
    }

    fn provision(self) -> Self {
        let output = Command::new(BINARY).arg("provision").current_dir(&self.directory).output().expect("hookbus");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self
    }

    /// Starts it and waits until it serves.
    pub fn start(self) -> Gateway {
        self.start_as(&[BINARY, "serve"])
    }

    /// The same with another command line.
    pub fn start_as(self, words: &[&str]) -> Gateway {
        let mut process = Kept::start(words, &self.directory, Stdio::piped());
        let mut log = BufReader::with_capacity(64 * 1024, process.stderr());
        let mut line = String::new();
        while !line.contains("\"serving\"") {
            line.clear();
            assert!(log.read_line(&mut line).expect("a log") > 0, "hookbus has not started");
        }
        // Whoever reads the log of a container takes it off the pipe as it comes.
        thread::spawn(move || {
            while let Ok(length @ 1..) = log.fill_buf().map(<[u8]>::len) {
                log.consume(length);
            }
        });
        let serving: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let address = |key: &str| serving[key].as_str().and_then(|text| text.parse().ok()).expect("an address");
        Gateway { address: address("address"), admin: address("admin_address"), process }
    }
}

/// The name of a source by its number.
pub fn source(number: usize) -> String {
    if number == 0 { "acme".into() } else { format!("s{number:03}") }
}

impl Gateway {
    pub fn pid(&self) -> u32 {
        self.process.pid
    }

    /// A metric without labels.
    pub fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.admin).expect("the admin listener");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: hookbus\r\nconnection: close\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {answer}"))
    }
}
