//! Senders that wait for their answers, with one key each, while the broker freezes for a moment: faster than one round
//! trip of the drain for each record, they would keep their keys in the spool for ever.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    brokers::either::{Either, Kind},
    harness::Setup,
    load::{LONG, Load, Shape},
    oracle::Fault,
    wait::wait_at_most,
};

/// How long bytes take each way to a broker that is not on this machine.
const AWAY: Duration = Duration::from_millis(2);

/// A way to a server on which all bytes take [`AWAY`]. Its threads end with the connections.
fn long_way(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for gateway in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(server) else { continue };
            [&gateway, &server].iter().for_each(|end| end.set_nodelay(true).unwrap());
            carry(gateway.try_clone().unwrap(), server.try_clone().unwrap());
            carry(server, gateway);
        }
    });
    address
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let (sender, bytes) = mpsc::sync_channel::<(Instant, Vec<u8>)>(10_000);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + AWAY, buffer[..count].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in bytes {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
    });
}

fn hot_keys(kind: Kind, broker: &Either, setup: Setup, promised: &[Fault]) {
    let gateway = setup.with_spool("").start();
    // Each its own entity.
    let shape = Shape { senders: 1, keys: 1, pause: Duration::ZERO, ..Shape::default() };
    let loads = ["hot-a", "hot-b", "hot-c", "hot-d"].map(|name| Load::new(name, shape));
    let [a, b, c, d] = loads.each_ref().map(|load| load.aim(&[gateway.address]));
    let freeze = || {
        loads.iter().for_each(|load| load.wait_for(100));
        broker.signal("-STOP");
        thread::sleep(Duration::from_secs(3));
        let held = gateway.metric("journal_records");
        broker.signal("-CONT");
        let thawed = Instant::now();
        wait_at_most(LONG, "an empty spool under load", || gateway.metric("journal_records") == 0.0);
        println!("{kind:?}: {held} records, {:?} from the thaw to an empty spool", thawed.elapsed());
        let spooled = gateway.metric("journal_appends_total");
        loads.iter().for_each(|load| load.wait_for(100));
        assert!(gateway.metric("journal_appends_total") < spooled + 400.0, "the way is the direct one again");
    };
    a.run(|| b.run(|| c.run(|| d.run(freeze))));
    for load in &loads {
        println!("{}: {}", load.name, load.all_times());
        assert_eq!(load.all_times().failed(), 0);
    }
    gateway.stop();
    let found = broker.found();
    loads.iter().for_each(|load| load.judge(&found).has_none_of(promised));
}

#[test]
fn nats_hot_keys_leave_the_spool() {
    let broker = Either::start_new(Kind::Nats);
    let setup = broker.setup("");
    let Either::Nats(server) = &broker else { unreachable!() };
    // On this machine a round trip takes less than the gateway's own work.
    let far = long_way(([127, 0, 0, 1], server.port).into());
    setup.edit(&server.url(), &format!("nats://{far}"));
    hot_keys(Kind::Nats, &broker, setup, &Fault::ALL);
}

#[test]
fn kafka_hot_keys_leave_the_spool() {
    let broker = Either::start_new(Kind::Kafka);
    hot_keys(Kind::Kafka, &broker, broker.setup(""), &Fault::BUT_DUPLICATED);
}
