//! The stand-in of both vendors' APIs, `tests/vendors`, as a process.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    process::{Process, log_file},
    wait::wait_until,
};

/// What no output may show beside the secrets that are made.
pub const KEY: &str = "sk_canary_of_the_api_key";
pub const CLIENT: &str = "cli_canary_of_the_client";

/// A running stand-in; killed when dropped.
pub struct Vendors {
    _process: Process,
    folder: tempfile::TempDir,
    port: u16,
    scheme: &'static str,
}

impl Vendors {
    pub fn start() -> Self {
        Vendors::start_with("http", &[])
    }

    /// One that comes up where nothing was before.
    pub fn start_at(port: u16) -> Self {
        Vendors::start_with("http", &["--port", &port.to_string()])
    }

    /// Speaks TLS with a certificate for `api.example.test`, which is its own authority: see [`Vendors::authority`].
    pub fn start_tls() -> Self {
        Vendors::start_with("https", &["--cert", "cert.pem", "--key", "key.pem"])
    }

    /// Tries a webhook again for seconds, and not for milliseconds: a gateway may be away for a moment.
    pub fn start_patient() -> Self {
        Vendors::start_with("http", &["--scale", "0.02"])
    }

    fn start_with(scheme: &'static str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if scheme == "https" {
            let words = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=api.example.test \
                         -addext subjectAltName=DNS:api.example.test -addext basicConstraints=critical,CA:FALSE";
            let made =
                Command::new("openssl").args(words.split_whitespace()).current_dir(folder.path()).output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendors/stand_in.py");
        let mut command = Command::new("python3");
        command
            .arg("-B")
            .arg(script)
            .args(["--api-key", KEY, "--client-id", CLIENT, "--scale", "0.00001"])
            .args(options);
        command.current_dir(folder.path()).stdin(Stdio::piped());
        command.stdout(log_file(&folder.path().join("out"))).stderr(log_file(&folder.path().join("err")));
        let process = Process::start(&mut command);
        let mut port = None;
        wait_until("the stand-in of the vendors", || {
            let said = fs::read_to_string(folder.path().join("out")).unwrap();
            let line: Option<Value> = said.lines().next().and_then(|line| serde_json::from_str(line).ok());
            port = line.and_then(|line| line["port"].as_u64());
            port.is_some()
        });
        Vendors { _process: process, folder, port: port.unwrap().try_into().unwrap(), scheme }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The PEM file that trusts it.
    pub fn authority(&self) -> String {
        self.folder.path().join("cert.pem").to_str().unwrap().into()
    }

    /// The base URL of one vendor's API, for a client on this machine.
    pub fn base(&self, vendor: &str) -> String {
        format!("{}://127.0.0.1:{}/{vendor}/api/v1", self.scheme, self.port)
    }

    pub fn state(&self) -> Value {
        self.control("state", None)
    }

    /// The endpoints of a vendor that have a URL, with their secrets.
    pub fn endpoints(&self, vendor: &str, url: &str) -> Vec<Value> {
        let endpoints = self.state()[vendor]["endpoints"].as_array().unwrap().clone();
        endpoints.into_iter().filter(|endpoint| endpoint["url"] == url).collect()
    }

    /// How often a call was made, such as `audit1 POST /webhooks`.
    pub fn calls(&self, call: &str) -> usize {
        self.state()["calls"].as_array().unwrap().iter().filter(|made| **made == call).count()
    }

    /// The seconds, of a clock of its own, at which calls were made that begin so.
    pub fn times(&self, call: &str) -> Vec<f64> {
        let state = self.state();
        let (calls, times) = (state["calls"].as_array().unwrap(), state["times"].as_array().unwrap());
        let made = calls.iter().zip(times).filter(|(made, _)| made.as_str().unwrap().starts_with(call));
        made.map(|(_, time)| time.as_f64().unwrap()).collect()
    }

    /// The next call of this kind goes wrong.
    pub fn fault(&self, vendor: &str, method: &str, kind: &str, more: &Value) {
        let mut fault = json!({"vendor": vendor, "method": method, "kind": kind});
        fault.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.control("fault", Some(&fault));
    }

    /// Tells it something; see `tests/vendors/stand_in.py`.
    pub fn control(&self, what: &str, value: Option<&Value>) -> Value {
        let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
        let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).tls_config(tls).build().into();
        let url = format!("{}://127.0.0.1:{}/control/{what}", self.scheme, self.port);
        let answer = match value {
            None => agent.get(&url).call(),
            Some(value) => agent.post(&url).send(value.to_string()),
        };
        serde_json::from_str(&answer.unwrap().body_mut().read_to_string().unwrap()).unwrap()
    }
}
