//! Tests of what operators and disks do to a running journal: deletions, clocks, disks that refuse or hang.

use std::{fs, path::Path, sync::atomic::Ordering::SeqCst};

use bytes::Bytes;

use super::{
    tests::{append, counted, eventually, logged, open, options, read, record, segments, spool, wait},
    *,
};

const DAY: Duration = Duration::from_secs(86_400);

fn fill(journal: &Journal, count: usize) {
    for n in 0..count {
        append(journal, format!("record {n}")).unwrap();
    }
}

fn bodies(directory: &Path) -> Vec<Bytes> {
    read(Reader::open(directory, Start::Oldest).unwrap()).into_iter().map(|(_, body)| body).collect()
}

/// Several beats, in which something must not happen.
fn some_beats(journal: &Journal) {
    for _ in 0..5 {
        let beat = journal.stats().beat;
        eventually("a beat", || journal.stats().beat > beat);
    }
}

#[test]
fn nothing_is_acknowledged_into_a_deleted_segment() {
    for before in [0, 3] {
        let outer = tempfile::tempdir().unwrap();
        let (journal, counts) = counted(&spool(outer.path()));
        let mut reader = journal.reader(Start::Oldest);
        fill(&journal, before);
        (before > 0).then(|| reader.next().unwrap());
        segments(outer.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
        let sequence = append(&journal, "after").unwrap();
        assert_eq!(bodies(outer.path()), ["after"]);
        assert!(journal.stats().up);
        assert!(counts.errors.lock().unwrap().contains(&Operation::Append));
        let mut last = 0;
        while let Some(entry) = reader.next().unwrap() {
            last = entry.sequence;
        }
        assert_eq!(last, sequence, "who had it open reads on");
        journal.close();
        assert_eq!(read(open(&spool(outer.path())).reader(Start::Oldest)).len(), 1);
    }
}

#[test]
fn a_deleted_segment_is_replaced_without_an_append() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, _) = counted(&options(outer.path()));
    segments(outer.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
    eventually("a new segment", || segments(outer.path()).len() == 1);
    assert_eq!(append(&journal, "x").map(|_| ()), Ok(()));
    assert_eq!(bodies(outer.path()), ["x"]);
}

/// What is done to the directory; each must stop the journal, with no file made there.
fn displaced(act: impl Fn(&Path)) {
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("journal");
    let (journal, counts) = counted(&options(&directory));
    fill(&journal, 3);
    act(&directory);
    let names = || fs::read_dir(&directory).map_or(0, Iterator::count);
    let before = names();
    eventually("down", || !journal.stats().up);
    assert_eq!(append(&journal, "lost"), Err(AppendError::Failed));
    some_beats(&journal);
    assert!(!journal.stats().up);
    assert_eq!(names(), before, "nothing is made");
    let errors = counts.errors.lock().unwrap().clone();
    assert!(errors.ends_with(&[Operation::Append]) && errors.len() <= 2, "{errors:?}");
}

#[test]
fn a_removed_or_replaced_directory_or_lock_stops_the_journal() {
    displaced(|directory| fs::remove_dir_all(directory).unwrap());
    displaced(|directory| {
        fs::remove_dir_all(directory).unwrap();
        fs::create_dir(directory).unwrap();
    });
    displaced(|directory| fs::remove_file(directory.join("lock")).unwrap());
    displaced(|directory| {
        fs::write(directory.join("other"), "").unwrap();
        fs::rename(directory.join("other"), directory.join("lock")).unwrap();
    });
}

#[test]
fn an_append_right_after_the_directory_went_is_not_acknowledged() {
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("journal");
    let (journal, _) = counted(&options(&directory));
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(append(&journal, "lost"), Err(AppendError::Failed));
    assert!(!directory.exists());
}

#[test]
fn a_directory_that_comes_back_is_taken_again() {
    let outer = tempfile::tempdir().unwrap();
    let (directory, away) = (outer.path().join("journal"), outer.path().join("away"));
    let (journal, _) = counted(&options(&directory));
    fill(&journal, 3);
    fs::rename(&directory, &away).unwrap();
    eventually("down", || !journal.stats().up);
    fs::rename(&away, &directory).unwrap();
    eventually("up", || journal.stats().up);
    append(&journal, "after").unwrap();
    assert_eq!(bodies(&directory).len(), 4);
}

