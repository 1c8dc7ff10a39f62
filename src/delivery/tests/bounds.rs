//! What is bound while the bus does not answer: the memory of the drain, the budget of bodies, the duplicates of a stop.

use std::time::Duration;

use super::{AT_ONCE, DOWN, House, body};
use crate::{
    bus::{Ack, fake::Mode},
    request::{Body, Budget},
};

#[tokio::test]
async fn the_drain_keeps_large_events_on_the_disk() {
    const COUNT: usize = 400;
    const BYTES: usize = 60 << 10;
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), DOWN);
    for number in 0..COUNT {
        let id = number.to_string();
        house.send_body(&id, &id, Body::unbudgeted(body(&id, BYTES))).await.unwrap();
    }
    let held = || house.spool.gate().window().len();
    house.eventually("the window is full", || !house.spool.gate().window().has_room()).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(held() * BYTES <= (16 << 20) + BYTES, "{} records", held());
    assert!(held() > 200, "{} records", held());
    house.bus.set(AT_ONCE);
    house.drained().await;
    assert_eq!(house.bus.stored_count(), COUNT);
}

#[tokio::test]
async fn a_body_counts_for_as_long_as_the_bus_has_its_bytes() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), Mode::Hold);
    let budget = Budget::new(1 << 20);
    house.send_body("a", "k", Body::budgeted(body("a", 1000), &budget).unwrap()).await.unwrap();
    assert!(budget.used() > 1000, "answered by the spool, and still in the client");
    assert!(house.bus.release(Ok(Ack::Stored)));
    house.eventually("the budget is whole", || budget.used() == 0).await;
}

/// What is in flight when the drain stops is waited for: an acknowledgement that is not seen is a duplicate later.
#[tokio::test]
async fn a_stop_of_the_drain_waits_for_what_is_in_flight() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), DOWN);
    for id in ["a", "b"] {
        house.send(id, id).await.unwrap();
    }
    house.bus.set(Mode::Take(Duration::from_millis(300)));
    house.eventually("the drain publishes", || house.bus.stored_count() > 0).await;
    house.delivery.stop_drain();
    let left = house.spool.stats().records;
    assert_eq!(house.bus.stored_count() + usize::try_from(left).unwrap(), 2, "each is on the bus or in the spool");
}

/// Each event costs one allocation for its future. Beyond glibc's bound for small ones (1,032 bytes) it costs a search and a
/// consolidation of free memory.
#[test]
fn the_future_of_an_event_is_small() {
    fn size<A, B, C, D, F: Future>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }
    let size = size(crate::delivery::Delivery::carry);
    assert!(size <= 1024, "{size} bytes");
}
