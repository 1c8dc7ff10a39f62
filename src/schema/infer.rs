//! The structure of a documented body, learnt from its samples.
//!
//! In: JSON texts. Out: a schema that says which members were seen with values of which types. It demands none of them
//! and forbids no other: the vendors add members, and leave some out.

use serde_json::{Map, Value, json};

/// Most examples that are kept of one text.
const EXAMPLES: usize = 2;

/// What the samples show of one value.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    types: Vec<&'static str>,
    members: Vec<(String, Shape)>,
    items: Option<Box<Shape>>,
    examples: Vec<String>,
}

impl Shape {
    /// Learns from one more sample.
    pub(super) fn learn(&mut self, sample: &Value) {
        let kind = kind(sample);
        if !self.types.contains(&kind) {
            self.types.push(kind);
        }
        match sample {
            Value::Object(members) => {
                for (name, value) in members {
                    self.member(name).learn(value);
                }
            }
            Value::Array(items) => {
                let shape = self.items.get_or_insert_default();
                items.iter().for_each(|item| shape.learn(item));
            }
            Value::String(text) => {
                if self.examples.len() < EXAMPLES && !self.examples.contains(text) {
                    self.examples.push(text.clone());
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn member(&mut self, name: &str) -> &mut Shape {
        let place = self.members.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.members.push((name.to_owned(), Shape::default()));
            self.members.len() - 1
        });
        &mut self.members[place].1
    }

    /// The members, each with the types of its values.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &[&'static str])> {
        self.members.iter().map(|(name, shape)| (name.as_str(), shape.types()))
    }

    /// The schema.
    pub(super) fn schema(&self) -> Map<String, Value> {
        let mut schema = Map::new();
        match self.types() {
            [] => {}
            [one] => drop(schema.insert("type".into(), (*one).into())),
            several => drop(schema.insert("type".into(), several.into())),
        }
        if !self.examples.is_empty() {
            schema.insert("examples".into(), json!(self.examples));
        }
        if !self.members.is_empty() {
            let members = self.members.iter().map(|(name, shape)| (name.clone(), shape.schema().into()));
            schema.insert("properties".into(), Value::Object(members.collect()));
        }
        if let Some(items) = &self.items {
            schema.insert("items".into(), items.schema().into());
        }
        schema
    }

    /// A value that was only ever `null` can be anything; a number that was ever printed with a fraction is no integer.
    fn types(&self) -> &[&'static str] {
        if self.types == ["null"] { &[] } else { &self.types }
    }
}

/// A number is what the vendor prints: `4500.00` is no integer, though its value is one.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(samples: &[&str]) -> Value {
        let mut shape = Shape::default();
        samples.iter().for_each(|sample| shape.learn(&serde_json::from_str(sample).unwrap()));
        shape.schema().into()
    }

    #[test]
    fn members_types_and_items_are_those_that_were_seen() {
        let learnt = shape(&[r#"{"a":1,"b":"x","c":[1.50],"d":null}"#, r#"{"a":"y","b":"z","c":[],"e":{"f":true}}"#]);
        let expected = json!({"type": "object", "properties": {
            "a": {"type": ["integer", "string"], "examples": ["y"]},
            "b": {"type": "string", "examples": ["x", "z"]},
            "c": {"type": "array", "items": {"type": "number"}},
            "d": {},
            "e": {"type": "object", "properties": {"f": {"type": "boolean"}}},
        }});
        assert_eq!(learnt, expected);
    }

    #[test]
    fn what_is_null_once_may_be_null_again() {
        assert_eq!(shape(&[r#"{"a":null}"#, r#"{"a":{}}"#])["properties"]["a"]["type"], json!(["null", "object"]));
    }
}
