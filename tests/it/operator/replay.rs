//! `hookbus replay journal`, and what is true of every replay.

use std::{
    fs,
    process::{Command, Stdio},
    time::Instant,
};

use crate::support::{
    brokers::nats::{NatsServer, Operator},
    harness::{AUDIT, HOOKBUS, POLICY, Setup, sample, tail},
    journal::fill_journal,
    process::Process,
    replay::{LETTERS, assert_fails, assert_says, replay, said},
    wait::{PATIENCE, wait_until},
};

/// From the embedded bus to NATS: what `tail` prints of both is the same, to the byte and in the same order.
#[test]
fn a_journal_moves_to_nats() {
    let gateway = Setup::new("", "").start();
    let mut connection = gateway.connect();
    for number in 0..200 {
        let body = format!(
            r#"{{"id":"evt_{number}","type":"policy.active","n":1.50,"data":{{"object":{{"id":"pl_{}"}}}}}}"#,
            number % 7
        );
        assert_eq!(connection.post(POLICY, body.as_bytes()).status, 200);
    }
    let odd: [&[u8]; 3] =
        [b"\xffnot json", br#"{"event":"brand.new","a":1,"a":2}"#, &sample("audit1/samples/snake/file.failed.json")];
    odd.iter().for_each(|body| assert_eq!(connection.post(AUDIT, body).status, 200));
    assert_says(&gateway.setup, &["quarantine"], &["1 still unreadable"]);
    let before = gateway.tail(203);
    assert_eq!(replay(&gateway.setup, &["journal", "--send"]).0, Some(64), "into itself");
    assert_says(&gateway.setup, &["journal", "--id", "evt_7", "--show"], &["1 event(s)", "\"n\":1.50"]);
    let setup = gateway.stop();

    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    setup.edit("kind = \"journal\"\n", &format!("kind = \"nats\"\n[bus.nats]\nservers = [\"{}\"]\n", server.url()));
    assert_says(&setup, &["journal"], &["203 event(s)", "Nothing was sent"]);
    assert_eq!(operator.count(), 0);
    assert_says(&setup, &["journal", "--type", "com.audit1.>", "--send"], &["3 event(s)"]);
    // All of it into an empty stream: one that has seen those message ids would not take them again.
    fs::remove_file(setup.path().join("hookbus-data/replayed")).unwrap();
    operator.runtime.block_on(operator.context.delete_stream("WEBHOOKS")).unwrap();
    operator.create(Operator::settings());
    assert_says(&setup, &["journal", "--send"], &["203 event(s)"]);
    assert_eq!(operator.count(), 203);
    assert_eq!(tail(setup.path(), &["--from-start", "--count", "203"]), before);
    assert_says(&setup, &["journal", "--send"], &["0 event(s)", "203 sent by an earlier replay"]);
    assert_eq!(operator.count(), 203);
}

/// What was asked for is stored: inside its duplicate window a stream that was purged knows the old message ids.
#[test]
fn what_is_sent_again_is_stored() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    let setup = server.setup("", "");
    fill_journal(&setup, 50);
    assert_says(&setup, &["journal", "--send"], &["50 event(s)"]);
    let before = tail(setup.path(), &["--from-start", "--count", "50"]);
    let purge = || {
        operator.runtime.block_on(async {
            operator.context.get_stream("WEBHOOKS").await.unwrap().purge().await.unwrap();
        })
    };
    for _ in 0..2 {
        purge();
        let text = assert_says(&setup, &["journal", "--send", "--again"], &["50 event(s)"]);
        assert!(!text.contains("had already"), "{text}");
        assert_eq!(operator.count(), 50);
    }
    assert_eq!(tail(setup.path(), &["--from-start", "--count", "50"]), before, "only their message ids are others");
}

