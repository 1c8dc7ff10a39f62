//! The contract of the metrics: what rules, dashboard and documents speak of is there, and the alerts ring.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    brokers::{
        kafka::shared,
        nats::{NatsServer, Operator},
    },
    client::{Connection, post_head, signature, signed, unix_now},
    dashboard::DASHBOARD,
    harness::{AUDIT, Gateway, HOOKBUS, POLICY, Setup, free_ports, sample},
    process::Process,
    prometheus::{Prometheus, RULES, Rule, hasten, tool},
    promql::spoken,
    wait::wait_until,
};

const RUNBOOKS: &str = "docs/alerts.md";
/// Labels that Prometheus adds.
const TARGET_LABELS: [&str; 4] = ["namespace", "pod", "job", "instance"];
/// Labels of which `/metrics` shows only today's values.
const CHANGING: [&str; 3] = ["bus", "class", "le"];

/// Metrics by name, each with its labels, each with its values.
type Exposition = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// What running gateways expose: one on the embedded bus, and one on Kafka, which alone knows its brokers.
fn exposition() -> Exposition {
    let embedded = Setup::new("", "").start();
    let kafka = shared().setup("", "", "").start();
    wait_until("Kafka's statistics", || kafka.get_admin("/metrics").body.contains("kafka_broker_rtt_seconds{"));
    let mut exposition = Exposition::new();
    let gateways = [embedded, kafka].map(|gateway| gateway.get_admin("/metrics").body).join("\n");
    for line in format!("{gateways}\n{}", reconciler()).lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            exposition.entry(family.split(' ').next().unwrap().to_owned()).or_default();
        }
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let selectors = spoken(line.rsplit_once(' ').unwrap().0).selectors;
        // Values with other characters than a name's are patterns to the reader, and are none that a rule could name.
        for (label, values) in &selectors[0].labels {
            exposition
                .entry(selectors[0].metric.clone())
                .or_default()
                .entry(label.clone())
                .or_default()
                .extend(values.clone());
        }
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| selectors[0].metric.strip_suffix(end));
        let labels: Vec<_> = selectors[0].labels.iter().map(|(label, _)| label.clone()).collect();
        for name in family.into_iter().chain([selectors[0].metric.as_str()]) {
            let known = exposition.entry(name.to_owned()).or_default();
            for label in &labels {
                known.entry(label.clone()).or_default();
            }
        }
    }
    exposition
}

/// What a reconciler exposes, whether or not a vendor answers it.
fn reconciler() -> String {
    let [port] = free_ports();
    let setup = Setup::new("", &format!("[reconcile]\naddress = \"127.0.0.1:{port}\"\n"));
    let files = "secret_files = [\"secrets/1099policy\"]\n";
    let api = "[sources.api]\nkey_file = \"secrets/none\"\nendpoint_url = \"https://hooks.example.com/\"\n\
               follow_up = [\"certificate.flagged\"]\n";
    setup.edit(files, &format!("{files}{api}"));
    let mut command = Command::new(HOOKBUS);
    command.arg("reconcile").current_dir(setup.path()).stderr(Stdio::null());
    let _process = Process::start(&mut command);
    let mut page = None;
    wait_until("the reconciler", || {
        let connection = Connection::try_open(([127, 0, 0, 1], port).into());
        page =
            connection.ok().map(|mut open| open.request("GET /metrics HTTP/1.1\r\nHost: reconcile\r\n\r\n", b"").body);
        page.is_some()
    });
    page.unwrap()
}

fn rules() -> Vec<Rule> {
    Prometheus::start(&fs::read_to_string(RULES).unwrap(), &[]).rules()
}

/// Every expression of the dashboard.
fn dashboard() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            Value::Object(members) => {
                for (name, value) in members {
                    match value.as_str() {
                        Some(text) if ["expr", "definition"].contains(&name.as_str()) => found.push(text.to_owned()),
                        _ => collect(value, found),
                    }
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&serde_json::from_str(&fs::read_to_string(DASHBOARD).unwrap()).unwrap(), &mut found);
    found
}

