//! Who imports from whom, file by file: an arrow goes to the file that defines the thing, through all re-exports, so that
//! a parent that only hands on what its children define is no detour.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    floors::Floors,
    source::{Name, Tree},
};

/// For each file, the files that it imports from.
pub struct Arrows(BTreeMap<Name, BTreeSet<Name>>);

impl Arrows {
    pub fn of(tree: &Tree) -> Self {
        let mut arrows: BTreeMap<Name, BTreeSet<Name>> = BTreeMap::new();
        for module in tree.modules() {
            let targets = arrows.entry(module.name.clone()).or_default();
            let named = module.imports.iter().map(|(_, path)| path).chain(&module.paths);
            let homes = named.filter_map(|path| tree.home(&module.name, path)).filter(|home| **home != module.name);
            targets.extend(homes.filter(|home| !home.is_empty()).cloned());
        }
        Arrows(arrows)
    }

    /// For each room, the rooms that it imports from.
    pub fn between_rooms(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in self.all() {
            let below = rooms.entry(from[0].clone()).or_default();
            if from[0] != to[0] {
                below.insert(to[0].clone());
            }
        }
        rooms
    }

    /// Every arrow that does not end on a lower floor than it begins on, in words.
    pub fn that_run_up(&self, floors: &Floors) -> Vec<String> {
        self.all()
            .filter(|(from, to)| from[0] != to[0] && floors.of(&to[0]) >= floors.of(&from[0]))
            .map(|(from, to)| format!("{} -> {}", from.join("::"), to.join("::")))
            .collect()
    }

    /// Files that reach themselves: each circle once, as the set of its files.
    pub fn circles(&self) -> BTreeSet<Vec<String>> {
        let reach: BTreeMap<&Name, BTreeSet<&Name>> = self.0.keys().map(|name| (name, self.reach(name))).collect();
        let mut circles = BTreeSet::new();
        for (name, reached) in &reach {
            if reached.contains(name) {
                let together = reached.iter().filter(|other| reach[**other].contains(name));
                circles.insert(together.map(|other| other.join("::")).collect());
            }
        }
        circles
    }

    fn reach<'a>(&'a self, from: &Name) -> BTreeSet<&'a Name> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&Name> = self.0[from].iter().collect();
        while let Some(name) = open.pop() {
            if seen.insert(name) {
                open.extend(self.0.get(name).into_iter().flatten());
            }
        }
        seen
    }

    fn all(&self) -> impl Iterator<Item = (&Name, &Name)> {
        self.0.iter().filter(|(from, _)| !from.is_empty()).flat_map(|(from, to)| to.iter().map(move |to| (from, to)))
    }
}

#[test]
fn an_arrow_up_and_a_circle_are_seen() {
    let mut tree = Tree::default();
    tree.add("", "pub mod low; pub mod high;");
    tree.add("low", "use crate::high; fn f() { high::g(); }");
    tree.add("high", "mod child; use self::child::Child; pub struct Parent; pub fn g() { crate::low::f(); }");
    tree.add("high::child", "use super::Parent; pub struct Child(Parent);");
    let floors = Floors::read("//! | 2 | [high] |\n//! | 1 | low |\n");
    let arrows = Arrows::of(&tree);
    assert_eq!(arrows.that_run_up(&floors), ["low -> high"]);
    assert_eq!(arrows.circles().len(), 1);
    tree.add("low", "fn f() {}");
    tree.add("high", "mod child; pub use self::child::Child; fn g() { crate::low::f(); }");
    tree.add("high::child", "pub struct Child;");
    assert!(Arrows::of(&tree).circles().is_empty() && Arrows::of(&tree).that_run_up(&floors).is_empty());
}
