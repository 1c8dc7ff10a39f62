//! The real brokers: a nats-server and an Apache Kafka of one node, each in a folder of its own on free ports.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use async_nats::jetstream;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
};
use tokio::runtime::{Builder, Runtime};

use crate::process::Kept;

/// Longest wait for a broker, or for what is to reach it: a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// A nats-server with JetStream on disk.
pub struct NatsServer {
    directory: PathBuf,
    port: u16,
    process: Option<Kept>,
}

impl NatsServer {
    pub fn start(directory: PathBuf) -> Self {
        fs::create_dir(&directory).expect("a folder");
        let [port] = free_ports();
        // As it comes, but for the folder: `hookbus_bus_durability_info` says what its acknowledgement is worth.
        let text = format!("listen: 127.0.0.1:{port}\njetstream {{ store_dir: \"{}\" }}\n", directory.display());
        fs::write(directory.join("nats.conf"), text).expect("a file");
        let mut server = NatsServer { directory, port, process: None };
        server.run();
        server
    }

    /// Starts it again, with what it has stored.
    pub fn run(&mut self) {
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/nats-server");
        assert!(binary.is_file(), "nats-server is not there: run `make tools`");
        let log = fs::File::create(self.directory.join("log")).expect("a log");
        let words = [binary.to_str().expect("a path in UTF-8"), "-c", "nats.conf"];
        self.process = Some(Kept::start(&words, &self.directory, log.into()));
        wait_until("nats-server", || runtime().block_on(async_nats::connect(self.url())).is_ok());
    }

    pub fn stop(&mut self) {
        self.process = None;
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running server").pid
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Messages that a stream holds.
    pub fn stored(&self, stream: &str) -> u64 {
        runtime().block_on(async {
            let client = async_nats::connect(self.url()).await.expect("a connection");
            let stream = jetstream::new(client).get_stream(stream).await.expect("a stream");
            stream.cached_info().state.messages
        })
    }

    pub fn version() -> String {
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/nats-server");
        let output = Command::new(binary).arg("--version").output().expect("nats-server");
        String::from_utf8_lossy(&output.stdout).trim().replace(": v", " ")
    }
}

/// An Apache Kafka broker that is its own controller.
pub struct KafkaBroker {
    port: u16,
    process: Kept,
}

impl KafkaBroker {
    pub fn start(directory: &Path) -> Self {
        fs::create_dir(directory).expect("a folder");
        let [port, controller] = free_ports();
        let properties = format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
",
            directory.display()
        );
        fs::write(directory.join("server.properties"), properties).expect("a file");
        let id = "aG9va2J1cy1iZW5jaC0xMg";
        let format = java(&["kafka.tools.StorageTool", "format", "-t", id, "-c", "server.properties"]);
        let output =
            Command::new(&format[0]).args(&format[1..]).current_dir(directory).output().expect("java is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let log = fs::File::create(directory.join("log")).expect("a log");
        let words = java(&["kafka.Kafka", "server.properties"]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let broker = KafkaBroker { port, process: Kept::start(&words, directory, Stdio::from(log)) };
        wait_until("Kafka", || broker.client().fetch_metadata(None, Duration::from_secs(1)).is_ok());
        broker
    }

    pub fn pid(&self) -> u32 {
        self.process.pid
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Makes a topic of as many partitions as `hookbus provision` makes.
    pub fn create(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.address()).create().expect("a client");
        let new = NewTopic::new(topic, 3, TopicReplication::Fixed(1));
        let made = runtime().block_on(admin.create_topics(&[new], &AdminOptions::new())).expect("an answer");
        made.into_iter().for_each(|made| drop(made.expect("a topic")));
    }

    /// Records that a topic holds.
    pub fn stored(&self, topic: &str) -> u64 {
        let client = self.client();
        let metadata = client.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
        let partitions = metadata.topics()[0].partitions().iter().map(rdkafka::metadata::MetadataPartition::id);
        let length = |partition| {
            let (low, high) = client.fetch_watermarks(topic, partition, PATIENCE).expect("watermarks");
            (high - low).cast_unsigned()
        };
        partitions.map(length).sum()
    }

    fn client(&self) -> BaseConsumer {
        ClientConfig::new().set("bootstrap.servers", self.address()).create().expect("a client")
    }

    /// From the name of its main library.
    pub fn version() -> String {
        let names = fs::read_dir(kafka_libraries()).expect("Kafka's libraries");
        let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let version = |name: String| Some(name.strip_prefix("kafka-clients-")?.strip_suffix(".jar")?.to_owned());
        format!("Apache Kafka {}", names.filter_map(version).next().expect("Kafka's client library"))
    }
}

fn kafka_libraries() -> PathBuf {
    let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/kafka/lib");
    assert!(libraries.is_dir(), "Apache Kafka is not there: run `make tools`");
    libraries
}

fn java(arguments: &[&str]) -> Vec<String> {
    let classes = format!("{}/*", kafka_libraries().display());
    let options = ["java", "-Xms512m", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", &classes];
    options.into_iter().chain(arguments.iter().copied()).map(str::to_owned).collect()
}

pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what} took longer than {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    // Held together, so that they differ.
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
