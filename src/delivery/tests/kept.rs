//! The memory over a restart in front of a broker. Each start has a spool of its own, so that only the file tells the next.

use super::*;

fn start(directory: &Path, spool: &str, mode: Mode) -> House {
    let house = House::open(&directory.join(spool), mode);
    house.delivery.read_back(directory, 100);
    house
}

async fn send(house: &House, id: &str) -> Seen {
    let mut attributes = Attributes::with_capacity(128);
    attributes.push(Attribute::Id, &id);
    attributes.push(Attribute::MessageId, &format_args!("audit1/acme/{id}/{:016x}", 1));
    attributes.push(Attribute::Sequence, &format_args!("kept-{}", COUNTER.fetch_add(1, SeqCst)));
    let envelope = Envelope { attributes, body: Body::unbudgeted(body(id, 200)), fingerprint: 1 };
    let counters = Arc::clone(house.events.of("unknown"));
    house.delivery.deliver(envelope, "acme", counters).await.unwrap().seen
}

#[tokio::test]
async fn what_the_bus_has_acknowledged_is_a_repeat_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let house = start(folder.path(), "first", AT_ONCE);
    send(&house, "a/1").await;
    send(&house, "a/2").await;
    house.delivery.close();
    let house = start(folder.path(), "second", AT_ONCE);
    house.eventually("both are read back", || house.delivery.remembered() == 2).await;
    assert_eq!((send(&house, "a/1").await, send(&house, "a/3").await), (Seen::Repeat, Seen::New));
    assert_eq!(house.bus.calls(), 1);
}

#[tokio::test]
async fn what_only_the_spool_had_is_not_a_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let house = start(folder.path(), "first", DOWN);
    send(&house, "a/1").await;
    assert_eq!(house.delivery.remembered(), 1);
    house.bus.set(AT_ONCE);
    house.drained().await;
    send(&house, "a/2").await;
    house.bus.set(DOWN);
    send(&house, "a/3").await;
    house.delivery.close();
    let house = start(folder.path(), "second", AT_ONCE);
    house.eventually("what it had drained is read back", || house.delivery.remembered() == 2).await;
    assert_eq!((send(&house, "a/1").await, send(&house, "a/3").await), (Seen::Repeat, Seen::New));
}

#[tokio::test]
async fn another_incarnation_empties_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let size = || fs::metadata(folder.path().join("recent")).unwrap().len();
    let house = start(folder.path(), "first", AT_ONCE);
    send(&house, "a/1").await;
    house.eventually("it is in the file", || size() != 0).await;
    house.bus.wipe();
    house.eventually("a loss under way empties it", || size() == 0).await;
    send(&house, "a/1").await;
    house.delivery.close();
    assert_ne!(size(), 0);
    // A new bus is behind the mark.
    let house = start(folder.path(), "second", AT_ONCE);
    house.eventually("a loss before the start empties it", || size() == 0).await;
    assert_eq!((house.delivery.remembered(), send(&house, "a/1").await), (0, Seen::New));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_costs_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("recent")).unwrap();
    let house = start(folder.path(), "first", AT_ONCE);
    assert_eq!((send(&house, "a/1").await, send(&house, "a/1").await), (Seen::New, Seen::Repeat));
    house.delivery.close();
    // It cannot take the old one's place any more.
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("recent.old")).unwrap();
    let house = House::open(&folder.path().join("spool"), AT_ONCE);
    house.delivery.read_back(folder.path(), 1);
    assert_eq!((send(&house, "a/1").await, send(&house, "a/2").await), (Seen::New, Seen::New));
    house.delivery.close();
}
