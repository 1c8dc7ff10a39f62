//! The house as its source text says it: `src/lib.rs` draws floors, and imports run down only. `make house` prints the
//! floors, who imports whom, and the lines of code by room.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "a test that panics has failed, which is what it is for")]

mod arrows;
mod failures;
mod floors;
mod lines;
mod source;
mod tests_by_name;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use self::{arrows::Arrows, floors::Floors, source::Tree};

/// The rooms of one event's way, from the socket to the answer.
const PATH: [&str; 9] = ["listener", "request", "verify", "vendors", "event", "json", "envelope", "recent", "intake"];
/// What belongs to the way beside them.
const BESIDE_THE_PATH: [&str; 6] = ["clock", "endpoint", "reply", "sender", "source", "subject"];
/// Below the house.
const CRATES: [&str; 2] = ["journal", "log-once"];
/// Most lines of code of the path with delivery, their metrics aside.
const MOST_ON_THE_PATH: usize = 6_069;
/// Most lines of code of `src`.
const MOST_IN_ALL: usize = 24_558;

fn house() -> Tree {
    read("src")
}

fn read(folder: &str) -> Tree {
    Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
}

#[test]
fn imports_run_down() {
    let (tree, floors) = (house(), Floors::drawn());
    let arrows = Arrows::of(&tree);
    for (room, below) in arrows.between_rooms() {
        println!("{:>2} {room}: {}", floors.of(&room), below.iter().cloned().collect::<Vec<_>>().join(" "));
    }
    assert_eq!(floors.unlike(&tree.rooms()), Vec::<String>::new(), "rooms of src and of the table in src/lib.rs");
    assert_eq!(arrows.that_run_up(&floors), Vec::<String>::new(), "imports that run up");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles: Vec<_> =
        [house(), read("crates/journal/src")].iter().flat_map(|tree| Arrows::of(tree).circles()).collect();
    for circle in &circles {
        println!("circle: {}", circle.join(" "));
    }
    assert!(circles.is_empty(), "{} circles", circles.len());
}

/// What a request says leads the gateway nowhere: only what the operator calls asks other servers over HTTP. The client of the
/// vendors' APIs stands on the server's floor, so that nothing of the gateway can import it.
#[test]
fn only_commands_call_out() {
    let house = house();
    let calls = |name: &[String]| name.first().is_some_and(|name| name == "ureq");
    let callers: BTreeSet<&str> = house
        .modules()
        .filter(|module| module.imports.iter().map(|(_, path)| path).chain(&module.paths).any(|path| calls(path)))
        .map(|module| module.room())
        .collect();
    assert_eq!(callers.into_iter().collect::<Vec<_>>(), ["commands", "vendor_api"]);
}

#[test]
fn the_house_stays_small() {
    let house = house();
    let mut rooms: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for module in house.modules() {
        let (files, lines) = rooms.entry(module.room()).or_default();
        *files += 1;
        *lines += module.lines;
    }
    for (room, (files, lines)) in &rooms {
        println!("{room:10} {files:3} files {lines:6} lines");
    }
    for name in CRATES {
        let lines: usize = read(&format!("crates/{name}/src")).modules().map(|module| module.lines).sum();
        println!("{name:10} {lines:16} lines, below the house");
    }
    let is_on_the_way = |room: &str| PATH.contains(&room) || BESIDE_THE_PATH.contains(&room) || room == "delivery";
    let counts = |name: &[String]| name.last().is_some_and(|file| file == "metrics");
    let way: usize = house
        .modules()
        .filter(|module| is_on_the_way(module.room()) && !counts(&module.name))
        .map(|module| module.lines)
        .sum();
    let all: usize = rooms.values().map(|(_, lines)| lines).sum();
    println!("path with delivery {way}, all of src {all}");
    assert!(way <= MOST_ON_THE_PATH, "path with delivery: {way} lines, at most {MOST_ON_THE_PATH}");
    assert!(all <= MOST_IN_ALL, "src: {all} lines, at most {MOST_IN_ALL}");
}
