//! `200` means fsynced, whatever happens next: proven from outside, with the system calls of the real process, kills,
//! damaged files and disks that fail.

use std::{
    collections::HashSet,
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    client::{post_head, signature},
    harness::{AUDIT, POLICY, Setup, sample, tail},
    load::{Load, Shape},
    oracle::{Fault, journal},
    wait::wait_until,
};

const BODY: &str = "policy1099/samples/flat/policy.active.json";

/// A body of its own for each number; `entity` chooses the ordering key.
fn numbered(number: u64, entity: u64) -> Vec<u8> {
    format!(r#"{{"id":"evt_{number}","type":"policy.active","created":1767312148,"data":{{"id":"pl_{entity}","n":{number}}}}}"#)
        .into_bytes()
}

/// The numbers on the bus, in its order.
fn numbers(setup: &Setup, count: usize) -> Vec<u64> {
    tail(setup.path(), &["--from-start", "--count", &count.to_string()])
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["data"]["data"]["n"].as_u64().unwrap())
        .collect()
}

/// While fdatasync is held back for a second, no answer leaves.
#[test]
fn no_answer_before_fsync() {
    let held = Duration::from_secs(1);
    let gateway = Setup::new("", "").start_on_a_disk_with("delay_enter=1000000");
    let body = sample(BODY);
    let mut connection = gateway.connect();
    let begin = Instant::now();
    assert_eq!(connection.post(POLICY, &body).status, 200);
    assert!(begin.elapsed() >= held, "answered after {:?}", begin.elapsed());
    // The harness can tell: an answer that needs no fsync comes at once.
    let begin = Instant::now();
    assert_eq!(connection.post(POLICY, &body).status, 200, "a repeat");
    assert!(begin.elapsed() < held / 2, "the repeat took {:?}", begin.elapsed());
}

/// The order of system calls of one event: its bytes are written to the segment, the segment is synced, the answer is sent.
#[test]
fn write_fsync_answer_in_this_order() {
    let setup = Setup::new("", "");
    let trace = setup.path().join("trace");
    let file = trace.to_str().unwrap().to_owned();
    let mut gateway = setup.start_under(&["strace", "-f", "-qq", "-s", "4096", "-o", &file]);
    let body = br#"{"id":"evt_marker","type":"policy.active","data":{}}"#;
    assert_eq!(gateway.post(POLICY, body).status, 200);
    gateway.signal("-TERM");
    gateway.wait();
    let calls = fs::read_to_string(&trace).unwrap();
    let position = |what: &str, from: usize| {
        let found = calls.lines().enumerate().skip(from).find(|(_, line)| line.contains(what));
        found.unwrap_or_else(|| panic!("no {what} after line {from}")).0
    };
    let received = position("POST /webhooks", 0);
    let written = position("pwrite64", received);
    assert!(calls.lines().nth(written).unwrap().contains("evt_marker"), "the write is the event's");
    let synced = position("fdatasync", written);
    let finished = (synced..calls.lines().count())
        .find(|line| {
            calls.lines().nth(*line).unwrap().contains("fdatasync")
                && calls.lines().nth(*line).unwrap().ends_with("= 0")
        })
        .unwrap();
    let answered = position("HTTP/1.1 200", 0);
    assert!(
        received < written && written < synced && finished < answered,
        "{received} {written} {synced} {finished} {answered}"
    );
}

