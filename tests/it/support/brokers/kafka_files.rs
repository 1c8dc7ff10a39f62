//! What an Apache Kafka broker of the tests is made of: its properties, its certificates, the words of its command.

use std::{path::Path, process::Command};

/// One broker's part in its cluster.
pub struct Part<'a> {
    pub id: usize,
    /// `id@address` of each controller.
    pub voters: &'a str,
    pub controller: u16,
    /// Copies of the cluster's own topics.
    pub copies: usize,
}

/// `auto.create.topics.enable` is on, so that a client which asks for a topic in the wrong way would make it.
pub fn properties(dir: &Path, port: u16, tls_port: u16, part: &Part<'_>) -> String {
    let Part { id, voters, controller, copies } = part;
    let path = dir.display();
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{tls_port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://localhost:{tls_port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.keystore.location={path}/keystore.pem
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
log.dirs={path}/data
auto.create.topics.enable=true
num.partitions=3
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=1
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.segment.bytes=16777216
log.cleaner.dedupe.buffer.size=2097152
num.network.threads=2
num.io.threads=2
background.threads=2
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2500
controller.quorum.election.timeout.ms=1000
controller.quorum.fetch.timeout.ms=2000
"
    )
}

/// The words of a command of Kafka's, which begins with its main class.
pub fn java(options: &[&str]) -> Vec<String> {
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/kafka/lib");
    assert!(lib.is_dir(), "Apache Kafka is not there: run `make tools`");
    let mut words = vec!["java".to_owned()];
    words.extend(options.iter().map(|&option| option.to_owned()));
    words.extend(
        ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"]
            .map(str::to_owned),
    );
    words.push(format!("{}/*", lib.display()));
    words
}

/// An authority, and a certificate for `localhost`.
pub fn make_certificates(dir: &Path) {
    let script = r#"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=test-ca -keyout ca.key -out ca.pem \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr
printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' > ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out server.pem
cat server.key server.pem ca.pem > keystore.pem
"#;
    let output = Command::new("sh").args(["-ec", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