/// Interrupted in the middle, with the server gone: it ends by itself, says how far it came, and the same call sends the
/// rest. Nothing is lost, nothing is there twice, and each key keeps its order.
#[test]
fn an_interrupted_replay_goes_on_where_it_ended() {
    const COUNT: usize = 30_000;
    let mut server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    let setup = server.setup("", "publish_timeout = \"2s\"\nack_timeout = \"1s\"");
    fill_journal(&setup, COUNT);
    let mut command = Command::new(HOOKBUS);
    command
        .args(["replay", "journal", "--send"])
        .current_dir(setup.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let process = Process::start(&mut command);
    wait_until("some events", || operator.count() > 1000);
    server.kill();
    process.signal("-INT");
    let began = Instant::now();
    let (code, text) = said(&process.talk(b""));
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("interrupted: not everything was sent") && text.contains("goes on from here"), "{text}");

    server.run();
    let operator = server.operator();
    let stored = usize::try_from(operator.count()).unwrap();
    assert!(stored < COUNT, "{stored} were stored before the interruption, so it came too late to show anything");
    let text = assert_says(&setup, &["journal", "--send"], &["sent by an earlier replay"]);
    let events = operator.read();
    assert_eq!(events.len(), COUNT, "{text}");
    let mut last = vec![None; 500];
    for event in &events {
        let number: usize = event.attribute("id").strip_prefix("evt_").unwrap().parse().unwrap();
        let before = last[number % 500].replace(number);
        assert!(before.is_none_or(|before| before < number), "{before:?} before {number}");
    }
    println!("{stored} of {COUNT} before the interruption; then: {}", text.trim());
}

/// A bar on a terminal, and none in a pipe.
#[test]
fn progress_is_for_terminals() {
    let server = NatsServer::start();
    server.operator().create(Operator::settings());
    let setup = server.setup("", "");
    fill_journal(&setup, 2000);
    let call = format!("{HOOKBUS} replay journal --send");
    let terminal =
        Command::new("script").args(["-qec", &call, "/dev/null"]).current_dir(setup.path()).output().unwrap();
    let (code, text) = said(&terminal);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("/2000 read, ") && text.contains("2000 event(s)"), "{text}");
    let text = assert_says(&setup, &["journal", "--send", "--again"], &["2000 event(s)"]);
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn wrong_words_are_64_and_a_bus_that_is_away_is_1() {
    let server = NatsServer::stopped("");
    let setup = server.setup("", "").with_spool("");
    for arguments in [
        &[][..],
        &["everything"],
        &[LETTERS, "--since", "yesterday"],
        &[LETTERS, "--type", "a..b"],
        &[LETTERS, "--id"],
        &[LETTERS, "--all"],
    ] {
        let (code, text) = replay(&setup, arguments);
        assert_eq!(code, Some(64), "{arguments:?}: {text}");
        assert!(!text.is_empty());
    }
    // No gateway was here: a wrong working directory must not look like a clean one.
    let here = setup.path().canonicalize().unwrap();
    let data = here.join("hookbus-data").display().to_string();
    assert_fails(&setup, &[LETTERS], &[&format!("{data}/dead-letters: there is no such directory")]);
    assert_fails(&setup, &["journal"], &[&format!("{data}: there is no such directory")]);
    assert_fails(&setup, &["quarantine"], &["stream WEBHOOKS"]);
    fill_journal(&setup, 3);
    assert_fails(&setup, &["journal", "--send"], &["bus.nats"]);
    assert_says(&setup, &["journal"], &["3 event(s)"]);

    // The embedded bus belongs to the gateway that runs.
    let gateway = Setup::new("", "").start();
    assert_eq!(gateway.post(AUDIT, b"not json").status, 200);
    assert_says(&gateway.setup, &["quarantine"], &["1 still unreadable"]);
    assert_fails(&gateway.setup, &["quarantine", "--send"], &[&format!("in use by process {}", gateway.pid())]);
}

/// A running replay keeps others out, and a listing is no replay.
#[test]
fn two_replays_at_once_are_one_too_many() {
    let server = NatsServer::stopped("");
    let setup = server.setup("", "");
    fill_journal(&setup, 3);
    let held = fs::File::options().create(true).append(true).open(setup.path().join("hookbus-data/replayed")).unwrap();
    held.lock().unwrap();
    assert_fails(&setup, &["journal", "--send"], &["another replay is at work"]);
    assert_says(&setup, &["journal"], &["3 event(s)"]);
}
