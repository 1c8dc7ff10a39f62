//! The AsyncAPI 3 document: every topic or subject, and every message on it with headers and payload.
//!
//! It speaks for the gateway and, with the events of hookbus's own, for `hookbus reconcile`: both send; a subscriber reads
//! `send` as `receive`. Schemas are written in words that mean the same in AsyncAPI's own dialect and in JSON Schema 2020-12.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    channels::{Class, Mode, Scope},
    envelope::envelope,
    headers::{body_type, content_type, headers},
    own, payload,
};
use crate::{
    config::{BusKind, Encoding},
    envelope::{Content, TYPE},
    finding,
    metrics::Label as _,
    vendors::Vendor,
};

const SCHEMAS: &str = "#/components/schemas/";

/// The document.
pub(super) fn document(scope: &Scope) -> Value {
    let contents: BTreeSet<Content> = scope.channels.values().flatten().copied().collect();
    let mut document = Map::new();
    document.insert("asyncapi".into(), "3.0.0".into());
    document.insert("info".into(), info(scope));
    document.insert("defaultContentType".into(), "application/cloudevents+json".into());
    if !scope.servers.is_empty() {
        document.insert("servers".into(), servers(scope));
    }
    document.insert("channels".into(), channels(scope));
    document.insert("operations".into(), operations(scope));
    document.insert(
        "components".into(),
        json!({
            "messages": messages(scope, &contents),
            "messageTraits": traits(scope),
            "schemas": schemas(&contents),
        }),
    );
    document.into()
}

fn info(scope: &Scope) -> Value {
    let whose = if scope.is_configured {
        "This is what one configuration leads to."
    } else {
        "This is what the default configuration leads to, on Kafka and on NATS, in both content modes; a gateway uses \
         one of each. `hookbus schema --config FILE` says it of a configuration of your own."
    };
    let has_own = scope.channels.values().flatten().any(|content| Class::of(*content) == Class::Own);
    let own = if has_own { ", and events of hookbus's own, which `hookbus reconcile` sends" } else { "" };
    json!({
        "title": "hookbus",
        "version": env!("CARGO_PKG_VERSION"),
        "description": format!(
            "Signed webhooks of 1099Policy and Audit1 as CloudEvents 1.0{own}. Delivery is at least once: a repeat has the \
             same `type`, `source` and `id`. Events with one `partitionkey` keep their order. {whose}"
        ),
        "license": { "name": "Apache-2.0" },
    })
}

fn servers(scope: &Scope) -> Value {
    let servers = scope.servers.iter().enumerate().map(|(place, server)| {
        let mut value = json!({ "host": server.host, "protocol": server.protocol });
        if server.protocol == "nats" {
            value["x-jetstream"] = json!({ "stream": scope.stream });
        }
        (format!("{}-{}", server.protocol, place + 1), value)
    });
    Value::Object(servers.collect())
}

/// An address as a name: without the braces of what stands for something else.
fn channel_name(address: &str) -> String {
    address.replace(['{', '}'], "")
}

fn channels(scope: &Scope) -> Value {
    let channels = scope.channels.iter().map(|(address, contents)| {
        let messages = contents.iter().flat_map(|content| {
            scope.modes.iter().map(|mode| {
                let name = message_name(*content, *mode);
                (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") }))
            })
        });
        let titles: BTreeSet<String> = contents.iter().map(|content| title(*content)).collect();
        let titles: Vec<String> = titles.into_iter().collect();
        let mut channel = json!({
            "address": address,
            "description": titles.join("; "),
            "messages": messages.collect::<Map<_, _>>(),
        });
        if address.contains(TYPE) {
            channel["parameters"] =
                json!({ "type": { "description": "A type that no catalogue lists, or its first part." } });
        }
        (channel_name(address), channel)
    });
    Value::Object(channels.collect())
}

fn operations(scope: &Scope) -> Value {
    let operations = scope.channels.keys().map(|address| {
        let name = channel_name(address);
        let channel = json!({ "$ref": format!("#/channels/{name}") });
        (format!("publish.{name}"), json!({ "action": "send", "channel": channel }))
    });
    Value::Object(operations.collect())
}

fn bus_name(bus: BusKind) -> &'static str {
    match bus {
        BusKind::Journal => "tail",
        BusKind::Kafka => "kafka",
        BusKind::Nats => "nats",
    }
}

fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Structured => "structured",
        Encoding::Binary => "binary",
    }
}

fn content_name(content: Content) -> String {
    match content {
        Content::Documented(vendor, event) => format!("{vendor}.{event}"),
        Content::Unlisted(vendor) => format!("{vendor}.unknown"),
        Content::Quarantine(vendor) => format!("{vendor}.quarantine"),
        Content::Finding(kind) => format!("{}.finding.{}", finding::VENDOR, kind.as_str()),
        Content::Missed => format!("{}.missed.certificate", finding::VENDOR),
        Content::Details => format!("{}.details.certificate", finding::VENDOR),
    }
}

fn message_name(content: Content, mode: Mode) -> String {
    format!("{}.{}.{}", content_name(content), bus_name(mode.bus), encoding_name(mode.encoding))
}

