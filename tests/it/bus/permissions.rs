//! The permissions in `deploy/permissions`, at the real brokers: each command works with its own and can do nothing else.

use std::{fs, process::Output, time::Duration};

use async_nats::ConnectOptions;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use crate::support::{
    brokers::{kafka::Broker, nats::NatsServer},
    follow_up::{DETAILS, Reconciler, flagged, follow, put},
    harness::{POLICY, Setup, tail},
    journal::fill_journal,
    quarantined,
    vendors::Vendors,
    wait::{wait_at_most, wait_until},
};

const EVENT: &[u8] = br#"{"id":"evt_permissions","type":"policy.active","data":{"object":{"id":"pl_1"}}}"#;
const TOPIC: &str = "webhooks.1099policy.policy.active";

/// The users of the files, and the password of all of them here.
const USERS: [&str; 5] = ["hookbus", "hookbus-provision", "hookbus-tail", "hookbus-replay", "hookbus-reconcile"];
const PASSWORD: &str = "password of the permissions' test";

/// Puts another user into a configuration.
fn as_user(setup: &Setup, user: &str) {
    let file = setup.path().join("hookbus.toml");
    let text = fs::read_to_string(&file).unwrap();
    let known = USERS.map(|user| format!("user = \"{user}\""));
    let old = known.iter().find(|line| text.contains(line.as_str())).unwrap();
    fs::write(&file, text.replace(old, &format!("user = \"{user}\""))).unwrap();
}

/// What a command prints, after its exit code was looked at.
fn said(output: &Output, success: bool) -> String {
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert_eq!(output.status.success(), success, "{text}");
    text
}

/// The gateway's login, which is in use, and that of `provision` read no event; that of `tail` does.
fn assert_only_tail_reads(setup: &Setup) {
    assert_reads_nothing(setup);
    as_user(setup, "hookbus-provision");
    assert_reads_nothing(setup);
    as_user(setup, "hookbus-tail");
    let lines = tail(setup.path(), &["--from-start", "--count", "1"]);
    assert!(lines[0].contains("evt_permissions"), "{lines:?}");
}

/// A `tail` that may not read ends with an error or waits for ever: this one ends, and prints nothing.
fn assert_reads_nothing(setup: &Setup) {
    assert_reads_nothing_of(setup, ">");
}