/// What is wrong with an expression.
fn complaints(expression: &str, exposition: &Exposition, recorded: &[String]) -> Vec<String> {
    let spoken = spoken(expression);
    let mut complaints = Vec::new();
    let mut labels: BTreeSet<&str> = TARGET_LABELS.into();
    for selector in &spoken.selectors {
        let metric = &selector.metric;
        if recorded.contains(metric) || ["up", "ALERTS"].contains(&metric.as_str()) {
            continue;
        }
        let Some(known) = exposition.get(metric) else {
            complaints.push(format!("no metric {metric}"));
            continue;
        };
        labels.extend(known.keys().map(String::as_str));
        for (label, values) in &selector.labels {
            let Some(known) = known.get(label) else {
                if !TARGET_LABELS.contains(&label.as_str()) {
                    complaints.push(format!("{metric} has no label {label}"));
                }
                continue;
            };
            if !CHANGING.contains(&label.as_str()) {
                let strange = values.iter().filter(|value| !known.contains(*value));
                complaints.extend(strange.map(|value| format!("{metric} has no {label} {value}")));
            }
        }
    }
    complaints.extend(
        spoken
            .grouping
            .iter()
            .filter(|label| !labels.contains(label.as_str()))
            .map(|label| format!("no label {label}")),
    );
    complaints.into_iter().map(|complaint| format!("{complaint}: {expression}")).collect()
}

/// The metrics that a document names in `code`, with the labels that it gives them.
fn named_in(document: &str) -> Vec<(String, Vec<String>)> {
    let name = |code: &str| {
        let (name, labels) = code.split_once('{').map_or((code, ""), |(name, rest)| (name, rest.trim_end_matches('}')));
        let is_name =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let is_metric = name.starts_with("hookbus_")
            || code.ends_with('}')
            || ["_total", "_seconds", "_info"].iter().any(|end| name.ends_with(end));
        let full = if ["hookbus_", "process_"].iter().any(|prefix| name.starts_with(prefix)) {
            name.to_owned()
        } else {
            format!("hookbus_{name}")
        };
        let labels = labels.split(',').filter_map(|label| label.split('=').next()).filter(|label| !label.is_empty());
        (is_name && is_metric && full != "hookbus_").then(|| (full, labels.map(str::to_owned).collect()))
    };
    document.split('`').skip(1).step_by(2).filter_map(name).collect()
}

