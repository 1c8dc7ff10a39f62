//! `hookbus drain`: the spool of a gateway that is gone.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    process::{Command, Stdio},
};

use crate::support::{
    brokers::nats::{NatsServer, Operator},
    harness::{HOOKBUS, POLICY, Setup},
    journal::{fill_journal, fill_spool},
    process::Process,
    replay::said,
};

fn drain(setup: &Setup) -> (Option<i32>, String) {
    said(&setup.run(&["drain"]))
}

fn begin(setup: &Setup) -> Process {
    let mut command = Command::new(HOOKBUS);
    Process::start(command.arg("drain").current_dir(setup.path()).stdout(Stdio::piped()).stderr(Stdio::piped()))
}

fn wait_for(log: &mut impl Iterator<Item = io::Result<String>>, text: &str) {
    let mut said = Vec::new();
    for line in log {
        said.push(line.unwrap());
        if said.last().is_some_and(|line| line.contains(text)) {
            return;
        }
    }
    panic!("it ended without \"{text}\": {said:#?}");
}

/// It waits for a bus that is away, also where the configuration has no spool any more, and says what it has sent.
#[test]
fn a_spool_is_drained_to_its_end_without_a_gateway() {
    const COUNT: usize = 3_000;
    let mut server = NatsServer::stopped("");
    let setup = server.setup("", "publish_timeout = \"1s\"\nack_timeout = \"500ms\"");
    fill_spool(&setup, COUNT, 0);

    // Stopped before it could send anything: the next one goes on.
    let mut stopped = begin(&setup);
    let mut log = BufReader::new(stopped.stderr()).lines();
    wait_for(&mut log, "journal open");
    stopped.signal("-TERM");
    assert_eq!(stopped.wait().code(), Some(1));
    wait_for(&mut log, "3000 event(s) are left; the same call goes on from here");

    let waiting = begin(&setup);
    server.run();
    let operator = server.operator();
    operator.create(Operator::settings());
    let output = waiting.talk(b"");
    assert!(output.status.success(), "{:?}", output.status);
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.contains("3000 event(s) sent on; ") && output.contains("holds no event any more"), "{output}");
    assert_eq!(operator.count() as usize, COUNT);
    let (code, text) = drain(&setup);
    assert!(code == Some(0) && text.contains("0 event(s) sent on"), "{text}");
}

/// A volume with dead letters is not empty.
#[test]
fn dead_letters_are_left_and_said() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(async_nats::jetstream::stream::Config { max_message_size: 10_000, ..Operator::settings() });
    let gateway = server.setup("", "").with_spool("").start();
    let body = format!(r#"{{"id":"evt_1","type":"policy.active","data":{{"x":"{}"}}}}"#, "x".repeat(20_000));
    assert_eq!(gateway.post(POLICY, body.as_bytes()).status, 200);
    assert_eq!(gateway.metric("dead_letters"), 1.0);
    let (code, text) = drain(&gateway.setup);
    assert!(code == Some(1) && text.contains("in use by process"), "beside a gateway: {text}");

    let setup = gateway.stop();
    let (code, text) = drain(&setup);
    assert!(code == Some(1) && text.contains("1 dead letter(s) are left"), "{text}");
    let stream = async_nats::jetstream::stream::Config { max_message_size: -1, ..Operator::settings() };
    operator.runtime.block_on(operator.context.update_stream(&stream)).unwrap();
    assert_eq!(said(&setup.run(&["replay", "dead-letters", "--send"])).0, Some(0));
    let (code, text) = drain(&setup);
    assert!(code == Some(0) && text.contains("holds no event any more"), "{text}");
    assert_eq!(operator.count(), 1);
}

#[test]
fn what_is_no_spool_is_refused() {
    let (code, text) = drain(&Setup::new("", ""));
    assert!(code == Some(64) && text.contains("its journal is the bus"), "{text}");
    let server = NatsServer::stopped("");
    let (code, text) = drain(&server.setup("", ""));
    assert!(code == Some(1) && text.contains("there is no such directory"), "{text}");
    // Nor is the embedded bus of an earlier configuration, whose events nothing would send.
    let setup = server.setup("", "");
    fill_journal(&setup, 7);
    let (code, text) = drain(&setup);
    assert!(code == Some(1) && text.contains("holds events of the embedded bus"), "{text}");
    fs::remove_dir_all(setup.path().join("hookbus-data")).unwrap();
    fs::create_dir(setup.path().join("hookbus-data")).unwrap();
    let (code, text) = drain(&setup);
    assert!(code == Some(1) && text.contains("holds no spool"), "{text}");
}

/// What is missing from a spool is no empty one.
#[test]
fn a_spool_with_a_hole_is_not_empty() {
    let server = NatsServer::start();
    server.operator().create(Operator::settings());
    let setup = server.setup("", "");
    fill_spool(&setup, 2_000, 20_000);
    let spool = setup.path().join("hookbus-data/spool");
    let segments = fs::read_dir(&spool).unwrap().map(|file| file.unwrap().path());
    let mut segments: Vec<_> = segments.filter(|file| file.metadata().unwrap().len() > 1 << 20).collect();
    segments.sort();
    fs::remove_file(&segments[1]).unwrap();
    let (code, text) = drain(&setup);
    assert!(code == Some(1) && text.contains("are missing from"), "{text}");
}
