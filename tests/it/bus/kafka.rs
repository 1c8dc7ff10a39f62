//! The Kafka bus against Apache Kafka itself: what a subscriber gets, and what happens without a topic or a broker.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    brokers::kafka::{Broker, FIXED_TOPICS, Record, USER, shared},
    harness::{AUDIT, Gateway, HOOKBUS, POLICY, sample, tail},
    wait::wait_until,
};

/// An event of its own for each id; `entity` chooses the key.
fn event(id: &str, entity: &str) -> Vec<u8> {
    format!(
        r#"{{"id":"{id}","type":"policy.active","created":1767312148,"data":{{"id":"{entity}","amount": 148320.50}}}}"#
    )
    .into_bytes()
}

/// What Java's default partitioner computes, so that all producers of a topic agree.
fn murmur2(data: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mix = |k: u32| {
        let k = k.wrapping_mul(M);
        (k ^ (k >> 24)).wrapping_mul(M)
    };
    let mut hash = 0x9747_b28c ^ u32::try_from(data.len()).unwrap();
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_mul(M) ^ mix(u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    i32::try_from((hash ^ (hash >> 15)) & 0x7fff_ffff).unwrap()
}

fn check_headers(record: &Record, content_type: &str) {
    let attribute = |name| record.attribute(name).unwrap_or_else(|| panic!("no {name} in {record:?}"));
    assert_eq!(record.header("content-type"), Some(content_type));
    let known = ["specversion", "vendor", "form", "type", "tenant", "environment", "source"].map(attribute);
    let source = "//hookbus/1099policy/acme";
    assert_eq!(known, ["1.0", "1099policy", "event_api", "com.1099policy.policy.active", "acme", "production", source]);
    assert_eq!(attribute("partitionkey"), record.key);
    assert!(attribute("traceparent").starts_with("00-"));
    assert!(record.header("traceparent").is_some_and(|trace| trace.starts_with("00-")));
    let names: Vec<_> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
    if content_type == "application/json" {
        let others = ["content-type", "traceparent"];
        assert!(names.iter().all(|name| name.starts_with("ce_") || others.contains(name)), "{names:?}");
    } else {
        assert_eq!(names, ["content-type", "traceparent"]);
    }
    assert_eq!(record.partition, murmur2(record.key.as_bytes()) % 3);
}

#[test]
fn events_arrive_in_both_encodings() {
    let broker = shared();
    for (encoding, content_type) in [("structured", "application/cloudevents+json"), ("binary", "application/json")] {
        let topic = format!("{encoding}.1099policy.policy.active");
        broker.create(&[&topic]);
        let bus = format!("encoding = \"{encoding}\"\nsubject = \"{encoding}.{{vendor}}.{{type}}\"");
        let mut gateway = broker.setup("", &bus, "linger = \"2ms\"").start();
        assert_eq!(gateway.get_admin("/readyz").status, 200);
        let bodies: HashMap<String, Vec<u8>> =
            (0..30).map(|n| (format!("evt_{n}"), event(&format!("evt_{n}"), &format!("pl_{}", n % 10)))).collect();
        for body in bodies.values() {
            assert_eq!(gateway.post(POLICY, body).status, 200);
        }
        let records = broker.records(&topic);
        let ids: BTreeSet<_> = records.iter().map(|record| record.attribute("id").unwrap()).collect();
        assert_eq!((records.len(), ids), (30, bodies.keys().cloned().collect()));
        assert!((0..3).all(|partition| records.iter().any(|record| record.partition == partition)));
        for record in &records {
            check_headers(record, content_type);
            let body = &bodies[&record.attribute("id").unwrap()];
            if encoding == "binary" {
                assert_eq!(&record.payload, body);
            } else {
                let json = record.json();
                assert_eq!(json["id"], record.attribute("id").unwrap());
                assert_eq!(json["partitionkey"], record.key);
                let text = String::from_utf8(record.payload.clone()).unwrap();
                assert!(text.ends_with(&format!(",\"data\":{}}}", String::from_utf8_lossy(body))), "{text}");
            }
        }
        let lines = tail(gateway.setup.path(), &["--from-start", "--count", "30", &format!("{encoding}.>")]);
        for line in lines {
            let json: serde_json::Value = serde_json::from_str(&line).unwrap();
            let body: serde_json::Value = serde_json::from_slice(&bodies[json["id"].as_str().unwrap()]).unwrap();
            assert_eq!(json["data"], body);
            assert!(line.starts_with(r#"{"specversion":"1.0","id":"evt_"#), "{line}");
            assert!(line.contains(r#""datacontenttype":"application/json","vendor":"#), "the journal's order: {line}");
            assert!(line.ends_with(r#","amount":148320.50}}}"#), "white space goes, and nothing else: {line}");
        }
        assert_eq!(gateway.metric(r#"bus_publish_total{result="ok"}"#), 30.0);
        assert_eq!(gateway.metric("bus_up"), 1.0);
        assert_eq!(gateway.metric(r#"bus_durability_info{bus="kafka",class="memory"}"#), 1.0);
        gateway.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("one broker's memory")));
        wait_until("statistics", || gateway.get_admin("/metrics").body.contains("kafka_broker_rtt_seconds{"));
        gateway.stop();
    }
}

/// An event whose topic does not exist is on the catch-all topic at once, with its real type; nothing makes the topic.
#[test]
fn a_missing_topic_leads_to_the_catch_all() {
    let broker = shared();
    let gateway = broker.setup("", "subject = \"late.{vendor}.{type}\"", "").start();
    let missing = known_missing(&gateway);
    assert!(missing > 40.0, "{missing}");
    let begin = Instant::now();
    assert_eq!(gateway.post(POLICY, &event("evt_late_1", "pl_1")).status, 200);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    let find = |topic: &str, id: &str| {
        broker.records(topic).into_iter().find(|record| record.attribute("id").as_deref() == Some(id))
    };
    let record = find(FIXED_TOPICS[0], "evt_late_1").expect("on the catch-all");
    assert_eq!(record.attribute("type").as_deref(), Some("com.1099policy.policy.active"));
    assert_eq!(record.key, "1099policy/acme/pl_1");
    // What is odd has its topics, whatever the template says.
    assert_eq!(gateway.post(AUDIT, br#"{"event":"brand.new","late":1}"#).status, 200);
    assert_eq!(gateway.post(AUDIT, b"\xff late").status, 200);
    let quarantined = broker.records(FIXED_TOPICS[3]);
    assert!(quarantined.iter().any(|record| record.json()["data_base64"] == "/yBsYXRl"), "{quarantined:?}");
    let unknown = broker.records(FIXED_TOPICS[2]);
    assert!(unknown.iter().any(|record| record.attribute("type").as_deref() == Some("com.audit1.brand.new")));

    let topic = "late.1099policy.policy.active";
    assert!(!broker.topics().contains(&topic.to_owned()), "no event makes a topic");
    broker.create(&[topic]);
    gateway.wait_for_metric("bus_missing_topics", missing - 1.0);
    assert_eq!(gateway.post(POLICY, &event("evt_late_2", "pl_1")).status, 200);
    assert!(find(topic, "evt_late_2").is_some());
}

#[test]
fn what_is_too_large_for_the_bus_is_said_at_once() {
    let gateway = shared().setup("", "", "properties = { \"message.max.bytes\" = 100000 }").start();
    let body = format!(r#"{{"id":"evt_large","type":"policy.active","data":{{"x":"{}"}}}}"#, "x".repeat(200_000));
    let begin = Instant::now();
    assert_eq!(gateway.post(POLICY, body.as_bytes()).status, 503);
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(gateway.metric(r#"bus_publish_total{result="too_large"}"#), 1.0);
    // It holds no other topic up.
    assert_eq!(gateway.post(POLICY, &event("evt_small", "pl_1")).status, 200);
}

#[test]
fn provision_makes_what_is_missing() {
    let broker = shared();
    let kafka = "provision = { replication = 1, min_insync = 1, partitions = 2, retention = \"1d\" }\n\
                 properties = { \"message.max.bytes\" = 3000000 }";
    let setup = broker.setup("", "subject = \"made.{vendor}.{category}\"", kafka);
    let run = |arguments: &[&str]| {
        let output = setup.run(&[&["provision"], arguments].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = run(&["--check"]);
    assert_eq!(code, Some(1), "{text}");
    let (code, text) = run(&["--print"]);
    let line = "made.audit1.file: 2 partitions, replication 1, min.insync.replicas 1, retention 1d, max.message.bytes 3000000\n";
    assert!(code == Some(0) && text.contains(line), "{text}");
    assert!(!broker.topics().contains(&"made.audit1.file".to_owned()), "--print makes nothing");
    let (code, text) = run(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(run(&["--check"]).0, Some(0));
    let gateway = setup.start();
    assert_eq!(gateway.metric("bus_missing_topics"), 0.0);
    assert_eq!(gateway.post(AUDIT, &sample("audit1/samples/camel/file.failed.json")).status, 200);
    assert_eq!(broker.records("made.audit1.file").len(), 1);
    // Twice what a broker takes by default: what the client may send, the new topics take.
    let large = format!(r#"{{"id":"evt_large","type":"policy.active","data":{{"x":"{}"}}}}"#, "x".repeat(2_000_000));
    assert_eq!(gateway.post(POLICY, large.as_bytes()).status, 200);
}

#[test]
fn tls_and_a_login() {
    let broker = shared();
    broker.create(&["login.1099policy.policy.active"]);
    let gateway = broker.setup_with_login("subject = \"login.{vendor}.{type}\"", &format!("{}\n", USER.1)).start();
    assert_eq!(gateway.post(POLICY, &event("evt_login", "pl_1")).status, 200);
    assert_eq!(broker.records("login.1099policy.policy.active").len(), 1);
    let lines = tail(gateway.setup.path(), &["--from-start", "--count", "1", "login.>"]);
    assert!(lines[0].contains("evt_login"));
    drop(gateway);

    // A wrong password stops nothing, is said, and is not repeated.
    let mut gateway = broker.setup_with_login("", "a wrong password").start();
    let line =
        gateway.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("no broker answers")));
    assert!(line["error"].as_str().unwrap().contains("uthentication failed"), "{line}");
    assert!(!gateway.log_so_far().contains("a wrong password"));
    assert_eq!(gateway.get_admin("/readyz").status, 503);
    assert_eq!(gateway.post(POLICY, &event("evt_refused", "pl_1")).status, 503);
    fs::write(gateway.setup.path().join("password"), USER.1).unwrap();
    gateway.wait_for_metric("bus_up", 1.0);
    assert_eq!(gateway.post(POLICY, &event("evt_refused", "pl_1")).status, 200);
}

/// May be seen and not written: said at once, and no other topic waits for it.
#[test]
fn a_topic_that_we_may_not_write_is_unauthorized() {
    let broker = shared();
    let topic = "acl.1099policy.policy.active";
    broker.create(&[topic]);
    let server = broker.address();
    let only_describe = ["--add", "--allow-principal", "User:alice", "--operation", "Describe", "--topic", topic];
    let command = ["org.apache.kafka.tools.AclCommand", "--bootstrap-server", &server];
    broker.tool(&[&command[..], &only_describe].concat());
    let gateway = broker.setup_with_login("subject = \"acl.{vendor}.{type}\"", USER.1).start();
    assert_eq!(gateway.post(POLICY, &event("evt_acl", "pl_1")).status, 503);
    assert_eq!(gateway.metric(r#"bus_publish_total{result="unauthorized"}"#), 1.0);
    assert_eq!(gateway.post(AUDIT, br#"{"event":"brand.new","acl":1}"#).status, 200);

    // Nor read: said at once, instead of waiting for events for ever.
    let tail = |setup: &crate::support::harness::Setup| {
        let words = ["60", HOOKBUS, "tail", "acl.>", "--from-start", "--count", "1"];
        let output = Command::new("timeout").args(words).current_dir(setup.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = tail(&gateway.setup);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("this login may not read acl.>: see deploy/permissions"), "{text}");
    let (code, text) = tail(&broker.setup_with_login("subject = \"acl.{vendor}.{type}\"", "wrong"));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the brokers and this login do not agree"), "{text}");
}

/// The gauge, once the brokers have listed their topics twice: here most of them are missing.
fn known_missing(gateway: &Gateway) -> f64 {
    wait_until("a second look", || gateway.metric("bus_missing_topics") > 0.0);
    gateway.metric("bus_missing_topics")
}

/// A topic that goes away under an event: the event goes to the catch-all.
#[test]
fn a_deleted_topic_leads_to_the_catch_all() {
    let broker = shared();
    let topic = "gone.1099policy.policy.active";
    broker.create(&[topic]);
    let properties = "properties = { \"topic.metadata.propagation.max.ms\" = 2000 }";
    let gateway = broker.setup("", "subject = \"gone.{vendor}.{type}\"", properties).start();
    let missing = known_missing(&gateway);
    assert_eq!(gateway.post(POLICY, &event("evt_gone_1", "pl_1")).status, 200);
    broker.delete(topic);
    for number in 2..10 {
        let id = format!("evt_gone_{number}");
        wait_until("an answer", || gateway.post(POLICY, &event(&id, "pl_1")).status == 200);
    }
    let records = broker.records(FIXED_TOPICS[0]);
    for number in 2..10 {
        let id = format!("evt_gone_{number}");
        assert!(records.iter().any(|record| record.attribute("id").as_deref() == Some(&id)), "{id}");
    }
    gateway.wait_for_metric("bus_missing_topics", missing + 1.0);
}

/// A broker that is away delays nothing: not the start, not the refusal. When it comes, and its topics, so do events.
#[test]
fn a_broker_may_come_late() {
    let mut broker = Broker::new();
    let begin = Instant::now();
    let gateway = broker.setup("", "", "").start();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!((gateway.get_admin("/readyz").status, gateway.metric("bus_up")), (503, 0.0));
    assert_eq!(gateway.post(POLICY, &event("evt_1", "pl_1")).status, 503);
    assert_eq!(gateway.metric(r#"bus_publish_total{result="refused"}"#), 1.0);
    broker.start();
    gateway.wait_for_metric("bus_up", 1.0);
    wait_until("metadata", || gateway.get_admin("/readyz").status == 200);
    // No topic, not even the catch-all.
    assert_eq!(gateway.post(POLICY, &event("evt_1", "pl_1")).status, 503);
    assert_eq!(gateway.metric(r#"bus_publish_total{result="unroutable"}"#), 1.0);
    broker.create(&FIXED_TOPICS);
    wait_until("an answer", || gateway.post(POLICY, &event("evt_1", "pl_1")).status == 200);
    assert_eq!(broker.records(FIXED_TOPICS[0]).len(), 1);
    assert_eq!(gateway.metric("bus_reconnects_total"), 1.0);
    gateway.stop();
}

/// A broker that was frozen may list no broker when it wakes up, itself neither, and a client that asks at this moment forgets it
/// for good: here after every fifth freeze. With "none" librdkafka never starts anew by itself.
#[test]
fn a_producer_that_has_lost_its_brokers_is_replaced() {
    let mut broker = Broker::new();
    broker.set("broker.heartbeat.interval.ms", "2000");
    broker.start();
    broker.create(&FIXED_TOPICS);
    let asks_often = "\"topic.metadata.refresh.interval.ms\" = 20";
    let properties = format!("properties = {{ \"metadata.recovery.strategy\" = \"none\", {asks_often} }}");
    let mut gateway = broker.setup("", "", &properties).start();
    gateway.wait_for_metric("bus_up", 1.0);
    for freeze in 1..=8 {
        broker.signal("-STOP");
        thread::sleep(Duration::from_secs(4));
        broker.signal("-CONT");
        wait_until("an answer", || gateway.post(POLICY, &event(&format!("evt_{freeze}"), "pl_1")).status == 200);
        if gateway.log_so_far().contains("brokers answer another client, and not the producer") {
            println!("replaced after {freeze} freezes");
            break;
        }
    }
    gateway.stop();
}
