//! Starts the real binary on free ports in a folder of its own, and asks it what a subscriber and an operator would.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    sync::{Mutex, mpsc},
    thread,
    time::Instant,
};

use crate::support::{
    client::{Answer, Connection},
    process::{self, Process},
    wait::{PATIENCE, wait_until},
};

/// The binary under test.
pub const HOOKBUS: &str = env!("CARGO_BIN_EXE_hookbus");

/// The secret of each vendor's source.
pub const SECRET: &str = "whsec_integration_tests";

/// The path of the 1099Policy source `acme`.
pub const POLICY: &str = "/webhooks/1099policy";
/// The path of the Audit1 source `payroll`.
pub const AUDIT: &str = "/webhooks/audit1";

/// A folder with a configuration and secrets.
pub struct Setup {
    pub dir: tempfile::TempDir,
}

impl Setup {
    /// `extra`: more TOML for `[listener]` and whole further sections.
    pub fn new(listener: &str, sections: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("secrets")).unwrap();
        fs::write(dir.path().join("secrets/1099policy"), SECRET).unwrap();
        fs::write(dir.path().join("secrets/audit1"), SECRET).unwrap();
        let journal = if sections.contains("[journal]") { "" } else { "[journal]\nreserve = \"1MiB\"\n" };
        let drain = if listener.contains("drain_delay") { "" } else { "drain_delay = \"0s\"\n" };
        let config = format!(
            r#"[listener]
address = "127.0.0.1:0"
{drain}{listener}
[admin]
address = "127.0.0.1:0"
[bus]
kind = "journal"
{journal}{sections}
[[sources]]
name = "acme"
vendor = "1099policy"
path = "{POLICY}"
tenant = "acme"
secret_files = ["secrets/1099policy"]
[[sources]]
name = "payroll"
vendor = "audit1"
path = "{AUDIT}"
secret_files = ["secrets/audit1"]
"#
        );
        fs::write(dir.path().join("hookbus.toml"), config).unwrap();
        Setup { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Puts other text for some in the configuration.
    pub fn edit(&self, old: &str, new: &str) {
        let file = self.path().join("hookbus.toml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(old), "{old} in\n{text}");
        fs::write(&file, text.replacen(old, new, 1)).unwrap();
    }

    /// Takes away what the brokers' setups say, so that there is a spool. `keys`: of `[journal]`.
    pub fn with_spool(self, keys: &str) -> Self {
        self.edit("spool = \"off\"\n", &format!("{keys}\n"));
        self
    }

    /// Runs a command of the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(HOOKBUS).args(arguments).current_dir(self.path()).output().unwrap()
    }

    pub fn start(self) -> Gateway {
        self.start_under(&[])
    }

    /// Starts the gateway on a disk whose `fdatasync` does as strace injects it, such as `error=EIO:when=2..6`.
    pub fn start_on_a_disk_with(self, fault: &str) -> Gateway {
        let injected = format!("inject=fdatasync:{fault}");
        self.start_under(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &injected])
    }

    /// Starts the gateway as the child of another command, such as strace.
    pub fn start_under(self, wrapper: &[&str]) -> Gateway {
        let mut words = wrapper.to_vec();
        words.extend([HOOKBUS, "serve"]);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(self.path());
        let mut process =
            Process::start_group(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
        let (log, lines) = mpsc::sync_channel(100_000);
        let stderr = BufReader::new(process.stderr());
        // What nobody looks at must not hold the gateway up.
        thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(log.try_send(line))));
        let mut gateway = Gateway {
            setup: self,
            process,
            pid: 0,
            lines: Mutex::new(lines),
            log: Vec::new(),
            address: ([127, 0, 0, 1], 0).into(),
            admin: ([127, 0, 0, 1], 0).into(),
        };
        let line = gateway.wait_for_log(|line| line["message"] == "serving");
        gateway.pid = line["pid"].as_u64().unwrap().try_into().unwrap();
        gateway.address = line["address"].as_str().unwrap().parse().unwrap();
        gateway.admin = line["admin_address"].as_str().unwrap().parse().unwrap();
        gateway
    }
}

