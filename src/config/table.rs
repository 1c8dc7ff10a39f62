//! A table of the raw tree and the rows that read it. A bad value becomes a problem and its default, so that reading goes
//! on and every problem is found. A key that no row has asked for is unknown, at every level.

use figment::value::{Dict, Value};

use super::{
    findings::{Findings, join},
    key::{Key, Presence, Raw, kind},
};

/// What is done with the rows of a section, one after the other: they are read, or written into the example.
pub(super) trait Rows {
    /// A key. Returns what its field in the struct shall be.
    fn key<T: 'static>(&mut self, name: &'static str, doc: &[&str], key: Key<T>) -> T;
    /// A part. Returns what its field in the struct shall be.
    fn part<P: Part>(&mut self, name: &'static str, doc: &[&str]) -> P;
}

/// A table, or several, under one name: what `section!` makes, and what can be made of that.
pub(super) trait Part: Sized {
    /// Goes through its rows.
    fn walk(rows: &mut impl Rows) -> Self;

    /// Reads it. `value` is what the file and the environment say, `path` where it stands, such as `bus.nats`.
    fn read(value: Option<&Value>, path: &str, findings: &mut Findings) -> Self {
        let keys = dict(value, path, findings);
        let mut table = Table { keys, path, asked: Vec::new(), findings };
        let part = Self::walk(&mut table);
        table.finish();
        part
    }

    /// What it is when the configuration says nothing of it.
    fn absent() -> Self {
        Self::read(None, "", &mut Findings::default())
    }

    /// The line that begins it in a file.
    fn header(path: &str) -> String {
        format!("[{path}]")
    }
}

/// A section that may be absent. The example has it.
impl<P: Part> Part for Option<P> {
    fn walk(rows: &mut impl Rows) -> Self {
        Some(P::walk(rows))
    }

    fn read(value: Option<&Value>, path: &str, findings: &mut Findings) -> Self {
        value.map(|value| P::read(Some(value), path, findings))
    }
}

/// A list of sections, at least one.
impl<P: Part> Part for Vec<P> {
    fn walk(rows: &mut impl Rows) -> Self {
        vec![P::walk(rows)]
    }

    fn read(value: Option<&Value>, path: &str, findings: &mut Findings) -> Self {
        let header = Self::header(path);
        let problem = match value {
            Some(Value::Array(_, tables)) if !tables.is_empty() => {
                let element = |(index, table)| P::read(Some(table), &format!("{path}[{index}]"), findings);
                return tables.iter().enumerate().map(element).collect();
            }
            None | Some(Value::Array(..)) => format!("at least one is required; add a {header} table"),
            Some(Value::Dict(..)) => format!("must be a list of tables; write {header} with two brackets"),
            Some(other) => format!("must be a list of {header} tables, not {}", kind(other)),
        };
        findings.problem(path, problem);
        Vec::new()
    }

    fn header(path: &str) -> String {
        format!("[[{path}]]")
    }
}

/// The keys of a table; a value that is none is a problem.
pub(super) fn dict<'a>(value: Option<&'a Value>, path: &str, findings: &mut Findings) -> Option<&'a Dict> {
    let other = match value? {
        Value::Dict(_, keys) => return Some(keys),
        other => kind(other),
    };
    let text = match path.strip_suffix(']').and_then(|element| element.split_once('[')) {
        Some((list, _)) => format!("must be a [[{list}]] table, not {other}"),
        None => format!("must be a table, [{path}], not {other}"),
    };
    findings.problem(path, text);
    None
}

/// A table under its key path.
struct Table<'a, 'f> {
    /// `None` = there is no such table.
    keys: Option<&'a Dict>,
    /// Where it stands, such as `sources[0]`; empty for the root.
    path: &'a str,
    asked: Vec<&'static str>,
    findings: &'f mut Findings,
}

impl<'a> Table<'a, '_> {
    /// The raw value of a key, which from now on is known.
    fn raw(&mut self, key: &'static str) -> Option<&'a Value> {
        self.asked.push(key);
        self.keys?.get(key)
    }

    /// Every key that no row has asked for is a problem.
    fn finish(self) {
        for key in self.keys.into_iter().flat_map(Dict::keys).filter(|key| !self.asked.contains(&key.as_str())) {
            let text = match nearest(key, &self.asked) {
                Some(known) => format!("unknown key; did you mean `{known}`?"),
                None => "unknown key; remove it or correct its name".into(),
            };
            self.findings.problem(&join(self.path, key), text);
        }
        if self.path.is_empty() {
            self.findings.order(self.asked);
        }
    }
}

impl Rows for Table<'_, '_> {
    fn key<T: 'static>(&mut self, name: &'static str, _: &[&str], key: Key<T>) -> T {
        let path = join(self.path, name);
        let from_environment = self.findings.is_from_environment(&path);
        let problem = match (self.raw(name), &key.presence) {
            (Some(value), _) => match key.read(Raw { value, from_environment }) {
                Ok(value) => return value,
                Err(problem) => problem,
            },
            (None, Presence::Required(advice)) => format!("is required; {advice}"),
            (None, _) => return key.absent,
        };
        // Where a whole table is wrong, nothing in it is missing.
        self.findings.rule(&[&path], false, problem);
        key.absent
    }

    fn part<P: Part>(&mut self, name: &'static str, _: &[&str]) -> P {
        P::read(self.raw(name), &join(self.path, name), self.findings)
    }
}

/// The known key that an unknown one is most likely a slip of: at most two letters away, and most letters right.
fn nearest<'k>(unknown: &str, known: &[&'k str]) -> Option<&'k str> {
    // A key is as long as its writer likes; no known one is near a long one.
    let unknown: String = unknown.chars().take(64).collect::<String>().to_ascii_lowercase();
    let limit = 2.min(unknown.chars().count() / 3);
    let distances = known.iter().map(|key| (strsim::levenshtein(&unknown, key), *key));
    distances.filter(|(distance, _)| *distance <= limit).min().map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_key_is_suggested() {
        let known = ["max_body", "max_head", "address"];
        assert_eq!(nearest("max-body", &known), Some("max_body"));
        assert_eq!(nearest("MAX_HEAD", &known), Some("max_head"));
        assert_eq!(nearest("adress", &known), Some("address"));
        assert_eq!(nearest("timeout", &known), None);
        assert_eq!(nearest("", &known), None);
        assert_eq!(nearest(&"x".repeat(10_000), &known), None);
    }
}
