//! Routing: which subject (or topic) an event goes to.
//!
//! In: the configured template and an event. Out: a subject made of the documented alphabet only. Whatever a body says,
//! it reaches a subject only through [`is_routable`] (P6).

use std::{fmt::Write as _, str::FromStr};

/// Most bytes of a routable type.
pub const MAX_TYPE_BYTES: usize = 128;
/// Most dot-separated tokens of a routable type.
pub const MAX_TYPE_TOKENS: usize = 8;

/// Whether a vendor's event type may become part of a subject: `[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,7}`, at most 128 bytes.
pub fn is_routable(event_type: &str) -> bool {
    event_type.len() <= MAX_TYPE_BYTES
        && event_type.split('.').count() <= MAX_TYPE_TOKENS
        && event_type.split('.').all(is_token)
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// A subject template such as `webhooks.{vendor}.{type}`, parsed once at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
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

/// What a template's placeholders stand for in one event.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// `{vendor}`.
    pub vendor: &'a str,
    /// `{source}`: the source's name.
    pub source: &'a str,
    /// `{tenant}`: the configured tenant, `none` without one.
    pub tenant: Option<&'a str>,
    /// `{type}`: a routable type; `{category}` is its first token.
    pub event_type: &'a str,
}

/// Where a vendor's events go that have no subject, or no topic, of their own.
pub fn catch_all(vendor: &str) -> String {
    fixed(vendor, "unknown")
}

/// Where a vendor's events go that cannot be read.
pub fn quarantine(vendor: &str) -> String {
    fixed(vendor, "quarantine")
}

fn fixed(vendor: &str, last: &str) -> String {
    ["webhooks.", vendor, ".", last].concat()
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

    /// The subject of one event.
    pub fn render(&self, fields: Fields<'_>) -> String {
        let mut subject = String::with_capacity(96);
        for piece in &self.pieces {
            subject.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Field(Field::Vendor) => fields.vendor,
                Piece::Field(Field::Source) => fields.source,
                Piece::Field(Field::Tenant) => fields.tenant.unwrap_or("none"),
                Piece::Field(Field::Type) => fields.event_type,
                Piece::Field(Field::Category) => fields.event_type.split('.').next().unwrap_or_default(),
            });
        }
        subject
    }
}

impl Default for Template {
    fn default() -> Self {
        Template {
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
            pieces.push(Piece::Field(match name {
                "vendor" => Field::Vendor,
                "source" => Field::Source,
                "tenant" => Field::Tenant,
                "type" => Field::Type,
                "category" => Field::Category,
                other => {
                    return Err(format!(
                        "unknown placeholder `{{{other}}}`: use vendor, source, tenant, type or category"
                    ));
                }
            }));
            rest = tail;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        let template = Template { pieces, routes_unknown: false };
        let probe = template.render(Fields { vendor: "v", source: "s", tenant: Some("t"), event_type: "a.b" });
        if probe.split('.').all(is_token) {
            Ok(template)
        } else {
            Err("a subject is made of tokens of letters, digits, `_` and `-`, with single dots between".into())
        }
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Field(field) => {
                let name = match field {
                    Field::Vendor => "vendor",
                    Field::Source => "source",
                    Field::Tenant => "tenant",
                    Field::Type => "type",
                    Field::Category => "category",
                };
                f.write_char('{')?;
                f.write_str(name)?;
                f.write_char('}')
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routable_types_are_the_documented_alphabet() {
        for good in ["policy.active", "policy.active.media", "a", "A-b_c.9", "a.b.c.d.e.f.g.h", &"x".repeat(128)] {
            assert!(is_routable(good), "{good}");
        }
        let long = "x".repeat(129);
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "*",
            ">",
            "a b",
            "a\0",
            "a\r\nb",
            "é",
            "a\u{202e}b",
            "$JS.API.STREAM.PURGE.X",
            "a.b.c.d.e.f.g.h.i",
            &long,
            "a/b",
        ] {
            assert!(!is_routable(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_template_renders_prints_and_refuses() {
        let template: Template = "webhooks.{vendor}.{tenant}.{source}.{category}".parse().unwrap();
        let fields = Fields { vendor: "audit1", source: "acme", tenant: None, event_type: "file.failed" };
        assert_eq!(template.render(fields), "webhooks.audit1.none.acme.file");
        assert_eq!(template.to_string(), "webhooks.{vendor}.{tenant}.{source}.{category}");
        assert_eq!("webhooks.{vendor}.{type}".parse(), Ok(Template::default()));
        for bad in ["webhooks.{nope}", "a..{type}", "a.{type", "$JS.{type}", "a b", "", "{type}.>"] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
    }
}