#[test]
fn a_clock_that_jumps_erases_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, counts) = counted(&Options { max_age: Some(7 * DAY), ..options(outer.path()) });
    fill(&journal, 200);
    let before = segments(outer.path());
    journal.open.0.watchdog.faults.ahead.store(8 * DAY.as_micros() as u64, SeqCst);
    some_beats(&journal);
    journal.open.0.watchdog.faults.ahead.store(0, SeqCst);
    some_beats(&journal);
    assert_eq!(segments(outer.path()), before);
    assert_eq!((journal.stats().records, counts.dropped.load(SeqCst)), (200, 0));
}

#[test]
fn a_start_at_which_everything_seems_old_erases_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let id = format::Id { first: 1, marker: format::Marker(*b"markmark") };
    let mut bytes = format::Header::encode(1, id.marker, 0).to_vec();
    format::encode_frame(&mut bytes, id.marker, 1, 1, &record("of 1970"));
    fs::write(id.path(outer.path()), bytes).unwrap();
    let (journal, _) = counted(&Options { max_age: Some(7 * DAY), ..options(outer.path()) });
    some_beats(&journal);
    assert_eq!(bodies(outer.path()), ["of 1970"]);
}

#[test]
fn one_beat_drops_one_segment_by_age_at_most() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, counts) = counted(&Options { max_age: Some(DAY / 5000), ..options(outer.path()) });
    fill(&journal, 200);
    // Half a minute is no jump, and makes everything too old at once.
    journal.open.0.watchdog.faults.ahead.store(30_000_000, SeqCst);
    eventually("all goes", || journal.stats().records == 0);
    let drops = counts.drops.lock().unwrap();
    assert!(drops.len() > 3);
    for pair in drops.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(19), "{:?}", pair[1] - pair[0]);
    }
}

#[test]
fn retention_is_counted_and_a_reader_knows_what_it_missed() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, counts) = counted(&Options { max_size: 10_000, ..options(outer.path()) });
    let mut readers = [journal.reader(Start::Oldest), Reader::open(outer.path(), Start::Oldest).unwrap()];
    fill(&journal, 10);
    for reader in &mut readers {
        assert_eq!(reader.next().unwrap().unwrap().sequence, 1);
        assert_eq!(reader.missed(), 0);
    }
    fill(&journal, 990);
    let held = journal.stats().records;
    assert_eq!(counts.dropped.load(SeqCst), 1000 - held);
    let mut resumed = journal.reader(Start::After(5));
    for reader in readers.iter_mut().chain([&mut resumed]) {
        let resumed_at = if reader.missed() == 0 && held > 0 { reader.next().unwrap().unwrap().sequence } else { 0 };
        let mut given = 1;
        while reader.next().unwrap().is_some() {
            given += 1;
        }
        let from = if resumed_at == 2 { 1 } else { 5 };
        assert_eq!(given + reader.missed(), 1000 - from, "each is given or missed");
    }
    let mut fresh = journal.reader(Start::Oldest);
    fresh.next().unwrap().unwrap();
    assert_eq!(fresh.missed(), 0, "who begins at the oldest misses nothing");
}

#[test]
fn a_disk_that_refuses_every_sync_is_never_called_healthy() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, _) = counted(&spool(outer.path()));
    append(&journal, "kept").unwrap();
    journal.open.0.watchdog.faults.syncs.store(6, SeqCst);
    assert_eq!(append(&journal, "lost"), Err(AppendError::Failed));
    while journal.open.0.watchdog.faults.syncs.load(SeqCst) > 0 {
        assert!(!journal.stats().up, "no sync was good yet");
        assert_eq!(append(&journal, "lost"), Err(AppendError::Failed));
    }
    eventually("up", || journal.stats().up);
    append(&journal, "after").unwrap();
    assert_eq!(bodies(outer.path()), ["kept", "after"]);
}

#[test]
fn a_disk_that_hangs_is_down_and_the_committer_alive() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&options(outer.path()));
    journal.open.0.watchdog.faults.slow.store(1500, SeqCst);
    let waiting = journal.append(record("slow"));
    eventually("the call is long", || journal.stats().sync_pending.is_some_and(|age| age > DISK_PATIENCE));
    let stats = journal.stats();
    assert!(!stats.up);
    assert!(stats.beat.elapsed() < Duration::from_millis(500), "a restart would mend nothing");
    wait(waiting).unwrap();
    journal.open.0.watchdog.faults.slow.store(0, SeqCst);
    eventually("up", || journal.stats().up);
}

#[test]
fn a_full_journal_counts_what_it_refuses() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, _) = counted(&Options { reserve: u64::MAX / 2, ..options(outer.path()) });
    assert!(!journal.stats().up);
    for _ in 0..3 {
        assert_eq!(append(&journal, "x"), Err(AppendError::Full));
    }
    assert_eq!(journal.open.0.queue.refused(), 3);
}

