//! The body reader against `serde_json`: the same texts are JSON, the same members stand in them, with the same values.

use std::fmt;

use hookbus::json::{self, Kind, MAX_DEPTH, Scope};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::{fault, naive};

/// Longest name that is compared: a longer one may be too long for the reader as it is written.
const MAX_NAME: usize = 170;

/// One member: where it stands, its name, and its value, of an object or array only whether it is one.
type Seen = (Scope, String, Value);

/// One text.
pub fn run(input: &[u8]) {
    let body: Vec<u8> = if fault() { without_controls(input) } else { input.to_vec() };
    let mut seen = Vec::new();
    let found = json::scan(&body, |member| {
        let raw = std::str::from_utf8(&body).map_or("", |text| member.value.raw(text));
        if member.value.kind == Kind::String {
            let text: Option<String> = serde_json::from_str(&format!("\"{raw}\"")).ok();
            assert_eq!(json::unescape(raw).as_deref(), text.as_deref(), "{raw}");
        }
        if member.key.len() <= MAX_NAME {
            let written = match member.value.kind {
                Kind::Object => "{}".into(),
                Kind::Array => "[]".into(),
                Kind::String => format!("\"{raw}\""),
                Kind::Number | Kind::Literal => raw.to_owned(),
            };
            // A lone surrogate or a huge number is no value for serde_json, and neither is the whole text then.
            seen.push((member.scope, member.key.to_owned(), serde_json::from_str(&written).unwrap_or_default()));
        }
    });
    let is_json = std::str::from_utf8(input).is_ok() && serde_json::from_slice::<IgnoredAny>(input).is_ok();
    let is_flat = depth(input) <= MAX_DEPTH as usize;
    assert_eq!(found.is_ok(), is_json && is_flat, "{found:?} {:?}", String::from_utf8_lossy(input));
    let compacted: Vec<u8> = json::compact(input).flatten().copied().collect();
    let (naive, joined) = naive::compact(input);
    assert_eq!((compacted, json::compacting_joins_tokens(input)), (naive, joined));
    if found.is_ok()
        && let Ok(Tree::Object(members)) = serde_json::from_slice(input)
    {
        let mut expected = Vec::new();
        walk(members, Scope::Root, &mut expected);
        assert_eq!(seen, expected, "{:?}", String::from_utf8_lossy(input));
    }
}

/// The planted fault: control characters inside a text are passed over.
fn without_controls(input: &[u8]) -> Vec<u8> {
    input.iter().map(|byte| if matches!(byte, 0..8 | 14..32) { b'x' } else { *byte }).collect()
}

/// Deepest nesting outside strings.
fn depth(text: &[u8]) -> usize {
    let (mut now, mut most, mut inside, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        match (inside, byte) {
            (true, _) => (inside, escaped) = (escaped || *byte != b'"', !escaped && *byte == b'\\'),
            (false, b'"') => inside = true,
            (false, b'{' | b'[') => now += 1,
            (false, b'}' | b']') => now = now.saturating_sub(1),
            (false, _) => {}
        }
        most = most.max(now);
    }
    most
}

/// A text as a tree that keeps the order of members and repeated names.
enum Tree {
    Object(Vec<(String, Tree)>),
    Other(Value),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Tree;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Tree::Object(members))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
                while list.next_element::<Tree>()?.is_some() {}
                Ok(Tree::Other(Value::Array(Vec::new())))
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Other(Value::Null))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Other(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Other(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Other(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree::Other(value.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::Other(value.into()))
            }
        }
        deserializer.deserialize_any(InOrder)
    }
}

fn walk(members: Vec<(String, Tree)>, scope: Scope, seen: &mut Vec<Seen>) {
    for (name, tree) in members {
        let (members, value) = match tree {
            Tree::Object(members) => (members, Value::Object(Map::new())),
            Tree::Other(value) => (Vec::new(), value),
        };
        let below = match (scope, name.as_str()) {
            (Scope::Root, "data") => Some(Scope::Data),
            (Scope::Data, "object") => Some(Scope::DataObject),
            _ => None,
        };
        if name.len() <= MAX_NAME {
            seen.push((scope, name, value));
        }
        if let Some(below) = below {
            walk(members, below, seen);
        }
    }
}
