//! `hookbus forward`: a handler as the vendors' documents describe it takes what comes from the bus, unchanged.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

use hookbus::text::hex_encode;
use sha2::{Digest as _, Sha256};

use crate::support::{
    brokers::either::{Either, Kind},
    harness::{AUDIT, Gateway, POLICY, free_ports, sample},
    process::{Process, log_file},
    wait::wait_until,
};

/// A handler that runs; killed when dropped.
struct Handler {
    _process: Process,
    port: u16,
}

impl Handler {
    fn start(gateway: &Gateway, language: &str) -> Self {
        let [port] = free_ports();
        let (folder, root) = (gateway.setup.path(), Path::new(env!("CARGO_MANIFEST_DIR")));
        let (tools, sdk) = (root.join("target/tools/handlers"), root.join("tests/sdk"));
        assert!(tools.join("installed").exists(), "{} is not there: run `make tools`", tools.display());
        let mut command = Command::new(language);
        if language == "node" {
            // Modules are looked for beside a script, so it gets a place beside them.
            fs::copy(sdk.join("handler_express.mjs"), folder.join("handler.mjs")).unwrap();
            std::os::unix::fs::symlink(tools.join("node/node_modules"), folder.join("node_modules")).unwrap();
            command.arg("handler.mjs");
        } else {
            command.arg(sdk.join("handler_flask.py")).env("PYTHONPATH", tools.join("python"));
        }
        command.args([&port.to_string(), "local-secret", "taken"]).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file(&folder.join("handler.log")));
        let process = Process::start(&mut command);
        wait_until("the handler", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Handler { _process: process, port }
    }
}

#[test]
fn a_flask_handler_takes_what_comes_from_kafka() {
    let kafka = Either::start_new(Kind::Kafka);
    takes_all("python3", &kafka.setup("").start());
}

#[test]
fn an_express_handler_takes_what_comes_from_a_stream() {
    let nats = Either::start_new(Kind::Nats);
    takes_all("node", &nats.setup("").start());
}

fn takes_all(language: &str, gateway: &Gateway) {
    fs::write(gateway.setup.path().join("local-secret"), "a secret of my laptop").unwrap();
    let policy = sample("policy1099/samples/flat/policy.active.json");
    let audit = [b" ", &sample("audit1/samples/snake/file.failed.json")[..], b"\r\n"].concat();
    assert_eq!(gateway.post(POLICY, &policy).status, 200);
    assert_eq!(gateway.post(AUDIT, &audit).status, 200);
    let handler = Handler::start(gateway, language);
    let forward = |path: &str, more: &[&str]| {
        let url = format!("http://127.0.0.1:{}{path}", handler.port);
        let from_start = if more.contains(&"--since") { &[][..] } else { &["--from-start"] };
        let words = [&["forward", &url, "--secret-file", "local-secret", "--count", "1"], from_start].concat();
        let output = gateway.setup.run(&[&words, more].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = forward("/1099policy", &["--source", "acme"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("com.1099policy.policy.active  id=") && text.ends_with("ms  200\n"), "{text}");
    let (code, text) = forward("/audit1", &["--type", "file.>"]);
    assert_eq!(code, Some(0), "{text}");
    let taken = fs::read_to_string(gateway.setup.path().join("taken")).unwrap();
    let digest = |body: &[u8]| hex_encode(&Sha256::digest(body));
    assert_eq!(taken, format!("1099policy {}\naudit1 {}\n", digest(&policy), digest(&audit)), "the bodies' own bytes");
    // With --since only what arrived later.
    let (code, text) = forward("/audit1", &["--source", "payroll", "--since", "1h"]);
    assert_eq!((code, text.lines().count()), (Some(0), 1), "{text}");
    // What the handler does not take is posted again on request, and said.
    let (code, text) = forward("/else", &["--retry", "1"]);
    assert_eq!((code, text.lines().count()), (Some(1), 2), "{text}");
    assert!(text.contains("ms  404 "), "{text}");
    assert!(!text.contains("laptop"));
}
