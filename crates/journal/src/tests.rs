//! Tests of the whole room through its front door. A crash is a copy of the directory, taken while nothing waits: what a
//! copy holds is what the disk holds at best, and the test then spoils what was never synced.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use bytes::Bytes;

use super::{
    format::{FRAME, HEADER, Id, Marker, encode_frame},
    *,
};

pub(super) fn options(directory: &Path) -> Options {
    Options {
        directory: directory.to_owned(),
        segment_size: 2048,
        max_size: 1 << 20,
        max_age: None,
        reserve: 0,
        keep: Keep::UntilOld,
        queue: 1000,
    }
}

pub(super) fn spool(directory: &Path) -> Options {
    Options { keep: Keep::UntilAcknowledged, ..options(directory) }
}

pub(super) fn open(options: &Options) -> Journal {
    Journal::open(options.clone(), Arc::new(())).unwrap()
}

/// What a journal reported.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) appended: AtomicU64,
    pub(super) synced: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) drops: Mutex<Vec<Instant>>,
    pub(super) errors: Mutex<Vec<Operation>>,
}

impl Observer for Counts {
    fn appended(&self, records: u64) {
        self.appended.fetch_add(records, SeqCst);
    }
    fn fsynced(&self, _duration: Duration) {
        self.synced.fetch_add(1, SeqCst);
    }
    fn lost(&self, records: u64) {
        self.lost.fetch_add(records, SeqCst);
    }
    fn dropped(&self, records: u64) {
        self.dropped.fetch_add(records, SeqCst);
        self.drops.lock().unwrap().push(Instant::now());
    }
    fn error(&self, operation: Operation) {
        self.errors.lock().unwrap().push(operation);
    }
}

pub(super) fn counted(options: &Options) -> (Journal, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    (Journal::open(options.clone(), Arc::<Counts>::clone(&counts)).unwrap(), counts)
}

pub(super) fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(super) fn record(body: impl Into<Bytes>) -> Record {
    Record { head: b"head".to_vec().into(), body: body.into() }
}

pub(super) fn append(journal: &Journal, body: impl Into<Bytes>) -> Result<u64, AppendError> {
    wait(journal.append(record(body)))
}

/// What `act` logs in this thread.
pub(super) fn logged(act: impl FnOnce()) -> String {
    let mut lines = tempfile::tempfile().unwrap();
    let writer = Arc::new(lines.try_clone().unwrap());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
    tracing::subscriber::with_default(subscriber, act);
    std::io::Seek::rewind(&mut lines).unwrap();
    std::io::read_to_string(lines).unwrap()
}

/// Polls: the committer's beat is 20 ms in tests.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(5), "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(super) fn read(mut reader: Reader) -> Vec<(u64, Bytes)> {
    let mut found = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        assert_eq!(entry.head, "head");
        found.push((entry.sequence, entry.body));
    }
    assert!(found.is_sorted_by(|a, b| a.0 < b.0), "sequences rise");
    found
}

pub(super) fn bodies(reader: Reader) -> Vec<Bytes> {
    read(reader).into_iter().map(|(_, body)| body).collect()
}

/// What another process reads.
fn outside(directory: &Path) -> Vec<Bytes> {
    bodies(Reader::open(directory, Start::Oldest).unwrap())
}