#[test]
fn a_journal_that_takes_no_records_says_why() {
    let outer = tempfile::tempdir().unwrap();
    let store = recovery::open(Options { reserve: u64::MAX / 2, ..options(outer.path()) }, Arc::new(())).unwrap();
    store.shared.queue.close();
    let log = logged(|| committer::run(store));
    assert!(log.contains("ERROR") && log.contains("takes no records: full"), "{log}");
}

#[test]
fn damage_that_cost_records_is_an_error_and_a_torn_end_is_not() {
    for spoiled in 0..2 {
        let outer = tempfile::tempdir().unwrap();
        let journal = open(&options(outer.path()));
        fill(&journal, 3);
        journal.close();
        let path = &segments(outer.path())[0];
        let mut bytes = fs::read(path).unwrap();
        let frame = (bytes.len() - format::HEADER) / 3;
        bytes[format::HEADER + spoiled * frame + 20] ^= 1;
        bytes.extend(b"torn");
        fs::write(path, bytes).unwrap();
        let log = logged(|| drop(open(&options(outer.path()))));
        let lost = format!("first={n} last={n}", n = spoiled + 1);
        assert!(log.lines().any(|line| line.contains("ERROR") && line.contains(&lost)), "{log}");
        assert!(log.lines().any(|line| line.contains("INFO") && line.contains("torn end")), "{log}");
        assert!(log.contains(&*path.to_string_lossy()), "{log}");
    }
}

#[test]
fn a_torn_end_that_the_next_segment_made_up_for_is_no_error() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&options(outer.path()));
    fill(&journal, 100);
    journal.close();
    let path = &segments(outer.path())[0];
    let whole = fs::read(path).unwrap();
    fs::write(path, [&whole[..], b"torn"].concat()).unwrap();
    let log = logged(|| drop(open(&options(outer.path()))));
    assert!(log.contains("torn end") && !log.contains("ERROR"), "{log}");
    // A record that is missing there is one.
    fs::write(path, [&whole[..whole.len() - 1], b"torn"].concat()).unwrap();
    let last = segment::list(outer.path()).unwrap()[1].first - 1;
    let log = logged(|| drop(open(&options(outer.path()))));
    assert!(log.contains("ERROR") && log.contains(&format!("first={last} last={last}")), "{log}");
    // Where nothing is missing, nothing is said.
    fs::write(path, whole).unwrap();
    let log = logged(|| drop(open(&options(outer.path()))));
    assert!(!log.contains("torn end") && !log.contains("ERROR"), "{log}");
}

#[test]
fn a_deleted_segment_is_missed_to_the_record() {
    let outer = tempfile::tempdir().unwrap();
    for deleted in [0, 1] {
        let journal = open(&Options { segment_size: 300, ..options(&outer.path().join(deleted.to_string())) });
        fill(&journal, 30);
        let mut reader = journal.reader(Start::Oldest);
        fs::remove_file(&segments(&outer.path().join(deleted.to_string()))[deleted]).unwrap();
        let given = std::iter::from_fn(|| reader.next().unwrap()).count() as u64;
        assert!((20..30).contains(&given), "{given}");
        assert_eq!(given + reader.missed(), 30, "segment {deleted}");
    }
}

#[test]
fn a_segment_that_does_not_open_is_asked_for_again() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, counts) = counted(&options(outer.path()));
    fill(&journal, 100);
    let (path, away) = (&segments(outer.path())[0], outer.path().join("away"));
    fs::rename(path, &away).unwrap();
    std::os::unix::fs::symlink(path, path).unwrap();
    let mut reader = journal.reader(Start::Oldest);
    assert!(reader.next().is_err());
    assert_eq!(*counts.errors.lock().unwrap(), [Operation::Read]);
    fs::rename(&away, path).unwrap();
    assert_eq!(read(reader).len(), 100);
}

