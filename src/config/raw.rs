//! The raw tree: the TOML file with the environment on top, before anything is checked.
//!
//! In: a path and the variables of the environment. Out: figment's merged tree and the list of keys that variables set.
//! It never gives a value a type by its looks (figment's own provider turns `12345` into a number and prints it when
//! text was wanted), and never fails without saying where.

use std::{collections::BTreeMap, path::Path};

use figment::{
    Figment, Profile, Provider as _,
    error::Kind,
    providers::{Format as _, Serialized, Toml},
    value::{Dict, Value},
};

use super::findings::{Findings, Problems};

/// What a variable begins with to be ours. One underscore is not enough: Kubernetes sets `HOOKBUS_PORT` and its like
/// for every service of that name.
const PREFIX: &str = "HOOKBUS__";

/// Between sections and the key, since single underscores are part of both.
const SEPARATOR: &str = "__";

/// The one table whose keys are another program's: librdkafka spells them with dots, which no variable can have.
const DOTTED: [&str; 3] = ["bus", "kafka", "properties"];

/// Reads and merges both layers. Errors: the file cannot be read or is no TOML, after what is wrong with the variables.
pub(super) fn read(
    path: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Dict, Findings), Problems> {
    let (layer, mut findings) = sort(environment);
    // Read here and not by figment, so that a missing file and a file that is no TOML give different problems.
    let merged = std::fs::read_to_string(path)
        .map_err(|error| format!("the configuration file cannot be read: {error}"))
        .and_then(|text| {
            let merged = Figment::from(Toml::string(&text)).merge(Serialized::defaults(layer)).data();
            merged.map_err(|error| syntax(&error.kind))
        });
    match merged {
        Ok(mut profiles) => Ok((profiles.remove(&Profile::Default).unwrap_or_default(), findings)),
        Err(text) => {
            findings.problem(&path.display().to_string().escape_debug().to_string(), text);
            Err(findings.into())
        }
    }
}

/// The TOML reader's message on one line, without the line of the file that it quotes.
fn syntax(kind: &Kind) -> String {
    let Kind::Message(message) = kind else {
        return "the configuration file is not TOML".into();
    };
    let is_quote = |line: &&str| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|');
    let kept: Vec<&str> = message.lines().filter(|line| !is_quote(line) && !line.trim().is_empty()).collect();
    kept.join(": ").escape_debug().to_string()
}

/// Takes our variables out of the environment: a layer with text at each one's key, or at its section when it names no
/// key. Those that cannot be a key are problems at once.
fn sort(environment: impl IntoIterator<Item = (String, String)>) -> (Dict, Findings) {
    let (mut layer, mut variables, mut stray) = (Dict::new(), BTreeMap::new(), Vec::new());
    // Sorted, so that the lines do not depend on the order in which a process was handed its environment.
    for (variable, value) in environment.into_iter().collect::<BTreeMap<_, _>>() {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        match place(name) {
            Ok(path) => {
                insert(&mut layer, &path, value);
                variables.insert(dotted(&path), variable);
            }
            Err(text) => stray.push((variable.escape_debug().to_string(), text)),
        }
    }
    let mut findings = Findings::new(variables);
    stray.into_iter().for_each(|(variable, text)| findings.problem(&variable, text));
    (layer, findings)
}

/// The sections and the key that a variable's name (without the prefix) stands for.
fn place(name: &str) -> Result<Vec<String>, &'static str> {
    if !name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
        return Err("a variable is written HOOKBUS__SECTION__KEY, in upper case; rename or unset it");
    }
    let mut path: Vec<String> = name.to_ascii_lowercase().split(SEPARATOR).map(Into::into).collect();
    if path.first().is_some_and(|section| section == "sources") {
        return Err("sources come only from the file's [[sources]] tables; unset it");
    }
    if path.iter().any(String::is_empty) {
        return Err("a variable is written HOOKBUS__SECTION__KEY; this one names no key; rename or unset it");
    }
    if let [sections @ .., key] = path.as_mut_slice()
        && sections == DOTTED
    {
        *key = key.replace('_', ".");
    }
    Ok(path)
}

/// The key path as a finding names it.
fn dotted(path: &[String]) -> String {
    match path {
        [sections @ .., key] if sections == DOTTED => format!("{}.{key:?}", sections.join(".")),
        path => path.join("."),
    }
}

fn insert(sections: &mut Dict, path: &[String], value: String) {
    match path {
        [] => {}
        [key] => {
            sections.insert(key.clone(), Value::from(value));
        }
        [section, rest @ ..] => {
            let entry = sections.entry(section.clone()).or_insert_with(|| Value::from(Dict::new()));
            // A variable that took the whole section sorts first and is reported by the check; what would stand below is not.
            if let Value::Dict(_, keys) = entry {
                insert(keys, rest, value);
            }
        }
    }
}
