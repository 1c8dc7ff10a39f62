//! The documents against the code that they speak of. What is really published is held against them in
//! `tests/it/subscribers/schema.rs`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Document, Scope, payload};
use crate::{
    config::{BusKind, Config, Encoding, SourceConfig, UnknownTypes},
    vendors::Vendor,
};

fn asyncapi(scope: &Scope) -> Value {
    serde_json::from_str(&Document::AsyncApi.text(scope)).unwrap()
}

/// Every `$ref` of a document leads somewhere in it.
fn check_references(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            members.values().for_each(|member| check_references(document, member));
        }
        Value::Array(items) => items.iter().for_each(|item| check_references(document, item)),
        _ => {}
    }
}

fn addresses(document: &Value) -> Vec<&str> {
    document["channels"].as_object().unwrap().values().map(|channel| channel["address"].as_str().unwrap()).collect()
}

#[test]
fn every_document_has_its_name_and_its_references_lead_somewhere() {
    for document in Document::all() {
        assert_eq!(Document::named(&document.to_string()), Some(document));
        let text = document.text(&Scope::defaults());
        let value: Value = serde_json::from_str(&text).unwrap();
        check_references(&value, &value);
    }
    assert_eq!(Document::named("audit1/file.nope"), None);
}

#[test]
fn the_defaults_have_a_channel_for_every_type_and_a_message_for_every_mode() {
    let document = asyncapi(&Scope::defaults());
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for vendor in Vendor::ALL {
        expected.extend(vendor.profile().event_types().map(|event| format!("webhooks.{vendor}.{event}")));
        expected.extend(["unknown", "quarantine"].map(|last| format!("webhooks.{vendor}.{last}")));
    }
    expected.extend(crate::envelope::own_routes(true, true, true).into_iter().map(|route| route.address));
    assert_eq!(addresses(&document).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    for channel in document["channels"].as_object().unwrap().values() {
        assert_eq!(channel["messages"].as_object().unwrap().len(), 4);
    }
    assert_eq!(document["operations"].as_object().unwrap().len(), expected.len());
}

#[test]
fn a_configuration_has_its_own_topics_bus_and_mode() {
    let mut source = SourceConfig::defaults("acme", Vendor::Audit1, "/a", Vec::new());
    source.tenant = Some("t1".into());
    let mut config = Config::defaults(BusKind::Kafka, vec![source]);
    config.bus.encoding = Encoding::Binary;
    config.bus.kafka.brokers = vec!["kafka-1.example.com:9092".into()];
    config.bus.subject = "in.{tenant}.{source}.{category}".parse().unwrap();
    let document = asyncapi(&Scope::of(&config));
    let found = addresses(&document);
    assert!(found.contains(&"in.t1.acme.file") && found.contains(&"webhooks.audit1.unknown"), "{found:?}");
    assert!(!found.iter().any(|address| address.contains("1099policy")));
    let messages = document["channels"]["in.t1.acme.file"]["messages"].as_object().unwrap();
    assert_eq!(messages.len(), 5, "the types that share a topic: {messages:?}");
    assert!(messages.keys().all(|name| name.ends_with(".kafka.binary")));
    assert_eq!(document["servers"]["kafka-1"]["host"], "kafka-1.example.com:9092");

    config.bus.kind = BusKind::Nats;
    config.bus.unknown_types = UnknownTypes::Route;
    config.bus.subject = "in.{vendor}.{type}".parse().unwrap();
    let document = asyncapi(&Scope::of(&config));
    assert!(addresses(&document).contains(&"in.audit1.{type}"));
    assert!(document["channels"]["in.audit1.type"]["parameters"]["type"].is_object());
    assert_eq!(document["servers"]["nats-1"]["x-jetstream"]["stream"], "WEBHOOKS");

    config.bus.kind = BusKind::Journal;
    let document = asyncapi(&Scope::of(&config));
    assert!(document.get("servers").is_none());
    check_references(&document, &document);
}

/// A schema says whether a document prints the body or only names the event.
#[test]
fn printed_bodies_are_those_of_the_list() {
    let rows: Vec<Value> = serde_json::from_str(include_str!("../../tests/data/events.json")).unwrap();
    for row in rows {
        let text = |member: &str| row[member].as_str().unwrap();
        let profile = text("vendor").parse::<Vendor>().unwrap().profile();
        let entry = profile.find(profile.form(text("form")), text("event")).unwrap();
        let documented = text("payload_basis").starts_with("documented");
        assert_eq!(payload::printed(profile, entry).is_some(), documented, "{} {}", entry.event, entry.form);
    }
}

#[test]
fn a_payload_keeps_the_vendors_kinds_of_numbers_and_demands_no_more_than_its_form() {
    let document = payload::document(Vendor::Audit1, "file.processed");
    let camel = &document["$defs"]["camel"];
    assert_eq!(camel["properties"]["data"]["properties"]["totalGrossPay"]["type"], "number");
    assert_eq!(camel["properties"]["data"]["properties"]["recordsProcessed"]["type"], "integer");
    assert_eq!(camel["required"], serde_json::json!(["type"]));
    assert_eq!(camel["properties"]["type"], serde_json::json!({"const": "file.processed"}));
    assert!(camel["description"].as_str().unwrap().contains("Audit1: developer tutorial"));
    assert_eq!(document["anyOf"].as_array().unwrap().len(), 3, "two forms, and whatever else is taken");
}
