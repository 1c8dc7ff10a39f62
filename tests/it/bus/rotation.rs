//! Secrets change while the gateway serves: no restart, no signal, no request refused in between.

use std::fs;

use crate::support::{
    client::{post_head, signed, unix_now},
    harness::{Gateway, POLICY, Setup},
    wait::wait_until,
};

fn status(gateway: &Gateway, secret: &str) -> u16 {
    let body = b"{\"type\":\"policy.active\"}";
    let headers = signed(POLICY, secret, unix_now(), body);
    gateway.connect().request(&post_head(POLICY, body, &headers), body).status
}

/// Two live secrets during the rotation, then only the new one; the metric shows which is used.
#[test]
fn a_rotation_refuses_nobody() {
    let setup = Setup::new("", "");
    let file = setup.path().join("hookbus.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, config.replace(r#"["secrets/1099policy"]"#, r#"["secrets/new", "secrets/1099policy"]"#)).unwrap();
    fs::write(setup.path().join("secrets/1099policy"), "old_secret_of_the_rotation").unwrap();
    fs::write(setup.path().join("secrets/new"), "old_secret_of_the_rotation").unwrap();
    let gateway = setup.start();
    assert_eq!(status(&gateway, "old_secret_of_the_rotation"), 200);
    fs::write(gateway.setup.path().join("secrets/next"), "new_secret_of_the_rotation\n").unwrap();
    fs::rename(gateway.setup.path().join("secrets/next"), gateway.setup.path().join("secrets/new")).unwrap();
    wait_until("the new secret", || status(&gateway, "new_secret_of_the_rotation") == 200);
    assert_eq!(status(&gateway, "old_secret_of_the_rotation"), 200, "the old one lives on");
    assert_eq!(gateway.metric(r#"secret_reloads_total{result="ok",source="acme"}"#), 1.0);
    // Both files held the old secret at first, and the first one of the list counts; then one request for each.
    assert_eq!(gateway.metric(r#"secret_matches_total{secret="new",source="acme"}"#), 2.0);
    assert_eq!(gateway.metric(r#"secret_matches_total{secret="1099policy",source="acme"}"#), 1.0);
}

/// An empty or missing file keeps the old secrets alive, raises the metric, and the next good file is taken.
#[test]
fn a_bad_file_keeps_the_old_secret() {
    let mut gateway = Setup::new("", "").start();
    let file = gateway.setup.path().join("secrets/1099policy");
    for spoil in [|file: &std::path::Path| fs::write(file, "\n"), |file: &std::path::Path| fs::remove_file(file)] {
        spoil(&file).unwrap();
        gateway.wait_for_metric(r#"secret_reload_success{source="acme"}"#, 0.0);
        assert_eq!(status(&gateway, crate::support::harness::SECRET), 200);
        fs::write(&file, crate::support::harness::SECRET).unwrap();
        gateway.wait_for_metric(r#"secret_reload_success{source="acme"}"#, 1.0);
    }
    assert_eq!(gateway.metric(r#"secret_reloads_total{result="refused",source="acme"}"#), 2.0);
    let log = gateway.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("not reloaded")));
    assert!(!log.to_string().contains(crate::support::harness::SECRET));
}

/// A secret that was saved or copied in a way that changes it works as it is, and is warned of without showing it: by the
/// check, at the start, and after a reload.
#[test]
fn an_odd_secret_is_warned_of_by_kind() {
    let setup = Setup::new("", "");
    fs::write(setup.path().join("secrets/1099policy"), "secret_of_two_sources\n\n").unwrap();
    fs::write(setup.path().join("secrets/audit1"), "secret_of_two_sources\n\n").unwrap();
    let output = setup.run(&["check"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("ends with a second newline"), "{text}");
    assert!(text.contains("sources[1].secret_files: holds a secret of sources[0]"), "{text}");

    let mut gateway = setup.start();
    let warned = |words: &'static str| {
        move |line: &serde_json::Value| line["message"].as_str().is_some_and(|text| text.contains(words))
    };
    gateway.wait_for_log(warned("ends with a second newline"));
    // The helper reads it as a file: one newline stays.
    assert_eq!(status(&gateway, "secret_of_two_sources\n\n"), 200);
    fs::write(gateway.setup.path().join("secrets/next"), "SECRET=secret_of_a_reload").unwrap();
    fs::rename(gateway.setup.path().join("secrets/next"), gateway.setup.path().join("secrets/audit1")).unwrap();
    gateway.wait_for_log(warned("looks like NAME=value"));
    fs::write(gateway.setup.path().join("secrets/next"), "SECRET=secret_of_a_reload").unwrap();
    fs::rename(gateway.setup.path().join("secrets/next"), gateway.setup.path().join("secrets/1099policy")).unwrap();
    gateway.wait_for_log(warned("two sources have one secret"));
    let log = gateway.log_so_far();
    assert!(!log.contains("secret_of_") && !text.contains("secret_of_"), "{log}\n{text}");
}