/// Reads on until the end, however often the disk refuses. Gives the bodies, and how often it did.
fn read_patiently(mut reader: Reader) -> (Vec<Bytes>, usize) {
    let (started, mut found, mut errors) = (Instant::now(), Vec::new(), 0);
    loop {
        match reader.next() {
            Ok(Some(entry)) => found.push(entry.body),
            Ok(None) => return (found, errors),
            Err(_) => {
                errors += 1;
                assert!(started.elapsed() < Duration::from_secs(5), "never passed over");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

#[test]
fn a_block_that_cannot_be_read_costs_its_own_records_and_is_kept() {
    const LENGTH: u64 = 50;
    let outer = tempfile::tempdir().unwrap();
    let limits = Options { segment_size: 1 << 16, ..options(outer.path()) };
    let journal = open(&limits);
    let bodies: Vec<Bytes> = (0..300).map(|n| Bytes::from(format!("record {n:03}"))).collect();
    for body in &bodies {
        append(&journal, body.clone()).unwrap();
    }
    journal.close();
    let path = &segments(outer.path())[0];
    let whole = [&fs::read(path).unwrap()[..], b"torn"].concat();
    fs::write(path, &whole).unwrap();

    scan::REFUSED.set((9000, 12288));
    let journal = open(&limits);
    let frames = bodies.iter().zip((format::HEADER as u64..).step_by(LENGTH as usize));
    let left: Vec<Bytes> =
        frames.filter(|(_, at)| at + LENGTH <= 9000 || 12288 <= *at).map(|(body, _)| body.clone()).collect();
    assert_eq!(journal.stats().records as usize, left.len());
    let (found, errors) = read_patiently(journal.reader(Start::Oldest));
    assert_eq!(found, left);
    assert!(errors > 1, "it is asked for again before it counts as damage");
    assert_eq!(fs::read(path).unwrap(), whole, "nothing is cut that may be good");
    journal.close();

    scan::REFUSED.set((0, u64::MAX));
    open(&limits).close();
    scan::REFUSED.set((0, 0));
    assert_eq!(
        super::tests::bodies(open(&limits).reader(Start::Oldest)),
        bodies,
        "nothing is removed that may be good"
    );
}

#[test]
fn a_reader_logs_the_damage_it_meets_and_counts_what_the_start_did_not() {
    let outer = tempfile::tempdir().unwrap();
    let spoil = |place: usize| {
        let path = segments(outer.path()).pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[format::HEADER + place + 20] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let frame = format::FRAME + 4 + "record 0".len();
    let journal = open(&options(outer.path()));
    fill(&journal, 3);
    journal.close();
    spoil(frame);
    let journal = open(&options(outer.path()));
    let damage = journal.stats().damage_bytes;
    assert_eq!(damage, frame as u64);
    let passed = |from, records| logged(|| assert_eq!(read(journal.reader(from)).len(), records));
    assert!(passed(Start::Oldest, 2).contains("damage passed over"));
    assert_eq!(journal.stats().damage_bytes, damage, "counted at the start");
    fill(&journal, 3);
    spoil(frame);
    let log = passed(Start::After(3), 2);
    assert!(log.contains("damage passed over") && log.contains(&format!("bytes={frame}")), "{log}");
    assert_eq!(journal.stats().damage_bytes, damage + frame as u64);
    assert_eq!(journal.stats().records, 5, "only a spool waits for records");
    let whole = open(&options(&outer.path().join("whole")));
    fill(&whole, 100);
    assert_eq!(logged(|| assert_eq!(read(whole.reader(Start::Oldest)).len(), 100)), "");
    assert_eq!(logged(|| whole.close()), "");
}

#[test]
fn a_disk_that_goes_on_failing_is_tried_less_and_less() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, counts) = counted(&spool(outer.path()));
    journal.open.0.watchdog.faults.syncs.store(1_000_000, SeqCst);
    assert_eq!(append(&journal, "lost"), Err(AppendError::Failed));
    // Thirty beats: two syncs of the record, and tries after 1, 3, 7 and 15 of them.
    std::thread::sleep(Duration::from_millis(600));
    let syncs = counts.errors.lock().unwrap().len();
    assert!((3..10).contains(&syncs), "{syncs}");
    journal.open.0.watchdog.faults.syncs.store(0, SeqCst);
    eventually("up", || journal.stats().up);
}

/// What is logged while as many segments are filled as must be dropped.
fn dropped_log(options: Options) -> String {
    logged(|| {
        let mut store = recovery::open(options, Arc::new(())).unwrap();
        for _ in 0..300 {
            let record = record("some text");
            let length = format::frame_length(&record);
            if store.room() < length {
                store.roll(length).unwrap();
            }
            store.commit(&[record]).unwrap();
        }
    })
}

#[test]
fn a_segment_that_goes_before_its_age_is_a_warning() {
    let outer = tempfile::tempdir().unwrap();
    let limited = Options { max_size: 10_000, ..options(outer.path()) };
    let log = dropped_log(Options { max_age: Some(DAY), ..limited.clone() });
    assert!(log.contains("WARN") && log.contains("raise journal.max_size"), "{log}");
    let log = dropped_log(limited);
    assert!(log.contains("a segment goes") && log.contains("reason=\"size\""), "{log}");
    assert!(log.contains("oldest=20") && !log.contains("WARN"), "{log}");
}
