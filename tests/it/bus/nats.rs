//! The NATS bus, against a real nats-server.

use std::time::{Duration, Instant};

use async_nats::jetstream::stream;
use hookbus::{
    bus::{Ack, Bus, metrics::BusMetrics, nats},
    config::{BusKind, Config, SourceConfig},
    envelope::{Attributes, Message, attributes::Attribute},
    metrics::Families,
    vendors::Vendor,
};
use serde_json::Value;

use crate::support::{
    brokers::nats::{NatsServer, Operator, USERS, event, with_login},
    client::{post_head, signature},
    harness::{AUDIT, Gateway, POLICY, Setup, sample, tail},
    wait::wait_until,
};

const PUBLISHED: [&str; 8] =
    ["ok", "duplicate", "timeout", "refused", "too_large", "unroutable", "unauthorized", "error"];

/// A server with the stream.
fn with_stream() -> (NatsServer, Operator) {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    (server, operator)
}

/// Exactly one publication of a kind was counted, and none of any other.
fn assert_published(gateway: &Gateway, result: &str, count: f64) {
    for other in PUBLISHED {
        let expected = if other == result { count } else { 0.0 };
        let series = format!("bus_publish_total{{result=\"{other}\"}}");
        assert_eq!(gateway.metric(&series), expected, "{other}");
    }
}

