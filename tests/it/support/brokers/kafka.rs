//! An Apache Kafka broker of the tests' own (or three, of one cluster) on free ports in a folder of its own, and what a
//! subscriber or an administrator would do with it.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    message::Headers as _,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use crate::support::{
    brokers::kafka_files::{Part, java, make_certificates, properties},
    harness::{Setup, free_ports},
    process::{self, Process},
    wait::wait_at_most,
};

/// The SCRAM user of every broker, and its password.
pub const USER: (&str, &str) = ("alice", "alice's password");

/// Longest start of a broker.
const START: Duration = Duration::from_secs(90);

/// Catch-alls and quarantines of both vendors, which have the same names whatever the template.
pub const FIXED_TOPICS: [&str; 4] = [
    "webhooks.1099policy.unknown",
    "webhooks.1099policy.quarantine",
    "webhooks.audit1.unknown",
    "webhooks.audit1.quarantine",
];

/// The broker that tests share which do it no harm.
pub fn shared() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(|| {
        let mut broker = Broker::new();
        // What is static is never dropped: the shell removes this folder.
        fs::write(broker.dir.join("shared"), "").unwrap();
        broker.start();
        broker.create(&FIXED_TOPICS);
        broker
    })
}

/// A broker; killed, and its folder removed, when dropped or when the tests end in whatever way.
pub struct Broker {
    dir: PathBuf,
    pub port: u16,
    tls_port: u16,
    keeper: Option<Process>,
}

impl Broker {
    /// Formats the storage; nothing runs yet.
    pub fn new() -> Self {
        Self::with_users(&[])
    }

    /// The same with more users, by name and password.
    pub fn with_users(users: &[(&str, &str)]) -> Self {
        let [controller] = free_ports();
        Self::with_part(&Part { id: 1, voters: &format!("1@127.0.0.1:{controller}"), controller, copies: 1 }, users)
    }

    /// Three running brokers of one cluster, with the ids 1, 2 and 3.
    pub fn cluster() -> [Broker; 3] {
        let controllers: [u16; 3] = free_ports();
        let voters = [0, 1, 2].map(|place| format!("{}@127.0.0.1:{}", place + 1, controllers[place])).join(",");
        let make = |place| Part { id: place + 1, voters: &voters, controller: controllers[place], copies: 3 };
        let mut brokers = thread::scope(|scope| {
            [0, 1, 2]
                .map(|place| scope.spawn(move || Self::with_part(&make(place), &[])))
                .map(|made| made.join().unwrap())
        });
        brokers.iter_mut().for_each(Broker::spawn);
        brokers.iter().for_each(Broker::wait_until_ready);
        brokers
    }

    fn with_part(part: &Part<'_>, users: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap().keep();
        let [port, tls_port] = free_ports();
        make_certificates(&dir);
        fs::write(dir.join("server.properties"), properties(&dir, port, tls_port, part)).unwrap();
        let broker = Broker { dir, port, tls_port, keeper: None };
        let scram: Vec<_> = [USER]
            .iter()
            .chain(users)
            .map(|(user, password)| format!("SCRAM-SHA-512=[name={user},password={password}]"))
            .collect();
        let id = "aG9va2J1cy10ZXN0cy0xMg";
        let format = ["kafka.tools.StorageTool", "format", "-t", id, "-c", "server.properties"];
        let users = scram.iter().flat_map(|scram| ["--add-scram", scram]);
        broker.tool(&format.into_iter().chain(users).collect::<Vec<_>>());
        broker
    }

    /// Changes a property, before the start.
    pub fn set(&self, property: &str, value: &str) {
        let file = self.dir.join("server.properties");
        let text = fs::read_to_string(&file).unwrap();
        let others = text.lines().filter(|line| !line.starts_with(&format!("{property}=")));
        let text: String = others.map(|line| format!("{line}\n")).collect();
        fs::write(&file, format!("{text}{property}={value}\n")).unwrap();
    }

    /// Starts it and waits until it answers. `auto.create.topics.enable` is on, so that a client which asks for a topic
    /// in the wrong way would make it.
    pub fn start(&mut self) {
        self.spawn();
        self.wait_until_ready();
    }

