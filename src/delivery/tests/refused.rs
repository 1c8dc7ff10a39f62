//! What the bus refuses while it takes others, and keys that come faster than the drain.

use super::*;

/// One subject is refused: an event of it costs one question, those behind it none, and no other its way.
#[tokio::test]
async fn a_refused_subject_holds_up_its_own_keys_only_and_is_asked_about_now_and_then() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), AT_ONCE);
    house.bus.refuse_route("b");
    for number in 0..50 {
        house.send_on("b", &format!("{number}/0"), &number.to_string()).await.unwrap();
        house.send_on("a", &format!("x{number}/0"), &format!("x{number}")).await.unwrap();
    }
    assert_eq!((house.bus.stored_count(), house.spool.stats().records), (50, 50));
    assert!(house.spool.is_open());
    // The same key, another subject: it keeps its place.
    house.send_on("a", "0/1", "0").await.unwrap();
    assert_eq!((house.spooled(Cause::Refused), house.spooled(Cause::Gate)), (51, 0));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(house.bus.calls() <= 50 + 1 + 2, "{}", house.bus.calls());
    house.bus.cure();
    house.drained().await;
    assert_order(&house.bus.stored()[50..51], 1);
    let stored = house.bus.stored();
    let place = |id: &str| stored.iter().position(|stored| stored == id).unwrap();
    assert!(place("0/0") < place("0/1"));
    assert_eq!(stored.len(), 101, "each once");
}

/// Longer than the window of records on one refused subject, and a restart: what stands behind them is read.
#[tokio::test]
async fn refused_records_do_not_fill_the_window() {
    let outer = tempfile::tempdir().unwrap();
    let (live, copy) = (outer.path().join("live"), outer.path().join("copy"));
    let house = House::open(&live, DOWN);
    let mut sends = tokio::task::JoinSet::new();
    for number in 0..3000 {
        let house = house.share();
        sends.spawn(
            async move { house.send_on("b", &format!("k/{number}"), &format!("{}", number % 3)).await.unwrap() },
        );
    }
    sends.join_all().await;
    house.send_on("a", "behind", "other").await.unwrap();
    house.delivery.close();
    crash(&live, &copy);
    let again = House::open(&copy, Mode::Hold);
    again.bus.refuse_route("b");
    again.bus.set(AT_ONCE);
    while again.bus.release(Err(PublishError::Timeout)) {}
    again.eventually("the one behind passes", || again.bus.stored() == ["behind"]).await;
    again.eventually("the gate opens", || again.spool.is_open()).await;
    again.send_on("a", "direct", "x").await.unwrap();
    assert_eq!((again.spool.stats().appends, again.spool.stats().records), (0, 3000));
    again.bus.cure();
    again.drained().await;
    assert_eq!(again.bus.stored_count(), 3002);
}

/// Its age counts from its arrival, so that a restart does not begin anew; an outage moves nothing there.
#[tokio::test]
async fn what_is_refused_for_too_long_becomes_a_dead_letter() {
    const AFTER: Duration = Duration::from_millis(1500);
    let outer = tempfile::tempdir().unwrap();
    let house = House::giving_up(outer.path(), DOWN, 64 << 20, Some(AFTER));
    house.bus.refuse_route("b");
    for (route, id, key) in [("b", "k/0", "k"), ("a", "k/1", "k"), ("b", "l/0", "l"), ("a", "m/0", "m")] {
        house.send_on(route, id, key).await.unwrap();
    }
    tokio::time::sleep(AFTER * 2).await;
    assert_eq!((house.delivery.dead_letters(), house.spool.stats().records), (0, 4), "an outage of the bus");
    house.bus.set(AT_ONCE);
    house.eventually("m passes", || house.bus.stored() == ["m/0"]).await;
    assert_eq!(house.delivery.dead_letters(), 0, "old, but refused only now");
    house.drained().await;
    assert_eq!((house.bus.stored(), house.delivery.dead_letters()), (vec!["m/0".into(), "k/1".into()], 2));
    assert_eq!(house.metrics.dead_letters.get(Reason::Refused).unwrap().get(), 2);
    house.bus.cure();
    house.send_on("b", "k/2", "k").await.unwrap();
    house.drained().await;
    assert_eq!(house.bus.stored().last().unwrap(), "k/2");
}

/// Four senders with one key each that wait for every answer, and a spool that they have filled.
#[tokio::test]
async fn senders_that_wait_for_their_answers_do_not_keep_their_keys_in_the_spool() {
    let outer = tempfile::tempdir().unwrap();
    let house = House::open(outer.path(), DOWN);
    for number in 0..400 {
        let key = number % 4;
        house.send(&format!("{key}/{}", number / 4), &key.to_string()).await.unwrap();
    }
    // Slower than the disk.
    house.bus.set(Mode::Take(Duration::from_millis(10)));
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = tokio::task::JoinSet::new();
    for key in 0..4 {
        let (house, stop) = (house.share(), Arc::clone(&stop));
        senders.spawn(async move {
            for number in 100.. {
                if stop.load(SeqCst) {
                    break;
                }
                house.send(&format!("{key}/{number}"), &key.to_string()).await.unwrap();
            }
        });
    }
    house.drained().await;
    stop.store(true, SeqCst);
    senders.join_all().await;
    house.drained().await;
    order(&house.bus.stored());
}
