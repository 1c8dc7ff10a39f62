//! The arithmetic of the budget and of the pace, to the byte.

use super::*;

fn limits(max_body: usize) -> BodyLimits {
    let body_timeout = Duration::from_secs(5);
    BodyLimits { max_body, body_timeout, deadline: Instant::now() + Duration::from_secs(15) }
}

fn buffer(head: usize, budget: &Budget) -> Buffer {
    Buffer { whole: Vec::new(), head, share: budget.share() }
}

#[test]
fn a_share_grows_to_the_limit_and_gives_back_what_it_took() {
    let budget = Budget::new(400);
    let (mut one, mut other) = (budget.share(), budget.share());
    assert_eq!((one.hold(250), budget.used()), (Ok(()), 250));
    assert_eq!((one.hold(100), budget.used()), (Ok(()), 250), "a share does not shrink");
    assert_eq!((other.hold_large(51), budget.used()), (Err(BodyError::Overloaded), 250), "three quarters are 300");
    assert_eq!((other.hold_large(50), budget.used()), (Ok(()), 300));
    assert_eq!((other.hold(151), budget.used()), (Err(BodyError::Overloaded), 300));
    assert_eq!((other.hold(150), budget.used()), (Ok(()), 400));
    assert_eq!(other.hold(usize::MAX), Err(BodyError::Overloaded));
    one.clear();
    assert_eq!(budget.used(), 150);
    one.clear();
    drop(one);
    assert_eq!(budget.used(), 150, "given back once");
    drop(other);
    assert_eq!(budget.used(), 0);
}

#[test]
fn large_bodies_and_large_heads_have_three_quarters() {
    let budget = Budget::new(SMALL_BODY_BYTES + SMALL_HEAD_BYTES);
    assert_eq!(buffer(SMALL_HEAD_BYTES, &budget).hold(SMALL_BODY_BYTES), Ok(()));
    assert_eq!(buffer(0, &budget).hold(SMALL_BODY_BYTES + 1), Err(BodyError::Overloaded));
    let budget = Budget::new(SMALL_HEAD_BYTES + 1);
    assert_eq!(buffer(SMALL_HEAD_BYTES, &budget).hold(1), Ok(()));
    assert_eq!(buffer(SMALL_HEAD_BYTES + 1, &budget).hold(0), Err(BodyError::Overloaded));
}

/// It doubles, up to the most that the body can need, and holds its head besides.
#[test]
fn a_buffer_holds_what_it_can_keep_and_its_head() {
    let budget = Budget::new(1000);
    let mut buffer = buffer(100, &budget);
    let mut append = |bytes: usize| {
        buffer.append(Bytes::from(vec![b'x'; bytes]), 45).unwrap();
        (buffer.whole.len(), buffer.whole.capacity(), budget.used())
    };
    assert_eq!(append(10), (10, 10, 110));
    assert_eq!(append(1), (11, 20, 120));
    assert_eq!(append(9), (20, 20, 120));
    assert_eq!(append(1), (21, 40, 140));
    assert_eq!(append(20), (41, 45, 145));
    assert_eq!(append(4), (45, 45, 145));
    let small = Budget::new(109);
    let refused = super::tests::buffer(100, &small).append(Bytes::from_static(b"0123456789"), 45);
    assert_eq!((refused, small.used()), (Err(BodyError::Overloaded), 0));
}

#[test]
fn the_limit_itself_is_not_too_large() {
    let limits = BodyLimits { max_body: 10, body_timeout: Duration::ZERO, deadline: Instant::now() };
    assert_eq!((check_size(10, limits), check_size(11, limits)), (Ok(()), Err(BodyError::TooLarge)));
}

#[test]
fn a_head_weighs_its_names_and_values() {
    let mut head = HeaderMap::new();
    assert_eq!(weight(&head), 0);
    head.append("host", "h".parse().unwrap());
    head.append("x", "12345".parse().unwrap());
    head.append("x", "1".parse().unwrap());
    assert_eq!(weight(&head), 5 + 6 + 2);
}

#[tokio::test(start_paused = true)]
async fn each_sixteen_kibibytes_begin_the_time_again() {
    let mut pace = Pace::begin(limits(usize::MAX));
    let first = pace.due;
    tokio::time::advance(Duration::from_secs(1)).await;
    pace.count(PROGRESS_BYTES - 1).unwrap();
    assert_eq!(pace.due, first);
    pace.count(1).unwrap();
    assert_eq!(pace.due, first + Duration::from_secs(1));
    tokio::time::advance(Duration::from_secs(1)).await;
    pace.count(PROGRESS_BYTES - 1).unwrap();
    assert_eq!(pace.due, first + Duration::from_secs(1), "the bytes before do not count again");
    pace.count(1).unwrap();
    assert_eq!(pace.due, first + Duration::from_secs(2));
}

/// Pieces of which there are few may be small, and many may be of 64 bytes on average.
#[tokio::test]
async fn many_crumbs_are_refused() {
    let mut pace = Pace::begin(limits(usize::MAX));
    assert!((0..FREE_PIECES).all(|_| pace.count(1).is_ok()));
    assert_eq!(pace.count(1), Err(BodyError::Broken));
    let mut pace = Pace::begin(limits(usize::MAX));
    assert!((0..2 * FREE_PIECES).all(|_| pace.count(MIN_PIECE_BYTES).is_ok()));
    assert_eq!(pace.count(MIN_PIECE_BYTES - 1), Err(BodyError::Broken));
}