/// What the disk holds, copied into `to`.
pub(super) fn crash(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

pub(super) fn segments(directory: &Path) -> Vec<PathBuf> {
    segment::list(directory).unwrap().iter().map(|id| id.path(directory)).collect()
}

fn names(count: usize) -> Vec<Bytes> {
    (0..count).map(|n| Bytes::from(format!("record {n}"))).collect()
}

/// A crashed journal of `count` records, and the end of each frame in its only segment.
fn crashed(count: usize, to: &Path) -> (Vec<Bytes>, Vec<usize>) {
    let live = tempfile::tempdir().unwrap();
    let journal = open(&options(live.path()));
    let written = names(count);
    for body in &written {
        append(&journal, body.clone()).unwrap();
    }
    crash(live.path(), to);
    let lengths = written.iter().map(|body| FRAME + 4 + body.len());
    let ends = lengths.scan(HEADER, |at, length| {
        *at += length;
        Some(*at)
    });
    (written.clone(), ends.collect())
}

#[test]
fn what_is_appended_is_read_in_order_also_after_a_restart() {
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("new");
    let journal = open(&options(&directory));
    let written = names(200);
    for (n, body) in (1..).zip(&written) {
        assert_eq!(append(&journal, body.clone()), Ok(n));
    }
    assert!(segments(&directory).len() > 3, "several segments");
    assert_eq!(bodies(journal.reader(Start::Oldest)), written);
    assert_eq!(outside(&directory), written);
    assert_eq!(bodies(journal.reader(Start::After(150))), written[150..]);
    assert_eq!(read(journal.reader(Start::Newest)), []);
    assert_eq!([Start::Newest, Start::After(150)].map(|from| journal.reader(from).position()), [200, 150]);
    let mut reader = journal.reader(Start::Oldest);
    let age = reader.next().unwrap().unwrap().recorded.elapsed().unwrap();
    assert!(age < Duration::from_secs(60), "{age:?}");
    assert_eq!(reader.position(), 1);
    journal.close();
    assert_eq!(append(&journal, "late"), Err(AppendError::Closed));

    let journal = open(&options(&directory));
    assert_eq!(journal.stats().records, 200);
    assert_eq!(journal.stats().damage_bytes, 0);
    assert_eq!(append(&journal, "more"), Ok(201), "an orderly end leaves no gap");
    assert_eq!(bodies(journal.reader(Start::After(198))), [&written[198][..], &written[199][..], b"more"]);
}

#[test]
fn the_place_in_the_log_is_taken_by_the_call_and_a_dropped_future_still_writes() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&options(outer.path()));
    let written = names(100);
    let mut futures: Vec<_> = written.iter().map(|body| journal.append(record(body.clone()))).collect();
    drop(futures.split_off(50));
    for future in futures.into_iter().rev() {
        wait(future).unwrap();
    }
    journal.close();
    assert_eq!(outside(outer.path()), written);
}

#[test]
fn a_full_queue_answers_busy_and_a_record_that_never_fits_too_large() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&Options { queue: 3, ..options(outer.path()) });
    let futures: Vec<_> = (0..2000).map(|_| journal.append(record("x"))).collect();
    let answers: Vec<_> = futures.into_iter().map(wait).collect();
    let busy = answers.iter().filter(|answer| **answer == Err(AppendError::Busy)).count();
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(busy > 0 && taken > 2 && busy + taken == 2000);
    assert_eq!(outside(outer.path()).len(), taken);
    assert_eq!(append(&journal, vec![0; 1 << 20]), Err(AppendError::TooLarge));
    append(&journal, "still fine").unwrap();
}

#[test]
fn a_record_larger_than_a_segment_gets_its_own() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&Options { max_size: 1 << 26, ..options(outer.path()) });
    let large = vec![7; 20 << 20];
    for body in [b"before".to_vec(), large.clone(), b"after".to_vec(), large.clone(), large] {
        append(&journal, body).unwrap();
    }
    let lengths = |found: Vec<Bytes>| found.iter().map(Bytes::len).collect::<Vec<_>>();
    assert_eq!(lengths(bodies(journal.reader(Start::Oldest))), [6, 20 << 20, 5, 20 << 20, 20 << 20]);
    journal.close();
    let journal = open(&Options { max_size: 1 << 26, ..options(outer.path()) });
    assert_eq!(lengths(bodies(journal.reader(Start::Oldest))), [6, 20 << 20, 5, 20 << 20, 20 << 20]);
}

