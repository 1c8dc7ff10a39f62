//! Tests of what a start knows: which records are done with, which segments may be absent, and which records are lost.

use std::{fs, path::Path, sync::atomic::Ordering::SeqCst};

use super::{
    format::{FRAME, HEADER, Header, Id, Marker, encode_frame},
    tests::{Counts, append, counted, crash, eventually, logged, open, options, read, record, segments, spool},
    *,
};

const BOTH: [Keep; 2] = [Keep::UntilOld, Keep::UntilAcknowledged];

fn fill(journal: &Journal, count: usize) {
    let futures: Vec<_> = (0..count).map(|n| journal.append(record(format!("record {n:04}")))).collect();
    for future in futures {
        tests::wait(future).unwrap();
    }
}

fn acknowledge_all(journal: &Journal) {
    held(journal).iter().for_each(|sequence| journal.acknowledge(*sequence));
    stored(journal);
}

fn held(journal: &Journal) -> Vec<u64> {
    read(journal.reader(Start::Oldest)).into_iter().map(|record| record.0).collect()
}

/// Two beats from now on, everything until now is stored.
fn stored(journal: &Journal) {
    for _ in 0..2 {
        let beat = journal.stats().beat;
        eventually("a beat", || journal.stats().beat > beat + Duration::from_millis(20));
    }
}

/// What a start counts as lost, and the journal.
fn start(options: &Options) -> (u64, Journal, Arc<Counts>) {
    let (journal, counts) = counted(options);
    let lost = counts.lost.load(SeqCst);
    assert_eq!(journal.stats().lost_records, lost);
    (lost, journal, counts)
}

/// What `spoil` does to a journal of 100 records after its orderly end is said once, to the record.
fn is_noticed(keep: Keep, spoil: impl Fn(&Path)) -> (u64, u64) {
    let outer = tempfile::tempdir().unwrap();
    let options = Options { keep, segment_size: 600, ..options(outer.path()) };
    let journal = open(&options);
    fill(&journal, 100);
    journal.close();
    spoil(outer.path());
    let mut lost = 0;
    let log = logged(|| lost = start(&options).0);
    assert!(lost > 0 && log.contains("ERROR") && log.contains(&format!("records={lost}")), "{lost} {log}");
    let (again, journal, _) = start(&options);
    assert_eq!(again, 0, "each loss is counted once");
    let held = held(&journal);
    assert_eq!(held.len() as u64 + lost, 100, "all others are there");
    assert_eq!(journal.stats().records, held.len() as u64);
    assert!(append(&journal, "new").unwrap() > 100);
    held.iter().for_each(|sequence| journal.acknowledge(*sequence));
    let first = (1..=100).find(|sequence| !held.contains(sequence)).unwrap();
    let line = format!("first={first} last={} records={lost}", first + lost - 1);
    assert!(log.contains(&line), "{line} {log}");
    (first, lost)
}

#[test]
fn a_segment_that_was_deleted_is_counted_to_the_record() {
    for keep in BOTH {
        let mut firsts = Vec::new();
        for place in [0, 4, usize::MAX] {
            let (first, lost) = is_noticed(keep, |directory| {
                let paths = segments(directory);
                fs::remove_file(&paths[place.min(paths.len() - 1)]).unwrap();
            });
            assert!((1..12).contains(&lost), "{lost}");
            firsts.push(first);
        }
        assert!(firsts[0] == 1 && firsts[1] > 20 && firsts[2] > 90, "{firsts:?}");
        assert_eq!(is_noticed_all(keep), 100);
    }
}

/// All segments are gone.
fn is_noticed_all(keep: Keep) -> u64 {
    let (first, lost) =
        is_noticed(keep, |directory| segments(directory).iter().for_each(|path| fs::remove_file(path).unwrap()));
    assert_eq!(first, 1);
    lost
}

