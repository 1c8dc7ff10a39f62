//! The arithmetic of the benches. They are programs without a test harness, so it is tested here.
#![expect(clippy::expect_used, unreachable_pub, reason = "a test that panics has failed")]
#![expect(clippy::float_cmp, reason = "sums of small whole numbers are exact")]
#![expect(dead_code, reason = "the rest of these files is the benches'")]

use std::time::{Duration, Instant};

use self::{
    body::{DOCUMENTED, body},
    events::Forge,
    marks::Around,
    need::{Costs, Need},
    pace::{Pace, Timer},
    quantiles::Latencies,
    spread::Spread,
    words::{is_steady, times, up, whole},
};

#[path = "../../benches/scale/body.rs"]
mod body;
#[path = "../../benches/gateway/events.rs"]
mod events;
#[path = "../../benches/scale/marks.rs"]
mod marks;
#[path = "../../benches/scale/need.rs"]
mod need;
#[path = "../../benches/gateway/pace.rs"]
mod pace;
#[path = "../../benches/gateway/quantiles.rs"]
mod quantiles;
#[path = "../../benches/gateway/spread.rs"]
mod spread;
#[path = "../../benches/scale/words.rs"]
mod words;

#[test]
fn quantiles_are_of_what_was_measured() {
    let thousand = (0..1000).rev().map(Duration::from_millis).collect();
    assert_eq!(Latencies::of(thousand), Latencies { p50: 500.0, p99: 990.0, p999: 999.0 });
    let one = vec![Duration::from_micros(1500)];
    assert_eq!(Latencies::of(one), Latencies { p50: 1.5, p99: 1.5, p999: 1.5 });
}

#[test]
fn due_instants_lie_on_a_grid_that_does_not_drift() {
    let begin = Instant::now();
    let pace = Pace::new(begin, 3000.0);
    assert_eq!(pace.due(0) - begin, Duration::from_nanos(333_333));
    let hour = pace.due(3000 * 3600 - 1) - begin;
    assert!(hour.abs_diff(Duration::from_hours(1)) < Duration::from_millis(5), "{hour:?}");
}

#[test]
fn the_timer_rings_as_often_as_is_due_also_when_nobody_listens() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (pace, mut timer) = Timer::start(10_000.0);
        std::thread::sleep(Duration::from_millis(5));
        let mut rung = 0;
        while rung < 100 {
            rung += timer.rung().await;
            assert!(pace.due(rung - 1) <= Instant::now(), "{rung} rings too early");
        }
    });
}

#[test]
fn rounds_are_one_figure_and_its_ends() {
    for (rounds, text) in [
        (&[4.0, 1.0, 2.0][..], "2.00 (1.00-4.00)"),
        (&[4.0, 1.0, 2.0, 3.0], "2.50 (1.00-4.00)"),
        (&[695.4], "695 (695-695)"),
        (&[25_449.0], "25.4k (25.4k-25.4k)"),
    ] {
        assert_eq!(Spread::of(rounds.iter().copied()).to_string(), text);
    }
}

#[test]
fn noise_is_not_called_a_difference() {
    let ratio = |values: [f64; 3]| times(Spread::of(values.into_iter()));
    assert_eq!(ratio([0.9, 1.1, 1.0]), "as much, as far as this run can tell (1.00, rounds from 0.90 to 1.10)");
    assert_eq!(ratio([1.9, 2.1, 2.0]), "2.00 times as much (1.90-2.10)");
    let either = "1.67 times as much, but rounds go from 0.82 to 2.12: this run cannot tell";
    assert_eq!(ratio([0.82, 2.12, 1.67]), either);
    let steady = |values: [f64; 2]| is_steady(Spread::of(values.into_iter()));
    assert!(steady([1.0, 2.0]) && !steady([1.0, 2.1]));
}

#[test]
fn numbers_are_read_at_a_glance() {
    for (number, text) in [(7.2, "7"), (999.0, "999"), (1_000.0, "1,000"), (1_234_567.0, "1,234,567")] {
        assert_eq!(whole(number), text);
    }
    for (number, text) in [(0.01, "0.1"), (9.81, "9.9"), (10.2, "11"), (13_414.1, "13,415")] {
        assert_eq!(up(number), text);
    }
}

#[test]
fn a_body_has_its_size_and_is_json() {
    let mut forge = Forge::new();
    for size in [200, DOCUMENTED, 4096, 65_536, 1020 * 1024] {
        let body = body(&mut forge, size);
        assert_eq!(body.len(), size);
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["type"], "policy.active");
    }
}

#[test]
fn what_is_written_by_hand_stays() {
    let page = |part: &str| format!("# A\n\n{}{part}{}\n\n## B\n", marks::BEGIN, marks::END);
    let once = Around::of(&page("\nold\n")).with("new\n");
    assert_eq!(once, page("\n\nnew\n\n"));
    assert_eq!(Around::of(&once).with("\nnew"), once);
}

const COSTS: Costs = Costs {
    gateway: 30.0,
    broker: 10.0,
    stored: 1500.0,
    writes: 1.0,
    front: 1000.0,
    back: 1600.0,
    hops: 0.0,
    shard: 8_000.0,
    fewest_shards: 1.0,
    replicas_per_shard: 0.0,
};

#[test]
fn a_million_events_a_second_by_hand() {
    let need = Need::of(&COSTS, 1e6);
    // 30 cores that never rest are 60 that are half busy, and 30 pairs.
    assert_eq!((need.gateway_busy, need.gateway_cores, need.replicas), (30.0, 60.0, 30.0));
    assert_eq!((need.front, need.back), (8e9, 12.8e9));
    assert_eq!((need.broker_cores, need.stored, need.disk, need.shards), (60.0, 4.5e9, 4.5e9, 125.0));
    // In once, to two followers (out and in), out to one reader.
    assert_eq!(need.traffic, (1600.0 + 5.0 * 1500.0) * 8e6);
    // Cores ask for 4 brokers, the network for 15, the disks for 18.
    assert_eq!(need.brokers, 18.0);
    let little = Need::of(&COSTS, 1_000.0);
    assert_eq!((little.replicas, little.brokers, little.shards), (2.0, 3.0, 1.0));
    let topics = Costs { fewest_shards: 600.0, ..COSTS };
    assert_eq!((Need::of(&topics, 1e6).shards, Need::of(&topics, 1e6).replicas), (600.0, 30.0));
}

#[test]
fn a_release_for_each_stream_by_hand() {
    let costs = Costs { writes: 2.0, hops: 1.0, replicas_per_shard: 2.0, ..COSTS };
    let need = Need::of(&costs, 1e6);
    // Two replicas for each of 125 streams, though 60 cores would be enough.
    assert_eq!((need.shards, need.gateway_cores, need.replicas), (125.0, 60.0, 250.0));
    // Each copy is written twice and stays once.
    assert_eq!((need.stored, need.disk), (4.5e9, 9e9));
    // In at one server, out to the leader and in; then as without a hop.
    assert_eq!(need.traffic, (3.0 * 1600.0 + 5.0 * 1500.0) * 8e6);
    // The network asks for 20 brokers, the disks for 36.
    assert_eq!(need.brokers, 36.0);
    // Where the cores ask for more, they decide.
    let dear = Need::of(&Costs { gateway: 300.0, ..costs }, 1e6);
    assert_eq!(dear.replicas, 300.0);
    let little = Need::of(&costs, 1_000.0);
    assert_eq!((little.replicas, little.brokers, little.shards), (2.0, 3.0, 1.0));
}