/// A disk that fails once: the event is written again elsewhere and answered 200. A disk that goes on failing: 503, and
/// 200 again as soon as it works, without help.
#[test]
fn a_failing_disk_loses_nothing_and_mends_itself() {
    let gateway = Setup::new("", "").start_on_a_disk_with("error=EIO:when=2..6");
    let (mut answered, mut refused) = (Vec::new(), 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    for number in 0..20 {
        // As a vendor does: the same body again until it is taken. Not one of the refused copies may count as durable.
        loop {
            assert!(Instant::now() < deadline, "never mended");
            match gateway.post(POLICY, &numbered(number, 1)).status {
                200 => break answered.push(number),
                503 => {
                    refused += 1;
                    thread::sleep(Duration::from_millis(200));
                }
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!(gateway.metric(r#"dedup_hits_total{source="acme"}"#), 0.0);
    assert_eq!(gateway.metric("journal_up"), 1.0);
    assert!(gateway.metric(r#"journal_errors_total{operation="fsync"}"#) >= 2.0);
    assert!(refused > 0, "two failures in a row are a 503");
    let stored = gateway.metric("journal_records") as usize;
    let setup = gateway.stop();
    let found: HashSet<_> = numbers(&setup, stored).into_iter().collect();
    assert!(answered.iter().all(|number| found.contains(number)), "answered {answered:?}, found {found:?}");
}

/// kill -9 at random moments under load, ten times: every event that was answered 200 is on the bus, in order. Twice is
/// only what was written and not answered, so that its sender came again.
#[test]
fn kill_9_loses_nothing() {
    const KILLS: usize = 10;
    let load = Load::new("kill", Shape { pause: Duration::ZERO, ..Shape::default() });
    let mut setup = Setup::new("", "");
    let mut rng = fastrand::Rng::with_seed(9);
    setup = load.run(|| {
        for _ in 0..KILLS {
            let gateway = setup.start();
            load.aim(&[gateway.address]).wait_for(30);
            thread::sleep(Duration::from_millis(rng.u64(0..300)));
            setup = gateway.kill();
        }
        setup
    });
    let setup = setup.start().stop();
    let verdict = load.judge(&journal(&setup));
    verdict.has_none_of(&Fault::BUT_DUPLICATED);
    assert!(verdict.count(Fault::Duplicated) <= KILLS * 8, "{verdict}");
}

/// Of two events of one key, the one answered before the other was sent stands first, while others write beside them.
#[test]
fn order_is_kept() {
    let gateway = Setup::new("", "").start();
    let load = Load::new("order", Shape::default());
    load.aim(&[gateway.address]).run(|| load.wait_for(400));
    assert_eq!(load.all_times().failed(), 0);
    load.judge(&journal(&gateway.stop())).has_none_of(&Fault::ALL);
}

/// The work goes on when the sender hangs up, or only half closes, before the answer.
#[test]
fn an_event_outlives_its_sender() {
    let mut gateway = Setup::new("", "").start_on_a_disk_with("delay_enter=300000");
    let send = |number| {
        let body = numbered(number, 1);
        let mut connection = gateway.connect();
        connection.send([post_head(POLICY, &body, &signature(POLICY, &body)).as_bytes(), &body].concat());
        gateway.wait_for_metric("bus_inflight", 1.0);
        connection
    };
    send(1).reset();
    gateway.wait_for_metric("journal_appends_total", 1.0);
    let mut listening = send(2);
    listening.half_close();
    gateway.wait_for_metric("journal_appends_total", 2.0);
    assert_eq!(listening.answer().map(|answer| answer.status), Some(200), "it still listens");
    assert_eq!(numbers(&gateway.setup, 2), [1, 2]);
    gateway.wait_for_metric("http_inflight_requests", 0.0);
    gateway.wait_for_log(|line| line["outcome"] == "accepted" && line["event_id"] == "evt_1");
    // The sender comes again, as it must: it learns that the event is durable.
    assert_eq!(gateway.post(POLICY, &numbered(1, 1)).status, 200);
    assert_eq!(gateway.metric(r#"dedup_hits_total{source="acme"}"#), 1.0);
}

fn segments(setup: &Setup) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(setup.path().join("hookbus-data"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "journal"))
        .collect();
    files.sort();
    files
}

/// A flipped byte in the middle costs the record it hits, is counted, and stops neither the start nor the rest.
#[test]
fn damage_never_stops_the_start() {
    let gateway = Setup::new("", "").start();
    for number in 0..20 {
        assert_eq!(gateway.post(POLICY, &numbered(number, 1)).status, 200);
    }
    let setup = gateway.stop();
    let mut file = fs::OpenOptions::new().read(true).write(true).open(&segments(&setup)[0]).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let marker = br#""n":10}"#;
    let place = bytes.windows(marker.len()).position(|window| window == marker).unwrap();
    file.seek(SeekFrom::Start(place as u64)).unwrap();
    file.write_all(b"X").unwrap();
    // And a torn tail: half a record that was never answered.
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(&bytes[bytes.len() - 100..]).unwrap();

    let gateway = setup.start();
    // One record, and the 100 bytes of the torn one.
    let damage = gateway.metric("journal_damage_bytes_total");
    assert!((100.0..1500.0).contains(&damage), "{damage}");
    assert_eq!(gateway.metric("journal_lost_records_total"), 1.0, "nothing that was not answered is lost");
    assert_eq!(gateway.get_admin("/readyz").status, 200);
    assert_eq!(gateway.post(POLICY, &numbered(20, 1)).status, 200);
    let expected: Vec<_> = (0..=20).filter(|number| *number != 10).collect();
    assert_eq!(numbers(&gateway.setup, 20), expected);
}

/// A segment that was deleted while the gateway was down is counted to the record and said, once.
#[test]
fn a_deleted_segment_is_not_passed_over_in_silence() {
    let mut setup = Setup::new("", "");
    for round in 0..2 {
        let gateway = setup.start();
        for number in 0..5 {
            assert_eq!(gateway.post(POLICY, &numbered(5 * round + number, 1)).status, 200);
        }
        assert_eq!(gateway.metric("journal_lost_records_total"), 0.0);
        setup = gateway.stop();
    }
    fs::remove_file(&segments(&setup)[0]).unwrap();
    let mut gateway = setup.start();
    assert_eq!(gateway.metric("journal_lost_records_total"), 5.0);
    gateway.wait_for_log(|line| line["message"] == "journal: records are lost" && line["records"] == 5);
    assert_eq!(numbers(&gateway.setup, 5), (5..10).collect::<Vec<_>>());
    let gateway = gateway.stop().start();
    assert_eq!(gateway.metric("journal_lost_records_total"), 0.0, "once");
}

/// Two gateways never write one journal.
#[test]
fn a_second_process_is_kept_out() {
    let gateway = Setup::new("", "").start();
    let second = gateway.setup.run(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(text.contains(&gateway.pid().to_string()), "names the process that holds it: {text}");
    assert_eq!(gateway.post(AUDIT, &sample("audit1/samples/camel/file.failed.json")).status, 200);
}

/// Old segments go, the newest events stay, and the bus keeps within its size.
#[test]
fn retention_keeps_the_journal_within_its_size() {
    let gateway = Setup::new(
        "max_body = \"256KiB\"",
        "[journal]\nreserve = \"1MiB\"\nsegment_size = \"1MiB\"\nmax_size = \"4MiB\"\n",
    )
    .start();
    let filler = "x".repeat(64 * 1024);
    for number in 0..200_u64 {
        let body = format!(r#"{{"id":"evt_{number}","type":"policy.active","data":{{"n":{number},"x":"{filler}"}}}}"#);
        assert_eq!(gateway.post(POLICY, body.as_bytes()).status, 200);
    }
    wait_until("retention", || gateway.metric("journal_bytes") <= 4.0 * 1024.0 * 1024.0);
    let kept = gateway.metric("journal_records") as usize;
    assert!((20..80).contains(&kept), "{kept}");
    let found = numbers(&gateway.setup, kept);
    assert_eq!(found, (200 - kept as u64..200).collect::<Vec<_>>());
}

/// A file system without room for another segment: 503, not ready, and the metrics say so.
#[test]
fn a_full_disk_is_503() {
    let gateway = Setup::new("", "[journal]\nreserve = \"1000000GiB\"\n").start();
    let mut answers = Vec::new();
    for number in 0..5 {
        answers.push(gateway.post(POLICY, &numbered(number, 1)).status);
    }
    assert_eq!(answers, [503; 5]);
    assert_eq!(gateway.get_admin("/readyz").status, 503);
    assert_eq!(gateway.metric("journal_up"), 0.0);
    assert_eq!(gateway.metric(r#"bus_publish_total{result="refused"}"#), 5.0);
    assert_eq!(gateway.metric(r#"events_total{result="failed",source="acme",type="policy.active"}"#), 5.0);
}
