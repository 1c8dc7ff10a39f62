//! How long a start takes, and how much memory, over a large spool. Not run by itself, because it writes 10 GiB:
//! `cargo test --release -p journal figures -- --ignored --nocapture`.

use std::{fs, time::Instant};

use super::{
    tests::{open, record, spool, wait},
    *,
};

const GIB: u64 = 1 << 30;
const BODY: usize = 2048;

/// The most memory of this process since the last call, in bytes, and forgets it.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    fs::write("/proc/self/clear_refs", "5").unwrap();
    kibibytes * 1024
}

#[test]
#[ignore = "writes 10 GiB"]
fn a_start_over_ten_gibibytes_takes_seconds_and_little_memory() {
    let outer = tempfile::tempdir().unwrap();
    let options = Options { segment_size: 64 << 20, max_size: 11 * GIB, queue: 20_000, ..spool(outer.path()) };
    let journal = open(&options);
    let mut count = 0;
    while journal.stats().bytes < 10 * GIB {
        let futures: Vec<_> = (0..5000).map(|_| journal.append(record(vec![7; BODY]))).collect();
        count += futures.len() as u64;
        futures.into_iter().for_each(|future| assert!(wait(future).is_ok()));
    }
    // What one refused key leaves of fifty.
    (1..=count).filter(|sequence| !sequence.is_multiple_of(50)).for_each(|sequence| journal.acknowledge(sequence));
    journal.close();
    peak();
    let started = Instant::now();
    let journal = open(&options);
    let (took, memory) = (started.elapsed(), peak());
    let (held, bytes) = (journal.stats().records, journal.stats().bytes);
    println!("{bytes} bytes, {count} records, {held} held: {took:.1?}, {} MB", memory / 1_000_000);
    assert!(held < count && memory < 300_000_000 && took < Duration::from_secs(30), "{took:?} {memory}");
}
