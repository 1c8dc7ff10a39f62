//! `hookbus check --connect`: what NATS is worth.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{
    brokers::nats::{NatsServer, Operator},
    harness::{HOOKBUS, Setup},
    replay::said,
};

const USERS: &str = r#"authorization { users: [
  { user: admin, password: admin-pw }
  { user: gateway, password: gateway-pw, permissions: {
    publish: { allow: ["webhooks.1099policy.>", "$JS.API.STREAM.INFO.WEBHOOKS", "$SYS.REQ.USER.INFO"] },
    subscribe: { allow: ["_INBOX.>"] } } } ] }"#;

#[test]
fn check_connect_says_what_nats_is_worth() {
    let mut server = NatsServer::stopped("");
    let setup = server.setup("", "user = \"admin\"\npassword_file = \"secrets/nats\"");
    fs::write(setup.path().join("secrets/nats"), "admin-pw").unwrap();
    let (code, text) = said(&Setup::new("", "").run(&["check", "--connect"]));
    assert!(code == Some(0) && text.contains("nothing to connect to"), "{text}");
    let check = || said(&setup.run(&["check", "--connect"]));
    let began = Instant::now();
    let (code, text) = check();
    assert!(code == Some(1) && text.contains("problem: bus.nats"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());

    server.configure(USERS);
    server.run();
    let (code, text) = check();
    assert!(code == Some(1) && text.contains("there is no stream WEBHOOKS: `hookbus provision` makes it"), "{text}");
    let admin = async_nats::ConnectOptions::with_user_and_password("admin".into(), "admin-pw".into());
    let operator = server.operator_with(admin);
    operator.create(Operator::settings());
    let (code, text) = check();
    assert_eq!(code, Some(0), "{text}");
    for words in [
        "connected: ",
        "nats-server 2.",
        "messages up to 1MiB",
        "an acknowledgement means: one server has the event",
        "(unknown)",
        "warning: stream WEBHOOKS has 1 replica(s)",
        "the server's max_payload, 1MiB, is below",
        "larger events are answered 503",
        "the login may publish all subjects",
    ] {
        assert!(text.contains(words), "{words} in\n{text}");
    }

    // A right that is missing, a stream that takes too little.
    setup.edit("user = \"admin\"", "user = \"gateway\"");
    fs::write(setup.path().join("secrets/nats"), "gateway-pw").unwrap();
    let (code, text) = check();
    assert!(code == Some(1) && text.contains("problem: the login may not publish webhooks.audit1.>"), "{text}");
    let narrow =
        async_nats::jetstream::stream::Config { subjects: vec!["webhooks.audit1.>".into()], ..Operator::settings() };
    operator.runtime.block_on(operator.context.update_stream(&narrow)).unwrap();
    let (code, text) = check();
    assert!(
        code == Some(1) && text.contains("problem: stream WEBHOOKS does not take all of webhooks.1099policy.>"),
        "{text}"
    );

    // Tables inside tables come from the environment, too.
    let mut command = Command::new(HOOKBUS);
    command
        .args(["check", "--connect"])
        .current_dir(setup.path())
        .env("HOOKBUS__BUS__NATS__SERVERS", "nats://127.0.0.1:1");
    let (code, text) = said(&command.output().unwrap());
    assert!(code == Some(1) && text.contains("problem: bus.nats"), "{text}");
}
