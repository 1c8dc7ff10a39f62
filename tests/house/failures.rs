//! `tests/failures.md` keeps its word: each test that it names is there, each row has a test or says why it has none, and
//! no failure and no threat of the numbered lists is without a row.

use std::{collections::BTreeSet, fs, path::Path};

use super::tests_by_name;

const TABLE: &str = include_str!("../failures.md");
/// How a row begins that one machine cannot show.
const NOT_HERE: &str = "Not here: ";

/// One row: the fault, and what shows it.
struct Row<'t> {
    fault: &'t str,
    shown_by: &'t str,
}

fn rows(table: &str) -> impl Iterator<Item = Row<'_>> {
    table.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [fault, _, shown_by] = cells[..] else { panic!("not three cells: {line}") };
        (shown_by != "test").then_some(Row { fault, shown_by })
    })
}

impl<'t> Row<'t> {
    /// `F43, T20: what fails` has two numbers; a fault that is in neither list has none.
    fn numbers(&self) -> impl Iterator<Item = &'t str> + use<'t> {
        let before = self.fault.split_once(": ").map_or("", |(numbers, _)| numbers);
        before.split(", ").filter(|number| {
            let digits = number.strip_prefix(['F', 'T']).unwrap_or_default();
            !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
        })
    }

    /// What is wrong with the row, in words.
    fn problem(&self, tests: &BTreeSet<String>) -> Option<String> {
        let quoted = self.shown_by.split('`').skip(1).step_by(2);
        let (names, others): (Vec<&str>, Vec<&str>) = quoted.partition(|quoted| quoted.contains("::"));
        let files: Vec<_> = others.into_iter().filter(|file| file.contains('/') || file.contains(": ")).collect();
        if let Some(gone) = names.iter().find(|name| !tests.contains(**name)) {
            return Some(format!("{}: there is no test {gone}", self.fault));
        }
        if let Some(gone) = files.iter().find(|file| !says(file)) {
            return Some(format!("{}: there is no {gone}", self.fault));
        }
        let is_shown = !names.is_empty() || !files.is_empty() || self.shown_by.starts_with(NOT_HERE);
        (!is_shown).then(|| format!("{}: no test and no reason", self.fault))
    }
}

/// Whether there is such a file, and in it the words behind `file: `: the name of a test that is not Rust.
fn says(quoted: &str) -> bool {
    let (file, words) = quoted.split_once(": ").unwrap_or((quoted, ""));
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).is_ok_and(|text| text.contains(words))
}

fn problems(table: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let there: BTreeSet<_> = rows(table).flat_map(|row| row.numbers()).collect();
    let wanted = (1..=44).map(|number| format!("F{number}")).chain((1..=36).map(|number| format!("T{number}")));
    let missing = wanted.filter(|number| !there.contains(number.as_str())).map(|number| format!("no row for {number}"));
    rows(table).filter_map(|row| row.problem(tests)).chain(missing).collect()
}

#[test]
fn each_failure_has_a_test_that_is_there() {
    let tests = tests_by_name::all();
    println!("{} rows, {} tests in the sources", rows(TABLE).count(), tests.len());
    assert_eq!(problems(TABLE, &tests), Vec::<String>::new());
}

#[test]
fn a_renamed_test_a_missing_row_and_a_row_without_a_reason_are_seen() {
    let tests = tests_by_name::all();
    let first = rows(TABLE).find(|row| row.shown_by.contains("::")).unwrap().shown_by.split('`').nth(1).unwrap();
    let mut renamed = tests.clone();
    assert!(renamed.remove(first));
    assert!(problems(TABLE, &renamed)[0].ends_with(first));

    let without: String = TABLE.lines().filter(|line| !line.starts_with("| F32: ")).collect::<Vec<_>>().join("\n");
    assert_eq!(problems(&without, &tests), ["no row for F32"]);
    for (cell, problem) in [
        ("no words", Some("X: no test and no reason")),
        ("`src/lib.rs`", None),
        ("`src/lib.rs: Map of the house`", None),
        ("`src/lib.rs: Map of the garden`", Some("X: there is no src/lib.rs: Map of the garden")),
        ("`src/nothing.rs`", Some("X: there is no src/nothing.rs")),
        ("Not here: it needs two machines", None),
    ] {
        let found = Row { fault: "X", shown_by: cell }.problem(&tests);
        assert_eq!(found.as_deref(), problem, "{cell}");
    }
}
