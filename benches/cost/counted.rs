//! Allocations: this program run as hookbus itself, linked with an allocator that counts. In goes its command line,
//! out come the counts of the whole process, to whoever connects to a socket in the folder where it runs.
//!
//! It counts what Rust allocates, in all threads. librdkafka allocates by itself: callgrind sees that, too.

use std::{
    alloc::System,
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    process::ExitCode,
    thread,
};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The socket's name.
const SOCKET: &str = "counts";

/// What a process has asked of its allocator so far.
#[derive(Debug, Clone, Copy)]
pub struct Allocated {
    /// Calls: an allocation that grows is another one.
    pub times: f64,
    pub bytes: f64,
}

/// `hookbus` with the words of this program's command line, counted.
pub fn hookbus() -> ExitCode {
    let listener = UnixListener::bind(SOCKET).expect("a socket");
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let now = ALLOCATOR.stats();
            // Of an allocation that grows, `bytes_allocated` has what it grew by.
            let counts = [now.allocations + now.reallocations, now.bytes_allocated];
            write!(stream, "{} {}", counts[0], counts[1]).expect("a bench that listens");
        }
    });
    hookbus::cli::main()
}

impl Allocated {
    /// By a counted process.
    pub fn by(pid: u32) -> Self {
        let mut text = String::new();
        let mut stream = UnixStream::connect(format!("/proc/{pid}/cwd/{SOCKET}")).expect("a counted process");
        stream.read_to_string(&mut text).expect("its counts");
        let (times, bytes) = text.split_once(' ').expect("two numbers");
        Allocated { times: times.parse().expect("a number"), bytes: bytes.parse().expect("a number") }
    }
}
