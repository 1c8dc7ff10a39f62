//! `hookbus endpoints apply` is killed, or its disk fails, at each of its steps.

use std::{
    fs, io,
    process::{Command, Output, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::endpoints::{AUDIT_URL, POLICY_URL, assert_silent, list_two_files, secret_of, setup};
use crate::support::{
    harness::{HOOKBUS, Setup},
    replay::said,
    vendors::Vendors,
};

/// What an apply does to the outside: each of these calls is a step at which it can end.
pub const STEPS: [&str; 5] = ["write", "sendto", "fsync", "rename", "unlink"];

/// The command under strace, which does `what` to it at its `when`-th `call`.
pub fn under_strace(setup: &Setup, words: &[&str], call: &str, what: &str, when: usize) -> Output {
    let inject = format!("inject={call}:{what}:when={when}");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject, HOOKBUS, "endpoints"]);
    command.args(words).current_dir(setup.path()).output().unwrap()
}

/// The secret of each manifest.
fn manifests(outputs: &[&Output]) -> Vec<String> {
    let text: String = outputs.iter().map(|output| String::from_utf8(output.stdout.clone()).unwrap()).collect();
    let values = text.lines().filter_map(|line| line.strip_prefix("  \"1099policy\": "));
    values.map(|value| String::from_utf8(STANDARD.decode(value).unwrap()).unwrap()).collect()
}

/// Killed at each of its writes, syncs, renames and messages: the next run leaves one endpoint, whose secret is stored.
fn killed_at_each_step(vendors: &Vendors, prepare: fn(&Setup), words: &[&str]) {
    let steps: usize =
        STEPS.iter().map(|call| (1..).take_while(|when| killed(vendors, prepare, words, call, *when)).count()).sum();
    println!("{words:?}: killed at {steps} steps");
    assert!(20 < steps, "only {steps} steps were seen");
}

/// Kills at one step, and runs again; whether there was such a step.
fn killed(vendors: &Vendors, prepare: fn(&Setup), words: &[&str], call: &str, when: usize) -> bool {
    let url = format!("https://hooks.example.com/webhooks/{}/{call}{when}", words.concat());
    let setup = setup(vendors, &url, AUDIT_URL);
    prepare(&setup);
    let words = [&["apply", "--yes", "--source", "acme"], words].concat();
    let killed = under_strace(&setup, &words, call, "signal=KILL", when);
    let again = setup.run(&[&["endpoints"], &words[..]].concat());
    let (code, text) = said(&again);
    assert_eq!(code, Some(0), "killed at {call} {when}: {text}");
    let there = vendors.endpoints("1099policy", &url);
    assert_eq!(there.len(), 1, "killed at {call} {when}: {text}");
    let secret = there[0]["secret"].as_str().unwrap().to_owned();
    if words.contains(&"kubernetes") {
        assert!(manifests(&[&killed, &again]).contains(&secret), "killed at {call} {when}: {text}");
    } else {
        assert_eq!(secret_of(&setup, "1099policy"), Some(secret.clone()), "killed at {call} {when}: {text}");
        assert!(secret_of(&setup, "next").is_none_or(|next| next == secret), "killed at {call} {when}: {text}");
        assert_eq!(said(&setup.run(&["endpoints", "plan", "--source", "acme"])).0, Some(0), "killed at {call} {when}");
        assert_silent(vendors, &said(&killed).1);
        assert_silent(vendors, &text);
    }
    let left = fs::read_dir(setup.path().join("secrets")).unwrap();
    let left = left.filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().contains("unfinished"));
    assert_eq!(left.count(), 0, "killed at {call} {when}");
    !killed.status.success()
}

#[test]
fn killed_at_each_step_no_endpoint_is_left_without_a_stored_secret() {
    let vendors = Vendors::start();
    killed_at_each_step(&vendors, |_| (), &[]);
    let old = |setup: &Setup| fs::write(setup.path().join("secrets/1099policy"), "an older secret").unwrap();
    killed_at_each_step(&vendors, old, &["--rotate"]);
    killed_at_each_step(&Vendors::start(), list_two_files, &[]);
    killed_at_each_step(&vendors, |_| (), &["--secret-to", "kubernetes"]);
}

/// The disk fails, at each step.
#[test]
fn what_cannot_be_stored_is_deleted_again_or_named() {
    let vendors = Vendors::start();
    let (mut failed, mut deleted) = (0, 0);
    for call in ["write", "fsync", "rename", "unlink"] {
        for when in 1.. {
            let url = format!("https://hooks.example.com/webhooks/{call}{when}");
            let setup = setup(&vendors, &url, AUDIT_URL);
            let output = under_strace(&setup, &["apply", "--yes", "--source", "acme"], call, "error=EIO", when);
            let (_, text) = said(&output);
            assert_silent(&vendors, &text);
            let stored = secret_of(&setup, "1099policy");
            for endpoint in vendors.endpoints("1099policy", &url) {
                let is_stored = endpoint["secret"].as_str() == stored.as_deref();
                let is_named = text.contains(endpoint["id"].as_str().unwrap());
                assert!(is_stored || is_named, "failed at {call} {when}: {text}");
            }
            deleted += usize::from(text.contains("was deleted again"));
            if output.status.success() {
                break;
            }
            failed += 1;
        }
    }
    println!("failed at {failed} steps, deleted again at {deleted}");
    assert!(5 <= deleted && deleted < failed, "{deleted} of {failed}");

    // The reader of the manifest has gone.
    let setup = setup(&vendors, POLICY_URL, AUDIT_URL);
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let words = ["endpoints", "apply", "--yes", "--source", "acme", "--secret-to", "kubernetes"];
    let mut command = Command::new(HOOKBUS);
    let output = command.args(words).current_dir(setup.path()).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    let (code, text) = said(&output);
    assert!(code == Some(1) && text.contains("was deleted again"), "{text}");
    assert_eq!(vendors.endpoints("1099policy", POLICY_URL).len(), 0);
}
