//! Secrets change while the gateway serves: no restart, no signal, no request refused in between.

use std::fs;

use hookbus::{secrets::Secret, vendor::Vendor, verify::sign};

use crate::harness::{Gateway, POLICY, Setup, post_head, unix_now, wait_until};

fn status(gateway: &Gateway, secret: &str) -> u16 {
    let body = b"{\"type\":\"policy.active\"}";
    let secret = Secret::from_text(secret.into()).unwrap();
    let headers: String = sign::headers(Vendor::Policy1099, &secret, unix_now(), body)
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
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
    assert!(gateway.metric(r#"secret_matches_total{secret="new",source="acme"}"#) >= 1.0);
    assert!(gateway.metric(r#"secret_matches_total{secret="1099policy",source="acme"}"#) >= 1.0);
}

/// An empty or missing file keeps the old secrets alive, raises the metric, and the next good file is taken.
#[test]
fn a_bad_file_keeps_the_old_secret() {
    let mut gateway = Setup::new("", "").start();
    let file = gateway.setup.path().join("secrets/1099policy");
    for spoil in [|file: &std::path::Path| fs::write(file, "\n"), |file: &std::path::Path| fs::remove_file(file)] {
        spoil(&file).unwrap();
        gateway.wait_for_metric(r#"secret_reload_success{source="acme"}"#, 0.0);
        assert_eq!(status(&gateway, crate::harness::SECRET), 200);
        fs::write(&file, crate::harness::SECRET).unwrap();
        gateway.wait_for_metric(r#"secret_reload_success{source="acme"}"#, 1.0);
    }
    assert_eq!(gateway.metric(r#"secret_reloads_total{result="refused",source="acme"}"#), 2.0);
    let log = gateway.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("not reloaded")));
    assert!(!log.to_string().contains(crate::harness::SECRET));
}