#[test]
fn every_cut_of_the_last_three_records_keeps_the_earlier_ones() {
    let outer = tempfile::tempdir().unwrap();
    let (written, ends) = crashed(6, &outer.path().join("crashed"));
    for cut in ends[2]..=ends[5] {
        let directory = outer.path().join(cut.to_string());
        crash(&outer.path().join("crashed"), &directory);
        fs::OpenOptions::new().write(true).open(&segments(&directory)[0]).unwrap().set_len(cut as u64).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(outside(&directory), written[..whole]);

        let journal = open(&options(&directory));
        assert_eq!(bodies(journal.reader(Start::Oldest)), written[..whole], "cut at {cut}");
        append(&journal, "new").unwrap();
        let mut expected = written[..whole].to_vec();
        expected.push("new".into());
        assert_eq!(bodies(journal.reader(Start::Oldest)), expected);
        drop(journal);
        fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn every_flipped_byte_costs_at_most_its_own_record() {
    let outer = tempfile::tempdir().unwrap();
    let (written, ends) = crashed(3, &outer.path().join("crashed"));
    for at in 0..ends[2] {
        let directory = outer.path().join(at.to_string());
        crash(&outer.path().join("crashed"), &directory);
        let path = &segments(&directory)[0];
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 0x55;
        fs::write(path, bytes).unwrap();

        let mut expected = written.clone();
        if at >= HEADER {
            expected.remove(ends.iter().filter(|end| **end <= at).count());
        }
        let journal = open(&options(&directory));
        assert!(journal.stats().damage_bytes > 0, "byte {at}");
        assert_eq!(journal.stats().records as usize, expected.len(), "byte {at}");
        assert_eq!(bodies(journal.reader(Start::Oldest)), expected, "byte {at}");
        assert!(append(&journal, "new").unwrap() > 3, "a sequence is never given twice");
        expected.push("new".into());
        assert_eq!(bodies(journal.reader(Start::Oldest)), expected, "byte {at}");
        assert_eq!(outside(&directory), expected, "byte {at}");
        drop(journal);
        fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn a_lost_first_block_costs_the_records_in_it() {
    let outer = tempfile::tempdir().unwrap();
    let (written, ends) = crashed(20, &outer.path().join("crashed"));
    let path = &segments(&outer.path().join("crashed"))[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[..ends[4]].fill(0);
    fs::write(path, bytes).unwrap();
    assert_eq!(bodies(open(&options(&outer.path().join("crashed"))).reader(Start::Oldest)), written[5..]);
}

#[test]
fn a_forged_frame_in_a_payload_stays_a_payload() {
    let outer = tempfile::tempdir().unwrap();
    let (live, dead) = (outer.path().join("live"), outer.path().join("dead"));
    let journal = open(&options(&live));
    let forge = |marker| {
        let mut frame = Vec::new();
        encode_frame(&mut frame, marker, 2, 1, &record("forged"));
        frame
    };
    // Outsiders know the format, and no marker; an older segment's marker does not help either.
    let foreign = segment::list(&live).unwrap()[0].marker;
    append(&journal, forge(Marker(*b"HOOKBUSJ"))).unwrap();
    journal.close();
    let journal = open(&options(&live));
    append(&journal, forge(foreign)).unwrap();
    append(&journal, "honest").unwrap();
    crash(&live, &dead);
    for path in segments(&dead) {
        let mut bytes = fs::read(&path).unwrap();
        bytes[HEADER + 12] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(bodies(open(&options(&dead)).reader(Start::Oldest)), ["honest"]);
}

#[test]
fn the_oldest_segments_go_when_there_is_too_much() {
    let outer = tempfile::tempdir().unwrap();
    let limited = Options { max_size: 10_000, ..options(outer.path()) };
    let journal = open(&limited);
    let written = names(1000);
    for body in &written {
        append(&journal, body.clone()).unwrap();
        assert!(journal.stats().bytes <= 10_000);
    }
    let kept = bodies(journal.reader(Start::Oldest));
    assert!(kept.len() > 100 && written.ends_with(&kept));
    assert_eq!(journal.stats().records as usize, kept.len());
    journal.close();
    assert!(written.ends_with(&bodies(open(&limited).reader(Start::Oldest))));
}

#[test]
fn segments_go_when_they_are_too_old_also_the_live_one() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&Options { max_age: Some(Duration::from_millis(100)), ..options(outer.path()) });
    for body in names(100) {
        append(&journal, body).unwrap();
    }
    let mut reader = journal.reader(Start::Oldest);
    assert!(reader.next().unwrap().is_some());
    eventually("everything is too old", || journal.stats().records == 0);
    append(&journal, "young").unwrap();
    assert_eq!(bodies(journal.reader(Start::Oldest)), ["young"]);
    assert_eq!(bodies(reader).last().unwrap(), "young", "a reader outlives the segments under it");
}

#[test]
fn a_spool_refuses_when_it_is_full_and_takes_again_when_it_is_acknowledged() {
    let outer = tempfile::tempdir().unwrap();
    let limited = Options { max_size: 10_000, ..spool(outer.path()) };
    let journal = open(&limited);
    let mut written = Vec::new();
    let error = loop {
        match append(&journal, format!("record {}", written.len())) {
            Ok(sequence) => written.push(sequence),
            Err(error) => break error,
        }
    };
    assert_eq!(error, AppendError::Full);
    assert!(!journal.stats().up && journal.stats().bytes <= 10_000);
    assert_eq!(append(&journal, "x"), Err(AppendError::Full), "and at once");
    assert_eq!(journal.stats().records as usize, written.len());
    assert_eq!(read(journal.reader(Start::Oldest)).len(), written.len());
    for sequence in &written {
        journal.acknowledge(*sequence);
    }
    assert_eq!(journal.stats().records, 0);
    eventually("room again", || journal.stats().up);
    append(&journal, "again").unwrap();
    assert_eq!(bodies(journal.reader(Start::Oldest)), ["again"]);
}

#[test]
fn the_reserve_is_left_alone() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&Options { reserve: u64::MAX / 2, ..options(outer.path()) });
    assert!(!journal.stats().up);
    assert!(journal.stats().free_bytes > Some(0));
    assert_eq!(append(&journal, "x"), Err(AppendError::Full));
}

#[test]
fn acknowledgements_come_in_any_order_and_survive_a_restart() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&spool(outer.path()));
    for body in names(200) {
        append(&journal, body).unwrap();
    }
    let before = segments(outer.path()).len();
    for sequence in (1..=120).rev().chain([140, 160]) {
        journal.acknowledge(sequence);
    }
    assert_eq!((journal.stats().records, journal.low_water()), (78, 120));
    let left: Vec<u64> = (121..=200).filter(|n| ![140, 160].contains(n)).collect();
    let sequences = |journal: &Journal| read(journal.reader(Start::Oldest)).iter().map(|r| r.0).collect::<Vec<_>>();
    assert_eq!(sequences(&journal), left, "what is acknowledged early is not read");
    eventually("acknowledged segments go", || segments(outer.path()).len() < before);
    journal.close();

    let journal = open(&spool(outer.path()));
    assert_eq!(sequences(&journal), left, "nothing that is acknowledged comes again");
    for sequence in 121..=200 {
        journal.acknowledge(sequence);
    }
    journal.close();
    let journal = open(&spool(outer.path()));
    assert_eq!(journal.stats().records, 0);
    assert_eq!(journal.stats().oldest, None);
    assert!(append(&journal, "x").unwrap() > 200, "an empty journal remembers its sequences");
    fs::remove_file(outer.path().join(checkpoint::NAME)).unwrap();
    assert_eq!(journal.stats().records, 1);
}