/// A running gateway; ended when dropped.
pub struct Gateway {
    pub setup: Setup,
    process: Process,
    pid: u32,
    // Behind a lock, so that threads of a test can share a gateway.
    lines: Mutex<mpsc::Receiver<String>>,
    log: Vec<serde_json::Value>,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

impl Gateway {
    /// The gateway's process id, also under a wrapper.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for a log line.
    pub fn wait_for_log(&mut self, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        if let Some(line) = self.log.iter().find(|line| wanted(line)) {
            return line.clone();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Ok(text) =
                self.lines.get_mut().unwrap().recv_timeout(deadline.saturating_duration_since(Instant::now()))
            else {
                panic!("no such line in the log: {:#?}", self.log)
            };
            let line: serde_json::Value = serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
            self.log.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Everything logged so far.
    pub fn log_so_far(&mut self) -> String {
        self.log.extend(
            self.lines.get_mut().unwrap().try_iter().map(|line| serde_json::from_str(&line).unwrap_or(line.into())),
        );
        self.log.iter().map(|line| format!("{line}\n")).collect()
    }

    pub fn signal(&self, signal: &str) {
        process::signal(self.pid, signal);
    }

    /// Waits for the process' end.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// SIGTERM, a clean end, and the folder for another start.
    pub fn stop(mut self) -> Setup {
        self.signal("-TERM");
        assert_eq!(self.wait().code(), Some(0), "{}", self.log_so_far());
        self.into_setup()
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Setup {
        self.signal("-KILL");
        self.wait();
        self.into_setup()
    }

    /// The folder of a gateway that has ended.
    pub fn into_setup(mut self) -> Setup {
        let empty = Setup { dir: tempfile::tempdir().unwrap() };
        std::mem::replace(&mut self.setup, empty)
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// Posts one signed webhook on a connection of its own.
    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.connect().post(path, body)
    }

    pub fn get_admin(&self, path: &str) -> Answer {
        Connection::open(self.admin).request(&format!("GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n"), b"")
    }

    /// The value of one series, such as `http_connections` or `events_total{source="acme",...}`.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.get_admin("/metrics").body;
        let prefix = format!("hookbus_{series} ");
        let line = text.lines().find(|line| line.starts_with(&prefix));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until a series has a value.
    pub fn wait_for_metric(&self, series: &str, value: f64) {
        wait_until(&format!("{series} = {value}"), || self.metric(series) == value);
    }

    /// The first `count` events on the bus, as `tail --json` prints them.
    pub fn tail(&self, count: usize) -> Vec<String> {
        tail(self.setup.path(), &["--from-start", "--count", &count.to_string()])
    }
}

/// `hookbus tail --json` with more arguments, run to its end within [`PATIENCE`].
pub fn tail(directory: &Path, arguments: &[&str]) -> Vec<String> {
    let seconds = PATIENCE.as_secs().to_string();
    let output = Command::new("timeout")
        .args([&seconds, HOOKBUS, "tail", "--json"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(str::to_owned).collect()
}

/// Bytes of a process in memory.
pub fn resident(pid: u32) -> u64 {
    memory(pid, "VmRSS:")
}

/// The most that it ever was.
pub fn peak_rss(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    1024 * line.trim_end_matches("kB").trim().parse::<u64>().unwrap()
}

/// Ports for a broker, which must find them free again after it was killed: below the range of which the system gives to
/// connections, and no two alike on this machine, whatever runs these tests beside us: a port is taken for as long as its
/// number is bound for UDP, which this process keeps to its end. Nothing listens here to find out: a child that another thread
/// starts at that moment would keep the port for a while.
pub fn free_ports<const N: usize>() -> [u16; N] {
    [(); N].map(|()| free_port(Ipv4Addr::LOCALHOST))
}

/// One such port of another address of this machine.
pub fn free_port(ip: Ipv4Addr) -> u16 {
    static TAKEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    std::iter::repeat_with(|| fastrand::u16(12_000..32_000))
        .find(|&port| {
            let taken = UdpSocket::bind((ip, port));
            let free = taken.is_ok() && TcpStream::connect((ip, port)).is_err();
            TAKEN.lock().unwrap().extend(taken.ok().filter(|_| free));
            free
        })
        .unwrap()
}

/// A sample of `src/vendors/<vendor>/samples`.
pub fn sample(path: &str) -> Vec<u8> {
    fs::read(PathBuf::from("src/vendors").join(path)).unwrap()
}