    /// Starts it.
    pub fn spawn(&mut self) {
        let script = "\"$@\" > broker.log 2>&1 & broker=$!; echo $broker > pid.new; mv pid.new pid; \
                      cat > /dev/null; kill -9 $broker 2> /dev/null; wait; [ ! -e shared ] || rm -rf \"$PWD\"";
        let _old = fs::remove_file(self.dir.join("pid"));
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", script, "sh"])
            .args(java(&["-Xms128m", "-Xmx384m"]))
            .args(["kafka.Kafka", "server.properties"]);
        // The shell kills the broker when this pipe closes, which it does however the tests end.
        self.keeper = Some(Process::start(keeper.current_dir(&self.dir).stdin(Stdio::piped())));
    }

    pub fn wait_until_ready(&self) {
        let client: BaseConsumer = self.client().create().unwrap();
        wait_at_most(START, "the broker", || client.fetch_metadata(None, Duration::from_secs(1)).is_ok());
    }

    /// Sends a signal to the broker itself.
    pub fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(self.dir.join("pid")).unwrap();
        process::signal(pid.trim().parse().unwrap(), signal);
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        self.keeper.take().unwrap().close_and_wait();
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address()).set("group.id", "tests").set("enable.auto.commit", "false");
        config
    }

    /// Through TLS and a login, as any client of Kafka would.
    pub fn client_with_login(&self, user: &str, password: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", format!("localhost:{}", self.tls_port))
            .set("security.protocol", "SASL_SSL")
            .set("ssl.ca.location", self.dir.join("ca.pem").display().to_string())
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", user)
            .set("sasl.password", password);
        config
    }

    /// Makes topics of three partitions, and waits until the broker shows them: a gateway that starts before would send
    /// their first events to the catch-all.
    pub fn create(&self, topics: &[&str]) {
        self.create_with(topics, 1, &[]);
    }

    /// The same with so many copies and settings of their own.
    pub fn create_with(&self, topics: &[&str], copies: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.address()).create().unwrap();
        let new = |topic| {
            let topic = NewTopic::new(topic, 3, TopicReplication::Fixed(copies));
            settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        };
        let new: Vec<_> = topics.iter().map(|topic| new(topic)).collect();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for result in runtime.block_on(admin.create_topics(&new, &options)).unwrap() {
            result.unwrap();
        }
        // The controller has them; the broker hears of it a little later.
        wait_at_most(START, "the topics", || {
            let known = self.topics();
            topics.iter().all(|topic| known.iter().any(|known| known == topic))
        });
    }

    /// Changes a topic's settings; those that are not named get their defaults.
    pub fn alter(&self, topic: &str, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.address()).create().unwrap();
        let altered = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let altered = settings.iter().fold(altered, |altered, (key, value)| altered.set(key, value));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(admin.alter_configs([&altered], &AdminOptions::new())).unwrap().remove(0).unwrap();
    }

    pub fn delete(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.address()).create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(admin.delete_topics(&[topic], &options)).unwrap().remove(0).unwrap();
    }

    /// The names of all topics.
    pub fn topics(&self) -> Vec<String> {
        let client: BaseConsumer = self.client().create().unwrap();
        let metadata = client.fetch_metadata(None, Duration::from_secs(20)).unwrap();
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
    }

    /// The broker that leads a topic's first partition.
    pub fn leader(&self, topic: &str) -> i32 {
        let client: BaseConsumer = self.client().create().unwrap();
        let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(20)).unwrap();
        metadata.topics()[0].partitions()[0].leader()
    }

    /// How many records a topic holds now, as far as its leaders say.
    pub fn count(&self, topic: &str) -> i64 {
        let client: BaseConsumer = self.client().create().unwrap();
        let high =
            |partition| client.fetch_watermarks(topic, partition, Duration::from_secs(5)).map_or(0, |(_, high)| high);
        (0..3).map(high).sum()
    }

    /// Every record that a topic holds now, partition by partition.
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let wait = Duration::from_secs(60);
        let metadata = consumer.fetch_metadata(Some(topic), wait).unwrap();
        let mut list = TopicPartitionList::new();
        let mut left = 0;
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), wait).unwrap();
            left += high - low;
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut records = Vec::new();
        let deadline = Instant::now() + wait;
        while (records.len() as i64) < left {
            assert!(Instant::now() < deadline, "{} of {left} records of {topic}", records.len());
            if let Some(record) = consumer.poll(Duration::from_millis(100)) {
                records.push(Record::new(&record.unwrap()));
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Puts one record without headers into each partition, as somebody else's producer may.
    pub fn produce_plain(&self, topic: &str, partitions: i32) {
        let producer: BaseProducer = self.client().create().unwrap();
        for partition in 0..partitions {
            producer
                .send(BaseRecord::<(), _>::to(topic).partition(partition).payload("plain"))
                .map_err(|(error, _)| error)
                .unwrap();
        }
        producer.flush(Duration::from_secs(60)).unwrap();
    }

    /// Whether a consumer group has committed every record of a topic.
    pub fn has_committed_all(&self, group: &str, topic: &str) -> bool {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let wait = Duration::from_secs(20);
        let metadata = consumer.fetch_metadata(Some(topic), wait).unwrap();
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition(topic, partition.id());
        }
        let Ok(committed) = consumer.committed_offsets(list, wait) else { return false };
        committed.elements().iter().all(|place| {
            let (_, high) = consumer.fetch_watermarks(topic, place.partition(), wait).unwrap();
            high == 0 || place.offset() == Offset::Offset(high)
        })
    }

    /// A gateway's folder with this broker as its bus. `bus`: more keys of `[bus]`; `kafka`: more of `[bus.kafka]`.
    pub fn setup(&self, listener: &str, bus: &str, kafka: &str) -> Setup {
        let brokers = format!("brokers = [\"{}\"]", self.address());
        with_bus(Setup::new(listener, ""), bus, &format!("{brokers}\n{kafka}"))
    }

    /// The same through TLS and a login.
    pub fn setup_with_login(&self, bus: &str, password: &str) -> Setup {
        let setup = Setup::new("", "");
        fs::write(setup.path().join("password"), password).unwrap();
        let kafka = format!(
            "brokers = [\"localhost:{}\"]\ntls = {{ ca_file = \"{}/ca.pem\" }}\n\
             sasl = {{ user = \"{}\", password_file = \"password\" }}\n",
            self.tls_port,
            self.dir.display(),
            USER.0
        );
        with_bus(setup, bus, &kafka)
    }

    /// Runs a script of this repository that calls one of Kafka's tools, by way of a variable with the tool's path.
    pub fn script(&self, words: &[&str], variable: &str, tool: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let wrapper = self.dir.join("tool");
        let java: String = java(&["-Xmx256m"]).iter().map(|word| format!("'{word}' ")).collect();
        fs::write(&wrapper, format!("#!/bin/sh\nexec {java}{tool} \"$@\"\n")).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        let output = Command::new(words[0]).args(&words[1..]).env(variable, &wrapper).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    }

    /// Runs one of Kafka's own tools.
    pub fn tool(&self, arguments: &[&str]) {
        let words = java(&["-Xmx256m"]);
        let output = Command::new(&words[0]).args(&words[1..]).args(arguments).current_dir(&self.dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            self.kill();
        }
        let _gone = fs::remove_dir_all(&self.dir);
    }
}

