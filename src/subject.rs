//! Subjects: the alphabet of an event type that may become part of one, and patterns as in NATS (`*` stands for one token,
//! a final `>` for one or more).

use std::{fmt, str::FromStr};

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

/// Whether a text may be one token of a subject that is written out: no pattern.
pub fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Whether every subject of `wanted`, itself a subject or a pattern, is one of `pattern`.
pub fn covers(pattern: &str, wanted: &str) -> bool {
    let mut wanted = wanted.split('.');
    for token in pattern.split('.') {
        match (token, wanted.next()) {
            (">", Some(_)) => return true,
            (_, None | Some(">")) => return false,
            ("*", Some(_)) => {}
            (token, Some(wanted)) if token == wanted => {}
            _ => return false,
        }
    }
    wanted.next().is_none()
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Matches every subject.
    pub fn all() -> Self {
        Pattern(">".into())
    }

    /// Whether a subject matches.
    pub fn matches(&self, subject: &str) -> bool {
        covers(&self.0, subject)
    }
}

/// As it is written.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Errors say what is wrong, for the command line.
impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut tokens = text.split('.').peekable();
        while let Some(token) = tokens.next() {
            match token {
                "" => return Err("empty token".into()),
                ">" if tokens.peek().is_some() => return Err("`>` stands only at the end".into()),
                "*" | ">" => {}
                word if word.contains(['*', '>']) || word.contains(char::is_whitespace) => {
                    return Err(format!("`{word}`: `*` and `>` are whole tokens, and there is no white space"));
                }
                _ => {}
            }
        }
        Ok(Pattern(text.into()))
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
    fn patterns_cover_what_nats_says() {
        for (pattern, wanted) in [
            (">", "a"),
            (">", ">"),
            ("a.>", "a.b"),
            ("a.>", "a.b.c"),
            ("a.>", "a.>"),
            ("a.>", "a.*.>"),
            ("a.*", "a.b"),
            ("a.*", "a.*"),
            ("*.*.>", "a.b.c.>"),
            ("a.b", "a.b"),
        ] {
            assert!(covers(pattern, wanted), "{pattern} {wanted}");
        }
        for (pattern, wanted) in
            [("a.>", "a"), ("a.*", "a.b.c"), ("a.*", "a.>"), ("a.b", "a.*"), ("a", "b"), ("a.*.c", "a.b"), ("a.*", ">")]
        {
            assert!(!covers(pattern, wanted), "{pattern} {wanted}");
        }
    }

    #[test]
    fn matches_as_nats_does() {
        let cases = [
            (">", "a", true),
            (">", "a.b.c", true),
            ("a.>", "a", false),
            ("a.>", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a", "a.b", false),
        ];
        for (pattern, subject, expected) in cases {
            assert_eq!(pattern.parse::<Pattern>().unwrap().matches(subject), expected, "{pattern} {subject}");
        }
        for bad in ["", "a..b", ">.a", "a*", "a b"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