#[test]
fn damage_under_a_spool_does_not_keep_it_from_becoming_empty() {
    for spoiled in [0, 5, 9] {
        let outer = tempfile::tempdir().unwrap();
        let journal = open(&spool(outer.path()));
        let written = names(10);
        let mut reader = journal.reader(Start::Oldest);
        for body in &written {
            append(&journal, body.clone()).unwrap();
        }
        let path = &segments(outer.path())[0];
        let mut bytes = fs::read(path).unwrap();
        let frame = FRAME + 4 + written[0].len();
        bytes[HEADER + spoiled * frame + 20] ^= 1;
        fs::write(path, bytes).unwrap();
        for _ in 0..9 {
            journal.acknowledge(reader.next().unwrap().unwrap().sequence);
        }
        assert_eq!(reader.next().unwrap(), None);
        assert_eq!(journal.stats().records, 0, "record {spoiled}");
        assert!(journal.stats().damage_bytes >= frame as u64 || spoiled == 9);
        append(&journal, "next").unwrap();
        assert_eq!(reader.next().unwrap().unwrap().body, "next");
    }
}

#[test]
fn a_segment_that_someone_deleted_does_not_hold_a_spool_up() {
    for deleted in [0, 2, 5] {
        let outer = tempfile::tempdir().unwrap();
        let journal = open(&Options { segment_size: 300, ..spool(outer.path()) });
        for body in names(30) {
            append(&journal, body).unwrap();
        }
        let paths = segments(outer.path());
        fs::remove_file(&paths[deleted * (paths.len() - 1) / 5]).unwrap();
        let mut reader = journal.reader(Start::Oldest);
        while let Some(entry) = reader.next().unwrap() {
            journal.acknowledge(entry.sequence);
        }
        append(&journal, "next").ok();
        if let Some(entry) = reader.next().unwrap() {
            journal.acknowledge(entry.sequence);
        }
        assert_eq!(journal.stats().records, 0);
    }
}

