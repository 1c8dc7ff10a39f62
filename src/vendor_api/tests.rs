//! Lists that do not end, or do not begin, as they should.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::json;

use super::{listing::MORE_PARTS, *};
use crate::{apis, vendors::Vendor};

/// A client of a vendor that answers so to the nth call.
fn client(answer: fn(usize) -> Value) -> (Client, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _head = stream.read(&mut [0; 4096]).unwrap();
            let body = answer(counted.fetch_add(1, Ordering::SeqCst)).to_string();
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        }
    });
    let api = apis::of(Vendor::Policy1099).unwrap();
    let agent = Agent::config_builder().proxy(None).build().into();
    (Client { agent, api, base, headers: HeaderMap::new(), credentials: Vec::new(), deadline: None }, calls)
}

fn events(ids: std::ops::Range<usize>, time: impl Fn(usize) -> usize) -> Value {
    ids.map(|id| json!({"id": format!("ev_{id}"), "type": "t", "created": time(id)})).collect()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn a_list_that_never_ends_is_cut() {
    let (client, calls) = client(|call| events(call * 10..call * 10 + 10, |id| 1_000_000 - id));
    let list = client.happened(at(1), 1_000, false).unwrap();
    assert!(!list.is_whole && list.items.iter().all(|item| item.object.is_null()));
    assert_eq!((calls.load(Ordering::SeqCst), list.items.len()), (10 + MORE_PARTS, 140));
}

#[test]
fn an_old_event_ends_a_list_only_where_the_newest_come_first() {
    let (newest_first, calls) = client(|call| events(call * 100..call * 100 + 100, |id| 150 - id.min(149)));
    let list = newest_first.happened(at(20), 1_000, true).unwrap();
    assert_eq!((list.is_whole, list.items.len(), calls.load(Ordering::SeqCst)), (true, 131, 2));
    assert!(!list.items[0].object.is_null());
    let (oldest_first, _) =
        client(|call| if call < 3 { events(call * 100..call * 100 + 100, |id| id + 1) } else { json!([]) });
    let list = oldest_first.happened(at(250), 1_000, true).unwrap();
    assert_eq!((list.is_whole, list.items.len()), (true, 51), "it is read to its end");
    let (without_parts, _) = client(|_| events(0..100, |id| id + 1));
    let list = without_parts.happened(at(250), 1_000, true).unwrap();
    assert_eq!((list.is_whole, list.items.len()), (false, 0), "what is behind it nobody knows");
    let (short, _) = client(|_| events(0..3, |id| id + 1));
    assert!(short.happened(at(1), 1_000, true).unwrap().is_whole);
}

#[test]
fn what_is_odd_at_the_end_of_a_list_or_alone_in_a_part_ends_nothing_early() {
    let (behind, calls) = client(|call| match call {
        0 => json!([{"id": "ev_1", "type": "t", "created": 9}, {"id": "ev_2", "created": 8}]),
        1 => json!([{"id": "ev_3", "created": 7}]),
        _ => json!([]),
    });
    let list = behind.happened(at(1), 1_000, true).unwrap();
    assert_eq!((list.is_whole, list.items.len(), list.odd, calls.load(Ordering::SeqCst)), (true, 1, 2, 3));
    let (only, _) = client(|_| json!([{"id": "ev_1", "created": 1}]));
    assert!(matches!(only.happened(at(1), 1_000, true), Err(ApiError::Odd { .. })), "of another shape altogether");
}

#[test]
fn no_call_begins_after_the_deadline() {
    let (client, calls) = client(|_| json!([]));
    let error = client.until(Instant::now()).endpoints().unwrap_err();
    assert!(error.to_string().contains("the time for all calls is over"), "{error}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}
