//! hookbus as an operator runs it: the release binary, a configuration file, its log read through a pipe.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use crate::{
    brokers::{KafkaBroker, NatsServer},
    events::{PATH, SECRET},
    process::Kept,
};

/// The binary under measure.
pub const BINARY: &str = env!("CARGO_BIN_EXE_hookbus");

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
        Setup::new(directory, "kind = \"journal\"")
    }

    /// On a stream of that server, which is made here.
    pub fn on_nats(directory: PathBuf, server: &NatsServer) -> Self {
        let bus = format!("kind = \"nats\"\n[bus.nats]\nservers = [\"{}\"]", server.url());
        Setup::new(directory, &format!("{bus}\n[bus.nats.provision]\nreplicas = 1")).provision()
    }

    /// On topics of that broker, which are made here.
    pub fn on_kafka(directory: PathBuf, broker: &KafkaBroker) -> Self {
        let bus = format!("kind = \"kafka\"\n[bus.kafka]\nbrokers = [\"{}\"]", broker.address());
        Setup::new(directory, &format!("{bus}\n[bus.kafka.provision]\nreplication = 1\nmin_insync = 1")).provision()
    }

    /// `bus`: the keys of `[bus]`, and its tables. Everything else is as it comes.
    fn new(directory: PathBuf, bus: &str) -> Self {
        fs::create_dir(&directory).expect("a folder");
        fs::write(directory.join("secret"), SECRET).expect("a secret");
        let text = format!(
            "[listener]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[bus]\n{bus}\n[[sources]]\n\
             name = \"acme\"\nvendor = \"1099policy\"\npath = \"{PATH}\"\nsecret_files = [\"secret\"]\n"
        );
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
