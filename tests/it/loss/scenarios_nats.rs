//! What may happen to a stream, its servers and its permissions under load. Judged by the one [oracle](crate::support::oracle).

use async_nats::{ConnectOptions, jetstream::stream};

use crate::support::{
    brokers::{
        either::stored,
        nats::{NatsServer, Operator, Stored, USERS, with_login},
    },
    harness::Gateway,
    load::{LONG, Load, Shape, soak_or, wait_for_drain},
    oracle::{Fault, dead_letters},
    wait::wait_at_most,
};

fn refused(gateway: &Gateway) -> f64 {
    gateway.metric(r#"spool_events_total{cause="refused"}"#)
}

/// Two gateways, as behind one balancer, get every event both, while the server is killed: the stream has it once.
#[test]
fn two_replicas_store_one_event_once() {
    let mut server = NatsServer::start();
    server.operator().create(Operator::settings());
    let replicas = ["", ""].map(|bus| server.setup(bus, "ack_timeout = \"500ms\"").with_spool("").start());
    let load = Load::new("twins", Shape::default());
    load.aim(&replicas.each_ref().map(|gateway| gateway.address)).run(|| {
        load.wait_for(200);
        server.kill();
        load.wait_for(200);
        server.run();
        load.wait_for(200);
    });
    assert!(replicas[1].metric(r#"bus_publish_total{result="duplicate"}"#) > 0.0);
    for gateway in replicas {
        wait_for_drain(&gateway);
        assert_eq!(gateway.metric("dead_letters"), 0.0);
        gateway.stop();
    }
    load.judge(&stored(&server.operator())).has_none_of(&Fault::BUT_INVERTED);
}

/// SIGKILL of the leader of a stream on three servers. While the others elect a new one, it looks as if there were no
/// stream: no event may be given up for that, with a spool or without.
#[test]
fn nats_leader_killed() {
    let mut servers = NatsServer::cluster();
    servers[0].operator().create_replicated(&stream::Config { num_replicas: 3, ..Operator::settings() });
    let urls = servers.each_ref().map(|server| format!("\"{}\"", server.url())).join(", ");
    let setup = |bus: &str| servers[0].setup(bus, &format!("servers = [{urls}]\nack_timeout = \"500ms\""));
    let (spooled, direct) = (setup("").with_spool("").start(), setup("encoding = \"binary\"").start());
    assert_eq!(direct.metric(r#"bus_durability_info{bus="nats",class="replicated"}"#), 1.0);
    let through_spool = Load::new("spooled", Shape { senders: 6, ..Shape::default() });
    let straight = Load::new("direct", Shape { senders: 6, ..Shape::default() });
    for _ in 0..soak_or(10, 1) {
        let leader = servers.iter().find(|server| server.is_well()).unwrap().operator().leader();
        through_spool.aim(&[spooled.address]).run(|| {
            straight.aim(&[direct.address]).run(|| {
                through_spool.wait_for(200);
                straight.wait_for(200);
                servers[leader].kill();
                through_spool.wait_for(500);
                straight.wait_for(200);
                servers[leader].run();
                straight.wait_for(200);
            });
        });
    }
    wait_for_drain(&spooled);
    let times = through_spool.all_times();
    println!("spooled: {times}");
    assert_eq!(times.failed(), 0, "{times}");
    for gateway in [spooled, direct] {
        assert_eq!(gateway.metric(r#"bus_publish_total{result="unroutable"}"#), 0.0);
        assert_eq!(gateway.metric("dead_letters"), 0.0);
        gateway.stop();
    }
    let bus = stored(&servers[0].operator());
    straight.judge(&bus).has_none_of(&Fault::ALL);
    through_spool.judge(&bus).has_none_of(&Fault::ALL);
}

/// A stream that is deleted and made again: what comes meanwhile waits in the spool, and is no dead letter.
#[test]
fn nats_stream_deleted_and_made_again() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(Operator::settings());
    let gateway = server.setup("", "").with_spool("").start();
    let load = Load::new("deleted", Shape::default());
    load.aim(&[gateway.address]).run(|| load.wait_for(200));
    wait_for_drain(&gateway);
    // What the operator deletes is the operator's.
    let mut bus = stored(&operator);
    operator.runtime.block_on(operator.context.delete_stream("WEBHOOKS")).unwrap();
    load.run(|| {
        load.wait_for(500);
        assert!(refused(&gateway) > 0.0);
        operator.create(Operator::settings());
        load.wait_for(200);
    });
    wait_for_drain(&gateway);
    assert_eq!((load.all_times().failed(), gateway.metric("dead_letters")), (0, 0.0));
    gateway.stop();
    bus.extend(stored(&operator));
    load.judge(&bus).has_none_of(&Fault::ALL);
}

/// A stream without room, then with: the spool takes what the stream does not.
#[test]
fn nats_stream_full() {
    let server = NatsServer::start();
    let operator = server.operator();
    operator.create(stream::Config { max_messages: 300, ..Operator::settings() });
    let gateway = server.setup("", "").with_spool("").start();
    let load = Load::new("full", Shape::default());
    load.aim(&[gateway.address]).run(|| {
        load.wait_for(1000);
        assert_eq!(operator.count(), 300);
        assert!(refused(&gateway) > 0.0 && gateway.metric("journal_records") > 500.0);
        operator.runtime.block_on(operator.context.update_stream(Operator::settings())).unwrap();
        load.wait_for(200);
    });
    wait_for_drain(&gateway);
    assert_eq!((load.all_times().failed(), gateway.metric("dead_letters")), (0, 0.0));
    gateway.stop();
    load.judge(&stored(&operator)).has_none_of(&Fault::ALL);
}

/// The right to publish one vendor's events is taken away for a while: those are dead letters, counted and kept; the
/// other vendor's go on, and so do all when the right is back.
#[test]
fn nats_permissions_revoked() {
    let server = NatsServer::start_with(USERS);
    let operator = server.operator_with(ConnectOptions::with_user_and_password("admin".into(), "admin-pw".into()));
    operator.create(Operator::settings());
    let gateway = with_login(&server, "gateway-pw").with_spool("").start();
    let load = Load::new("permissions", Shape::default());
    load.aim(&[gateway.address]).run(|| {
        load.wait_for(200);
        server.configure(&USERS.replace("\"webhooks.>\"", "\"webhooks.1099policy.>\""));
        server.reload();
        wait_at_most(LONG, "dead letters", || gateway.metric("dead_letters") > 50.0);
        let before = operator.count();
        wait_at_most(LONG, "the other vendor", || operator.count() > before + 50);
        server.configure(USERS);
        server.reload();
        let subject = |message: &Stored| message.subject.starts_with("webhooks.audit1.");
        let theirs = || operator.read().iter().filter(|message| subject(message)).count();
        let before = theirs();
        wait_at_most(LONG, "the vendor with its right", || theirs() > before + 50);
    });
    wait_for_drain(&gateway);
    assert_eq!(load.all_times().failed(), 0);
    let letters = dead_letters(&gateway.stop());
    assert!(letters.iter().all(|letter| letter.key.starts_with("audit1/")));
    load.judge(&[stored(&operator), letters].concat()).has_none_of(&Fault::ALL);
}
