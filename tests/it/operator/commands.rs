//! The commands as an operator calls them.

use std::{
    fs, io,
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use hookbus::vendors::Vendor;
use serde_json::Value;

use crate::support::{
    harness::{AUDIT, HOOKBUS, POLICY, Setup, free_ports, sample},
    process::Process,
    wait::wait_until,
};

#[test]
fn every_documented_event_can_be_triggered() {
    let gateway = Setup::new("", "").start();
    let url = |path: &str| format!("http://{}{path}", gateway.address);
    let list = gateway.setup.run(&["trigger", "--list"]);
    let list = String::from_utf8(list.stdout).unwrap();
    let documented: usize = Vendor::ALL.into_iter().map(|vendor| vendor.profile().catalogue.len()).sum();
    assert_eq!(list.lines().count(), documented);
    for line in list.lines() {
        let mut words = line.split_whitespace();
        let (vendor, form, event) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let path = if vendor == "audit1" { AUDIT } else { POLICY };
        let output = gateway.setup.run(&["trigger", vendor, event, "--form", form, "--url", &url(path)]);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let events = gateway.tail(documented);
    for (line, listed) in events.iter().zip(list.lines()) {
        let event: Value = serde_json::from_str(line).unwrap();
        let mut words = listed.split_whitespace();
        assert_eq!(event["vendor"], words.next().unwrap());
        assert_eq!(event["form"], words.next().unwrap());
        assert_eq!(event["type"], format!("com.{}.{}", event["vendor"].as_str().unwrap(), words.next().unwrap()));
    }
    assert_eq!(gateway.metric(r#"events_total{result="accepted",source="acme",type="unknown"}"#), 0.0);
}

#[test]
fn trigger_counts_posts_files_and_explains_itself() {
    let gateway = Setup::new("", "").start();
    let url = format!("http://{}{POLICY}", gateway.address);
    let output = gateway.setup.run(&["trigger", "1099policy", "policy.active", "--count", "20", "--url", &url]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(gateway.metric("journal_appends_total"), 20.0, "twenty different events");

    let file = gateway.setup.path().join("body.json");
    fs::write(&file, b"not json at all").unwrap();
    let output = gateway.setup.run(&["trigger", "1099policy", "--body-file", "body.json", "--url", &url]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(gateway.metric(r#"events_total{result="accepted",source="acme",type="quarantine"}"#), 1.0);

    for (arguments, code) in [
        (&["trigger", "1099policy", "no.such"][..], 64),
        (&["trigger", "audit1", "file.failed", "--form", "nested"], 64),
        (&["trigger", "audit1", "file.failed", "--source", "nobody"], 64),
        (&["trigger", "1099policy", "policy.active", "--url", "http://127.0.0.1:1/x"], 1),
        (&["trigger", "nobody", "policy.active"], 64),
        (&["trigger"], 64),
        (&["dance"], 64),
    ] {
        let output = gateway.setup.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn tail_follows_filters_and_prints_for_people() {
    let gateway = Setup::new("", "").start();
    assert_eq!(gateway.post(POLICY, &sample("policy1099/samples/flat/policy.active.json")).status, 200);
    // Without --from-start it prints only what comes after it began.
    let mut command = Command::new(HOOKBUS);
    command.args(["tail", "webhooks.audit1.>", "--count", "1"]).current_dir(gateway.setup.path());
    let mut following = Process::start(command.stdout(Stdio::piped()));
    let body = sample("audit1/samples/snake/file.failed.json");
    let mut number = 0;
    // `tail` says nothing when it is ready, so post until it has seen one.
    wait_until("the end of tail", || {
        let fresh = String::from_utf8(body.clone()).unwrap().replace("\"event\"", &format!("\"n\":{number},\"event\""));
        assert_eq!(gateway.post(AUDIT, fresh.as_bytes()).status, 200);
        number += 1;
        following.ended().is_some()
    });
    let output = following.talk(b"");
    assert!(output.status.success(), "{:?}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("webhooks.audit1.file.failed") && text.contains("id=sha256:"), "{text}");
}

#[test]
fn a_closed_pipe_ends_tail_quietly() {
    let gateway = Setup::new("", "").start();
    // More than a pipe holds, so that `tail` is still writing when `head` has gone.
    let filler = "x".repeat(100_000);
    for n in 0..4 {
        let body = format!(r#"{{"type":"policy.active","data":{{"n":{n},"x":"{filler}"}}}}"#);
        assert_eq!(gateway.post(POLICY, body.as_bytes()).status, 200);
    }
    let script =
        format!("{HOOKBUS} tail --json --from-start --count 4 | head -c 1 > /dev/null; exit ${{PIPESTATUS[0]}}");
    let output = Command::new("bash").args(["-c", &script]).current_dir(gateway.setup.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn help_version_and_completions_are_there() {
    let setup = Setup::new("", "");
    for command in [
        "",
        "serve",
        "check",
        "trigger",
        "drain",
        "tail",
        "provision",
        "replay",
        "explain",
        "timeline",
        "forward",
        "completions",
    ] {
        let arguments: Vec<_> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let output = setup.run(&arguments);
        assert!(output.status.success() && output.stdout.len() > 200, "{command}");
    }
    let version = String::from_utf8(setup.run(&["--version"]).stdout).unwrap();
    assert!(version.starts_with(concat!("hookbus ", env!("CARGO_PKG_VERSION"))), "{version}");
    for shell in ["bash", "zsh", "fish"] {
        let output = setup.run(&["completions", shell]);
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains("from-start"), "{shell}");
    }
}

/// In a pod, the name of a Service and the way to it come a moment after the pod's start.
#[test]
fn trigger_waits_for_a_gateway_that_is_not_there_yet() {
    let [port] = free_ports();
    let setup = Setup::new("", "");
    let url = format!("http://127.0.0.1:{port}{POLICY}");
    let trigger = |wait: &str| {
        let mut command = Command::new(HOOKBUS);
        command.args(["trigger", "1099policy", "policy.active", "--url", &url, "--wait", wait]);
        Process::start(command.current_dir(setup.path()).stdout(Stdio::piped()))
    };
    let begin = Instant::now();
    assert_eq!(trigger("1s").wait().code(), Some(1));
    assert!(begin.elapsed().as_secs() >= 1, "{:?}", begin.elapsed());

    // Its first attempts find nobody: whoever listens is started after it.
    let mut waiting = trigger("60s");
    let gateway = Setup::new("", "").start();
    assert!(waiting.ended().is_none(), "it gave up");
    let relay = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let relayed = thread::spawn({
        let address = gateway.address;
        move || {
            let (mut from, _) = relay.accept().unwrap();
            let mut to = TcpStream::connect(address).unwrap();
            let (mut back, mut forth) = (to.try_clone().unwrap(), from.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut back, &mut forth));
            io::copy(&mut from, &mut to).unwrap();
        }
    });
    assert!(waiting.wait().success());
    relayed.join().unwrap();
    assert_eq!(gateway.metric("journal_appends_total"), 1.0);
    // What is answered is no reason to wait.
    let begin = Instant::now();
    let wrong = format!("http://{}/nowhere", gateway.address);
    let output = setup.run(&["trigger", "1099policy", "policy.active", "--url", &wrong, "--wait", "60s"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(begin.elapsed().as_secs() < 30, "{:?}", begin.elapsed());
}
