//! `hookbus reconcile` beside a gateway whose source wants details, and what lies on the bus of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    subscribers::schema::assert_valid,
    support::{
        client::Connection,
        harness::{HOOKBUS, Setup},
        process::{Process, log_file},
        vendors::{KEY, Vendors},
        wait::{wait_at_most, wait_until},
    },
};

/// Where details are.
pub const DETAILS: &str = "webhooks.hookbus.details.certificate";

/// Lets the source `acme` follow flagged certificates up, at an API below `base`.
pub fn follow(setup: &Setup, base: &str) {
    fs::write(setup.path().join("secrets/key"), KEY).unwrap();
    let files = "secret_files = [\"secrets/1099policy\"]\n";
    let api = format!(
        "[sources.api]\nkey_file = \"secrets/key\"\nbase_url = \"{base}\"\nfollow_up = [\"certificate.flagged\"]\n\
         endpoint_url = \"https://hooks.example.com/webhooks/1099policy\"\n"
    );
    setup.edit(files, &format!("{files}{api}"));
    setup.edit("[bus]\n", "[reconcile]\naddress = \"127.0.0.1:0\"\n[bus]\n");
}

/// The webhook of a flagged certificate.
pub fn flagged(number: usize) -> Vec<u8> {
    let object =
        json!({"id": format!("cert_{number}"), "contractor": "cn_1", "status": "flagged", "created": 1_764_000_000});
    let event = json!({
        "id": format!("evt_{number}"), "type": "certificate.flagged", "created": 1_764_000_000, "data": {"object": object},
    });
    event.to_string().into_bytes()
}

/// The certificate as the vendor's API has it.
pub fn certificate(number: usize) -> Value {
    let full = json!([{"rule": "gl_each_occurrence", "passed": false, "found": number}]);
    json!({"id": format!("cert_{number}"), "status": "flagged", "contractor": "cn_1", "created": 1_764_000_000, "review_results": {"full": full}})
}

/// Puts certificates into the vendor's account.
pub fn put(vendors: &Vendors, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        vendors.control("certificate", Some(&certificate(number)));
    }
}

/// A running `hookbus reconcile`; killed when dropped.
pub struct Reconciler {
    process: Process,
    log: PathBuf,
    address: SocketAddr,
}

impl Reconciler {
    pub fn start(folder: &Path) -> Self {
        let log = folder.join(format!("reconcile-{}.log", fastrand::u64(..)));
        let mut command = Command::new(HOOKBUS);
        command.arg("reconcile").current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file(&log));
        let process = Process::start(&mut command);
        let mut address = None;
        wait_until("the reconciler", || {
            let text = fs::read_to_string(&log).unwrap();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            address = lines
                .filter(|line| line["message"] == "reconciling")
                .find_map(|line| line["address"].as_str().and_then(|address| address.parse().ok()));
            address.is_some()
        });
        Reconciler { process, log, address: address.unwrap() }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// SIGTERM, and a clean end.
    pub fn stop(mut self) {
        self.process.signal("-TERM");
        assert_eq!(self.process.wait().code(), Some(0), "{}", self.log());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn metrics(&self) -> String {
        let request = "GET /metrics HTTP/1.1\r\nHost: reconcile\r\n\r\n";
        Connection::open(self.address).request(request, b"").body
    }

    /// The value of one series of `acme`, such as `total{result="published"}`.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.metrics();
        let line = text.lines().find(|line| line.starts_with(&format!("hookbus_{name}{{")) && line.contains(label));
        line.unwrap_or_else(|| panic!("no {name} {label} in\n{text}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub fn results(&self, result: &str) -> f64 {
        self.metric("vendor_details_total", &format!("result=\"{result}\""))
    }

    pub fn failures(&self, reason: &str) -> f64 {
        self.metric("vendor_details_failures_total", &format!("reason=\"{reason}\""))
    }
}

/// Every event on the details' route, as `hookbus tail` prints it.
pub fn details(setup: &Setup) -> Vec<Value> {
    lies_there(setup, DETAILS)
}

/// Every event on these routes.
pub fn lies_there(setup: &Setup, pattern: &str) -> Vec<Value> {
    let output = Command::new("timeout")
        .args(["4", HOOKBUS, "tail", "--json", "--from-start", pattern])
        .current_dir(setup.path())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until there are details of so many events; how often each id lies on the bus, after every one was looked at.
pub fn wait_for_details(setup: &Setup, count: usize) -> BTreeMap<String, usize> {
    let mut found = Vec::new();
    wait_at_most(Duration::from_mins(2), "the details", || {
        found = details(setup);
        let ids: BTreeSet<_> = found.iter().map(|event| event["id"].as_str().unwrap()).collect();
        count <= ids.len()
    });
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    let mut causes: BTreeMap<String, String> = BTreeMap::new();
    for event in &found {
        let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("no {name} in {event}")).to_owned();
        let number: usize = text("causationid").strip_prefix("evt_").unwrap().parse().unwrap();
        assert_eq!(event["data"], certificate(number), "what the API has");
        assert_eq!(text("subject"), format!("cert_{number}"));
        assert_eq!(text("type"), "com.hookbus.details.certificate");
        let cause = causes.entry(text("id")).or_insert_with(|| text("causationid"));
        assert_eq!(*cause, text("causationid"), "one id is of one event");
        *ids.entry(text("id")).or_default() += 1;
    }
    let schema = "schemas/asyncapi.json#/components/schemas/event.hookbus.details.certificate";
    let cases: Vec<_> = found.iter().take(3).map(|event| (schema.to_owned(), event.clone())).collect();
    assert_valid(&cases);
    ids
}
