//! The tests in the sources, by the names under which `cargo test` prints them: those of the library as they are, those
//! of another binary or crate behind its name. An ignored test shows nothing, and is left out.

use std::{collections::BTreeSet, fs, path::Path};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Folders of sources, and the names of their binaries or crates.
const ROOTS: [(&str, &str); 5] = [
    ("src", ""),
    ("crates/journal/src", "journal"),
    ("crates/log-once/src", "log_once"),
    ("tests/it", "it"),
    ("tests/house", "house"),
];

pub fn all() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for (folder, name) in ROOTS {
        let mut at: Vec<String> = (!name.is_empty()).then(|| name.to_owned()).into_iter().collect();
        read_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut at, &mut tests);
    }
    tests
}

fn read_folder(folder: &Path, at: &mut Vec<String>, tests: &mut BTreeSet<String>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let depth = at.len();
        if path.is_dir() {
            at.push(stem);
            read_folder(&path, at, tests);
        } else if path.extension().is_some_and(|end| end == "rs") {
            at.extend((!["lib", "main", "mod"].contains(&stem.as_str())).then_some(stem));
            gather(fs::read_to_string(&path).unwrap().parse().unwrap(), at, tests);
        }
        at.truncate(depth);
    }
}

/// Every `#[test] fn`, also inside a macro's braces.
fn gather(code: TokenStream, at: &mut Vec<String>, tests: &mut BTreeSet<String>) {
    let (mut is_test, mut is_ignored) = (false, false);
    // The last two words: `mod name`, `fn name`.
    let (mut keyword, mut name) = (String::new(), String::new());
    for token in code {
        match token {
            TokenTree::Ident(word) => {
                keyword = std::mem::replace(&mut name, word.to_string());
                if keyword == "fn" {
                    if is_test && !is_ignored {
                        tests.insert(at.iter().chain([&name]).cloned().collect::<Vec<_>>().join("::"));
                    }
                    (is_test, is_ignored) = (false, false);
                }
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
                let attribute = group.stream().to_string().replace(' ', "");
                let path = attribute.split('(').next().unwrap_or_default();
                is_test |= path == "test" || path.ends_with("::test");
                is_ignored |= path.starts_with("ignore");
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let is_module = keyword == "mod";
                at.extend(is_module.then(|| name.clone()));
                gather(group.stream(), at, tests);
                at.truncate(at.len() - usize::from(is_module));
                (keyword, name) = (String::new(), String::new());
            }
            _ => {}
        }
    }
}

#[test]
fn tests_are_found_in_modules_and_macros_and_not_when_ignored() {
    let code = "#[test] fn a() {} mod b { #[tokio::test(start_paused = true)] async fn c() {} fn d() {} }
        m! { #[test] fn e(x in 0..9) {} } #[test] #[ignore = \"slow\"] fn f() {} #[test] /// Why.\nfn g() {}";
    let mut tests = BTreeSet::new();
    gather(code.parse().unwrap(), &mut vec!["it".to_owned()], &mut tests);
    assert_eq!(tests.into_iter().collect::<Vec<_>>(), ["it::a", "it::b::c", "it::e", "it::g"]);
}