#[test]
fn a_segment_that_was_emptied_or_cut_or_damaged_is_counted_to_the_record() {
    for keep in BOTH {
        for place in [0, 4, 8] {
            let path = |directory: &Path| segments(directory)[place].clone();
            let emptied = is_noticed(keep, |directory| fs::write(path(directory), "").unwrap());
            let zeroed = is_noticed(keep, |directory| fs::write(path(directory), vec![0; 2000]).unwrap());
            assert_eq!(emptied, zeroed);
            let (first, lost) = is_noticed(keep, |directory| {
                let bytes = fs::read(path(directory)).unwrap();
                fs::write(path(directory), &bytes[..bytes.len() / 2]).unwrap();
            });
            assert!(lost < emptied.1 && first + lost == emptied.0 + emptied.1, "the second half");
            let (first, lost) = is_noticed(keep, |directory| {
                let mut bytes = fs::read(path(directory)).unwrap();
                bytes[HEADER + 2 * (FRAME + 15) + 20] ^= 1;
                fs::write(path(directory), bytes).unwrap();
            });
            assert_eq!((first, lost), (emptied.0 + 2, 1));
        }
    }
}

#[test]
fn segments_of_an_older_copy_are_noticed() {
    for keep in BOTH {
        let outer = tempfile::tempdir().unwrap();
        let (live, old) = (outer.path().join("live"), outer.path().join("old"));
        let options = Options { keep, ..options(&live) };
        let journal = open(&options);
        fill(&journal, 50);
        journal.close();
        crash(&live, &old);
        let journal = open(&options);
        fill(&journal, 70);
        journal.acknowledge(60);
        journal.close();
        segments(&live).iter().for_each(|path| fs::remove_file(path).unwrap());
        for path in segments(&old) {
            fs::copy(&path, live.join(path.file_name().unwrap())).unwrap();
        }
        let (lost, journal, _) = start(&options);
        assert_eq!(lost, 70 - u64::from(keep == Keep::UntilAcknowledged));
        assert_eq!(held(&journal), (1..=50).collect::<Vec<_>>());
        assert_eq!(append(&journal, "new"), Ok(121), "no sequence is given twice");
    }
}

#[test]
fn what_a_crash_or_a_failed_disk_leaves_is_no_loss() {
    for keep in BOTH {
        let outer = tempfile::tempdir().unwrap();
        let mut directory = outer.path().join("0");
        let mut written = Vec::new();
        for life in 1..12 {
            let limits = Options { keep, segment_size: 600, ..options(&directory) };
            let (lost, journal, counts) = start(&limits);
            assert_eq!((lost, held(&journal)), (0, written.clone()), "life {life}");
            for n in 0..8 {
                journal.open.0.watchdog.faults.syncs.store(if n == life { 2 } else { u32::from(n == 1) }, SeqCst);
                match append(&journal, format!("{n}")) {
                    Ok(sequence) => written.push(sequence),
                    Err(_) => eventually("up", || journal.stats().up),
                }
            }
            if life % 3 == 0 {
                stored(&journal);
            }
            assert_eq!(counts.lost.load(SeqCst), 0);
            directory = outer.path().join(life.to_string());
            crash(&journal.open.0.directory, &directory);
            // A torn batch: its second record is whole, the first is not, and neither was answered.
            let id = segment::list(&directory).unwrap().pop().unwrap();
            let mut torn = Vec::new();
            let next = *journal.durable().borrow() + 1;
            encode_frame(&mut torn, id.marker, next, 7, &record("torn"));
            torn[20] ^= 1;
            if life % 2 == 0 {
                encode_frame(&mut torn, id.marker, next + 1, 7, &record("whole"));
                written.push(next + 1);
            }
            let bytes = fs::read(id.path(&directory)).unwrap();
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            fs::write(id.path(&directory), [&bytes[..end], &torn].concat()).unwrap();
        }
    }
}

#[test]
fn what_retention_dropped_is_no_loss() {
    let outer = tempfile::tempdir().unwrap();
    let limited = |directory: &Path| Options { max_size: 10_000, ..options(directory) };
    let journal = open(&limited(&outer.path().join("live")));
    for life in 0..30 {
        fill(&journal, 20);
        let copy = outer.path().join(life.to_string());
        crash(&outer.path().join("live"), &copy);
        let (lost, copied, _) = start(&limited(&copy));
        assert_eq!(lost, 0, "life {life}");
        assert_eq!(held(&copied).last(), Some(&(20 * (life + 1))));
    }
    assert!(held(&journal)[0] > 100);
    journal.close();
    assert_eq!(start(&limited(&outer.path().join("live"))).0, 0);
}