fn assert_reads_nothing_of(setup: &Setup, pattern: &str) {
    let output = std::process::Command::new("timeout")
        .args(["8", crate::support::harness::HOOKBUS, "tail", "--json", "--from-start", "--count", "1", pattern])
        .current_dir(setup.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// What `check --connect` says of the gateway's login, and of subjects for which its permissions are not made.
fn assert_checks(setup: &Setup, may: &str, may_not: &str) {
    as_user(setup, "hookbus");
    let text = said(&setup.run(&["check", "--connect"]), true);
    assert!(text.contains(may) && !text.contains("problem"), "{text}");
    said(&setup.run(&["provision", "--check"]), true);
    setup.edit("[bus]\n", "[bus]\nsubject = \"events.{vendor}.{type}\"\n");
    let text = said(&setup.run(&["check", "--connect"]), false);
    assert!(text.contains(may_not), "{text}");
    setup.edit("subject = \"events.{vendor}.{type}\"\n", "");
}

/// What lies on the disk, dead letters as well as these three, is sent with the gateway's permissions. The event leaves quarantine
/// with the permissions that are made for it, and not with those to publish or to read alone.
fn assert_replays(setup: &Setup) {
    as_user(setup, "hookbus");
    fill_journal(setup, 3);
    assert!(said(&setup.run(&["replay", "journal", "--send"]), true).contains("3 event(s), "));
    for user in ["hookbus", "hookbus-tail"] {
        as_user(setup, user);
        let text = said(&setup.run(&["replay", "quarantine", "--send"]), false);
        assert!(!text.contains("1 event(s), "), "{user}: {text}");
    }
    as_user(setup, "hookbus-replay");
    let text = said(&setup.run(&["replay", "quarantine", "--send"]), true);
    assert!(text.contains("1 event(s), ") && text.contains(" sent to "), "{text}");
    as_user(setup, "hookbus-tail");
    let lines = tail(setup.path(), &["--from-start", "--count", "1", quarantined::TARGET]);
    assert!(lines[0].contains("evt_9"), "{lines:?}");
}

fn nats_with_permissions() -> (NatsServer, Setup) {
    let permissions = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/permissions/nats-permissions.conf");
    let roles = ["serve", "provision", "tail", "replay", "reconcile"];
    let users: String = USERS
        .iter()
        .zip(roles)
        .map(|(user, role)| format!("{{ user: {user}, password: \"{PASSWORD}\", permissions: $hookbus_{role} }}\n"))
        .collect();
    let mut server = NatsServer::stopped("");
    // An include is found beside the file that asks for it.
    fs::copy(permissions, server.path().join("nats-permissions.conf")).unwrap();
    server.configure(&format!("include \"nats-permissions.conf\"\nauthorization {{ users = [\n{users}] }}"));
    server.run();
    let nats = "user = \"hookbus\"\npassword_file = \"secrets/nats\"\nprovision = { replicas = 1 }";
    let setup = server.setup("", nats);
    fs::write(setup.path().join("secrets/nats"), PASSWORD).unwrap();
    (server, setup)
}

#[test]
fn nats_each_command_works_with_its_own_permissions_and_no_others() {
    let (_server, setup) = nats_with_permissions();
    for (user, may) in [("hookbus", false), ("hookbus-tail", false), ("hookbus-provision", true)] {
        as_user(&setup, user);
        let text = said(&setup.run(&["provision"]), may);
        // The server's own word, at once, and not that no answer came.
        assert!(may || text.to_lowercase().contains("permissions violation"), "{text}");
    }
    // A change of the settings is within its permissions, too.
    let file = setup.path().join("hookbus.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("replicas = 1", "replicas = 1, max_age = \"2d\"")).unwrap();
    assert!(said(&setup.run(&["provision"]), true).contains("max_age"));

    assert_checks(
        &setup,
        "the login may publish all subjects",
        "problem: the login may not publish events.1099policy.>",
    );
    as_user(&setup, "hookbus-tail");
    assert!(said(&setup.run(&["check", "--connect"]), true).contains("does not tell what the login may publish"));

    as_user(&setup, "hookbus");
    let mut gateway = setup.start();
    assert_eq!(gateway.post(POLICY, EVENT).status, 200);
    assert_eq!(gateway.metric(r#"bus_publish_total{result="ok"}"#), 1.0);
    // It may read the stream's settings.
    gateway.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("an acknowledgement means")));
    assert_only_tail_reads(&gateway.setup);

    // Nor can those two publish.
    for user in ["hookbus-provision", "hookbus-tail"] {
        as_user(&gateway.setup, user);
        let setup = Setup { dir: tempfile::tempdir().unwrap() };
        copy(&gateway.setup, &setup);
        let other = setup.start();
        assert_eq!(other.post(POLICY, EVENT).status, 503, "{user}");
        assert_eq!(other.metric(r#"bus_publish_total{result="unauthorized"}"#), 1.0, "{user}");
    }
}

#[test]
fn nats_replay_reads_quarantine_publishes_and_does_no_more() {
    let (server, setup) = nats_with_permissions();
    // With the subjects of hookbus's own events.
    setup.edit("[admin]", "[reconcile]\n[admin]");
    let files = "secret_files = [\"secrets/1099policy\"]\n";
    let api = "[sources.api]\nkey_file = \"secrets/none\"\nendpoint_url = \"https://hooks.example.com/\"\n";
    setup.edit(files, &format!("{files}{api}"));
    as_user(&setup, "hookbus-provision");
    said(&setup.run(&["provision"]), true);
    let client =
        |user: &str| server.operator_with(ConnectOptions::with_user_and_password(user.into(), PASSWORD.into()));
    let serve = client("hookbus");
    quarantined::put(&serve);
    assert_replays(&setup);
    assert_eq!(serve.count(), 5);

    as_user(&setup, "hookbus-replay");
    setup.edit("replicas = 1", "replicas = 1, max_age = \"2d\"");
    said(&setup.run(&["provision"]), false);
    let replay = client("hookbus-replay");
    replay.runtime.block_on(async {
        let stream = replay.context.get_stream("WEBHOOKS").await.unwrap();
        let other = async_nats::jetstream::stream::Config { name: "OTHER".into(), ..Default::default() };
        // What is forbidden is never answered: all of them wait at once.
        let (purged, deleted, gone, made) = tokio::join!(
            stream.purge(),
            stream.delete_message(1),
            replay.context.delete_stream("WEBHOOKS"),
            replay.context.create_stream(other)
        );
        assert!(purged.is_err() && deleted.is_err() && gone.is_err() && made.is_err());
    });
    assert_eq!(serve.count(), 5);
    // The reconciler reads, and publishes what is hookbus's own and no vendor's.
    let reconcile = client("hookbus-reconcile");
    assert_eq!(reconcile.read().len(), 5);
    reconcile.runtime.block_on(async {
        let publish = async |subject: &'static str| reconcile.context.publish(subject, "{}".into()).await?.await;
        let (own, vendors) = tokio::join!(
            publish("webhooks.hookbus.finding.event_missed"),
            publish("webhooks.1099policy.policy.active")
        );
        assert!(own.is_ok() && vendors.is_err(), "{own:?} {vendors:?}");
    });
    assert_eq!(serve.count(), 6);
}

/// Details are fetched and published with the permissions that are made for it, and not with those to publish or to read alone;
/// and no webhook is taken with them.
fn assert_follows_up(setup: &Setup) {
    let vendors = Vendors::start();
    follow(setup, &vendors.base("1099policy"));
    put(&vendors, [1]);
    as_user(setup, "hookbus-provision");
    said(&setup.run(&["provision"]), true);
    as_user(setup, "hookbus");
    let folder = Setup { dir: tempfile::tempdir().unwrap() };
    copy(setup, &folder);
    assert_eq!(folder.start().post(POLICY, &flagged(1)).status, 200);
    for user in ["hookbus", "hookbus-tail"] {
        as_user(setup, user);
        let reconciler = Reconciler::start(setup.path());
        wait_until("that it may not", || {
            reconciler.log().contains("\"follow-up calls wait\"") || 1.0 <= reconciler.failures("bus")
        });
        assert_eq!(reconciler.results("published"), 0.0, "{user}");
    }
    as_user(setup, "hookbus-reconcile");
    let reconciler = Reconciler::start(setup.path());
    wait_at_most(Duration::from_mins(1), "the details", || reconciler.results("published") == 1.0);
    let folder = Setup { dir: tempfile::tempdir().unwrap() };
    copy(setup, &folder);
    assert_eq!(folder.start().post(POLICY, EVENT).status, 503);
    reconciler.stop();
    as_user(setup, "hookbus-tail");
    let lines = tail(setup.path(), &["--from-start", "--count", "1", DETAILS]);
    assert!(lines[0].contains("cert_1"), "{lines:?}");
}

#[test]
fn nats_details_need_their_own_permissions_and_no_others() {
    let (_server, setup) = nats_with_permissions();
    assert_follows_up(&setup);
}

/// A second gateway's folder.
fn copy(from: &Setup, to: &Setup) {
    fs::create_dir(to.path().join("secrets")).unwrap();
    fs::copy(from.path().join("hookbus.toml"), to.path().join("hookbus.toml")).unwrap();
    for entry in fs::read_dir(from.path().join("secrets")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.path().join("secrets").join(entry.file_name())).unwrap();
    }
    if from.path().join("password").exists() {
        fs::copy(from.path().join("password"), to.path().join("password")).unwrap();
    }
}

/// A broker that allows only what a rule allows, with the users and the rules of the script.
fn kafka_with_permissions() -> (Broker, Setup) {
    let mut broker = Broker::with_users(&USERS.map(|user| (user, PASSWORD)));
    broker.set("allow.everyone.if.no.acl.found", "false");
    // A forbidden topic must not be made by the way either.
    broker.set("auto.create.topics.enable", "false");
    broker.start();
    let address = broker.address();
    broker.script(&["deploy/permissions/kafka-acls.sh", &address], "KAFKA_ACLS", "org.apache.kafka.tools.AclCommand");
    let setup = broker.setup_with_login("", PASSWORD);
    let file = setup.path().join("hookbus.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("user = \"alice\"", "user = \"hookbus\"");
    let provision = "[bus.kafka]\nprovision = { replication = 1, min_insync = 1, partitions = 1 }\n";
    fs::write(&file, text.replace("[bus.kafka]\n", provision)).unwrap();
    (broker, setup)
}

#[test]
fn kafka_each_command_works_with_its_own_permissions_and_no_others() {
    let (broker, setup) = kafka_with_permissions();
    for user in ["hookbus", "hookbus-tail"] {
        as_user(&setup, user);
        assert!(said(&setup.run(&["provision"]), false).contains("refused"), "{user}");
    }
    assert!(!broker.topics().contains(&TOPIC.to_owned()));
    as_user(&setup, "hookbus-provision");
    said(&setup.run(&["provision"]), true);
    said(&setup.run(&["provision", "--check"]), true);
    assert_checks(&setup, "(memory)", "problem: the login may not see events.");

    as_user(&setup, "hookbus");
    let gateway = setup.start();
    gateway.wait_for_metric("bus_missing_topics", 0.0);
    assert_eq!(gateway.post(POLICY, EVENT).status, 200);
    assert_eq!(broker.records(TOPIC).len(), 1);
    // One copy, read from the settings: it may ask for them.
    gateway.wait_for_metric(r#"bus_durability_info{bus="kafka",class="memory"}"#, 1.0);
    assert_only_tail_reads(&gateway.setup);

    for user in ["hookbus-provision", "hookbus-tail"] {
        as_user(&gateway.setup, user);
        let setup = Setup { dir: tempfile::tempdir().unwrap() };
        copy(&gateway.setup, &setup);
        assert_eq!(setup.start().post(POLICY, EVENT).status, 503, "{user}");
    }
    assert_eq!(broker.records(TOPIC).len(), 1);
    kafka_replay_reads_quarantine_publishes_and_does_no_more(&broker, &gateway.setup);
    assert_follows_up(&gateway.setup);
}

fn kafka_replay_reads_quarantine_publishes_and_does_no_more(broker: &Broker, setup: &Setup) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", broker.address()).create().unwrap();
    let headers = quarantined::headers("ce_", "content-type")
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
    let record = BaseRecord::to(quarantined::ROUTE).key("audit1/payroll").payload(quarantined::BODY).headers(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
    assert_replays(setup);
    let records = broker.records(quarantined::TARGET);
    assert_eq!((records.len(), records[0].attribute("id").as_deref()), (1, Some("evt_9")));

    // Other topics it may write to, and not read.
    as_user(setup, "hookbus-replay");
    assert_reads_nothing_of(setup, "webhooks.1099policy.>");
    let admin: AdminClient<DefaultClientContext> =
        broker.client_with_login("hookbus-replay", PASSWORD).create().unwrap();
    let (options, mut up_to) = (AdminOptions::new(), TopicPartitionList::new());
    up_to.add_partition_offset(TOPIC, 0, Offset::End).unwrap();
    let refused = RDKafkaErrorCode::TopicAuthorizationFailed;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let deleted = admin.delete_topics(&[TOPIC, quarantined::ROUTE], &options).await.unwrap();
        assert!(deleted.iter().all(|result| matches!(result, Err((_, code)) if *code == refused)), "{deleted:?}");
        let emptied = admin.delete_records(&up_to, &options).await.unwrap();
        assert!(emptied.elements()[0].error().is_err(), "{emptied:?}");
        let new = NewTopic::new("webhooks.audit1.another", 1, TopicReplication::Fixed(1));
        let made = admin.create_topics([&new], &options).await.unwrap();
        assert!(matches!(&made[..], [Err((_, code))] if *code == refused), "{made:?}");
    });
    assert_eq!(broker.records(TOPIC).len(), 4);
}
