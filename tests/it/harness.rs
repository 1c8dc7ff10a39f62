//! Starts the real binary on free ports in a folder of its own, and talks to it as a vendor, a subscriber and an operator
//! would. No sleeps: everything waits for what it needs, with a deadline.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hookbus::{secrets::Secret, vendor::Vendor, verify::sign};

/// Longest wait for anything that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(30);

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

    /// Starts the gateway as the child of another command, such as strace.
    pub fn start_under(self, wrapper: &[&str]) -> Gateway {
        let mut words = wrapper.to_vec();
        words.extend([HOOKBUS, "serve"]);
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A group of its own, so that a failing test ends wrappers and their children too.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error} (run `make tools`)", words[0]));
        let (log, lines) = mpsc::sync_channel(100_000);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        // What nobody looks at must not hold the gateway up.
        thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(log.try_send(line))));
        let mut gateway = Gateway {
            setup: self,
            child,
            pid: 0,
            lines: Mutex::new(lines),
            log: Vec::new(),
            address: ([127, 0, 0, 1], 0).into(),
            admin: ([127, 0, 0, 1], 0).into(),
        };
        let line = gateway.wait_for_log(|line| line["message"] == "serving");
        gateway.pid = line["pid"].as_u64().unwrap();
        gateway.address = line["address"].as_str().unwrap().parse().unwrap();
        gateway.admin = line["admin_address"].as_str().unwrap().parse().unwrap();
        gateway
    }
}

/// A running gateway; ended when dropped.
pub struct Gateway {
    pub setup: Setup,
    child: Child,
    pid: u64,
    // Behind a lock, so that threads of a test can share a gateway.
    lines: Mutex<mpsc::Receiver<String>>,
    log: Vec<serde_json::Value>,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

impl Gateway {
    /// The gateway's process id, also under a wrapper.
    pub fn pid(&self) -> u64 {
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
        let status = Command::new("kill").args([signal, &self.pid.to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the process' end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running");
            thread::sleep(Duration::from_millis(10));
        }
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

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let group = format!("-{}", self.child.id());
            let _gone = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
            let _status = self.child.wait();
        }
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

pub fn wait_until(what: &str, done: impl FnMut() -> bool) {
    wait_at_most(PATIENCE, what, done);
}

pub fn wait_at_most(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Ports for a broker, which must find them free again after it was killed: below the range of which the system gives to
/// connections, and none twice in one run.
pub fn free_ports<const N: usize>() -> [u16; N] {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap();
    [(); N].map(|()| {
        let port = std::iter::repeat_with(|| fastrand::u16(12_000..32_000))
            .find(|port| !given.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .unwrap();
        given.push(port);
        port
    })
}

pub fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// The headers that the vendor of a path sends with a body.
pub fn signature(path: &str, body: &[u8]) -> String {
    let vendor = if path == AUDIT { Vendor::Audit1 } else { Vendor::Policy1099 };
    let secret = Secret::from_text(SECRET.into()).unwrap();
    sign::headers(vendor, &secret, unix_now(), body)
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

/// A sample of `src/vendor/samples`.
pub fn sample(path: &str) -> Vec<u8> {
    fs::read(PathBuf::from("src/vendor").join(path)).unwrap()
}

/// One HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A raw connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        Self::try_open(address).unwrap()
    }

    pub fn try_open(address: SocketAddr) -> std::io::Result<Self> {
        TcpStream::connect(address).map(Self::over)
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream: BufReader::new(stream) }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Goes away with a reset, as a process that dies does.
    pub fn reset(self) {
        socket2::SockRef::from(self.stream.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Closes the sending side only.
    pub fn half_close(&self) {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Sends a head and a body and reads the answer.
    pub fn request(&mut self, head: &str, body: &[u8]) -> Answer {
        self.send([head.as_bytes(), body].concat());
        self.answer().expect("an answer")
    }

    pub fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        self.request(&post_head(path, body, &signature(path, body)), body)
    }

    /// The next answer; `None` when the connection is closed without one.
    pub fn answer(&mut self) -> Option<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        answer.body = String::from_utf8(body).unwrap();
        Some(answer)
    }

    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// Waits for the other side to close, at most `limit`; `true` when it did without sending anything.
    pub fn closed_within(&mut self, limit: Duration) -> bool {
        self.stream.get_ref().set_read_timeout(Some(limit)).unwrap();
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// The head of a POST. `more`: whole header lines.
pub fn post_head(path: &str, body: &[u8], more: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Length: {}\r\n{more}\r\n", body.len())
}