#[test]
fn after_a_kill_only_what_was_not_acknowledged_comes_again() {
    let outer = tempfile::tempdir().unwrap();
    let (live, dead) = (outer.path().join("live"), outer.path().join("dead"));
    let limits = |directory: &Path| Options { segment_size: 1 << 20, max_size: 1 << 26, ..spool(directory) };
    let journal = open(&limits(&live));
    for _ in 0..33 {
        fill(&journal, 1000);
    }
    append(&journal, "the last").unwrap();
    // One refused record in front, and each tenth of some.
    let refused = |sequence: u64| sequence == 1 || (20_000..20_300).contains(&sequence) && sequence.is_multiple_of(10);
    (1..=33_001).filter(|sequence| !refused(*sequence)).for_each(|sequence| journal.acknowledge(sequence));
    let left: Vec<u64> = (1..=33_001).filter(|sequence| refused(*sequence)).collect();
    stored(&journal);
    crash(&live, &dead);
    let (lost, journal, _) = start(&limits(&dead));
    assert_eq!((lost, held(&journal)), (0, left));
}

#[test]
fn when_more_ranges_are_acknowledged_than_fit_the_largest_are_kept() {
    let outer = tempfile::tempdir().unwrap();
    let options = Options { segment_size: 1 << 16, ..spool(outer.path()) };
    let journal = open(&options);
    fill(&journal, 900);
    // Every second one up to 600, then two of three: as many ranges of two as fit come first.
    let acknowledged = |n: u64| if n <= 600 { n.is_multiple_of(2) } else { !n.is_multiple_of(3) };
    (1..=900).filter(|n| acknowledged(*n)).for_each(|n| journal.acknowledge(n));
    journal.close();
    let again = held(&open(&options));
    // 600 and the two behind it are one of three.
    assert_eq!(again.len(), 900 - 2 * checkpoint::MOST_RANGES - 1);
    assert!((1..600).all(|n| again.contains(&n)));
}

#[test]
fn one_held_record_costs_one_segment_and_the_rest_goes_on() {
    let outer = tempfile::tempdir().unwrap();
    let (live, dead) = (outer.path().join("live"), outer.path().join("dead"));
    let limited = Options { max_size: 10_000, ..spool(&live) };
    let (journal, counts) = counted(&limited);
    fill(&journal, 10);
    let refused = 5;
    (1..=10).filter(|n| *n != refused).for_each(|n| journal.acknowledge(n));
    let mut reader = journal.reader(Start::Oldest);
    for next in 11..2011 {
        let mut answer = append(&journal, format!("record {next}"));
        eventually("room", || {
            if answer == Err(AppendError::Full) {
                answer = append(&journal, format!("record {next}"));
            }
            answer.is_ok()
        });
        assert_eq!(answer, Ok(next), "nothing is refused for long");
        if next == 11 {
            assert_eq!(reader.next().unwrap().unwrap().sequence, refused);
        }
        assert_eq!(reader.next().unwrap().unwrap().sequence, next, "a reader passes over the holes");
        journal.acknowledge(next);
    }
    assert_eq!((journal.low_water(), counts.lost.load(SeqCst)), (refused - 1, 0));
    assert!(segments(&live).len() < 5);
    // Also for those who come later, by an orderly stop or after a crash.
    stored(&journal);
    crash(&live, &dead);
    for directory in [&dead, &live] {
        journal.close();
        let (lost, journal, _) = start(&Options { directory: directory.clone(), ..limited.clone() });
        assert_eq!((lost, held(&journal)), (0, vec![refused]));
        let outside = read(Reader::open(directory, Start::Oldest).unwrap());
        assert_eq!(outside[0].0, 1, "the whole segment stays");
    }
}