#[test]
fn every_metric_label_and_value_that_is_spoken_of_exists() {
    let exposition = exposition();
    let rules = rules();
    let recorded: Vec<_> = rules.iter().filter(|rule| !rule.is_alert).map(|rule| rule.name.clone()).collect();
    let expressions: Vec<_> = rules.iter().map(|rule| rule.query.clone()).chain(dashboard()).collect();
    assert!(expressions.len() > 90, "{}", expressions.len());
    let mut wrong: Vec<_> =
        expressions.iter().flat_map(|expression| complaints(expression, &exposition, &recorded)).collect();
    let documents = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path());
    let documents = documents.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    for document in documents.chain(["README.md".into(), "CHANGELOG.md".into()]) {
        for (metric, labels) in named_in(&fs::read_to_string(&document).unwrap()) {
            let known = exposition.get(&metric);
            if known.is_none_or(|known| labels.iter().any(|label| !known.contains_key(label))) {
                wrong.push(format!("{}: {metric} {labels:?}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The check can fail.
    for broken in [
        "hookbus_made_up_total > 0",
        r#"hookbus_events_total{kind="x"}"#,
        r#"hookbus_bus_publish_total{result=~"ok|maybe"}"#,
        "sum by (colour) (hookbus_bus_up)",
    ] {
        assert_eq!(complaints(broken, &exposition, &recorded).len(), 1, "{broken}");
    }
    assert_eq!(
        named_in("the `http_requests_total{status}` of ``` x_total ```"),
        [("hookbus_http_requests_total".to_owned(), vec!["status".to_owned()])]
    );
}

/// Each alert is expected to fire somewhere in the unit tests, says who is to look, and where it is explained.
#[test]
fn every_alert_is_tested_and_explained() {
    let tests = ["rules_test.yaml", "silence_test.yaml"];
    let tests = tests.map(|file| fs::read_to_string(format!("deploy/prometheus/{file}")).unwrap()).concat();
    let runbooks = fs::read_to_string(RUNBOOKS).unwrap();
    let alerts: Vec<_> = rules().into_iter().filter(|rule| rule.is_alert).collect();
    for alert in &alerts {
        let name = &alert.name;
        assert!(tests.contains(&format!("{{labels: '{{alertname=\"{name}\"")), "{name} never fires in a test");
        assert!(runbooks.contains(&format!("\n### {name}\n")), "{name} has no section in {RUNBOOKS}");
        assert_eq!(alert.annotations["runbook"], format!("{RUNBOOKS}#{}", name.to_ascii_lowercase()));
        assert!(["critical", "warning", "info"].contains(&alert.severity.as_str()), "{name}");
        for text in ["summary", "description"] {
            assert!(alert.annotations[text].as_str().is_some_and(|text| text.len() > 20), "{name}: {text}");
        }
    }
    let sections = runbooks.lines().filter(|line| line.starts_with("### ")).count();
    assert_eq!((sections, alerts.len()), (alerts.len(), 51), "sections of alerts that are none any more");
}

/// Every alert fires in some scenario, and no other with it; gateways that are well are silent.
#[test]
fn the_alerts_unit_tests_pass() {
    let run = |file: &str| {
        let path = format!("deploy/prometheus/{file}");
        Command::new(tool("promtool")).args(["test", "rules", &path]).output().expect("promtool (run `make tools`)")
    };
    let outputs = thread::scope(|scope| {
        let week = scope.spawn(|| run("silence_test.yaml"));
        [run("rules_test.yaml"), week.join().unwrap()]
    });
    for output in outputs {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    }
}

/// A gateway that publishes to a server, with a spool.
fn with_spool(server: &NatsServer) -> Gateway {
    let setup = server.setup("", "ack_timeout = \"500ms\"");
    let file = setup.path().join("hookbus.toml");
    let text = fs::read_to_string(&file).unwrap().replace("spool = \"off\"", "hedge_after = \"300ms\"");
    fs::write(&file, text).unwrap();
    setup.start()
}

fn event(id: &str, event_type: &str, filler: usize) -> Vec<u8> {
    let filler = "x".repeat(filler);
    format!(r#"{{"id":"{id}","type":"{event_type}","data":{{"object":{{"id":"pl_1","x":"{filler}"}}}}}}"#).into()
}

/// Posts events until the test stops it: the gateway that is well.
fn keep_busy(gateway: &Gateway, stop: &AtomicBool) {
    let mut number = 0;
    let mut event: Value =
        serde_json::from_slice(&sample("policy1099/samples/nested/certificate.flagged.json")).unwrap();
    while !stop.load(Ordering::Relaxed) {
        event["id"] = format!("evt_{number}").into();
        assert_eq!(gateway.post(POLICY, event.to_string().as_bytes()).status, 200);
        number += 1;
        thread::sleep(Duration::from_millis(100));
    }
}

/// Posts until the test stops it what a vendor sends whose secret was rotated on one side.
fn keep_rejected(gateway: &Gateway, stop: &AtomicBool) {
    let body = br#"{"event":"file.processed"}"#;
    let headers = signed(AUDIT, "another_secret_than_ours", unix_now(), body);
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(gateway.connect().request(&post_head(AUDIT, body, &headers), body).status, 401);
        thread::sleep(Duration::from_millis(500));
    }
}

/// What an operator should hear of, all at once.
fn break_things(spooled: &Gateway, direct: &Gateway, server: &mut NatsServer) {
    let body = br#"{"event":"file.processed"}"#;
    assert_eq!(spooled.post(AUDIT, body).status, 200);
    fs::write(spooled.setup.path().join("secrets/1099policy"), "\n").unwrap();
    // What is odd, and what the bus refuses for good.
    assert_eq!(spooled.post(POLICY, b"no JSON").status, 200);
    assert_eq!(spooled.post(POLICY, &event("evt_new", "brand.new", 0)).status, 200);
    assert_eq!(spooled.post(POLICY, &event("evt_new", "brand.new", 1)).status, 200);
    for number in 0..12 {
        assert_eq!(spooled.post(POLICY, &event(&format!("evt_large_{number}"), "policy.active", 9000)).status, 200);
    }
    let huge = format!("POST {POLICY} HTTP/1.1\r\nHost: h\r\nContent-Length: 6000000\r\n\r\n");
    assert_eq!(spooled.connect().request(&huge, b"").status, 413);
    // The broker goes. One gateway has a spool, the other has had no broker from the start.
    server.kill();
    spooled.wait_for_metric("bus_up", 0.0);
    for number in 0..30 {
        assert_eq!(spooled.post(POLICY, &event(&format!("evt_spooled_{number}"), "policy.active", 0)).status, 200);
    }
    let mismatch = format!("X-Audit1-Event: file.failed\r\n{}", signature(AUDIT, body));
    for _ in 0..12 {
        assert_eq!(direct.connect().request(&post_head(AUDIT, body, &mismatch), body).status, 503);
    }
}

/// Real gateways, a real broker that dies, a real Prometheus with the rules that are shipped (see [`hasten`]).
#[test]
fn the_main_alerts_fire_in_a_real_prometheus() {
    let mut server = NatsServer::start();
    let settings = async_nats::jetstream::stream::Config { max_message_size: 8192, ..Operator::settings() };
    server.operator().create(settings);
    let spooled = with_spool(&server);
    let nowhere = NatsServer::stopped("");
    let direct = nowhere.setup("", "publish_timeout = \"200ms\"\nack_timeout = \"100ms\"").start();
    let well = Setup::new("", "").start();
    let jobs = [("spooled", spooled.admin), ("direct", direct.admin), ("well", well.admin)];
    let prometheus = Prometheus::start(&hasten(&fs::read_to_string(RULES).unwrap()), &jobs);
    // Counters are seen at 0 before they count.
    wait_until("the first scrapes", || prometheus.query("count_over_time(hookbus_bus_up[1m]) > 1").len() == 3);

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // However this ends, the busy sender ends, too.
        let _stop = StopAtEnd(&stop);
        scope.spawn(|| keep_busy(&well, &stop));
        break_things(&spooled, &direct, &mut server);
        scope.spawn(|| keep_rejected(&spooled, &stop));
        let expected = [
            ("HookbusSourceRejected", "spooled"),
            ("HookbusSignatureFailures", "spooled"),
            ("HookbusSecretReloadFailing", "spooled"),
            ("HookbusSourceSilent", "spooled"),
            ("HookbusQuarantine", "spooled"),
            ("HookbusUnknownTypes", "spooled"),
            ("HookbusIdConflicts", "spooled"),
            ("HookbusVendorChanged", "spooled"),
            ("HookbusBodyTooLarge", "spooled"),
            ("HookbusDeadLetters", "spooled"),
            ("HookbusDeadLettersArriving", "spooled"),
            ("HookbusDurabilityWeak", "spooled"),
            ("HookbusBusDown", "spooled"),
            ("HookbusSpoolGrowing", "spooled"),
            ("HookbusSpoolOld", "spooled"),
            ("HookbusBusDown", "direct"),
            ("HookbusNotReady", "direct"),
            ("HookbusErrorsFast", "direct"),
            ("HookbusTypeMismatch", "direct"),
        ];
        wait_for_alerts(&prometheus, &expected);
        for alert in prometheus.alerts() {
            let text = alert["annotations"].to_string();
            assert!(!text.contains("{{") && !text.contains("error expanding"), "{text}");
        }
        let fired = prometheus.fired();
        assert!(!fired.contains(&("HookbusNotReady".into(), "spooled".into())), "the spool takes events");
        assert!(!fired.contains(&("HookbusJournalDown".into(), "direct".into())), "it has none");
    });
    drop(direct);
    wait_for_alerts(&prometheus, &[("HookbusReplicaDown", "direct")]);
    // Two alerts are about the machine, which the tests load, and which is slow for all of them.
    let noise = ["HookbusFsyncSlow", "HookbusReplicaDown"];
    let false_alarms: Vec<_> = prometheus
        .fired()
        .into_iter()
        .filter(|(alert, job)| job == "well" && !noise.contains(&alert.as_str()))
        .collect();
    assert!(false_alarms.is_empty(), "{false_alarms:?}");
    drop((spooled, well));
    wait_for_alerts(&prometheus, &[("HookbusDown", "")]);
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until each alert has fired for its job.
fn wait_for_alerts(prometheus: &Prometheus, expected: &[(&str, &str)]) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let fired = prometheus.fired();
        let missing: Vec<_> =
            expected.iter().filter(|(alert, job)| !fired.contains(&((*alert).into(), (*job).into()))).collect();
        if missing.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "never fired: {missing:?}, but {fired:?}");
        thread::sleep(Duration::from_millis(200));
    }
}
