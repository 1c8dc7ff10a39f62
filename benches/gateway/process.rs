//! Processes: started so that none outlives the bench, and what the kernel says of their CPU time and memory.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Prints the process id of the command, and kills it when standard input closes, which it does however the bench ends.
const KEEPER: &str = r#""$@" > /dev/null & pid=$!; echo $pid; cat > /dev/null; kill -9 $pid 2> /dev/null; wait"#;

/// A running command; killed when dropped.
#[derive(Debug)]
pub struct Kept {
    keeper: Child,
    pub pid: u32,
}

impl Kept {
    pub fn start(words: &[&str], directory: &Path, stderr: Stdio) -> Self {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .args(words)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("a shell");
        let mut pid = String::new();
        BufReader::new(keeper.stdout.take().expect("a pipe")).read_line(&mut pid).expect("a process id");
        Kept { keeper, pid: pid.trim().parse().expect("a process id") }
    }

    /// Its standard error, if it was started with a pipe.
    pub fn stderr(&mut self) -> impl std::io::Read + Send + 'static {
        self.keeper.stderr.take().expect("a pipe")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().expect("the keeper ends");
    }
}

/// User and system time of all threads so far, seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    let nanoseconds = |thread: std::io::Result<fs::DirEntry>| {
        // A thread may end between the listing and the reading.
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    fs::read_dir(format!("/proc/{pid}/task")).expect("a process").filter_map(nanoseconds).sum::<f64>() / 1e9
}

/// Most memory since the last [`forget_peak`], bytes.
pub fn peak_rss(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

/// Memory as a line of the kernel's has it, bytes.
pub fn memory(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// Lets [`peak_rss`] begin anew.
pub fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("a process of ours");
}