#[test]
fn no_segment_goes_in_the_middle_before_that_is_stored() {
    let outer = tempfile::tempdir().unwrap();
    let mut store = recovery::open(spool(outer.path()), Arc::new(())).unwrap();
    while segments(outer.path()).len() < 5 {
        if store.room() < 100 {
            store.roll(100).unwrap();
        }
        store.commit(&[record("some text")]).unwrap();
    }
    store.tick(true);
    let ids = segment::list(outer.path()).unwrap();
    store.checkpoint.refuse(outer.path());
    let log = logged(|| {
        store.shared.ledger().remove(ids[2].first, ids[3].first - 1);
        store.tick(true);
    });
    assert_eq!(segment::list(outer.path()).unwrap(), ids, "a hole that is not stored would be a loss");
    assert!(log.contains("what is acknowledged is not stored"), "{log}");
    store.shared.ledger().remove(1, ids[1].first - 1);
    store.tick(true);
    assert_eq!(segment::list(outer.path()).unwrap(), ids[1..], "but a full journal helps no record");
}

#[test]
fn without_the_stored_ranges_records_come_again_and_no_loss_is_invented() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&spool(outer.path()));
    fill(&journal, 200);
    (10..=150).for_each(|sequence| journal.acknowledge(sequence));
    let count = segments(outer.path()).len();
    eventually("a hole", || segments(outer.path()).len() < count);
    journal.close();
    fs::remove_file(outer.path().join(checkpoint::NAME)).unwrap();
    let mut found = Vec::new();
    let log = logged(|| {
        let (lost, journal, _) = start(&spool(outer.path()));
        assert_eq!(lost, 0);
        found = held(&journal);
    });
    assert!(log.contains("the acknowledged ranges are lost") && !log.contains("ERROR"), "{log}");
    assert!((1..10).chain(151..=200).all(|sequence| found.contains(&sequence)));
    assert_eq!(start(&spool(outer.path())).0, 0);
}

#[test]
fn segments_of_an_older_program_are_read_and_their_holes_are_no_loss() {
    let outer = tempfile::tempdir().unwrap();
    let write = |first: u64| {
        let id = Id { first, marker: Marker(*b"markmark") };
        let mut bytes = Header::encode(first, id.marker, 0).to_vec();
        bytes[32..40].fill(0);
        let sum = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&sum.to_le_bytes());
        encode_frame(&mut bytes, id.marker, first, 1, &record("old"));
        fs::write(id.path(outer.path()), bytes).unwrap();
    };
    for keep in BOTH {
        fs::remove_dir_all(outer.path()).unwrap();
        fs::create_dir(outer.path()).unwrap();
        let options = Options { keep, ..options(outer.path()) };
        write(4);
        write(9);
        let mut log = String::new();
        log += &logged(|| {
            let (lost, journal, _) = start(&options);
            assert_eq!((lost, held(&journal)), (0, vec![4, 9]));
        });
        assert_eq!(log, "", "an upgrade says nothing");
        // An older program went on, dropped what was there, and stored no range.
        segments(outer.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
        write(30);
        assert_eq!(start(&options).0, 0);
        // From now on holes count.
        segments(outer.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
        assert_eq!(start(&options).0, 1);
    }
}

#[test]
fn a_file_system_that_does_not_know_what_is_free_is_not_full() {
    let outer = tempfile::tempdir().unwrap();
    let journal = open(&Options { reserve: u64::MAX / 2, ..options(outer.path()) });
    assert!(!journal.stats().up);
    journal.open.0.watchdog.faults.no_blocks.store(true, SeqCst);
    eventually("up", || journal.stats().up);
    assert_eq!(journal.stats().free_bytes, None);
    fill(&journal, 500);
    assert!(segments(outer.path()).len() > 3);
}

#[test]
fn a_record_that_a_reader_finds_lost_is_counted_once() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, counts) = counted(&spool(outer.path()));
    fill(&journal, 200);
    let ids = segment::list(outer.path()).unwrap();
    fs::remove_file(ids[1].path(outer.path())).unwrap();
    let lost = ids[2].first - ids[1].first;
    let log = logged(|| assert_eq!(held(&journal).len() as u64, 200 - lost));
    assert!(log.contains(&format!("first={} last={} records={lost}", ids[1].first, ids[2].first - 1)), "{log}");
    assert_eq!((counts.lost.load(SeqCst), journal.stats().lost_records), (lost, lost));
    held(&journal);
    journal.close();
    assert_eq!(counts.lost.load(SeqCst), lost);
    assert_eq!(start(&spool(outer.path())).0, 0);
}

