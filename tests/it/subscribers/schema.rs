//! The documents for subscribers, held against what real gateways publish on real brokers.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Stdio},
};

use hookbus::{
    schema::{Document, Scope},
    vendors::Vendor,
};
use serde_json::{Value, json};

use crate::support::{
    brokers::{
        kafka::{FIXED_TOPICS, shared},
        nats::{NatsServer, Operator},
    },
    harness::{AUDIT, POLICY, Setup, sample},
    process::Process,
};

const ENVELOPE: &str = "schemas/envelope.schema.json";

fn root(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// Gives a tool its input and takes its lines.
fn ask(program: &str, script: &str, library: (&str, &str), input: &str) -> Vec<String> {
    let mut command = Command::new(program);
    command
        .arg(root(script))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env(library.0, root(library.1))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let output = Process::start(&mut command).talk(input.as_bytes());
    assert!(output.status.success(), "{script} failed (run `make tools`)");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// What is wrong with each instance in the eyes of its schema.
fn validate(cases: &[(String, Value)]) -> Vec<Vec<String>> {
    let input: String = cases
        .iter()
        .map(|(schema, instance)| format!("{}\n", json!({"schema": schema, "instance": instance})))
        .collect();
    let lines = ask("python3", "tests/sdk/validate.py", ("PYTHONPATH", "target/tools/consumers/python"), &input);
    assert_eq!(lines.len(), cases.len());
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Each instance is valid in the eyes of its schema.
pub fn assert_valid(cases: &[(String, Value)]) {
    for ((schema, instance), errors) in cases.iter().zip(validate(cases)) {
        assert!(errors.is_empty(), "{schema}\n{instance:#}\n{errors:#?}");
    }
}

fn assert_refused(cases: &[(String, Value)]) {
    for ((schema, instance), errors) in cases.iter().zip(validate(cases)) {
        assert!(!errors.is_empty(), "{schema} lets through\n{instance:#}");
    }
}

/// The schema files of an event's payload: of the type as a whole, and of the event's form.
fn payload_schemas(event: &Value) -> [String; 2] {
    let vendor = event["vendor"].as_str().unwrap();
    let event_type = event["type"].as_str().unwrap().strip_prefix(&format!("com.{vendor}.")).unwrap();
    let file = format!("schemas/payloads/{vendor}/{event_type}.schema.json");
    let form = format!("{file}#/$defs/{}", event["form"].as_str().unwrap());
    [file, form]
}

fn samples() -> Vec<(&'static str, String)> {
    let rows: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(root("tests/data/expected.json")).unwrap()).unwrap();
    let path = |row: &Value| if row["vendor"] == "audit1" { AUDIT } else { POLICY };
    rows.iter().map(|row| (path(row), row["sample"].as_str().unwrap().to_owned())).collect()
}

fn events(gateway: &crate::support::harness::Gateway, count: usize) -> Vec<Value> {
    gateway.tail(count).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Bodies that are taken as a documented event although no document shows them so.
const ODD: [(&str, &str); 6] = [
    (POLICY, r#"{"type":"policy.active","data":null}"#),
    (POLICY, r#"{"type":"policy.active","id":7,"data":{"object":{"id":42}},"created":"soon"}"#),
    (POLICY, r#"{"type":"certificate.error","data":[1,2]}"#),
    (AUDIT, r#"{"event_type":"file.processed","event":5,"amount":"a lot"}"#),
    (AUDIT, r#"{"event":"audit.completed","data":{"file_id":7}}"#),
    (AUDIT, r#"{"type":"payment.failed","id":"x","timestamp":0}"#),
];

#[test]
fn the_committed_documents_are_those_of_this_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let scope = Scope::defaults();
    for document in Document::all() {
        let file = folder.join(document.path());
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == document.text(&scope), "{} has drifted: run `make schemas`", file.display());
    }
    let payloads = Vendor::ALL.map(|vendor| folder.join("payloads").join(vendor.as_str()));
    let files = payloads.iter().chain([&folder]).flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let files = files.filter(|entry| entry.as_ref().unwrap().path().is_file()).count();
    assert_eq!(files, Document::all().count(), "a file that no code writes: run `make schemas`");
}

#[test]
fn every_published_event_is_as_its_schemas_say() {
    let gateway = Setup::new("", "").start();
    let samples = samples();
    for (path, file) in &samples {
        assert_eq!(gateway.post(path, &sample(file)).status, 200);
    }
    for (path, body) in ODD {
        assert_eq!(gateway.post(path, body.as_bytes()).status, 200);
    }
    let strange: [(&str, &[u8]); 4] = [
        (POLICY, br#"{"type":"policy.teleported","data":{"id":"\ud83d\ude00 \" \\"}}"#),
        (AUDIT, br#"{"event":"quarantine"}"#),
        (POLICY, b"\xff\xfe"),
        (AUDIT, b""),
    ];
    for (path, body) in strange {
        assert_eq!(gateway.post(path, body).status, 200);
    }
    let events = events(&gateway, samples.len() + ODD.len() + strange.len());
    let mut cases: Vec<_> = events.iter().map(|event| (ENVELOPE.to_owned(), event.clone())).collect();
    for (place, event) in events.iter().take(samples.len() + ODD.len()).enumerate() {
        let [whole, form] = payload_schemas(event);
        let name = whole.split_once("payloads/").unwrap().1.replace(".schema.json", "").replacen('/', ".", 1);
        cases.push((format!("schemas/asyncapi.json#/components/schemas/event.{name}"), event.clone()));
        cases.push((whole, event["data"].clone()));
        if place < samples.len() {
            cases.push((form, event["data"].clone()));
        }
    }
    assert!(samples.len() >= 76 && cases.len() > 4 * samples.len(), "{} {}", samples.len(), cases.len());
    assert_valid(&cases);
    println!("{} events, {} validations", events.len(), cases.len());
}

/// The same schemas, so that they can be seen to refuse.
#[test]
fn what_no_gateway_publishes_is_refused() {
    let gateway = Setup::new("", "").start();
    assert_eq!(gateway.post(POLICY, &sample("policy1099/samples/nested/certificate.flagged.json")).status, 200);
    assert_eq!(gateway.post(AUDIT, b"\xff").status, 200);
    let [good, odd] = &events(&gateway, 2)[..] else { panic!("two events") };
    let mut cases = Vec::new();
    let mut with = |event: &Value, name: &str, value: Option<Value>| {
        let mut event = event.clone();
        match value {
            Some(value) => drop(event.as_object_mut().unwrap().insert(name.into(), value)),
            None => drop(event.as_object_mut().unwrap().remove(name)),
        }
        cases.push((ENVELOPE.to_owned(), event));
    };
    let always = ["specversion", "id", "source", "type", "datacontenttype", "vendor", "recordedtime", "partitionkey"];
    for name in [&always[..], &["sequence", "traceparent", "form", "data"]].concat() {
        with(good, name, None);
    }
    for (name, value) in [
        ("specversion", json!("0.3")),
        ("id", json!("")),
        ("id", json!("a\u{0}b")),
        ("id", json!(7)),
        ("type", json!("com.audit1.certificate.flagged")),
        ("type", json!("com.1099policy.a b")),
        ("vendor", json!("audit2")),
        ("form", json!("round")),
        ("time", json!("2026-01-02 03:04:05")),
        ("recordedtime", json!("2026-01-02T03:04:05Z")),
        ("entitypath", json!("/else")),
        ("data", json!("a string")),
        ("data_base64", json!("AA==")),
        ("quarantinereason", json!("empty")),
        ("Upper", json!("x")),
    ] {
        with(good, name, Some(value));
    }
    with(odd, "data_base64", None);
    for (name, value) in [("form", json!("snake")), ("quarantinereason", json!("bored")), ("id", json!("evt_1"))] {
        with(odd, name, Some(value));
    }
    // A form's schema refuses every other event, and the same event in another form.
    let all = samples();
    let before = cases.len();
    for (path, schema_of) in &all {
        for (other_path, other) in all.iter().filter(|(_, other)| form_and_event(other) != form_and_event(schema_of)) {
            let (form, event) = form_and_event(schema_of);
            if path == other_path && !schema_of.contains("documents") && !other.contains("documents") {
                let vendor = if *path == AUDIT { "audit1" } else { "1099policy" };
                let schema = format!("schemas/payloads/{vendor}/{event}.schema.json#/$defs/{form}");
                cases.push((schema, serde_json::from_slice(&sample(other)).unwrap()));
            }
        }
    }
    assert!(cases.len() > before + all.len(), "{} samples were hardly held against others' schemas", all.len());
    assert_refused(&cases);
    println!("{} refused", cases.len());
}

/// `<vendor>/samples/<form>/<event>.json`.
fn form_and_event(path: &str) -> (String, String) {
    let parts: Vec<_> = path.split('/').collect();
    (parts[2].to_owned(), parts[parts.len() - 1].trim_end_matches(".json").to_owned())
}

/// One message: its headers, and the name of what it carries.
struct Published {
    headers: Vec<(String, String)>,
    payload: Vec<u8>,
    content: &'static str,
}

/// The header names that are published are those that are documented, all of them, and their values are as documented;
/// so are the payloads.
fn assert_documented(mode: &str, published: &[Published]) {
    let document: Value =
        serde_json::from_str(&std::fs::read_to_string(root("schemas/asyncapi.json")).unwrap()).unwrap();
    let mut cases = Vec::new();
    for which in ["", ".quarantine"] {
        let quarantined = which == ".quarantine";
        let mine = || published.iter().filter(|message| message.content.ends_with("quarantine") == quarantined);
        let documented: BTreeSet<&str> =
            document["components"]["messageTraits"][format!("{mode}{which}")]["headers"]["properties"]
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
        let found: BTreeSet<&str> =
            mine().flat_map(|message| message.headers.iter().map(|(name, _)| name.as_str())).collect();
        assert_eq!(found, documented, "{mode}{which}");
        for message in mine() {
            let headers: serde_json::Map<String, Value> =
                message.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            let pointer = format!("schemas/asyncapi.json#/components/messageTraits/{mode}{which}/headers");
            cases.push((pointer, headers.into()));
            let kind = if mode.ends_with("structured") { "event" } else { "payload" };
            if let Ok(payload) = serde_json::from_slice(&message.payload) {
                cases.push((format!("schemas/asyncapi.json#/components/schemas/{kind}.{}", message.content), payload));
            } else {
                assert!(quarantined && mode.ends_with("binary"), "{:?}", message.payload);
            }
        }
    }
    assert_valid(&cases);
    let nothing: Vec<_> = cases.into_iter().map(|(schema, _)| (schema, json!([]))).collect();
    let refused = validate(&nothing).iter().filter(|errors| !errors.is_empty()).count();
    assert!(refused + 1 >= nothing.len(), "all but the raw bytes of quarantine refuse nonsense");
}

/// What is posted to see every header; its content in the words of the AsyncAPI document.
fn posted() -> [(&'static str, Vec<u8>, &'static str); 4] {
    [
        (POLICY, sample("policy1099/samples/nested/certificate.flagged.json"), "1099policy.certificate.flagged"),
        (AUDIT, sample("audit1/samples/payments/payment.completed.json"), "audit1.payment.completed"),
        (POLICY, r#"{"id":"evt \"é\" %","type":"policy.teleported","data":{"id":"ü"}}"#.into(), "1099policy.unknown"),
        (POLICY, b"\xff documented".to_vec(), "1099policy.quarantine"),
    ]
}

#[test]
fn the_headers_on_nats_are_the_documented_ones() {
    for encoding in ["structured", "binary"] {
        let server = NatsServer::start();
        let operator = server.operator();
        operator.create(Operator::settings());
        let gateway = server.setup(&format!("encoding = \"{encoding}\""), "").start();
        for (path, body, _) in posted() {
            assert_eq!(gateway.post(path, &body).status, 200);
        }
        let published: Vec<_> = operator
            .read()
            .into_iter()
            .zip(posted())
            .map(|(message, (_, _, content))| {
                assert_eq!(message.subject, format!("webhooks.{content}"));
                Published { headers: message.headers, payload: message.payload, content }
            })
            .collect();
        assert_eq!(published.len(), 4);
        assert_documented(&format!("nats.{encoding}"), &published);
    }
}

#[test]
fn the_headers_on_kafka_are_the_documented_ones() {
    let broker = shared();
    for encoding in ["structured", "binary"] {
        let prefix = format!("documented_{encoding}");
        let topics = ["1099policy.certificate.flagged", "audit1.payment.completed"];
        let own = topics.map(|topic| format!("{prefix}.{topic}"));
        broker.create(&own.each_ref().map(String::as_str));
        let bus = format!("encoding = \"{encoding}\"\nsubject = \"{prefix}.{{vendor}}.{{type}}\"");
        let setup = broker.setup("", &bus, "");
        // The catch-all and quarantine are shared with other tests: these events are known by their source.
        let file = setup.path().join("hookbus.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let source = format!("name = \"acme\"\nce_source = \"//{prefix}\"");
        std::fs::write(&file, text.replace("name = \"acme\"", &source)).unwrap();
        let gateway = setup.start();
        for (path, body, _) in posted() {
            assert_eq!(gateway.post(path, &body).status, 200);
        }
        let mut published = Vec::new();
        let contents = [&topics[..], &["1099policy.unknown", "1099policy.quarantine"]].concat();
        for (topic, content) in [&own[0], &own[1], FIXED_TOPICS[0], FIXED_TOPICS[1]].iter().zip(contents) {
            let mine = format!("//{prefix}");
            let records = broker.records(topic).into_iter();
            let mut records = records
                .filter(|record| content.starts_with("audit1") || record.attribute("source").as_deref() == Some(&mine));
            let record = records.next().unwrap_or_else(|| panic!("nothing on {topic}"));
            published.push(Published { headers: record.headers, payload: record.payload, content });
        }
        assert_documented(&format!("kafka.{encoding}"), &published);
    }
}

#[test]
fn the_asyncapi_parser_finds_no_fault() {
    let text = std::fs::read_to_string(root("schemas/asyncapi.json")).unwrap();
    let parse =
        |text: &str| ask("node", "tests/sdk/asyncapi.js", ("NODE_PATH", "target/tools/asyncapi/node_modules"), text);
    let said = parse(&text);
    assert!(said.iter().all(|line| !line.starts_with("0 ")), "{said:#?}");
    assert!(said.contains(&"channels 59, messages 236".to_owned()), "{said:#?}");
    println!("{said:#?}");
    let broken = json!({
        "asyncapi": "3.0.0",
        "info": {"title": "broken", "version": "1"},
        "channels": {"a": {"address": "a", "messages": {"m": {"$ref": "#/components/messages/nowhere"}}}},
    });
    assert!(parse(&broken.to_string()).iter().any(|line| line.starts_with("0 ")), "a fault would be seen");
}

/// What the command prints is what the files have; a configuration has its own.
#[test]
fn the_command_describes_the_configured_bus() {
    let folder = tempfile::tempdir().unwrap();
    let run = |folder: &Path, arguments: &[&str]| {
        let output = Command::new(crate::support::harness::HOOKBUS)
            .arg("schema")
            .args(arguments)
            .current_dir(folder)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let file = |path: &str| std::fs::read_to_string(root(path)).unwrap();
    assert_eq!(run(folder.path(), &[]), (Some(0), file("schemas/asyncapi.json")));
    assert_eq!(run(folder.path(), &["--config", "hookbus.toml"]).0, Some(64), "a file that was named has to be there");
    assert_eq!(run(folder.path(), &["envelope"]).1, file(ENVELOPE));
    assert_eq!(run(folder.path(), &["audit1/file.failed"]).1, file("schemas/payloads/audit1/file.failed.schema.json"));
    let (code, text) = run(folder.path(), &["audit1/file.nope"]);
    assert!(code == Some(64) && text.contains("--list"), "{text}");
    assert_eq!(run(folder.path(), &["--list"]).1.lines().count(), 47);
    assert_eq!(run(folder.path(), &["--directory", "out"]), (Some(0), "out: 47 documents\n".into()));
    let written = std::fs::read_to_string(folder.path().join("out/payloads/audit1/file.failed.schema.json")).unwrap();
    assert_eq!(written, file("schemas/payloads/audit1/file.failed.schema.json"));

    let setup = Setup::new("", "");
    let text = std::fs::read_to_string(setup.path().join("hookbus.toml")).unwrap();
    let text = text.replace("kind = \"journal\"", "kind = \"nats\"\nsubject = \"hooks.{tenant}.{type}\"");
    std::fs::write(setup.path().join("hookbus.toml"), text).unwrap();
    let (code, text) = run(setup.path(), &[]);
    assert!(code == Some(0) && text.contains("\"hooks.acme.policy.active\"") && !text.contains(".kafka."), "{text}");
    assert_eq!(run(setup.path(), &["--defaults"]).1, file("schemas/asyncapi.json"));
    assert_eq!(run(setup.path(), &["--config", "absent.toml"]).0, Some(64));
}
