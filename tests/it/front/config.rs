//! Configuration as an operator meets it.

use std::fs;

use crate::support::harness::Setup;

/// Two wrong types, two unknown keys, one bad unit and one missing secret: six lines, exit 64, by `check` and by `serve`.
#[test]
fn six_faults_are_six_lines_and_exit_64() {
    let setup = Setup::new("", "");
    let faulty = r#"
[listener]
adress = "127.0.0.1:0"
max_body = "5 potatoes"
max_connections = "many"
[log]
format = 7
colour = true
[bus]
kind = "journal"
[[sources]]
name = "acme"
vendor = "1099policy"
path = "/webhooks/1099policy"
secret_files = ["secrets/nowhere"]
"#;
    fs::write(setup.path().join("hookbus.toml"), faulty).unwrap();
    for command in ["check", "serve"] {
        let output = setup.run(&[command]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert_eq!(text.lines().count(), 6, "{text}");
        let keys = [
            "listener.adress",
            "listener.max_body",
            "listener.max_connections",
            "log.format",
            "log.colour",
            "sources[0].secret_files",
        ];
        for key in keys {
            assert!(text.lines().any(|line| line.contains(key)), "{key} in\n{text}");
        }
    }
}

#[test]
fn check_says_what_serve_would_do() {
    let setup = Setup::new("", "");
    let output = setup.run(&["check"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("hookbus.toml: ok") && text.contains("payroll (audit1)"), "{text}");
}

#[test]
fn the_environment_lies_on_top_and_kubernetes_service_links_do_not() {
    let setup = Setup::new("", "");
    let mut child = std::process::Command::new(crate::support::harness::HOOKBUS);
    child.arg("check").current_dir(setup.path()).env("HOOKBUS_PORT", "tcp://10.0.0.1:80");
    let output = child.env("HOOKBUS__LISTENER__MAX_BODY", "5 potatoes").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(64), 1), "{text}");
    assert!(text.contains("HOOKBUS__LISTENER__MAX_BODY"), "{text}");
    let output = child.env("HOOKBUS__LISTENER__MAX_BODY", "1MiB").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_example_starts() {
    let setup = Setup::new("", "");
    fs::copy("config.example.toml", setup.path().join("hookbus.toml")).unwrap();
    let secret = setup.path().join("secrets/1099policy");
    fs::copy(&secret, secret.with_extension("next")).unwrap();
    let output = setup.run(&["check"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_missing_file_is_one_clear_line() {
    let setup = Setup::new("", "");
    let output = setup.run(&["serve", "--config", "nowhere.toml"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(64), 1), "{text}");
    assert!(text.contains("nowhere.toml"), "{text}");
}
