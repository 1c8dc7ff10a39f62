//! A real nats-server in a folder of its own, on ports of its own, and a gateway that publishes to it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use async_nats::jetstream::{self, stream};
use futures_util::StreamExt as _;
use tokio::runtime::Runtime;

use crate::support::{
    harness::{Setup, free_ports},
    process::{Process, log_file},
    wait::wait_until,
};

/// A server; killed when dropped.
pub struct NatsServer {
    // Before its folder goes.
    process: Option<Process>,
    dir: tempfile::TempDir,
    pub port: u16,
    monitor: u16,
}

impl NatsServer {
    /// A running server without users, with JetStream on disk.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// `more`: further configuration, such as users or TLS; `$DIR` stands for the server's folder.
    pub fn start_with(more: &str) -> Self {
        let mut server = Self::stopped(more);
        server.run();
        server
    }

    /// A server that does not run yet.
    pub fn stopped(more: &str) -> Self {
        let [port, monitor] = free_ports();
        let server = NatsServer { dir: tempfile::tempdir().unwrap(), process: None, port, monitor };
        server.configure(more);
        server
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the configuration file anew.
    pub fn configure(&self, more: &str) {
        let dir = self.path().display().to_string();
        let text = format!(
            "listen: 127.0.0.1:{}\nhttp: 127.0.0.1:{}\njetstream {{ store_dir: \"{dir}/data\" }}\n{}\n",
            self.port,
            self.monitor,
            more.replace("$DIR", &dir)
        );
        fs::write(self.path().join("nats.conf"), text).unwrap();
    }

    /// Starts it and waits until it is well.
    pub fn run(&mut self) {
        self.spawn();
        wait_until("nats-server", || self.is_well());
    }

    /// Starts it.
    pub fn spawn(&mut self) {
        let binary = PathBuf::from("target/tools/bin/nats-server");
        let mut command = Command::new(binary);
        command.arg("-c").arg(self.path().join("nats.conf"));
        self.process = Some(Process::start(command.stdout(Stdio::null()).stderr(log_file(&self.path().join("log")))));
    }

    /// Three servers of one cluster, all well, named n0, n1 and n2.
    pub fn cluster() -> [NatsServer; 3] {
        let ports: [u16; 3] = free_ports();
        let routes = ports.map(|port| format!("nats://127.0.0.1:{port}")).join(", ");
        let mut servers = [0, 1, 2].map(|number| {
            let listen = ports[number];
            Self::stopped(&format!(
                "server_name: n{number}\ncluster {{ name: C, listen: 127.0.0.1:{listen}, routes: [{routes}] }}"
            ))
        });
        servers.iter_mut().for_each(NatsServer::spawn);
        servers.iter().for_each(|server| wait_until("the cluster", || server.is_well()));
        servers
    }

    /// A server that wants certificates, with its authority in `ca.pem`, another in `other.pem`, a certificate of
    /// another name in `stranger.pem`, and a stream.
    pub fn with_tls() -> (Self, Operator) {
        let mut server = Self::stopped("");
        let script = r#"set -e
for name in ca other; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=$name -keyout $name.key -out $name.pem
done
for name in server client stranger; do
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$name -keyout $name.key -out $name.csr
  if [ $name = stranger ]; then names=DNS:elsewhere; else names=DNS:localhost,IP:127.0.0.1; fi
  printf "subjectAltName=$names\nextendedKeyUsage=serverAuth,clientAuth\n" > ext
  openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $name.pem
done"#;
        let made = Command::new("bash").args(["-c", script]).current_dir(server.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.configure(&tls_with("server"));
        server.run();
        let at = |name: &str| server.path().join(name);
        let options = async_nats::ConnectOptions::new()
            .add_root_certificates(at("ca.pem"))
            .add_client_certificate(at("client.pem"), at("client.key"));
        let operator = server.operator_with(options);
        operator.create(Operator::settings());
        (server, operator)
    }

    pub fn is_well(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.monitor)) else { return false };
        let mut answer = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
        stream.read_to_string(&mut answer).is_ok() && answer.contains("200 OK")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        self.process.as_ref().unwrap().signal(signal);
    }

    /// Reads the configuration file again.
    pub fn reload(&self) {
        let reloads = || self.log().matches("Reloaded server").count();
        let before = reloads();
        self.signal("-HUP");
        wait_until("the reload", || before < reloads());
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap()
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A gateway's folder that publishes here. `bus`: keys of `[bus]`; `nats`: keys of `[bus.nats]`.
    pub fn setup(&self, bus: &str, nats: &str) -> Setup {
        let servers =
            if nats.contains("servers") { String::new() } else { format!("servers = [\"{}\"]\n", self.url()) };
        let setup = Setup::new("", "");
        let file = setup.path().join("hookbus.toml");
        let text = fs::read_to_string(&file).unwrap();
        let keys = format!("kind = \"nats\"\n{bus}\n[bus.nats]\n{servers}{nats}\n");
        // What the bus answers is what the sender gets; the spool has its own tests.
        let direct = text.replace("[journal]\n", "[journal]\nspool = \"off\"\n");
        fs::write(&file, direct.replace("kind = \"journal\"\n", &keys)).unwrap();
        setup
    }

    /// An operator's connection.
    pub fn operator(&self) -> Operator {
        self.operator_with(async_nats::ConnectOptions::new())
    }

    pub fn operator_with(&self, options: async_nats::ConnectOptions) -> Operator {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let context = runtime.block_on(async { jetstream::new(options.connect(self.url()).await.unwrap()) });
        Operator { context, runtime }
    }
}

/// Configuration of a server that wants certificates and shows this one.
pub fn tls_with(certificate: &str) -> String {
    format!(
        "tls {{ cert_file: \"$DIR/{certificate}.pem\", key_file: \"$DIR/{certificate}.key\", ca_file: \"$DIR/ca.pem\", verify: true }}"
    )
}

/// A message as the stream has it.
#[derive(Debug)]
pub struct Stored {
    pub subject: String,
    /// Sorted.
    pub headers: Vec<(String, String)>,
    pub payload: Vec<u8>,
}

impl Stored {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map_or_else(|| panic!("no {name} in {:?}", self.headers), |(_, value)| value)
    }