/// Both content modes, read with the bare client: subject, every header, the body's own bytes. Headers of the request
/// choose nothing, whatever they are called.
#[test]
fn events_arrive_with_their_headers_in_both_modes() {
    for encoding in ["structured", "binary"] {
        let (server, operator) = with_stream();
        let gateway = server.setup(&format!("encoding = \"{encoding}\""), "").start();
        let body = sample("policy1099/samples/nested/certificate.flagged.json");
        let hostile = "Nats-Rollup: all\r\nNats-TTL: 1s\r\nce-id: forged\r\nNats-Msg-Id: forged\r\n";
        let head = post_head(POLICY, &body, &format!("{hostile}{}", signature(POLICY, &body)));
        assert_eq!(gateway.connect().request(&head, &body).status, 200);
        assert_eq!(gateway.post(AUDIT, b"\xffnot json").status, 200);
        assert_published(&gateway, "ok", 2.0);

        let stored = operator.read();
        let [event, odd] = &stored[..] else { panic!("{stored:?}") };
        assert_eq!(event.subject, "webhooks.1099policy.certificate.flagged");
        assert_eq!(event.header("Nats-Expected-Stream"), "WEBHOOKS");
        assert!(event.header("Nats-Msg-Id").starts_with(&format!("1099policy/acme/{}/", event.attribute("id"))));
        assert_eq!(event.attribute("type"), "com.1099policy.certificate.flagged");
        let known = ["specversion", "tenant", "environment"].map(|name| event.attribute(name));
        assert_eq!(known, ["1.0", "acme", "production"]);
        assert_eq!(event.attribute("traceparent").split_at(35).0, event.header("traceparent").split_at(35).0);
        let names: Vec<_> = event.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(odd.subject, "webhooks.audit1.quarantine");

        let lines = tail(gateway.setup.path(), &["--from-start", "--count", "2"]);
        if encoding == "structured" {
            assert_eq!(names, ["Nats-Expected-Stream", "Nats-Msg-Id", "content-type", "traceparent"]);
            assert_eq!(event.header("content-type"), "application/cloudevents+json");
            let json: Value = serde_json::from_slice(&event.payload).unwrap();
            assert_eq!(json["type"], "com.1099policy.certificate.flagged");
            assert!(event.payload.windows(body.len()).any(|window| window == body), "the body's own bytes");
        } else {
            let broker = ["Nats-Expected-Stream", "Nats-Msg-Id", "traceparent"];
            assert!(names.iter().all(|name| name.starts_with("ce-") || broker.contains(name)), "{names:?}");
            assert_eq!(event.attribute("datacontenttype"), "application/json");
            assert_eq!(event.payload, body);
            assert_eq!(odd.payload, b"\xffnot json");
        }
        // `tail` prints the same for both modes.
        let json: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(json["id"], event.attribute("id"));
        assert!(lines[0].starts_with(r#"{"specversion":"1.0","id":"#) && lines[0].contains(r#","data":{"#));
        assert!(lines[1].ends_with(r#","data_base64":"/25vdCBqc29u"}"#), "{}", lines[1]);
        let text = gateway.setup.run(&["tail", "webhooks.audit1.>", "--from-start", "--count", "1"]).stdout;
        assert!(String::from_utf8(text).unwrap().trim_end().ends_with("bytes=9"));
    }
}

/// Two gateways, as behind one balancer, get the same event: the stream has it once, and both answer 200.
#[test]
fn two_gateways_store_one_event_once() {
    let (server, operator) = with_stream();
    let (first, second) = (server.setup("", "").start(), server.setup("", "").start());
    for gateway in [&first, &second] {
        assert_eq!(gateway.post(POLICY, &event(1)).status, 200);
    }
    assert_published(&first, "ok", 1.0);
    assert_published(&second, "duplicate", 1.0);
    assert_eq!(operator.count(), 1);
    // One id with another body is another event (finding: equal ids would let one erase the other).
    let other = String::from_utf8(event(1)).unwrap().replace("1.50", "2.50");
    assert_eq!(second.post(POLICY, other.as_bytes()).status, 200);
    assert_eq!(operator.count(), 2);
}

#[test]
fn a_broker_that_is_away_never_stops_the_start() {
    let mut server = NatsServer::stopped("");
    let gateway = server.setup("", "publish_timeout = \"600ms\"\nack_timeout = \"300ms\"").start();
    assert_eq!(gateway.metric("bus_up"), 0.0);
    assert_eq!((gateway.get_admin("/readyz").status, gateway.get_admin("/livez").status), (503, 200));
    let answer = gateway.post(POLICY, &event(1));
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
    assert_published(&gateway, "refused", 1.0);
    server.run();
    let operator = server.operator();
    operator.create(Operator::settings());
    gateway.wait_for_metric("bus_up", 1.0);
    assert_eq!(gateway.get_admin("/readyz").status, 200);
    assert_eq!(gateway.post(POLICY, &event(1)).status, 200);
    assert_eq!(operator.count(), 1);
    assert_eq!(gateway.metric("bus_reconnects_total"), 0.0, "the first connection is none made again");
}

/// The name is asked for again at each attempt.
#[test]
fn a_name_that_leads_nowhere_never_stops_the_start() {
    let server = NatsServer::stopped("");
    let nowhere = "servers = [\"nats://nowhere.invalid:4222\"]\npublish_timeout = \"600ms\"\nack_timeout = \"300ms\"";
    let gateway = server.setup("", nowhere).start();
    assert_eq!(gateway.post(POLICY, &event(1)).status, 503);
    assert_eq!((gateway.get_admin("/readyz").status, gateway.get_admin("/livez").status), (503, 200));
}

/// The room alone: calls keep their order through a spell without a connection, in whatever order they are polled.
#[test]
fn publications_keep_the_order_of_the_calls_and_need_no_polling() {
    let (mut server, _) = with_stream();
    server.kill();
    let source = SourceConfig::defaults("acme", Vendor::Policy1099, "/a", Vec::new());
    let mut config = Config::defaults(BusKind::Nats, vec![source]);
    config.bus.nats.servers = vec![server.url()];
    config.bus.nats.publish_timeout = Duration::from_secs(20);
    let metrics = BusMetrics::register(&Families::default()).unwrap();
    let bus = Bus::Nats(nats::Nats::start(&config, metrics).unwrap());
    let publish = |number: usize| {
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Id, &number);
        attributes.push(Attribute::Route, &"webhooks.1099policy.policy.active");
        attributes.push(Attribute::MessageId, &number);
        bus.publish(Message { attributes, body: "{}".into() })
    };
    let mut publications: Vec<_> = (0..50).map(publish).collect();
    // One that is not waited for is published all the same, and holds nothing up.
    drop(publications.remove(10));
    let last = publications.pop().unwrap();
    server.run();
    let operator = server.operator();
    assert_eq!(operator.runtime.block_on(last), Ok(Ack::Stored));
    let ids: Vec<_> = operator.read().iter().map(|stored| stored.attribute("id")).collect();
    assert_eq!(ids, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
    bus.close();
    let after = publish(50);
    assert!(operator.runtime.block_on(after).is_err(), "a closed bus takes nothing");
}

#[test]
fn a_missing_stream_is_unroutable_until_it_is_made() {
    let server = NatsServer::start();
    let mut gateway = server.setup("", "").start();
    gateway.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("no such stream")));
    assert_eq!(gateway.metric("bus_missing_topics"), 2.0, "one pattern of subjects a vendor");
    assert_eq!(gateway.post(POLICY, &event(1)).status, 503);
    assert_published(&gateway, "unroutable", 1.0);
    let operator = server.operator();
    // A stream of another name that has captured the subjects must not take them.
    operator.create(stream::Config { name: "OTHER".into(), ..Operator::settings() });
    assert_eq!(gateway.post(POLICY, &event(1)).status, 503);
    assert_published(&gateway, "unroutable", 2.0);
    operator.runtime.block_on(operator.context.delete_stream("OTHER")).unwrap();
    operator.create(Operator::settings());
    assert_eq!(gateway.post(POLICY, &event(1)).status, 200);
    assert_eq!(operator.count(), 1);
    // The stream is looked at now and then, not only after a new connection.
    gateway.wait_for_metric("bus_missing_topics", 0.0);
}

#[test]
fn a_stream_that_cannot_take_an_event_is_no_200() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(stream::Config { max_messages: 1, max_message_size: 100_000, ..Operator::settings() });
    let gateway = server.setup("", "").start();
    let large = |bytes: usize| format!(r#"{{"type":"policy.active","data":"{}"}}"#, "x".repeat(bytes));
    // Larger than the stream's limit, then larger than the server's.
    for (bytes, count) in [(100_000, 1.0), (2_000_000, 2.0)] {
        assert_eq!(gateway.post(POLICY, large(bytes).as_bytes()).status, 503);
        assert_published(&gateway, "too_large", count);
    }
    assert_eq!(gateway.post(POLICY, &event(1)).status, 200);
    let began = Instant::now();
    assert_eq!(gateway.post(POLICY, &event(2)).status, 503);
    assert!(began.elapsed() < Duration::from_secs(1), "a full stream says so at once");
    assert_eq!(gateway.metric(r#"bus_publish_total{result="refused"}"#), 1.0);
    assert_eq!(operator.count(), 1);
}

/// The server says that a publication is forbidden on the side, and never answers it.
#[test]
fn permissions_taken_away_are_noticed_at_once() {
    let server = NatsServer::start_with(USERS);
    let admin = || async_nats::ConnectOptions::with_user_and_password("admin".into(), "admin-pw".into());
    let operator = server.operator_with(admin());
    operator.create(Operator::settings());
    let gateway = with_login(&server, "gateway-pw").start();
    assert_eq!(gateway.post(POLICY, &event(1)).status, 200);
    server.configure(&USERS.replace("\"webhooks.>\"", "\"webhooks.1099policy.>\""));
    server.reload();
    let began = Instant::now();
    assert_eq!(gateway.post(AUDIT, &sample("audit1/samples/snake/file.failed.json")).status, 503);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(gateway.metric(r#"bus_publish_total{result="unauthorized"}"#), 1.0);
    assert_eq!(gateway.post(POLICY, &event(2)).status, 200, "other subjects go on");
    assert_eq!(operator.count(), 2);
}

/// CA and client certificate, made by openssl.
#[test]
fn tls_with_a_client_certificate() {
    let (server, operator) = NatsServer::with_tls();
    let dir = server.path().display().to_string();
    let tls = |certificate: bool| {
        let own = "certificate_file = \"$DIR/client.pem\"\nkey_file = \"$DIR/client.key\"\n";
        let keys = format!("require_tls = true\nca_file = \"$DIR/ca.pem\"\n{}", if certificate { own } else { "" });
        format!("servers = [\"tls://localhost:{}\"]\n{}", server.port, keys.replace("$DIR", &dir))
    };
    let gateway = server.setup("", &tls(true)).start();
    assert_eq!(gateway.post(POLICY, &event(1)).status, 200);
    assert_eq!(operator.count(), 1);
    let short = format!("{}\npublish_timeout = \"600ms\"\nack_timeout = \"300ms\"", tls(false));
    let stranger = server.setup("", &short).start();
    wait_until("a stranger at the door", || server.log().contains("client didn't provide a certificate"));
    assert_eq!(stranger.post(POLICY, &event(2)).status, 503);
    assert_eq!(
        (stranger.metric("bus_up"), operator.count()),
        (0.0, 1),
        "without its certificate the server does not let it in"
    );
}

/// A certificate of another authority, or one that has ended, is not taken. The files are read for each connection.
#[test]
fn a_renewed_authority_is_taken_without_a_restart() {
    let (server, _) = NatsServer::with_tls();
    let at = |name: &str| server.path().join(name).display().to_string();
    std::fs::copy(at("other.pem"), at("trusted.pem")).unwrap();
    let tls = format!(
        "servers = [\"tls://localhost:{}\"]\npublish_timeout = \"600ms\"\nack_timeout = \"300ms\"\nrequire_tls = true\n\
         ca_file = \"{}\"\ncertificate_file = \"{}\"\nkey_file = \"{}\"",
        server.port,
        at("trusted.pem"),
        at("client.pem"),
        at("client.key")
    );
    let gateway = server.setup("", &tls).start();
    assert_eq!((gateway.post(POLICY, &event(1)).status, gateway.metric("bus_up")), (503, 0.0));
    std::fs::copy(at("ca.pem"), at("trusted.pem")).unwrap();
    gateway.wait_for_metric("bus_up", 1.0);
    assert_eq!(gateway.post(POLICY, &event(1)).status, 200);
}

/// What stops the start: `dangers`.
#[test]
fn lesser_faults_of_a_stream_are_said() {
    let server = NatsServer::start();
    let operator = server.operator();
    let poor = stream::Config {
        discard: stream::DiscardPolicy::Old,
        subjects: vec!["webhooks.audit1.>".into()],
        duplicate_window: Duration::from_mins(2),
        ..Operator::settings()
    };
    operator.create(poor);
    let mut gateway = server.setup("", "").start();
    let log = gateway.log_so_far();
    for warning in ["1 replica", "discards its oldest", "webhooks.1099policy.>", "after 2m", "max_payload"] {
        assert!(log.contains(warning), "{warning} in\n{log}");
    }
    assert!(log.contains("an acknowledgement means: one server has the event"), "{log}");
    assert_eq!(gateway.metric(r#"bus_durability_info{bus="nats",class="unknown"}"#), 1.0);
}

#[test]
fn unknown_types_get_a_subject_where_the_operator_wants_it() {
    let (server, operator) = with_stream();
    let body = br#"{"type":"policy.teleported","data":{}}"#;
    for keys in ["", "unknown_types = \"route\""] {
        let gateway = server.setup(keys, "").start();
        let fresh = [&body[..], keys.as_bytes().get(..1).map_or(b"", |_| b" ")].concat();
        assert_eq!(gateway.post(POLICY, &fresh).status, 200);
        let hostile = br#"{"type":"$JS.API.STREAM.PURGE.WEBHOOKS","data":{}}"#;
        assert_eq!(gateway.post(POLICY, hostile).status, 200);
    }
    let subjects: Vec<_> = operator.read().into_iter().map(|message| message.subject).collect();
    let expected =
        ["webhooks.1099policy.unknown", "webhooks.1099policy.quarantine", "webhooks.1099policy.policy.teleported"];
    assert_eq!(subjects, expected, "the second quarantined one is a duplicate");
}

#[test]
fn provision_makes_the_stream_and_says_what_is_missing() {
    let server = NatsServer::start();
    let setup = server.setup("", "provision.replicas = 1");
    let run = |arguments: &[&str]| {
        let output = setup.run(&[&["provision"], arguments].concat());
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), text)
    };
    let (code, text) = run(&["--check"]);
    assert!(code == Some(1) && text.contains("create stream WEBHOOKS"), "{text}");
    let (code, text) = run(&["--print"]);
    assert!(code == Some(0) && text.contains("\"webhooks.1099policy.>\""), "{text}");
    assert_eq!(run(&["--check"]).0, Some(1), "--print has made nothing");
    assert_eq!(run(&[]).0, Some(0));
    let (code, text) = run(&["--check"]);
    assert!(code == Some(0) && text.contains("nothing to do"), "{text}");

    let operator = server.operator();
    let poor = stream::Config { discard: stream::DiscardPolicy::Old, ..Operator::settings() };
    operator.runtime.block_on(operator.context.update_stream(&poor)).unwrap();
    let (code, text) = run(&["--check"]);
    assert!(code == Some(1) && text.contains("discard new messages"), "{text}");
    assert_eq!((run(&[]).0, run(&["--check"]).0), (Some(0), Some(0)));

    let mut gateway = server.setup("", "").start();
    assert_eq!(gateway.post(AUDIT, &sample("audit1/samples/snake/file.failed.json")).status, 200);
    assert!(!gateway.log_so_far().contains("discards its oldest"));
    assert_eq!(Setup::new("", "").run(&["provision"]).status.code(), Some(0), "the journal needs none");
}
