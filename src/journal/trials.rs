//! Tests of what operators and disks do to a running journal: deletions, clocks, disks that refuse or hang.

use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use super::{
    tests::{append, eventually, open, options, read, record, segments, spool, wait},
    *,
};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, Default)]
struct Counts {
    dropped: AtomicU64,
    drops: Mutex<Vec<Instant>>,
    errors: Mutex<Vec<Operation>>,
}

impl Observer for Counts {
    fn dropped(&self, records: u64) {
        self.dropped.fetch_add(records, SeqCst);
        self.drops.lock().unwrap().push(Instant::now());
    }
    fn error(&self, operation: Operation) {
        self.errors.lock().unwrap().push(operation);
    }
}

fn counted(options: &Options) -> (Journal, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    (Journal::open(options.clone(), Arc::<Counts>::clone(&counts)).unwrap(), counts)
}

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
    journal.open.faults.ahead.store(8 * DAY.as_micros() as u64, SeqCst);
    some_beats(&journal);
    journal.open.faults.ahead.store(0, SeqCst);
    some_beats(&journal);
    assert_eq!(segments(outer.path()), before);
    assert_eq!((journal.stats().records, counts.dropped.load(SeqCst)), (200, 0));
}

#[test]
fn a_start_at_which_everything_seems_old_erases_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let id = segment::Id { first: 1, marker: format::Marker(*b"markmark") };
    let mut bytes = format::Header::encode(1, id.marker).to_vec();
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
    journal.open.faults.ahead.store(30_000_000, SeqCst);
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
    journal.open.faults.syncs.store(6, SeqCst);
    assert_eq!(append(&journal, "lost"), Err(AppendError::Failed));
    while journal.open.faults.syncs.load(SeqCst) > 0 {
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
    journal.open.faults.slow.store(1500, SeqCst);
    let waiting = journal.append(record("slow"));
    eventually("the call is long", || journal.stats().sync_pending.is_some_and(|age| age > DISK_PATIENCE));
    let stats = journal.stats();
    assert!(!stats.up);
    assert!(stats.beat.elapsed() < Duration::from_millis(500), "a restart would mend nothing");
    assert!(!journal.open.shared.pending.notice(), "said once a minute");
    wait(waiting).unwrap();
    journal.open.faults.slow.store(0, SeqCst);
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
    assert_eq!(journal.open.shared.refused(), 3);
}

/// What a start on this directory logs, from its own thread.
fn start_log(directory: &Path) -> String {
    let mut lines = tempfile::tempfile().unwrap();
    let writer = Arc::new(lines.try_clone().unwrap());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
    tracing::subscriber::with_default(subscriber, || drop(open(&options(directory))));
    io::Seek::rewind(&mut lines).unwrap();
    io::read_to_string(lines).unwrap()
}

#[test]
fn damage_that_cost_records_is_an_error_and_a_torn_end_is_not() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&options(outer.path()));
    fill(&journal, 3);
    journal.close();
    let path = &segments(outer.path())[0];
    let mut bytes = fs::read(path).unwrap();
    let frame = (bytes.len() - format::HEADER) / 3;
    bytes[format::HEADER + frame + 20] ^= 1;
    bytes.extend(b"torn");
    fs::write(path, bytes).unwrap();
    let log = start_log(outer.path());
    assert!(log.lines().any(|line| line.contains("ERROR") && line.contains("first=2 last=2")), "{log}");
    assert!(log.lines().any(|line| line.contains("INFO") && line.contains("torn end")), "{log}");
    assert!(log.contains(&*path.to_string_lossy()), "{log}");
}
