//! `hookbus provision` before an upgrade: a broker that is away stops nothing, a contradiction does.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
    thread,
};

use crate::support::{
    brokers::{
        kafka::{USER, shared},
        kafka_files::make_certificates,
        nats::{NatsServer, tls_with},
    },
    harness::{HOOKBUS, Setup},
    process::Process,
    replay::said,
};

const LOUD: &str = "NOTHING WAS MADE OR CHECKED";

#[test]
fn a_broker_that_is_away_is_said_and_waited_for() {
    let mut server = NatsServer::stopped("");
    let setup = server.setup("", "provision.replicas = 1");
    let run = |arguments: &[&str]| said(&setup.run(&[&["provision"], arguments].concat()));
    let (code, text) = run(&[]);
    assert!(code == Some(1) && !text.contains(LOUD), "{text}");
    let (code, text) = run(&["--if-reachable"]);
    assert!(code == Some(0) && text.contains(LOUD), "{text}");
    assert_eq!(run(&["--if-reachable", "--check"]).0, Some(64), "a check that checks nothing");

    let mut command = Command::new(HOOKBUS);
    command.args(["provision", "--wait", "2m"]).current_dir(setup.path()).stderr(Stdio::piped());
    let waiting = Process::start(&mut command);
    server.run();
    let output = waiting.talk(b"");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(run(&["--check"]).0, Some(0), "it has made the stream");
}

#[test]
fn a_broker_that_refuses_is_not_away() {
    let mut server = NatsServer::stopped("");
    server.configure("authorization { users: [{ user: someone, password: else }] }");
    server.run();
    let setup = server.setup("", "user = \"gateway\"\npassword_file = \"secrets/nats\"");
    fs::write(setup.path().join("secrets/nats"), "wrong").unwrap();
    let (code, text) = said(&setup.run(&["provision", "--if-reachable", "--wait", "10m"]));
    assert!(code == Some(1) && !text.contains(LOUD), "{text}");
}

/// Two of three servers are down: the third takes connections and cannot say what streams there are.
#[test]
fn a_cluster_without_a_leader_is_away() {
    let [first, mut second, mut third] = NatsServer::cluster();
    let setup = first.setup("", "provision.replicas = 1");
    let run = |arguments: &[&str]| said(&setup.run(&[&["provision"], arguments].concat()));
    second.kill();
    third.kill();
    let (code, text) = run(&["--if-reachable"]);
    assert!(code == Some(0) && text.contains(LOUD), "{text}");
    let (code, text) = run(&[]);
    assert!(code == Some(1) && !text.contains(LOUD), "{text}");
    second.spawn();
    third.spawn();
    // An attempt that was answered "not now" may have made it.
    let (code, text) = run(&["--wait", "2m"]);
    assert!(code == Some(0), "{text}");
    assert_eq!(run(&["--check"]).0, Some(0), "the stream is there");
}

/// Each is what a mistake in the Secret or in the configuration looks like, which waiting does not mend.
#[test]
fn a_failed_handshake_is_not_away() {
    let (server, _) = NatsServer::with_tls();
    let dir = server.path().display().to_string();
    let keys = |authority: &str| {
        format!(
            "servers = [\"tls://localhost:{}\"]\nrequire_tls = true\nca_file = \"{dir}/{authority}.pem\"\n\
             certificate_file = \"{dir}/client.pem\"\nkey_file = \"{dir}/client.key\"\nprovision.replicas = 1",
            server.port
        )
    };
    let run = |keys: &str| said(&server.setup("", keys).run(&["provision", "--if-reachable", "--wait", "10m"]));
    let refused = |keys: &str, cause: &str| {
        let (code, text) = run(keys);
        assert!(code == Some(1) && !text.contains(LOUD) && text.contains(cause), "{cause}: {text}");
    };
    assert_eq!(run(&keys("ca")).0, Some(0), "what follows differs in one thing");
    refused(&keys("other"), "UnknownIssuer");
    let without: String =
        keys("ca").lines().filter(|line| !line.contains("client.")).map(|line| format!("{line}\n")).collect();
    refused(&without, "alert");
    server.configure(&tls_with("stranger"));
    server.reload();
    refused(&keys("ca"), "not valid for name");
}

/// As [`a_failed_handshake_is_not_away`], and a login that is refused.
#[test]
fn kafka_that_refuses_is_not_away() {
    let broker = shared();
    let run = |change: &dyn Fn(&Setup), password: &str| {
        let setup = broker.setup_with_login("", password);
        change(&setup);
        said(&setup.run(&["provision", "--print", "--if-reachable", "--wait", "10m"]))
    };
    let refused = |change: &dyn Fn(&Setup), password: &str, cause: &str| {
        let (code, text) = run(change, password);
        assert!(code == Some(1) && !text.contains(LOUD) && text.contains(cause), "{cause}: {text}");
        assert!(!text.contains("wrong password"), "{text}");
    };
    assert_eq!(run(&|_| {}, USER.1).0, Some(0), "what follows differs in one thing");
    refused(&|_| {}, "a wrong password", "uthentication failed");
    // Its certificate is of the name localhost.
    refused(&|setup| setup.edit("localhost", "127.0.0.1"), USER.1, "certificate verify failed");
    let other = |setup: &Setup| {
        make_certificates(setup.path());
        let text = fs::read_to_string(setup.path().join("hookbus.toml")).unwrap();
        let authority = text.split('"').find(|word| word.ends_with("/ca.pem")).unwrap();
        setup.edit(authority, "ca.pem");
    };
    refused(&other, USER.1, "certificate verify failed");
}

/// A balancer that takes the connection with no broker behind it.
#[test]
fn a_connection_that_is_closed_at_once_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(drop));
    for tls in ["", "tls = {}\n"] {
        let setup = Setup::new("", &format!("[bus.kafka]\nbrokers = [\"127.0.0.1:{port}\"]\n{tls}"));
        setup.edit("kind = \"journal\"", "kind = \"kafka\"");
        let (code, text) = said(&setup.run(&["provision", "--if-reachable"]));
        assert!(code == Some(0) && text.contains(LOUD), "{tls}{text}");
    }
    for keys in ["", "\nrequire_tls = true"] {
        let server = NatsServer::stopped("");
        let keys = format!("servers = [\"nats://127.0.0.1:{port}\"]{keys}");
        let (code, text) = said(&server.setup("", &keys).run(&["provision", "--if-reachable"]));
        assert!(code == Some(0) && text.contains(LOUD), "{keys}{text}");
    }
}

#[test]
fn kafka_that_is_away_stops_no_upgrade() {
    let setup = Setup::new("", "[bus.kafka]\nbrokers = [\"127.0.0.1:1\"]\n");
    setup.edit("kind = \"journal\"", "kind = \"kafka\"");
    let (code, text) = said(&setup.run(&["provision"]));
    assert!(code == Some(1) && !text.contains(LOUD), "{text}");
    let (code, text) = said(&setup.run(&["provision", "--if-reachable"]));
    assert!(code == Some(0) && text.contains(LOUD), "{text}");
}
