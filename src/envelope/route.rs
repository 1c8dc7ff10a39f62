//! Routing: which subject (or topic) an event goes to.
//!
//! In: the configured template and an event. Out: a subject made of the documented alphabet only. Whatever a body says,
//! it reaches a subject only through [`is_routable`](crate::subject::is_routable) (P6).

use std::{fmt, str::FromStr};

use crate::{source::Identity, subject::is_token, vendors::Vendor};

/// A subject template such as `webhooks.{vendor}.{type}`, parsed once at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
    routes_unknown: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Vendor,
    Source,
    Tenant,
    Type,
    Category,
}

/// The placeholders.
const FIELDS: [(&str, Field); 5] = [
    ("vendor", Field::Vendor),
    ("source", Field::Source),
    ("tenant", Field::Tenant),
    ("type", Field::Type),
    ("category", Field::Category),
];

/// A subject (or topic) that is written where it is wanted, and nowhere before.
#[derive(Debug, Clone, Copy)]
pub enum Address<'a> {
    /// That of a source's event type.
    OfType(&'a Template, &'a Identity, &'a str),
    /// One that a vendor's events share.
    Fixed(&'a str, &'static str),
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Address::OfType(template, source, event_type) => template.write(source, event_type, f),
            Address::Fixed(vendor, last) => {
                ["webhooks.", vendor, ".", last].into_iter().try_for_each(|part| f.write_str(part))
            }
        }
    }
}

/// Where a vendor's events go that have no subject, or no topic, of their own.
pub fn catch_all(vendor: &str) -> Address<'_> {
    Address::Fixed(vendor, "unknown")
}

/// Where a vendor's events go that cannot be read.
pub fn quarantine(vendor: &str) -> Address<'_> {
    Address::Fixed(vendor, "quarantine")
}

impl Template {
    /// Whether it also gives subjects to routable types that no catalogue lists (`bus.unknown_types`).
    #[must_use]
    pub fn routing_unknown(self, routes_unknown: bool) -> Self {
        Template { routes_unknown, ..self }
    }

    /// See [`Template::routing_unknown`].
    pub fn routes_unknown(&self) -> bool {
        self.routes_unknown
    }

    /// The subject of a source's event. `{tenant}` is `none` without one, `{category}` the type's first token.
    pub fn render<'a>(&'a self, source: &'a Identity, event_type: &'a str) -> Address<'a> {
        Address::OfType(self, source, event_type)
    }

    fn write(&self, source: &Identity, event_type: &str, out: &mut impl fmt::Write) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| {
            out.write_str(match piece {
                Piece::Text(text) => text,
                Piece::Field(Field::Vendor) => source.vendor.as_str(),
                Piece::Field(Field::Source) => &source.name,
                Piece::Field(Field::Tenant) => source.tenant.as_deref().unwrap_or("none"),
                Piece::Field(Field::Type) => event_type,
                Piece::Field(Field::Category) => event_type.split('.').next().unwrap_or_default(),
            })
        })
    }
}

impl Default for Template {
    fn default() -> Self {
        Template {
            text: "webhooks.{vendor}.{type}".into(),
            pieces: vec![
                Piece::Text("webhooks.".into()),
                Piece::Field(Field::Vendor),
                Piece::Text(".".into()),
                Piece::Field(Field::Type),
            ],
            routes_unknown: false,
        }
    }
}

/// Errors say what is wrong with the template, in words for the operator.
impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) = after.split_once('}').ok_or("a `{` without its `}`")?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            let (_, field) = FIELDS.into_iter().find(|(known, _)| *known == name).ok_or_else(|| {
                format!("unknown placeholder `{{{name}}}`: use vendor, source, tenant, type or category")
            })?;
            pieces.push(Piece::Field(field));
            rest = tail;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        let template = Template { text: text.into(), pieces, routes_unknown: false };
        let probe = Identity {
            vendor: Vendor::ALL[0],
            name: "s".into(),
            ce_source: String::new(),
            tenant: None,
            environment: "test".into(),
        };
        if template.render(&probe, "a.b").to_string().split('.').all(is_token) {
            Ok(template)
        } else {
            Err("a subject is made of tokens of letters, digits, `_` and `-`, with single dots between".into())
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_renders_prints_and_refuses() {
        let template: Template = "webhooks.{vendor}.{tenant}.{source}.{category}".parse().unwrap();
        let source = Identity {
            vendor: Vendor::Audit1,
            name: "acme".into(),
            ce_source: String::new(),
            tenant: None,
            environment: "test".into(),
        };
        assert_eq!(template.render(&source, "file.failed").to_string(), "webhooks.audit1.none.acme.file");
        assert_eq!(template.to_string(), "webhooks.{vendor}.{tenant}.{source}.{category}");
        assert_eq!("webhooks.{vendor}.{type}".parse(), Ok(Template::default()));
        for bad in ["webhooks.{nope}", "a..{type}", "a.{type", "$JS.{type}", "a b", "", "{type}.>"] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
    }
}
