//! `hookbus provision` before an upgrade: a broker that is away stops nothing, a contradiction does.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::support::{
    brokers::nats::NatsServer,
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

#[test]
fn kafka_that_is_away_stops_no_upgrade() {
    let setup = Setup::new("", "[bus.kafka]\nbrokers = [\"127.0.0.1:1\"]\n");
    setup.edit("kind = \"journal\"", "kind = \"kafka\"");
    let (code, text) = said(&setup.run(&["provision"]));
    assert!(code == Some(1) && !text.contains(LOUD), "{text}");
    let (code, text) = said(&setup.run(&["provision", "--if-reachable"]));
    assert!(code == Some(0) && text.contains(LOUD), "{text}");
}
