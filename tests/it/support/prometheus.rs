//! A real Prometheus that scrapes real gateways, with the project's rules.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::support::{
    harness::free_ports,
    process::{Process, log_file},
    wait::wait_until,
};

/// The rules that are shipped.
pub const RULES: &str = "helm/hookbus/files/rules.yaml";

/// A server; killed when dropped.
pub struct Prometheus {
    // Before its folder goes.
    _process: Process,
    _dir: tempfile::TempDir,
    port: u16,
}

/// A rule, as Prometheus has read it.
#[derive(Debug)]
pub struct Rule {
    /// The alert, or the recorded series.
    pub name: String,
    pub query: String,
    pub is_alert: bool,
    pub severity: String,
    pub annotations: Value,
}

impl Prometheus {
    /// Scrapes each gateway every second as a job of its own, which is its instance, too, and looks at the rules as often.
    pub fn start(rules: &str, jobs: &[(&str, SocketAddr)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("rules.yaml"), rules).unwrap();
        let jobs: String = jobs
            .iter()
            .map(|(job, admin)| {
                format!(
                    "  - {{job_name: {job}, static_configs: [{{targets: ['{admin}'], labels: {{instance: {job}}}}}]}}\n"
                )
            })
            .collect();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: [rules.yaml]\nscrape_configs:\n{jobs}"
        );
        fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        let [port] = free_ports();
        let mut command = Command::new(tool("prometheus"));
        command
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(log_file(&dir.path().join("log")));
        let prometheus = Prometheus { _process: Process::start(&mut command), _dir: dir, port };
        wait_until("Prometheus", || prometheus.get("/-/ready").is_some());
        prometheus
    }

    /// The body of an answer `200`.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        // With HTTP/1.0 an answer comes in one piece and ends with the connection.
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
    }

    fn data(&self, path: &str) -> Value {
        let body = self.get(path).unwrap_or_else(|| panic!("no answer to {path}"));
        serde_json::from_str::<Value>(&body).unwrap()["data"].take()
    }

    /// The labels of all series that an expression gives now.
    pub fn query(&self, expression: &str) -> Vec<Value> {
        let mut data = self.data(&format!("/api/v1/query?query={}", encoded(expression)));
        let Value::Array(results) = data["result"].take() else { panic!("{expression}") };
        results.into_iter().map(|mut result| result["metric"].take()).collect()
    }

    /// The series that an expression gives for each second between two Unix times: labels, and values with their times.
    pub fn range(&self, expression: &str, from: f64, to: f64) -> Vec<(Value, Vec<(f64, f64)>)> {
        let time = format!("start={from}&end={to}&step=1");
        let mut data = self.data(&format!("/api/v1/query_range?{time}&query={}", encoded(expression)));
        let Value::Array(results) = data["result"].take() else { panic!("{expression}") };
        let point = |point: &Value| (point[0].as_f64().unwrap(), point[1].as_str().unwrap().parse().unwrap());
        let series = |mut result: Value| {
            let points = result["values"].as_array().unwrap().iter().map(point).collect();
            (result["metric"].take(), points)
        };
        results.into_iter().map(series).collect()
    }

    /// Every alert that has fired since the start, with its job (empty for one that has none).
    pub fn fired(&self) -> BTreeSet<(String, String)> {
        let text = |series: &Value, label: &str| series[label].as_str().unwrap_or_default().to_owned();
        let fired = self.query(r#"count by (alertname, job) (count_over_time(ALERTS{alertstate="firing"}[1h]))"#);
        fired.iter().map(|series| (text(series, "alertname"), text(series, "job"))).collect()
    }

    /// The alerts that are pending or firing.
    pub fn alerts(&self) -> Vec<Value> {
        self.data("/api/v1/alerts")["alerts"].as_array().unwrap().clone()
    }

    /// All rules.
    pub fn rules(&self) -> Vec<Rule> {
        let data = self.data("/api/v1/rules");
        let groups = data["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        rules
            .map(|rule| Rule {
                name: text(&rule["name"]),
                query: text(&rule["query"]),
                is_alert: rule["type"] == "alerting",
                severity: text(&rule["labels"]["severity"]),
                annotations: rule["annotations"].clone(),
            })
            .collect()
    }
}

/// As a part of a URL.
fn encoded(expression: &str) -> String {
    expression.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// The path of a program of the Prometheus package.
pub fn tool(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/prometheus/usr/bin").join(name)
}

/// The rules for somebody in a hurry, and nothing else about them changed:
///
/// - every window is 20 s, every `for` 1 s, last week and yesterday are 15 s ago
/// - what counts as old in the spool, or as soon full (hours in seconds), is 5 s
pub fn hasten(rules: &str) -> String {
    let line = |line: &str| {
        if line.trim_start().starts_with("for: ") {
            return format!("{}1s\n", line.split_inclusive("for: ").next().unwrap());
        }
        let mut hasty = String::new();
        for (number, part) in line.split('[').enumerate() {
            match part.split_once(']') {
                Some((_, rest)) if number > 0 => hasty.push_str(&format!("[20s]{rest}")),
                _ => hasty.push_str(part),
            }
        }
        let offsets = ["offset 10m", "offset 1d", "offset 1w"].map(|offset| (offset, "offset 15s"));
        for (patient, hurried) in offsets.into_iter().chain([(" 14400", " 5"), (" 1800", " 5")]) {
            hasty = hasty.replace(patient, hurried);
        }
        hasty + "\n"
    };
    rules.lines().map(line).collect()
}
