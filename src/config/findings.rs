//! What a check has found: problems, which stop the start, and warnings, which do not.
//!
//! In: a key path and a sentence. Out: one line each, section by section. A line never repeats a configured value: any
//! of them may be a secret that stands in the wrong place.

use std::{collections::BTreeMap, fmt};

/// One line about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a key path such as `sources[0].tolerance`, or the file's own path.
    pub key: String,
    /// What is wrong and what to do; for a key set by the environment with the variable's name.
    pub text: String,
}

/// `key: text`, on one line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}

/// Everything that is wrong with a configuration; never empty. Its text is one line per problem, without a final
/// newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Finding>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Problems {}

impl From<Findings> for Problems {
    fn from(findings: Findings) -> Self {
        Problems(findings.problems)
    }
}

/// The collector that every part of the check writes to.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Key path -> the variable that set it.
    variables: BTreeMap<String, String>,
    /// The tables of a configuration, in the order of their rows.
    sections: Vec<&'static str>,
}

impl Findings {
    pub(super) fn new(variables: BTreeMap<String, String>) -> Self {
        Findings { variables, ..Findings::default() }
    }

    pub(super) fn problem(&mut self, key: &str, text: impl Into<String>) {
        let text = self.with_variable(key, text.into());
        self.problems.push(Finding { key: key.into(), text });
    }

    pub(super) fn warning(&mut self, key: &str, text: impl Into<String>) {
        let text = self.with_variable(key, text.into());
        self.warnings.push(Finding { key: key.into(), text });
    }

    /// A rule over several keys. It blames the first, and is silent when one of them already has a problem, since a
    /// value that stands in for a bad one proves nothing.
    pub(super) fn rule(&mut self, keys: &[&str], holds: bool, text: impl Into<String>) {
        if let (true, false, Some(key)) = (self.are_sound(keys), holds, keys.first()) {
            self.problem(key, text);
        }
    }

    /// Whether no key, and no table that one stands in, has a problem, so that the values are the operator's.
    pub(super) fn are_sound(&self, keys: &[&str]) -> bool {
        let is_at = |key: &str, problem: &str| {
            key.strip_prefix(problem).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.problems.iter().all(|problem| !keys.iter().any(|key| is_at(key, &problem.key)))
    }

    /// Whether a variable set this very key: then its value is text, whatever the key wants.
    pub(super) fn is_from_environment(&self, key: &str) -> bool {
        self.variables.contains_key(key)
    }

    /// Names the sections, in the order in which they are to be reported.
    pub(super) fn order(&mut self, sections: Vec<&'static str>) {
        self.sections = sections;
    }

    /// The warnings, when nothing is wrong. Errors: every problem. Both section by section: what the passes of the check
    /// found in one comes together, and a pass has the order of the rows already.
    pub(super) fn finish(mut self) -> Result<Vec<Finding>, Problems> {
        for findings in [&mut self.problems, &mut self.warnings] {
            findings.sort_by_key(|finding| {
                let section = finding.key.split(['.', '[']).next().unwrap_or_default();
                let element =
                    finding.key.split_once('[').and_then(|(_, rest)| rest.split(']').next()?.parse::<usize>().ok());
                (self.sections.iter().position(|name| *name == section), element)
            });
        }
        if self.problems.is_empty() { Ok(self.warnings) } else { Err(self.into()) }
    }

    fn with_variable(&self, key: &str, text: String) -> String {
        // An unknown section may come from a variable one level below.
        let is_below = |path: &str| path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        let below = || self.variables.iter().find(|(path, _)| is_below(path));
        match self.variables.get(key).or_else(|| below().map(|(_, variable)| variable)) {
            Some(variable) => format!("{text} (set by {variable})"),
            None => text,
        }
    }
}

/// The full path of a key. A key that TOML itself would quote is quoted.
pub(super) fn join(table: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if table.is_empty() { key } else { format!("{table}.{key}") }
}
