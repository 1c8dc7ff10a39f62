use std::{sync::Arc, thread};

use super::*;

fn line(event_id: Option<&str>) -> RequestLine<'_> {
    RequestLine {
        source: "acme",
        status: 200,
        outcome: "accepted",
        reason: None,
        event_type: Some("t"),
        event_id,
        entity: Some("pol_1"),
        path: None,
        sender: IpAddr::V4(Ipv4Addr::LOCALHOST),
        user_agent: Some(b"curl/8"),
        secret: Some("current"),
        bytes: 7,
        duration: Duration::from_millis(3),
        trace_id: Some("1bed"),
    }
}

fn ids(history: &History) -> Vec<String> {
    history.kept().iter().filter_map(|request| request.text(Text::Id)).map(Into::into).collect()
}

#[test]
fn a_copy_has_all_of_its_line() {
    let history = History::default();
    history.push(&RequestLine { reason: Some("duplicate"), path: Some("/p"), ..line(Some("evt_1")) });
    let [request] = history.kept().try_into().unwrap();
    let texts = [Text::Source, Text::Reason, Text::Type, Text::Id, Text::Entity, Text::Path, Text::Secret, Text::Trace];
    let expected = ["acme", "duplicate", "t", "evt_1", "pol_1", "/p", "current", "1bed"].map(Some);
    assert_eq!(texts.map(|text| request.text(text)), expected);
    assert_eq!((request.status, request.outcome, request.bytes), (200, "accepted", 7));
    assert_eq!(request.sender, Ipv4Addr::LOCALHOST);
    assert_eq!(request.duration, Duration::from_millis(3));
    history.push(&line(None));
    assert_eq!(history.kept()[0].text(Text::Reason), None, "nothing of an earlier one is left");
}

#[test]
fn the_newest_stay_and_strangers_push_out_no_event() {
    let history = History::default();
    for number in 0..KEPT + 5 {
        history.push(&line(Some(&number.to_string())));
    }
    for _ in 0..3 * KEPT {
        history.push(&line(None));
    }
    let expected: Vec<_> = (5..KEPT + 5).rev().map(|number| number.to_string()).collect();
    assert_eq!(ids(&history), expected);
    assert_eq!((history.kept().len(), history.seen(), history.dropped()), (2 * KEPT, 4 * KEPT as u64 + 5, 0));
}

#[test]
fn a_long_text_is_cut_between_two_characters() {
    let history = History::default();
    let long = format!("{}é{}", "x".repeat(MOST_TEXT - 1), "y".repeat(100_000));
    history.push(&line(Some(&long)));
    assert_eq!(ids(&history), ["x".repeat(MOST_TEXT - 1)]);
    assert_eq!(history.kept()[0].text(Text::Trace), Some("1bed"));
}

/// A writer that waited would hang here.
#[test]
fn a_place_that_is_being_read_is_left_as_it_is() {
    let history = History::default();
    let reading = history.with_event.places[0].lock().unwrap();
    history.push(&line(Some("0")));
    history.push(&line(Some("1")));
    assert_eq!((history.seen(), history.dropped()), (2, 1));
    drop(reading);
    assert_eq!(ids(&history), ["1"]);
}

/// A worker that was held up does not write over what came after it.
#[test]
fn a_late_writer_gives_way() {
    let ring = Ring::new();
    ring.places[0].lock().unwrap().copy(KEPT as u64 + 1, &line(Some("newer")));
    ring.push(&line(Some("late")));
    assert_eq!(
        ring.kept().filter_map(|request| request.text(Text::Id).map(str::to_owned)).collect::<Vec<_>>(),
        ["newer"]
    );
    assert_eq!(ring.dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn many_writers_and_a_reader_mix_no_two_requests() {
    const EACH: usize = 20_000;
    let history = Arc::new(History::default());
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let history = Arc::clone(&history);
            thread::spawn(move || {
                for number in 0..EACH {
                    let id = format!("{writer}-{number}");
                    history.push(&RequestLine { bytes: writer * EACH + number, ..line(Some(&id)) });
                }
            })
        })
        .collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        for request in history.kept() {
            let id = format!("{}-{}", request.bytes / EACH, request.bytes % EACH);
            assert_eq!(request.text(Text::Id), Some(id.as_str()));
        }
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert!(history.kept().len() > KEPT / 2 && history.seen() == 4 * EACH as u64);
}
