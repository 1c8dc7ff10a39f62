//! Strangers behind a proxy as it comes: what they post to nowhere is answered with the true status, and costs no signed sender
//! its answer. `make strangers` is the long form.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use crate::support::{
    client::{Connection, post_head, signature},
    harness::{AUDIT, Gateway, POLICY, Setup},
    load::soak_or,
    proxy::{Care, Kind, Network, Proxy, REPLICAS, Replica},
};

/// Senders at once.
const STRANGERS: usize = 6;
const SIGNED: usize = 16;

/// Three gateways behind a proxy.
struct Place {
    proxy: Proxy,
    gateways: Vec<Gateway>,
}

impl Place {
    fn new(kind: Kind) -> Self {
        let network = Network::new();
        let replicas: [Replica; REPLICAS] =
            std::array::from_fn(|host| Replica { webhooks: network.address(host), admin: network.address(host) });
        let gateways = replicas.iter().map(|replica| {
            let setup = Setup::new("", "");
            setup.edit("127.0.0.1:0", &replica.webhooks.to_string());
            setup.edit("127.0.0.1:0", &replica.admin.to_string());
            setup.start()
        });
        let gateways = gateways.collect();
        Place { proxy: Proxy::start(kind, Care::Stock, network, replicas), gateways }
    }

    /// One request over a connection of its own, written to its end before the answer is read.
    fn ask(&self, method: &str, path: &str, bytes: usize) -> String {
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n");
        let mut connection = Connection::open(self.proxy.address);
        let sent = connection.try_send(&[head.into_bytes(), vec![b'x'; bytes]].concat());
        match (connection.answer(), sent) {
            (Some(answer), _) => answer.status.to_string(),
            (None, sent) => format!("no answer, {sent:?}"),
        }
    }
}

/// Early answers of each kind and size: the sender behind the proxy sees the status that the gateway has given.
fn early_answers(kind: Kind) {
    let place = Place::new(kind);
    let (all, next, wrong) = (soak_or(1000, 120), AtomicUsize::new(0), Mutex::new(BTreeMap::<String, usize>::new()));
    thread::scope(|scope| {
        for _ in 0..STRANGERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= all {
                        return;
                    }
                    let bytes = [70_000, 300_000, 900_000, 2_000_000, 6_000_000][number % 5];
                    let bytes = if number % 40 == 0 { 40_000_000 } else { bytes };
                    let (method, path, status) = match number % 4 {
                        0 => ("POST", "/nowhere", "404"),
                        1 => ("PUT", POLICY, "405"),
                        2 if bytes > 5 * 1024 * 1024 => ("POST", AUDIT, "413"),
                        2 => ("DELETE", AUDIT, "405"),
                        _ => ("GET", POLICY, "200"),
                    };
                    let found = place.ask(method, path, bytes);
                    if found != status {
                        let what = format!("{method} {path} {bytes}: {found} instead of {status}");
                        *wrong.lock().unwrap().entry(what).or_default() += 1;
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let number: usize = wrong.values().sum();
    println!("{}: {number} of {all} early answers wrong", kind.name());
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", place.proxy.log());
}

/// Signed senders beside strangers who post large bodies to nowhere without a pause.
fn signed_beside_strangers(kind: Kind) {
    let place = Place::new(kind);
    let (all, next, done) = (soak_or(30_000, 1500), AtomicUsize::new(0), AtomicBool::new(false));
    let (hurt, posts) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    thread::scope(|scope| {
        for stranger in 0..STRANGERS {
            let (place, done, posts) = (&place, &done, &posts);
            scope.spawn(move || {
                let bytes = if stranger % 2 == 0 { 60_000 } else { 900_000 };
                while !done.load(Ordering::Relaxed) {
                    place.ask("POST", "/nowhere", bytes);
                    posts.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let signed: Vec<_> = (0..SIGNED)
            .map(|_| {
                scope.spawn(|| {
                    let mut kept = None;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= all {
                            return;
                        }
                        if let Err(what) = signed_post(&place, &mut kept, number) {
                            hurt.lock().unwrap().push(format!("{number}: {what}"));
                        }
                    }
                })
            })
            .collect();
        let ended = signed.into_iter().all(|sender| sender.join().is_ok());
        done.store(true, Ordering::Relaxed);
        assert!(ended);
    });
    let (hurt, posts) = (hurt.into_inner().unwrap(), posts.into_inner());
    println!("{}: {} of {all} signed senders hurt by {posts} posts of strangers", kind.name(), hurt.len());
    assert!(hurt.is_empty(), "{:#?}\n{}", hurt.iter().take(20).collect::<Vec<_>>(), place.proxy.log());
    let accepted: f64 = place
        .gateways
        .iter()
        .map(|gateway| gateway.metric(r#"events_total{result="accepted",source="acme",type="policy.active"}"#))
        .sum();
    assert_eq!(accepted, all as f64);
}

/// One signed event, on a connection that is kept while the proxy keeps it.
fn signed_post(place: &Place, kept: &mut Option<Connection>, number: usize) -> Result<(), String> {
    let body = format!(r#"{{"id":"evt_{number}","type":"policy.active","data":{{"object":{{"id":"pl_{number}"}}}}}}"#);
    let head = post_head(POLICY, body.as_bytes(), &signature(POLICY, body.as_bytes()));
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::try_open(place.proxy.address).map_err(|error| error.to_string())?,
    };
    connection.try_send(&[head.as_bytes(), body.as_bytes()].concat()).map_err(|error| error.to_string())?;
    let answer = connection.answer().ok_or("closed without an answer")?;
    if answer.header("connection") != Some("close") {
        *kept = Some(connection);
    }
    if answer.status == 200 { Ok(()) } else { Err(answer.status.to_string()) }
}

#[test]
fn early_answers_pass_nginx() {
    early_answers(Kind::Nginx);
}

#[test]
fn early_answers_pass_haproxy() {
    early_answers(Kind::HaProxy);
}

#[test]
fn strangers_behind_nginx_hurt_no_signed_sender() {
    signed_beside_strangers(Kind::Nginx);
}

#[test]
fn strangers_behind_haproxy_hurt_no_signed_sender() {
    signed_beside_strangers(Kind::HaProxy);
}