fn with_bus(setup: Setup, bus: &str, kafka: &str) -> Setup {
    let file = setup.path().join("hookbus.toml");
    let text = fs::read_to_string(&file).unwrap();
    let bus = format!("kind = \"kafka\"\n{bus}\n[bus.kafka]\n{kafka}\n");
    // What the bus answers is what the sender gets; with the spool in between, its own test is in charge.
    let direct = text.replacen("[journal]\n", "[journal]\nspool = \"off\"\n", 1);
    fs::write(&file, direct.replacen("kind = \"journal\"\n", &bus, 1)).unwrap();
    setup
}

/// One record, owned.
#[derive(Debug, Clone)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub headers: Vec<(String, String)>,
    pub payload: Vec<u8>,
}

impl Record {
    fn new(record: &rdkafka::message::BorrowedMessage<'_>) -> Self {
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
        Record {
            partition: record.partition(),
            offset: record.offset(),
            key: text(record.key()),
            headers: record
                .headers()
                .into_iter()
                .flat_map(|headers| headers.iter())
                .map(|header| (header.key.to_owned(), text(header.value)))
                .collect(),
            payload: record.payload().unwrap_or_default().to_vec(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// An attribute, in either content mode.
    pub fn attribute(&self, name: &str) -> Option<String> {
        if self.header("content-type") == Some("application/cloudevents+json") {
            return Some(self.json()[name].as_str()?.to_owned());
        }
        self.header(&format!("ce_{name}")).map(str::to_owned)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).unwrap()
    }
}