#[test]
fn new_records_are_never_below_an_old_low_water_mark() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&spool(outer.path()));
    for body in names(5) {
        let sequence = append(&journal, body).unwrap();
        journal.acknowledge(sequence);
    }
    journal.close();
    segments(outer.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
    let journal = open(&spool(outer.path()));
    append(&journal, "new").unwrap();
    journal.close();
    assert_eq!(bodies(open(&spool(outer.path())).reader(Start::Oldest)), ["new"]);
}

#[test]
fn what_is_written_and_not_synced_is_not_read_inside() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&options(outer.path()));
    append(&journal, "synced").unwrap();
    let mut frame = Vec::new();
    encode_frame(&mut frame, segment::list(outer.path()).unwrap()[0].marker, 2, 1, &record("on its way"));
    let file = fs::OpenOptions::new().write(true).open(&segments(outer.path())[0]).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &frame, (HEADER + FRAME + 10) as u64).unwrap();
    assert_eq!(outside(outer.path()), ["synced", "on its way"]);
    assert_eq!(bodies(journal.reader(Start::Oldest)), ["synced"]);
}

/// A file system tells reserved bytes from written ones by holes.
#[test]
fn a_batch_writes_zeros_ahead_so_that_the_syncs_of_the_next_ones_wait_for_bytes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (size, block) = (64 * 1024, 4096);
    let journal = open(&Options { segment_size: size, max_size: 4 * size, ..options(folder.path()) });
    let hole = || {
        let segment = fs::File::open(&segments(folder.path())[0]).unwrap();
        rustix::fs::seek(&segment, rustix::fs::SeekFrom::Hole(0)).unwrap()
    };
    assert_eq!(hole(), block, "the blocks of this file system, of which holes are made");
    // A frame that ends short of a block's end, which 1024 zeros behind it do not.
    let frames = [1000, 1000, 1000, 100, 930];
    let append_frame = |length: usize| assert!(append(&journal, vec![1; length - FRAME - 4]).is_ok());
    assert_eq!(HEADER + frames.iter().sum::<usize>(), 4094);
    frames.into_iter().for_each(append_frame);
    assert_eq!(hole(), 2 * block, "zeros behind the last");
    // The last but one has zeros behind it up to 8178, on which the last one lies.
    let more = [1000, 2000, 60, 1000];
    more.into_iter().for_each(append_frame);
    assert_eq!(hole(), 2 * block, "none behind one that lies on zeros");
    append_frame(4100);
    assert_eq!(hole(), 3 * block, "and none behind one that is longer than they would be");
    let mut appended = frames.len() + more.len() + 1;
    while hole() < size && appended < 200 {
        append_frame(500);
        appended += 1;
    }
    let length = fs::metadata(&segments(folder.path())[0]).unwrap().len();
    assert_eq!((segments(folder.path()).len(), length, hole()), (1, size, size), "and none behind the segment's end");
    assert_eq!(read(journal.reader(Start::Oldest)).len(), appended);
}