fn trait_name(mode: Mode, class: Class) -> String {
    let which = match class {
        Class::Routed => "",
        Class::Quarantined => ".quarantine",
        Class::Own => ".own",
    };
    format!("{}.{}{which}", bus_name(mode.bus), encoding_name(mode.encoding))
}

fn title(content: Content) -> String {
    match content {
        Content::Documented(vendor, event) => {
            let meaning = vendor.profile().find(None, event).map_or("", |entry| entry.description);
            format!("{vendor} {event}: {meaning}")
        }
        Content::Unlisted(vendor) => format!(
            "{vendor}: types that no document lists, and on Kafka events whose own topic does not exist; `type` says which"
        ),
        Content::Quarantine(vendor) => {
            format!("{vendor}: signed bodies that cannot be routed by their type; `quarantinereason` says why")
        }
        Content::Finding(kind) => format!("finding: {}", kind.description()),
        Content::Missed => {
            "what 1099Policy's API shows of a certificate whose event never came: fetched, not received".into()
        }
        Content::Details => {
            "a certificate with the results of its review, fetched from 1099Policy's API after its webhook".into()
        }
    }
}

fn messages(scope: &Scope, contents: &BTreeSet<Content>) -> Value {
    let messages = contents.iter().flat_map(|content| {
        scope.modes.iter().map(|mode| {
            let schema = match mode.encoding {
                Encoding::Structured => format!("{SCHEMAS}event.{}", content_name(*content)),
                Encoding::Binary => format!("{SCHEMAS}payload.{}", content_name(*content)),
            };
            let message = json!({
                "title": title(*content),
                "traits": [{ "$ref": format!("#/components/messageTraits/{}", trait_name(*mode, Class::of(*content))) }],
                "payload": { "$ref": schema },
            });
            (message_name(*content, *mode), message)
        })
    });
    Value::Object(messages.collect())
}

fn traits(scope: &Scope) -> Value {
    let kinds = scope.modes.iter().flat_map(|mode| Class::ALL.map(|class| (*mode, class)));
    let traits = kinds.map(|(mode, class)| {
        let mut value = Map::new();
        let content_type = content_type(mode, class).unwrap_or_else(|| body_type(class));
        value.insert("contentType".into(), content_type.into());
        if let Some(headers) = headers(mode, class) {
            value.insert("headers".into(), headers);
        }
        if mode.bus == BusKind::Kafka {
            let key = json!({ "type": "string", "description": "The attribute `partitionkey`." });
            value.insert("bindings".into(), json!({ "kafka": { "key": key, "bindingVersion": "0.5.0" } }));
        }
        (trait_name(mode, class), value.into())
    });
    Value::Object(traits.collect())
}

fn schemas(contents: &BTreeSet<Content>) -> Value {
    let mut schemas = Map::new();
    schemas.insert("envelope".into(), envelope());
    schemas.insert("own".into(), own::envelope());
    for content in contents {
        let name = content_name(*content);
        schemas.insert(format!("event.{name}"), event(*content));
        match *content {
            Content::Documented(vendor, event) => {
                let prefix = format!("payload.{name}.");
                let any_of = payload::any_of(vendor, event, &format!("{SCHEMAS}{prefix}"));
                schemas.insert(format!("payload.{name}"), json!({ "anyOf": any_of }));
                let parts = payload::parts(vendor, event);
                schemas.extend(parts.into_iter().map(|(part, schema)| (format!("{prefix}{part}"), schema)));
            }
            Content::Unlisted(_) => {
                let description = "Any JSON object with a type; documented types, too.";
                schemas.insert(format!("payload.{name}"), json!({ "type": "object", "description": description }));
            }
            Content::Quarantine(_) => {
                let description = "The body's raw bytes, whatever they are.";
                schemas.insert(format!("payload.{name}"), json!({ "description": description }));
            }
            Content::Finding(kind) => {
                schemas.insert(format!("payload.{name}"), own::finding(kind));
            }
            Content::Missed => {
                schemas.insert(format!("payload.{name}"), own::missed());
            }
            Content::Details => {
                schemas.insert(format!("payload.{name}"), own::details());
            }
        }
    }
    schemas.into()
}

/// An event in structured mode: the envelope with what is known beforehand.
fn event(content: Content) -> Value {
    let of_vendor = |vendor: Vendor| json!({ "const": vendor.as_str() });
    let known = match content {
        Content::Documented(vendor, event) => json!({
            "type": { "const": format!("com.{vendor}.{event}") },
            "vendor": of_vendor(vendor),
            "data": { "$ref": format!("{SCHEMAS}payload.{vendor}.{event}") },
        }),
        Content::Unlisted(vendor) => json!({ "vendor": of_vendor(vendor), "quarantinereason": false }),
        Content::Quarantine(vendor) => json!({
            "type": { "const": format!("com.{vendor}.quarantine") },
            "vendor": of_vendor(vendor),
            "data": false,
        }),
        Content::Finding(_) | Content::Missed | Content::Details => {
            let name = content_name(content);
            json!({ "type": { "const": format!("com.{name}") }, "data": { "$ref": format!("{SCHEMAS}payload.{name}") } })
        }
    };
    let envelope = if Class::of(content) == Class::Own { "own" } else { "envelope" };
    json!({ "allOf": [{ "$ref": format!("{SCHEMAS}{envelope}") }, { "properties": known }] })
}
