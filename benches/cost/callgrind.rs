//! Instructions in user space: the release binary with one worker, run by valgrind, which counts each of them.
//!
//! A machine that is busy changes nothing in them, so they compare from day to day; two runs differ by how many events a
//! group happens to have.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    process::Command,
};

/// What one process did between two looks.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    pub instructions: f64,
    /// Calls of the C library's allocator, those of C code included.
    pub allocations: f64,
    /// Atomic instructions.
    pub atomic: f64,
    /// Instructions of SHA-512, which are the signature's.
    pub hash: f64,
}

impl Work {
    /// Of one event, when there were so many.
    pub fn each(self, events: f64) -> Self {
        let Work { instructions, allocations, atomic, hash } = self;
        let [instructions, allocations, atomic, hash] =
            [instructions, allocations, atomic, hash].map(|all| all / events);
        Work { instructions, allocations, atomic, hash }
    }
}

const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];
/// The dumps' name; valgrind puts the process id and the dump's number behind it.
const DUMP: &str = "callgrind.out";

/// The command line that runs another one with one worker, under valgrind.
pub fn words(words: &[&str]) -> Vec<String> {
    // valgrind runs one thread at a time; in turns, as cores would.
    let valgrind = [
        "valgrind",
        "--tool=callgrind",
        "--quiet",
        "--callgrind-out-file=callgrind.out.%p",
        "--fair-sched=yes",
        "--dump-instr=yes",
        "--compress-pos=no",
    ];
    let all = ["env", "HOOKBUS__LISTENER__WORKERS=1"].iter().chain(&valgrind).chain(words);
    all.map(|word| (*word).to_owned()).collect()
}

/// Counts what the process does from here to [`taken`].
pub fn begin(pid: u32) {
    control(pid, "--zero");
}

/// What it did since. `folder`: where the process runs.
pub fn taken(pid: u32, folder: &Path) -> Work {
    control(pid, "--dump");
    let dumps = fs::read_dir(folder).expect("a folder").filter_map(|entry| Some(entry.ok()?.path()));
    let is_dump = |path: &std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{DUMP}.{pid}.")))
    };
    let path = dumps.filter(is_dump).max().expect("a dump");
    let text = fs::read_to_string(&path).expect("a dump");
    fs::remove_file(path).expect("a dump");
    read(&text)
}

fn control(pid: u32, order: &str) {
    let output = Command::new("callgrind_control").args([order, &pid.to_string()]).output();
    let output = output.expect("valgrind is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A dump names each function and each program file once, `fn=(12) name`, and by its number from then on; `calls=` follows `cfn=`.
/// Any other line is an instruction: its place in the file, its source line, and how often it ran.
fn read(text: &str) -> Work {
    let mut work = Work { instructions: 0.0, allocations: 0.0, atomic: 0.0, hash: 0.0 };
    let (mut numbers, mut is_allocator) = (Vec::new(), false);
    let (mut hashes, mut is_hash) = (Vec::new(), false);
    let (mut files, mut file) = (HashMap::new(), "");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(total) = line.strip_prefix("totals: ") {
            work.instructions = total.parse().expect("a number");
        } else if let Some(calls) = line.strip_prefix("calls=") {
            if is_allocator {
                work.allocations +=
                    calls.split(' ').next().and_then(|calls| calls.parse::<f64>().ok()).expect("a number");
            }
            // What was called has run elsewhere.
            lines.next();
        } else if let Some((key @ ("fn" | "cfn"), function)) = line.split_once('=') {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            if ALLOCATORS.contains(&name) {
                numbers.push(number);
            }
            if name.contains("sha512") {
                hashes.push(number);
            }
            match key {
                "cfn" => is_allocator = numbers.contains(&number),
                _ => is_hash = hashes.contains(&number),
            }
        } else if let Some((key @ ("ob" | "cob"), object)) = line.split_once('=') {
            let (number, name) = object.split_once(' ').unwrap_or((object, ""));
            if !name.is_empty() {
                files.insert(number, atomic(name));
            }
            if key == "ob" {
                file = number;
            }
        } else if let Some((place, count)) = line.strip_prefix("0x").and_then(|line| line.split_once(' ')) {
            let count = count.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()).expect("a number");
            if files.get(file).is_some_and(|atomic| atomic.contains(place)) {
                work.atomic += count;
            }
            if is_hash {
                work.hash += count;
            }
        }
    }
    work
}

/// The places, in hexadecimal, of a program file's atomic instructions (x86-64: `lock`, or `xchg` with memory), during which no
/// other core can touch the memory: the steps of every mutex, of every counter that threads share, and of every reference
/// count.
fn atomic(file: &str) -> HashSet<String> {
    let output = Command::new("objdump").args(["--disassemble", "--no-show-raw-insn", file]).output().expect("objdump");
    let text = String::from_utf8_lossy(&output.stdout);
    let is_atomic = |code: &str| code.starts_with("lock ") || (code.starts_with("xchg ") && code.contains('('));
    let instructions = text.lines().filter_map(|line| line.split_once(":\t"));
    instructions.filter(|(_, code)| is_atomic(code)).map(|(place, _)| place.trim().to_owned()).collect()
}
