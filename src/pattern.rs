//! Subject patterns as in NATS: `*` stands for one token, a final `>` for one or more.

use std::{fmt, str::FromStr};

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<String>,
}

impl Pattern {
    /// Whether a subject matches.
    pub fn matches(&self, subject: &str) -> bool {
        let mut subject = subject.split('.');
        for token in &self.tokens {
            match (token.as_str(), subject.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(found)) if wanted == found => {}
                _ => return false,
            }
        }
        subject.next().is_none()
    }
}

/// As it is written.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tokens.join("."))
    }
}

/// Errors say what is wrong, for the command line.
impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let tokens: Vec<_> = text.split('.').map(str::to_owned).collect();
        let last = tokens.len() - 1;
        for (place, token) in tokens.iter().enumerate() {
            match token.as_str() {
                "" => return Err("empty token".into()),
                ">" if place < last => return Err("`>` stands only at the end".into()),
                "*" | ">" => {}
                word if word.contains(['*', '>']) || word.contains(char::is_whitespace) => {
                    return Err(format!("`{word}`: `*` and `>` are whole tokens, and there is no white space"));
                }
                _ => {}
            }
        }
        Ok(Pattern { tokens })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
