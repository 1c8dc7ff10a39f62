//! Who sent a request, as the log has it: on a plain connection, and behind real proxies.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::support::{
    client::{Connection, post_head, signature},
    harness::{Gateway, POLICY, Setup, sample},
    proxy::{Care, Kind, Network, Proxy, REPLICAS, Replica},
    wait::wait_until,
};

/// Where the senders of these tests stand: nothing else connects from there.
const SENDER: [u8; 4] = [127, 9, 8, 7];
/// What a stranger says of himself.
const LIES: &str = "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n";

/// A connection from [`SENDER`].
fn connect(address: SocketAddr) -> Connection {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((SENDER, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    Connection::over(TcpStream::from(socket))
}

/// Posts one signed event; its id.
fn post(connection: &mut Connection, more: &str) -> String {
    let id = format!("evt_{}", fastrand::u64(..));
    let body = format!(r#"{{"id":"{id}","type":"policy.active","data":{{"object":{{"id":"pl_1"}}}}}}"#);
    let head = post_head(POLICY, body.as_bytes(), &format!("{}{more}", signature(POLICY, body.as_bytes())));
    assert_eq!(connection.request(&head, body.as_bytes()).status, 200);
    id
}

fn line_of(gateway: &mut Gateway, id: &str) -> Value {
    gateway.wait_for_log(|line| line["event_id"] == id)
}

#[test]
fn a_line_has_the_sender_its_agent_and_the_secret() {
    let setup = Setup::new("", "");
    std::fs::write(setup.path().join("secrets/next"), "whsec_of_the_next_year").unwrap();
    setup.edit("[\"secrets/1099policy\"]", "[\"secrets/next\", \"secrets/1099policy\"]");
    let mut gateway = setup.start();
    let agent = format!("Convoy/1.0 \"{}\u{202e}", "x".repeat(300));
    let id = post(&mut connect(gateway.address), &format!("User-Agent: {agent}\r\n{LIES}"));
    let line = line_of(&mut gateway, &id);
    assert_eq!((&line["sender"], &line["secret"]), (&"127.9.8.7".into(), &"1099policy".into()), "{line}");
    assert_eq!(line["user_agent"], agent.chars().take(256).collect::<String>(), "{line}");

    let body = sample("policy1099/samples/flat/policy.active.json");
    let forged = post_head(POLICY, &body, "x-convoy-signature: 00\r\nconvoy-timestamp: 1\r\n");
    assert_eq!(connect(gateway.address).request(&forged, &body).status, 401);
    let line = gateway.wait_for_log(|line| line["status"] == 401);
    assert_eq!(
        (&line["sender"], &line["secret"], &line["user_agent"]),
        (&"127.9.8.7".into(), &Value::Null, &Value::Null)
    );
}

/// Gateways behind a proxy that takes the senders' connections.
struct Place {
    proxy: Proxy,
    gateways: Vec<Gateway>,
}

impl Place {
    fn new(kind: Kind, listener: &str, server: &str) -> Self {
        let network = Network::new();
        let replicas: [Replica; REPLICAS] =
            std::array::from_fn(|host| Replica { webhooks: network.address(host), admin: network.address(host) });
        let gateways = replicas.iter().map(|replica| {
            let setup = Setup::new(listener, "");
            setup.edit("127.0.0.1:0", &replica.webhooks.to_string());
            setup.edit("127.0.0.1:0", &replica.admin.to_string());
            setup.start()
        });
        let gateways = gateways.collect();
        Place { proxy: Proxy::start_with(kind, Care::Stock, network, replicas, server), gateways }
    }

    /// The sender that one of the gateways has logged for one event.
    fn sender(&mut self, more: &str) -> String {
        let id = post(&mut connect(self.proxy.address), more);
        let mut found = None;
        wait_until("the event's line", || {
            let lines: String = self.gateways.iter_mut().map(Gateway::log_so_far).collect();
            let line =
                lines.lines().find(|line| line.contains(&id)).map(|line| serde_json::from_str::<Value>(line).unwrap());
            found = line.map(|line| line["sender"].as_str().unwrap().to_owned());
            found.is_some()
        });
        found.unwrap()
    }
}

/// The proxies of these tests connect from there, and so does nobody else.
const BEHIND: &str = "trusted_proxies = [\"127.0.0.1\"]\n";

#[test]
fn behind_nginx_it_is_who_connected_there() {
    let mut place = Place::new(Kind::Nginx, BEHIND, "");
    for more in ["", LIES] {
        assert_eq!(place.sender(more), "127.9.8.7", "{more}");
    }
}

#[test]
fn behind_haproxy_it_is_who_connected_there() {
    for header in ["x-forwarded-for", "forwarded"] {
        let mut place = Place::new(Kind::HaProxy, &format!("{BEHIND}forwarded_header = \"{header}\"\n"), "");
        for more in ["", LIES] {
            assert_eq!(place.sender(more), "127.9.8.7", "{header} {more}");
        }
    }
}

#[test]
fn a_proxy_that_is_not_listed_is_the_sender_itself() {
    let mut place = Place::new(Kind::Nginx, "", "");
    assert_eq!(place.sender(LIES), "127.0.0.1");
}

/// The headers a stranger can write; the head of the connection he cannot.
#[test]
fn behind_haproxy_with_the_proxy_protocol_no_header_is_needed() {
    let listener = format!("{BEHIND}forwarded_header = \"off\"\nproxy_protocol = true\n");
    let mut place = Place::new(Kind::HaProxy, &listener, "send-proxy-v2");
    for more in ["", LIES] {
        assert_eq!(place.sender(more), "127.9.8.7", "{more}");
    }
    // Who is no listed proxy begins with its request, and is taken for itself.
    let gateway = &mut place.gateways[0];
    let id = post(&mut connect(gateway.address), LIES);
    assert_eq!(line_of(gateway, &id)["sender"], "127.9.8.7");
}

#[test]
fn a_listed_proxy_without_its_head_is_closed_in_time() {
    let listener = "trusted_proxies = [\"127.0.0.1\"]\nproxy_protocol = true\nhead_timeout = \"300ms\"\n";
    let mut gateway = Setup::new(listener, "").start();
    let mut plain = gateway.connect();
    plain.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(plain.closed_within(Duration::from_secs(5)), "no answer");
    gateway.wait_for_metric(r#"http_connections_closed_total{reason="malformed"}"#, 1.0);
    let line = gateway.wait_for_log(|line| line["reason"] == "no PROXY protocol v2 head");
    assert_eq!((&line["sender"], &line["status"]), (&"127.0.0.1".into(), &499.into()));

    let mut large = gateway.connect();
    large.send(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff");
    assert!(large.closed_within(Duration::from_secs(5)));
    gateway.wait_for_log(|line| line["reason"] == "PROXY protocol v2 head too large");

    for begun in [&b""[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f"] {
        let mut slow = gateway.connect();
        slow.send(begun);
        assert!(slow.closed_within(Duration::from_secs(5)));
    }
    gateway.wait_for_metric(r#"http_connections_closed_total{reason="head_timeout"}"#, 2.0);
    gateway.wait_for_metric("http_connections", 0.0);
}

/// How the binary head begins: signature, version and command, family, length.
fn head(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x20 | command, family][..], &length, addresses].concat()
}

/// A proxy that names no sender, for itself (LOCAL) or for one it does not know (UNSPEC, a Unix socket), passes on what that one
/// has written, the header of an address too.
#[test]
fn behind_a_head_without_an_address_no_header_speaks() {
    let mut gateway = Setup::new(&format!("{BEHIND}proxy_protocol = true\n"), "").start();
    let named = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
    for (head, sender) in [
        (head(0, 0x00, &[]), "127.0.0.1"),
        (head(0, 0x11, &named), "127.0.0.1"),
        (head(1, 0x00, &[]), "127.0.0.1"),
        (head(1, 0x00, &named), "127.0.0.1"),
        (head(1, 0x31, &[0; 216]), "127.0.0.1"),
        (head(1, 0x11, &named), "203.0.113.7"),
        // A proxy behind the balancer: it is listed, so its header counts.
        (head(1, 0x11, &[127, 0, 0, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80]), "6.6.6.6"),
    ] {
        let mut connection = gateway.connect();
        connection.send(&head);
        for _ in 0..2 {
            let id = post(&mut connection, LIES);
            assert_eq!(line_of(&mut gateway, &id)["sender"], sender, "{head:?}");
        }
    }
    for (result, count) in [("address", 2.0), ("local", 2.0), ("unknown", 3.0), ("ended", 0.0), ("malformed", 0.0)] {
        assert_eq!(gateway.metric(&format!("proxy_heads_total{{result=\"{result}\"}}")), count, "{result}");
    }
}

#[test]
fn every_connection_that_owes_a_head_is_counted_by_what_came() {
    let gateway = Setup::new(&format!("{BEHIND}proxy_protocol = true\nhead_timeout = \"300ms\"\n"), "").start();
    let whole = head(1, 0x11, &[203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80]);
    for length in [1, whole.len() - 1] {
        let mut connection = gateway.connect();
        connection.send(&whole[..length]);
        connection.half_close();
        assert!(connection.closed_within(Duration::from_secs(5)));
    }
    let mut reset = gateway.connect();
    reset.send(&whole[..5]);
    reset.reset();
    gateway.wait_for_metric(r#"proxy_heads_total{result="ended"}"#, 3.0);
    // A balancer that only looks whether the port is open.
    drop(gateway.connect());
    gateway.wait_for_metric(r#"proxy_heads_total{result="nothing"}"#, 1.0);
    let mut malformed = gateway.connect();
    malformed.send("GET / HTTP/1.1\r\n\r\n");
    gateway.wait_for_metric(r#"proxy_heads_total{result="malformed"}"#, 1.0);
    let mut late = gateway.connect();
    assert!(late.closed_within(Duration::from_secs(5)));
    gateway.wait_for_metric(r#"proxy_heads_total{result="late"}"#, 1.0);
}

/// A flood of strangers: every line that is not there is counted, and the log says how many, second by second.
#[test]
fn what_a_flood_leaves_out_of_the_log_is_said() {
    const FLOOD: usize = 3000;
    let mut gateway = Setup::new("", "").start();
    let head = "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    let answers = stream.try_clone().unwrap();
    let reader = thread::spawn(move || {
        let mut answers = Connection::over(answers);
        (0..FLOOD).filter(|_| answers.answer().is_some_and(|answer| answer.status == 404)).count()
    });
    stream.write_all(head.repeat(FLOOD).as_bytes()).unwrap();
    assert_eq!(reader.join().unwrap(), FLOOD);
    let (mut written, mut left_out) = (0, 0);
    wait_until("all lines are there or counted", || {
        let lines = gateway.log_so_far();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        written = lines.iter().filter(|line| line["path"] == "/nowhere").count();
        let said = lines.iter().filter(|line| line["message"] == "log lines left out");
        left_out = said.map(|line| usize::try_from(line["unsampled"].as_u64().unwrap()).unwrap()).sum();
        written + left_out == FLOOD
    });
    println!("{written} written, {left_out} left out");
    assert!(written >= 100 && left_out > 0);
    assert_eq!(gateway.metric("log_lines_dropped_total"), left_out as f64);
}