/// A disk that fails between the making of a segment and its sync may not let it be removed either.
#[test]
fn an_empty_twin_of_a_segment_costs_it_nothing() {
    for marker in [[1; 8], [0xff; 8]] {
        let outer = tempfile::tempdir().unwrap();
        let journal = open(&spool(outer.path()));
        fill(&journal, 20);
        drop(journal);
        let first = segment::list(outer.path()).unwrap()[0].first;
        let twin = Id { first, marker: Marker(marker) };
        fs::write(twin.path(outer.path()), Header::encode(first, twin.marker, first - 1)).unwrap();
        let (lost, journal, _) = start(&spool(outer.path()));
        assert_eq!((lost, held(&journal).len()), (0, 20), "{marker:?}");
        assert!(!twin.path(outer.path()).exists());
    }
}

/// 300 records in one segment of a spool, after its orderly end.
fn one_segment(directory: &Path) -> Options {
    let options = Options { segment_size: 1 << 16, ..spool(directory) };
    let journal = open(&options);
    fill(&journal, 300);
    journal.close();
    options
}

#[test]
fn what_a_disk_refuses_at_one_start_is_drained_after_the_next() {
    let (page, all) = ((9000, 12288), (0, u64::MAX));
    for refused in [page, all, (12288, u64::MAX)] {
        let outer = tempfile::tempdir().unwrap();
        let options = one_segment(outer.path());
        let kept = segments(outer.path())[0].clone();
        super::scan::REFUSED.set(refused);
        let (mut lost, mut counted) = (0, Vec::new());
        let log = logged(|| {
            let (records, journal, _) = start(&options);
            super::scan::REFUSED.set((0, 0));
            lost = records;
            counted.push(journal.stats().records);
            let last = append(&journal, "new").unwrap();
            (1..=last).filter(|n| journal.open.0.ledger().contains(*n)).for_each(|n| counted.push(n));
            counted[1..].iter().for_each(|n| journal.acknowledge(*n));
            stored(&journal);
            assert!(kept.exists(), "{refused:?}");
            journal.close();
        });
        assert_eq!(lost, 0, "they may come back");
        assert!(log.contains("refuses blocks") && log.contains("come back"), "{log}");
        let (lost, journal, _) = start(&options);
        let held = held(&journal);
        assert_eq!((lost, held.len() as u64), (0, 300 - counted[0]), "{refused:?}");
        assert!(held.iter().all(|n| !counted[1..].contains(n)), "what is acknowledged stays so");
        acknowledge_all(&journal);
        eventually("it goes", || !kept.exists());
    }
}

#[test]
fn a_block_that_stays_refused_is_kept_while_the_acknowledgements_are_not_stored() {
    let outer = tempfile::tempdir().unwrap();
    let options = one_segment(outer.path());
    let kept = segments(outer.path())[0].clone();
    super::scan::REFUSED.set((0, u64::MAX));
    let mut store = recovery::open(options, Arc::new(())).unwrap();
    super::scan::REFUSED.set((0, 0));
    store.checkpoint.refuse(outer.path());
    store.tick(true);
    assert!(kept.exists());
}

#[test]
fn a_last_segment_that_does_not_open_seals_no_record_after_it() {
    let outer = tempfile::tempdir().unwrap();
    let options = spool(outer.path());
    let journal = open(&options);
    fill(&journal, 10);
    journal.close();
    super::segment::UNOPENABLE.set(1);
    let journal = open(&options);
    super::segment::UNOPENABLE.set(0);
    fill(&journal, 300);
    let before = segments(outer.path()).len();
    assert!(before > 3);
    (1..=20_000).filter(|n| journal.open.0.ledger().contains(*n)).for_each(|n| journal.acknowledge(n));
    eventually("they go", || segments(outer.path()).len() <= 2);
    journal.close();
    assert_eq!(held(&open(&options)), (1..=10).collect::<Vec<_>>(), "they come back");
}