    /// An attribute, in either content mode.
    pub fn attribute(&self, name: &str) -> String {
        if self.headers.iter().any(|(found, _)| found == "content-type") {
            let json: serde_json::Value = serde_json::from_slice(&self.payload).unwrap();
            return json[name].as_str().unwrap_or_else(|| panic!("no {name} in {json}")).to_owned();
        }
        self.header(&format!("ce-{name}")).to_owned()
    }
}

/// Makes streams and reads them with the bare client.
pub struct Operator {
    pub runtime: Runtime,
    pub context: jetstream::Context,
}

impl Operator {
    /// The settings of a good stream, but for its one replica.
    pub fn settings() -> stream::Config {
        stream::Config {
            name: "WEBHOOKS".into(),
            subjects: vec!["webhooks.>".into()],
            discard: stream::DiscardPolicy::New,
            duplicate_window: Duration::from_hours(12),
            ..stream::Config::default()
        }
    }

    pub fn create(&self, settings: stream::Config) {
        self.runtime.block_on(self.context.create_stream(settings)).unwrap();
    }

    /// The same in a young cluster, whose servers are well before they know of each other.
    pub fn create_replicated(&self, settings: &stream::Config) {
        wait_until("the stream", || self.runtime.block_on(self.context.create_stream(settings)).is_ok());
    }

    /// The number of the stream's leader in a cluster.
    pub fn leader(&self) -> usize {
        let leader = self.runtime.block_on(async {
            let stream = self.context.get_stream("WEBHOOKS").await.unwrap();
            stream.cached_info().cluster.clone().and_then(|cluster| cluster.leader)
        });
        leader.unwrap().strip_prefix('n').unwrap().parse().unwrap()
    }

    /// Messages in the stream.
    pub fn count(&self) -> u64 {
        self.runtime.block_on(async { self.context.get_stream("WEBHOOKS").await.unwrap().cached_info().state.messages })
    }

    /// Removes all messages before this one.
    pub fn purge_up_to(&self, sequence: u64) {
        let purge = async { self.context.get_stream("WEBHOOKS").await.unwrap().purge().sequence(sequence).await };
        self.runtime.block_on(purge).unwrap();
    }

    /// Removes all messages.
    pub fn purge(&self) {
        self.runtime.block_on(async { self.context.get_stream("WEBHOOKS").await.unwrap().purge().await }).unwrap();
    }

    /// All messages in the stream, in order.
    pub fn read(&self) -> Vec<Stored> {
        let mut read = None;
        // A cluster that has lost a server refuses for a while.
        wait_until("the stream's messages", || {
            read = self.runtime.block_on(self.try_read()).ok();
            read.is_some()
        });
        read.unwrap()
    }

    async fn try_read(&self) -> Result<Vec<Stored>, async_nats::Error> {
        let stream = self.context.get_stream("WEBHOOKS").await?;
        let count = usize::try_from(stream.cached_info().state.messages)?;
        let consumer = stream.create_consumer(jetstream::consumer::pull::OrderedConfig::default()).await?;
        let messages = consumer.messages().await?.take(count).collect::<Vec<_>>().await;
        messages.into_iter().map(|message| Ok(Stored::of(message?.message))).collect()
    }
}

impl Stored {
    fn of(message: async_nats::Message) -> Self {
        let headers = message.headers.unwrap_or_default();
        let mut headers: Vec<_> =
            headers.iter().map(|(name, values)| (name.to_string(), values[0].as_str().to_owned())).collect();
        headers.sort();
        Stored { subject: message.subject.to_string(), headers, payload: message.payload.to_vec() }
    }
}

/// An administrator, and the gateway with the permissions that it needs.
pub const USERS: &str = r#"authorization { users: [
  { user: admin, password: admin-pw }
  { user: gateway, password: gateway-pw, permissions: {
    publish: { allow: ["webhooks.>", "$JS.API.STREAM.INFO.WEBHOOKS"] }, subscribe: { allow: ["_INBOX.>"] } } } ] }"#;

/// A gateway that logs in as such.
pub fn with_login(server: &NatsServer, password: &str) -> Setup {
    let setup = server.setup("", "user = \"gateway\"\npassword_file = \"secrets/nats\"");
    fs::write(setup.path().join("secrets/nats"), format!("{password}\n")).unwrap();
    setup
}

/// The event of a number.
pub fn event(number: usize) -> Vec<u8> {
    format!(r#"{{"id":"evt_{number}","type":"policy.active","data":{{"object":{{"id":"pl_1","n":1.50}}}}}}"#).into()
}
