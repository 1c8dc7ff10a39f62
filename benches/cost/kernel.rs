//! What the kernel counts for a process: context switches, bytes on its sockets, and, while perf watches, its system calls
//! by name and the wake-ups of one of its threads by another.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::fs::OFlags;

/// System calls with a row of their own if they are made at all; the others are counted together.
const NAMES: [&str; 28] = [
    "accept4",
    "brk",
    "clock_nanosleep",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "fallocate",
    "fdatasync",
    "fsync",
    "futex",
    "madvise",
    "mmap",
    "munmap",
    "poll",
    "ppoll",
    "pread64",
    "pwrite64",
    "pwritev",
    "read",
    "readv",
    "recvfrom",
    "recvmsg",
    "sched_yield",
    "sendmsg",
    "sendto",
    "write",
    "writev",
];
const ALL: &str = "raw_syscalls:sys_enter";
/// A thread that sleeps is woken: counted where the waker runs.
const WAKING: &str = "sched:sched_waking";
/// How often perf is started before that is given up.
const ATTEMPTS: usize = 5;

/// How often the threads of a process gave up their core, or had it taken, so far.
pub fn context_switches(pid: u32) -> f64 {
    let of = |thread: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).unwrap_or_default();
        let lines = status.lines().filter(|line| line.contains("ctxt_switches:"));
        lines.filter_map(|line| line.rsplit('\t').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    threads(pid).into_iter().map(of).sum()
}

fn threads(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Bytes that a process has sent and received over TCP, on connections that are still open.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wire {
    /// With its clients.
    pub front: f64,
    /// With its broker.
    pub back: f64,
}

impl Wire {
    pub fn of(pid: u32, front_port: u16) -> Self {
        let output = Command::new("ss").args(["-tinpHO"]).output().expect("ss is installed (iproute2)");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut wire = Wire::default();
        for line in text.lines().filter(|line| line.contains(&format!("pid={pid},"))) {
            let number = |key: &str| line.split_once(key)?.1.split(' ').next()?.parse::<f64>().ok();
            let bytes: f64 = ["bytes_sent:", "bytes_received:"].into_iter().filter_map(number).sum();
            let own = line.split_whitespace().nth(3).expect("an address");
            let is_front = own.ends_with(&format!(":{front_port}"));
            *(if is_front { &mut wire.front } else { &mut wire.back }) += bytes;
        }
        wire
    }
}

/// What perf saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// By name, the most frequent first; "others" last.
    pub calls: Vec<(String, f64)>,
    pub all_calls: f64,
    pub wakes: f64,
}

impl Seen {
    /// Of each of so many events.
    pub fn each(self, events: f64) -> Self {
        let calls = self.calls.into_iter().map(|(name, count)| (name, count / events)).collect();
        Seen { calls, all_calls: self.all_calls / events, wakes: self.wakes / events }
    }
}

/// perf, attached to a process.
pub struct Perf {
    process: Child,
    orders: File,
    answers: File,
}

impl Perf {
    /// Attaches without counting yet. A thread that ends meanwhile ends perf too: it is tried again.
    pub fn attach(pid: u32, folder: &Path) -> Self {
        let attached = (0..ATTEMPTS).find_map(|_| {
            let mut perf = Perf::start(pid, folder);
            perf.order("ping\n").then_some(perf)
        });
        attached.expect("perf attaches to a process")
    }

    fn start(pid: u32, folder: &Path) -> Self {
        let (orders, answers) = (folder.join("perf-orders"), folder.join("perf-answers"));
        for fifo in [&orders, &answers] {
            // What another perf has left unread is no answer of this one.
            let _none = fs::remove_file(fifo);
            let made = Command::new("mkfifo").arg(fifo).status().expect("mkfifo");
            assert!(made.success(), "no {}", fifo.display());
        }
        let targets: Vec<_> = threads(pid).iter().map(|thread| format!("pid == {thread}")).collect();
        let control = format!("--control=fifo:{},{}", orders.display(), answers.display());
        let mut perf = Command::new("perf");
        perf.args(["stat", "-x", ";", "--delay=-1", "-p", &pid.to_string(), &control, "-e", ALL]);
        perf.args(known().iter().flat_map(|name| ["-e".to_owned(), format!("syscalls:sys_enter_{name}")]));
        perf.stdout(Stdio::null());
        perf.args(["-e", WAKING, "--filter", &targets.join(" || ")]);
        let process = perf.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("perf is installed (linux-perf)");
        // Both ends at once: neither program waits for the other to open its own.
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let open = |fifo| options.open(fifo).expect("a fifo");
        Perf { process, orders: open(orders), answers: open(answers) }
    }

    /// Counts from now on.
    pub fn enable(&mut self) {
        assert!(self.order("enable\n"), "perf has ended");
    }

    /// Whether perf has done it; not if it has ended.
    fn order(&mut self, order: &str) -> bool {
        self.orders.write_all(order.as_bytes()).expect("a fifo");
        // "ack\n" and a zero.
        let mut answer = Vec::new();
        while answer.len() < 5 {
            let mut bytes = [0; 5];
            match self.answers.read(&mut bytes) {
                Ok(length) => answer.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.process.try_wait().expect("a child of ours").is_some() {
                        return false;
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("perf's answers: {error}"),
            }
        }
        true
    }

    /// Counts no more, and detaches.
    pub fn finish(mut self) -> Seen {
        assert!(self.order("disable\n"), "perf has ended");
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a child of ours");
        let output = self.process.wait_with_output().expect("perf's end");
        seen(&String::from_utf8_lossy(&output.stderr))
    }
}

/// Those of the names that this kind of processor has.
fn known() -> Vec<&'static str> {
    let output = Command::new("perf").args(["list", "--no-desc", "syscalls:sys_enter_*"]).output();
    let text = String::from_utf8_lossy(&output.expect("perf is installed (linux-perf)").stdout).into_owned();
    let there: Vec<_> = text.split_whitespace().filter_map(|word| word.strip_prefix("syscalls:sys_enter_")).collect();
    NAMES.into_iter().filter(|name| there.contains(name)).collect()
}

fn seen(text: &str) -> Seen {
    let mut seen = Seen::default();
    for line in text.lines() {
        let fields: Vec<_> = line.split(';').collect();
        let [count, _, event, ..] = fields[..] else { continue };
        let count: f64 = count.parse().unwrap_or_else(|_| panic!("perf says {line:?}"));
        match event.strip_prefix("syscalls:sys_enter_") {
            Some(name) => seen.calls.push((name.to_owned(), count)),
            None if event == ALL => seen.all_calls = count,
            None => seen.wakes = count,
        }
    }
    seen.calls.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let named: f64 = seen.calls.iter().map(|(_, count)| count).sum();
    seen.calls.push(("others".into(), seen.all_calls - named));
    seen
}
