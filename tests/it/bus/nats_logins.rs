//! The logins of NATS: each lets the gateway in, after a reconnection too; a wrong one is said, tried again, and neither
//! stops anything nor shows in the log.

use std::fs;

use async_nats::ConnectOptions;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;

use crate::support::{
    brokers::nats::{NatsServer, Operator, USERS, event},
    harness::POLICY,
};

/// A login: the gateway's keys, and what stands in its secret file, right and wrong.
struct Login {
    keys: &'static str,
    right: String,
    wrong: String,
}

fn lets_in(mut server: NatsServer, operator: &ConnectOptions, login: &Login) {
    let options = || operator.clone();
    server.operator_with(options()).create(Operator::settings());
    let setup = |secret: &str| {
        let setup = server.setup("", login.keys);
        fs::write(setup.path().join("secrets/nats"), secret).unwrap();
        setup
    };
    let (gateway, mut stranger) = (setup(&login.right).start(), setup(&login.wrong).start());
    assert_eq!(gateway.post(POLICY, &event(1)).status, 200);
    stranger.wait_for_log(|line| {
        line["error"].as_str().is_some_and(|text| text.to_ascii_lowercase().contains("authorization violation"))
    });
    assert_eq!((stranger.metric("bus_up"), stranger.get_admin("/livez").status), (0.0, 200));
    let log = stranger.log_so_far();
    for line in login.wrong.lines().filter(|line| !line.starts_with('-') && !line.is_empty()) {
        assert!(!log.contains(line), "{line} in {log}");
    }

    // A changed file is taken by the next attempt.
    fs::write(stranger.setup.path().join("secrets/nats"), &login.right).unwrap();
    stranger.wait_for_metric("bus_up", 1.0);

    server.kill();
    gateway.wait_for_metric("bus_up", 0.0);
    server.run();
    gateway.wait_for_metric("bus_up", 1.0);
    assert_eq!(gateway.post(POLICY, &event(2)).status, 200);
    assert_eq!(server.operator_with(options()).count(), 2);
}

#[test]
fn a_password_file() {
    let operator = ConnectOptions::with_user_and_password("admin".into(), "admin-pw".into());
    let keys = "user = \"gateway\"\npassword_file = \"secrets/nats\"";
    let login = Login { keys, right: "gateway-pw\n".into(), wrong: "another-pw\n".into() };
    lets_in(NatsServer::start_with(USERS), &operator, &login);
}

#[test]
fn an_nkey_seed_file() {
    let [admin, gateway, stranger] = [(); 3].map(|()| KeyPair::new_user());
    let permissions = r#"permissions: {
      publish: { allow: ["webhooks.>", "$JS.API.STREAM.INFO.WEBHOOKS"] }, subscribe: { allow: ["_INBOX.>"] } }"#;
    let (admin_key, gateway_key) = (admin.public_key(), gateway.public_key());
    let users =
        format!("authorization {{ users: [ {{ nkey: {admin_key} }}, {{ nkey: {gateway_key}, {permissions} }} ] }}");
    let seed = |pair: &KeyPair| pair.seed().unwrap();
    let login = Login {
        keys: "nkey_seed_file = \"secrets/nats\"",
        right: seed(&gateway) + "\n",
        wrong: seed(&stranger) + "\n",
    };
    lets_in(NatsServer::start_with(&users), &ConnectOptions::with_nkey(seed(&admin)), &login);
}

/// A token of NATS: claims about `subject`, signed by `issuer`.
fn token(issuer: &KeyPair, subject: &KeyPair, claims: &serde_json::Value) -> String {
    let issued = crate::support::client::unix_now();
    let claims = serde_json::json!({
        "jti": "1", "iat": issued, "iss": issuer.public_key(), "sub": subject.public_key(), "name": "x", "nats": claims,
    });
    let header = serde_json::json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

fn credentials(account: &KeyPair, publish: &[&str]) -> String {
    let user = KeyPair::new_user();
    let claims = serde_json::json!({
        "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
        "pub": { "allow": publish }, "sub": { "allow": ["_INBOX.>"] },
    });
    let (token, seed) = (token(account, &user, &claims), user.seed().unwrap());
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

/// An operator's server, which knows accounts by their tokens and users not at all.
#[test]
fn a_credentials_file() {
    let operator = KeyPair::new_operator();
    let [account, system, unknown] = [(); 3].map(|()| KeyPair::new_account());
    let limits = serde_json::json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let mut claims = serde_json::json!({ "type": "account", "version": 2, "limits": limits });
    let account_token = token(&operator, &account, &claims);
    for key in ["mem_storage", "disk_storage", "streams", "consumer"] {
        claims["limits"].as_object_mut().unwrap().remove(key);
    }
    let system_token = token(&operator, &system, &claims);
    let operator_token = token(&operator, &operator, &serde_json::json!({ "type": "operator", "version": 2 }));
    let (account_key, system_key) = (account.public_key(), system.public_key());
    let server = NatsServer::start_with(&format!(
        "operator: {operator_token}\nsystem_account: {system_key}\nresolver: MEMORY\n\
         resolver_preload: {{ {account_key}: {account_token}, {system_key}: {system_token} }}"
    ));
    let permissions = ["webhooks.>", "$JS.API.STREAM.INFO.WEBHOOKS"];
    let login = Login {
        keys: "credentials_file = \"secrets/nats\"",
        right: credentials(&account, &permissions),
        wrong: credentials(&unknown, &permissions),
    };
    let admin = ConnectOptions::with_credentials(&credentials(&account, &[">"])).unwrap();
    lets_in(server, &admin, &login);
}
