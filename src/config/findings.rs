//! What a check has found: problems, which stop the start, and warnings, which do not.
//!
//! In: a key path and a sentence. Out: one line each, section by section. A line never repeats a configured value: any
//! of them may be a secret that stands in the wrong place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The tables of a configuration, in the order of `config.example.toml`.
const SECTIONS: [&str; 6] = ["listener", "admin", "log", "bus", "journal", "sources"];

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

impl Problems {
    /// The problems, section by section as in `config.example.toml`; what belongs to no section comes first.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Findings> for Problems {
    fn from(findings: Findings) -> Self {
        Problems(sorted(findings.problems))
    }
}

/// The collector that every part of the check writes to.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Key path -> the variable that set it.
    variables: BTreeMap<String, String>,
    /// Every key the check has asked for, as `section.key`; the example file is held against it.
    known: BTreeSet<String>,
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
        let sound = keys.iter().all(|key| self.problems.iter().all(|problem| problem.key != *key));
        if let (true, false, Some(key)) = (sound, holds, keys.first()) {
            self.problem(key, text);
        }
    }

    /// Whether a variable set this very key: then its value is text, whatever the key wants.
    pub(super) fn is_from_environment(&self, key: &str) -> bool {
        self.variables.contains_key(key)
    }

    pub(super) fn know(&mut self, key: String) {
        self.known.insert(key);
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> &BTreeSet<String> {
        &self.known
    }

    /// The warnings, when nothing is wrong. Errors: every problem.
    pub(super) fn finish(self) -> Result<Vec<Finding>, Problems> {
        if self.problems.is_empty() { Ok(sorted(self.warnings)) } else { Err(self.into()) }
    }

    fn with_variable(&self, key: &str, text: String) -> String {
        // A whole section that nobody knows may come from a variable one level below.
        let is_below = |path: &str| path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        let below = || self.variables.iter().find(|(path, _)| is_below(path));
        match self.variables.get(key).or_else(|| below().map(|(_, variable)| variable)) {
            Some(variable) => format!("{text} (set by {variable})"),
            None => text,
        }
    }
}

/// Brings together what the passes of the check found in one section; inside it, a pass has the file's order already.
fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| {
        let section = finding.key.split(['.', '[']).next().unwrap_or_default();
        let index = finding.key.strip_prefix("sources[").and_then(|rest| rest.split(']').next()?.parse::<usize>().ok());
        (SECTIONS.iter().position(|name| *name == section), index)
    });
    findings
}
