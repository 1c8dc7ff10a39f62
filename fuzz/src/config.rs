//! A configuration file, behind a line `---` the environment. Whatever it says: no panic, the same twice, problems in
//! plain text that show no secret; and a key that there is not is refused, however good the rest.

use std::{collections::BTreeSet, fs};

use hookbus::config::{Config, Loaded, Problems};

use crate::{SECRETS, fault, scratch, secret_files};

/// In the input, the folder of the secrets.
const FOLDER: &str = "secrets/";
const UNKNOWN: &str = "not_a_key = 1\n";

/// One configuration.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (file, environment) = text.split_once("\n---\n").unwrap_or((&text, ""));
    let folder = secret_files()[0].parent().expect("a folder").display().to_string();
    let file = file.replace(FOLDER, &format!("{folder}/"));
    let environment: Vec<(String, String)> = environment
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.replace(FOLDER, &format!("{folder}/"))))
        .collect();
    let loaded = load(&file, &environment);
    for line in lines(&loaded) {
        assert!(!line.contains(char::is_control), "{line:?} moves a cursor");
        let shows = |secret: &&str| line.contains(secret) && !text.contains(secret);
        assert!(!SECRETS.iter().any(shows), "{line:?} shows a secret");
    }
    match (&loaded, load(&file, &environment)) {
        (Ok(first), Ok(second)) => assert_eq!(first, &second),
        (Err(first), Err(second)) => assert_eq!(first.to_string(), second.to_string()),
        different => panic!("not the same twice: {different:?}"),
    }
    if loaded.is_ok() {
        // The planted fault: the key is passed over.
        let unknown = if fault() { "" } else { UNKNOWN };
        let refused = load(&format!("{unknown}{file}"), &environment);
        let told: BTreeSet<String> = lines(&refused).collect();
        assert!(refused.is_err() && told.iter().any(|line| line.contains("not_a_key")), "an unknown key: {told:?}");
    }
}

fn load(file: &str, environment: &[(String, String)]) -> Result<Loaded, Problems> {
    let path = scratch().join("hookbus.toml");
    fs::write(&path, file).expect("a file");
    Config::load(&path, environment.iter().cloned())
}

fn lines(loaded: &Result<Loaded, Problems>) -> impl Iterator<Item = String> {
    let text: Vec<String> = match loaded {
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
        Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
    };
    text.into_iter()
}