#[test]
fn one_directory_has_one_journal() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&options(outer.path()));
    let error = Journal::open(options(outer.path()), Arc::new(())).unwrap_err();
    assert!(matches!(error, OpenError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
    journal.close();
    open(&options(outer.path()));
    open(&options(outer.path()));
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let outer = tempfile::tempdir().unwrap();
    let id = Id { first: 1, marker: Marker(*b"markmark") };
    let mut header = format::Header::encode(1, id.marker, 0);
    header[8] = 2;
    let sum = crc32c::crc32c(&header[..60]);
    header[60..].copy_from_slice(&sum.to_le_bytes());
    fs::write(id.path(outer.path()), header).unwrap();
    let error = Journal::open(options(outer.path()), Arc::new(())).unwrap_err();
    assert!(matches!(error, OpenError::NewerFormat { version: 2, known: 1, .. }), "{error}");
    assert_eq!(fs::read(id.path(outer.path())).unwrap(), header);
    assert!(Reader::open(outer.path(), Start::Oldest).unwrap().next().is_err());
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_with_its_name() {
    let outer = tempfile::tempdir().unwrap();
    fs::write(outer.path().join("file"), "").unwrap();
    let error = Journal::open(options(&outer.path().join("file/journal")), Arc::new(())).unwrap_err();
    assert!(matches!(error, OpenError::Directory { .. }), "{error}");
    assert!(error.to_string().contains("file/journal"));
}

#[test]
fn a_failed_sync_moves_the_batch_to_a_new_segment() {
    for before in [0, 3] {
        let outer = tempfile::tempdir().unwrap();
        let (journal, counts) = counted(&spool(outer.path()));
        let mut follower = Reader::open(outer.path(), Start::Oldest).unwrap();
        let written = names(before + 2);
        for body in &written[..before] {
            append(&journal, body.clone()).unwrap();
        }
        let poisoned = segments(outer.path())[0].clone();
        journal.open.0.watchdog.faults.syncs.store(1, SeqCst);
        assert_eq!(append(&journal, written[before].clone()), Ok(before as u64 + 1), "the sequences stay");
        assert_eq!(append(&journal, written[before + 1].clone()), Ok(before as u64 + 2));
        assert_eq!(*counts.errors.lock().unwrap(), [Operation::Fsync]);
        assert_eq!(counts.appended.load(SeqCst), written.len() as u64);
        assert_eq!(counts.synced.load(SeqCst), written.len() as u64);
        assert!(before > 0 || !poisoned.exists(), "an empty segment goes");
        assert_eq!(bodies(journal.reader(Start::Oldest)), written);
        assert_eq!(outside(outer.path()), written);
        let mut seen = 0;
        while follower.next().unwrap().is_some() {
            seen += 1;
        }
        assert_eq!(seen, written.len());
        journal.close();
        assert_eq!(bodies(open(&spool(outer.path())).reader(Start::Oldest)), written);
    }
}

#[test]
fn what_a_given_up_segment_still_holds_counts_in_the_next_one() {
    // The cut of the given-up segment never reached the disk, and of its last write only the second record did.
    let outer = tempfile::tempdir().unwrap();
    let (first, second) =
        (Id { first: 1, marker: Marker(*b"aaaaaaaa") }, Id { first: 2, marker: Marker(*b"bbbbbbbb") });
    let write = |id: Id, records: &[(u64, &'static str)]| {
        let mut bytes = format::Header::encode(id.first, id.marker, 0).to_vec();
        for (sequence, body) in records {
            encode_frame(&mut bytes, id.marker, *sequence, 1, &record(*body));
        }
        fs::write(id.path(outer.path()), bytes).unwrap();
    };
    write(first, &[(1, "one"), (2, "torn"), (3, "three")]);
    let mut bytes = fs::read(first.path(outer.path())).unwrap();
    bytes[HEADER + FRAME + 7 + 20] ^= 1;
    fs::write(first.path(outer.path()), bytes).unwrap();
    write(second, &[(2, "two"), (3, "three"), (4, "four")]);

    let expected = ["one", "two", "three", "four"];
    assert_eq!(outside(outer.path()), expected);
    let journal = open(&spool(outer.path()));
    assert_eq!(journal.stats().records, 4);
    assert_eq!(journal.stats().damage_bytes, 0, "a failed try is no damage");
    assert_eq!(bodies(journal.reader(Start::Oldest)), expected);
}

#[test]
fn two_failed_syncs_refuse_until_the_disk_is_willing_again() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&spool(outer.path()));
    append(&journal, "kept").unwrap();
    journal.open.0.watchdog.faults.syncs.store(2, SeqCst);
    assert_eq!(append(&journal, "lost"), Err(AppendError::Failed));
    assert_eq!(append(&journal, "lost"), Err(AppendError::Failed), "at once");
    assert!(!journal.stats().up);
    eventually("up again without a human", || journal.stats().up);
    assert_eq!(append(&journal, "after"), Ok(3), "the failed record's sequence is used up");
    assert_eq!(bodies(journal.reader(Start::Oldest)), ["kept", "after"]);
    let mut outside = Reader::open(outer.path(), Start::Oldest).unwrap();
    assert_eq!([1, 3].map(|_| outside.next().unwrap().unwrap().body), ["kept", "after"]);
    assert_eq!(outside.missed(), 0, "a sequence that stands for no record is not missed");
    assert_eq!(journal.stats().records, 2);
}

#[test]
fn readers_keep_up_with_the_writer() {
    let outer = tempfile::tempdir().unwrap();
    let limits = Options { segment_size: 16 << 10, max_size: 1 << 26, ..options(outer.path()) };
    let journal = open(&limits);
    let total = 5000;
    std::thread::scope(|scope| {
        let readers = [
            journal.reader(Start::Oldest),
            Reader::open(outer.path(), Start::Oldest).unwrap(),
            journal.reader(Start::Newest),
        ];
        for mut reader in readers {
            scope.spawn(move || {
                let mut next = 1;
                let started = Instant::now();
                while next <= total && started.elapsed() < Duration::from_secs(30) {
                    match reader.next().unwrap() {
                        Some(entry) => {
                            assert_eq!((entry.sequence, entry.body.len() as u64), (next, next % 700));
                            next += 1;
                        }
                        None => std::thread::sleep(Duration::from_micros(100)),
                    }
                }
                assert_eq!(next, total + 1);
            });
        }
        let mut waiting = std::collections::VecDeque::new();
        for n in 1..=total {
            waiting.push_back(journal.append(record(vec![n as u8; (n % 700) as usize])));
            if waiting.len() > 64 {
                wait(waiting.pop_front().unwrap()).unwrap();
            }
        }
        waiting.into_iter().for_each(|future| assert!(wait(future).is_ok()));
    });
}

#[test]
fn another_process_starts_at_the_end_and_sees_what_comes_after() {
    let outer = tempfile::tempdir().unwrap();
    let mut early = Reader::open(outer.path(), Start::Oldest).unwrap();
    assert_eq!(early.next().unwrap(), None);
    let journal = open(&options(outer.path()));
    for body in names(100) {
        append(&journal, body).unwrap();
    }
    let mut late = Reader::open(outer.path(), Start::Newest).unwrap();
    let mut middle = Reader::open(outer.path(), Start::After(99)).unwrap();
    assert_eq!(late.next().unwrap(), None);
    append(&journal, "new").unwrap();
    assert_eq!(late.next().unwrap().unwrap().body, "new");
    assert_eq!(late.next().unwrap(), None);
    assert_eq!(middle.next().unwrap().unwrap().body, "record 99");
    assert_eq!(early.next().unwrap().unwrap().body, "record 0");
}

#[test]
fn news_wake_a_waiter() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&options(outer.path()));
    let mut durable = journal.durable();
    wait(async {
        let append = journal.append(record("x"));
        durable.changed().await.unwrap();
        assert_eq!(*durable.borrow(), 1);
        append.await.unwrap();
    });
}

#[test]
fn the_committer_beats_and_the_last_handle_closes() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&options(outer.path()));
    let beat = journal.stats().beat;
    eventually("a beat without work", || journal.stats().beat > beat);
    let clone = journal.clone();
    drop(journal);
    append(&clone, "x").unwrap();
    append(&clone, "x").unwrap();
    let stats = clone.stats();
    assert_eq!(stats.appends, 2);
    assert!(stats.oldest.unwrap().elapsed().unwrap() < Duration::from_secs(60));
    drop(clone);
    assert_eq!(
        fs::metadata(&segments(outer.path())[0]).unwrap().len(),
        (HEADER + 2 * (FRAME + 5)) as u64,
        "the tail is cut"
    );
    assert_eq!(outside(outer.path()), ["x", "x"]);
}
