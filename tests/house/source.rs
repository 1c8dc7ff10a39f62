//! Reads `src`: which modules there are, what each defines, imports and names, and how many lines of code it has.
//! Comments, doc comments and what is compiled for tests only do not count.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    path::Path,
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{Item, UseTree};

use super::lines;

/// A path from the crate's root: `["delivery", "gate", "Gate"]`.
pub type Name = Vec<String>;

/// One file.
#[derive(Debug, Default)]
pub struct Module {
    /// Its path from the root; empty for `lib.rs`.
    pub name: Name,
    /// What it imports: the local name, and what it stands for. A glob has the name `*`.
    pub imports: Vec<(String, Name)>,
    /// Paths that it writes out, such as `bus::message`, as they stand.
    pub paths: BTreeSet<Name>,
    /// Lines of code.
    pub lines: usize,
}

impl Module {
    /// The room that it belongs to.
    pub fn room(&self) -> &str {
        self.name.first().map_or("lib", String::as_str)
    }
}

/// All modules by name.
#[derive(Debug, Default)]
pub struct Tree {
    modules: BTreeMap<Name, Module>,
    tests: HashSet<Name>,
}

impl Tree {
    /// Reads the files below `root`, a crate's `src`.
    pub fn read(root: &Path) -> Self {
        let mut tree = Tree::default();
        tree.add("", &fs::read_to_string(root.join("lib.rs")).unwrap());
        tree.read_folder(root, &mut Vec::new());
        // Whatever stands below a module that only tests have is theirs.
        let tests = std::mem::take(&mut tree.tests);
        tree.modules.retain(|name, _| !(0..=name.len()).any(|length| tests.contains(&name[..length])));
        tree
    }

    fn read_folder(&mut self, folder: &Path, name: &mut Name) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            name.push(stem.clone());
            if path.is_dir() {
                self.read_folder(&path, name);
            } else if path.extension().is_some_and(|end| end == "rs") {
                match stem.as_str() {
                    "lib" | "main" if name.len() == 1 => {}
                    "mod" => self.add(&name[..name.len() - 1].join("::"), &fs::read_to_string(&path).unwrap()),
                    _ => self.add(&name.join("::"), &fs::read_to_string(&path).unwrap()),
                }
            }
            name.pop();
        }
    }

    /// Adds one module by its name, such as `delivery::gate`, and its text.
    pub fn add(&mut self, name: &str, text: &str) {
        let name: Name = name.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let mut test_modules = Vec::new();
        let code = without_tests(text.parse().unwrap(), &mut test_modules);
        for module in test_modules {
            self.tests.insert(name.iter().cloned().chain([module]).collect());
        }
        let mut module = Module { lines: lines::of_code(&code), name: name.clone(), ..Module::default() };
        for item in syn::parse2::<syn::File>(code).unwrap().items {
            match item {
                Item::Use(item) => gather_imports(&item.tree, &mut Vec::new(), &mut module.imports),
                other => gather_paths(quote(&other), &mut module.paths),
            }
        }
        self.modules.insert(name, module);
    }

    /// Every module.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.values()
    }

    /// The names of the rooms.
    pub fn rooms(&self) -> BTreeSet<String> {
        self.modules.keys().filter_map(|name| name.first()).cloned().collect()
    }

    /// The module in which the thing that `path` means, seen from `from`, is defined; `None` for another crate's.
    pub fn home(&self, from: &Name, path: &[String]) -> Option<&Name> {
        self.follow(from, path, 0)
    }

    fn follow(&self, from: &Name, path: &[String], steps: usize) -> Option<&Name> {
        let (first, rest) = path.split_first()?;
        let mut at = from.clone();
        let mut rest = rest;
        match first.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop()?;
                while let Some(("super", more)) = rest.split_first().map(|(word, more)| (word.as_str(), more)) {
                    at.pop()?;
                    rest = more;
                }
            }
            _ => rest = path,
        }
        let local = rest.len() == path.len();
        let mut left = rest;
        while let Some((part, more)) = left.split_first() {
            let child: Name = at.iter().cloned().chain([part.clone()]).collect();
            if self.modules.contains_key(&child) {
                (at, left) = (child, more);
                continue;
            }
            let import = self.modules.get(&at)?.imports.iter().find(|(name, _)| name == part);
            return match import {
                // A name that imports itself would go round for ever.
                Some((_, target)) if steps < 16 => {
                    let whole: Name = target.iter().chain(more).cloned().collect();
                    self.follow(&at, &whole, steps + 1)
                }
                Some(_) => None,
                // Something of its own, unless the path began with a name that is not known here: another crate's.
                None if local && at == *from && left.len() == rest.len() => None,
                None => self.modules.get_key_value(&at).map(|(name, _)| name),
            };
        }
        self.modules.get_key_value(&at).map(|(name, _)| name)
    }
}

fn quote(item: &Item) -> TokenStream {
    use quote::ToTokens as _;
    item.to_token_stream()
}

/// Code without the items, arms, fields and variants that stand behind `#[cfg(test)]`; `modules`: the files among them.
fn without_tests(code: TokenStream, modules: &mut Vec<String>) -> TokenStream {
    let mut kept = Vec::new();
    let mut tokens = code.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(hash) if hash.as_char() == '#' => match tokens.peek() {
                Some(TokenTree::Group(group)) if is_cfg_test(&group.stream()) => {
                    tokens.next();
                    drop_attributes(&mut kept);
                    skip_item(&mut tokens, modules);
                }
                _ => kept.push(TokenTree::Punct(hash)),
            },
            TokenTree::Group(group) => {
                let mut inner = proc_macro2::Group::new(group.delimiter(), without_tests(group.stream(), modules));
                inner.set_span(group.span());
                kept.push(TokenTree::Group(inner));
            }
            other => kept.push(other),
        }
    }
    kept.into_iter().collect()
}

/// Takes off the end what stands before the item that is left out: its doc comments and other attributes.
fn drop_attributes(kept: &mut Vec<TokenTree>) {
    while let [.., TokenTree::Punct(hash), TokenTree::Group(group)] = kept.as_slice()
        && hash.as_char() == '#'
        && group.delimiter() == Delimiter::Bracket
    {
        kept.truncate(kept.len() - 2);
    }
}

fn is_cfg_test(attribute: &TokenStream) -> bool {
    let text = attribute.to_string().replace(' ', "");
    text.starts_with("cfg(test") || text.starts_with("cfg(all(test")
}

fn skip_item(tokens: &mut std::iter::Peekable<proc_macro2::token_stream::IntoIter>, modules: &mut Vec<String>) {
    let mut words = Vec::new();
    for token in tokens.by_ref() {
        match &token {
            TokenTree::Ident(word) => words.push(word.to_string()),
            TokenTree::Punct(end) if end.as_char() == ';' || end.as_char() == ',' => break,
            // `use a::{b, c};` and `const A: B = B { … };` go on behind their braces.
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Brace
                    && !words.iter().any(|word| ["use", "const", "static", "let"].contains(&word.as_str())) =>
            {
                return;
            }
            _ => {}
        }
    }
    if let Some(at) = words.iter().position(|word| word == "mod") {
        modules.extend(words.get(at + 1).cloned());
    }
}

fn gather_imports(tree: &UseTree, before: &mut Name, imports: &mut Vec<(String, Name)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            gather_imports(&path.tree, before, imports);
            before.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            imports.push((before.last().cloned().unwrap_or_default(), before.clone()));
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            imports.push((name.clone(), before.iter().cloned().chain([name]).collect()));
        }
        UseTree::Rename(rename) => {
            let target = before.iter().cloned().chain([rename.ident.to_string()]).collect();
            imports.push((rename.rename.to_string(), target));
        }
        UseTree::Glob(_) => imports.push(("*".into(), before.clone())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| gather_imports(tree, before, imports)),
    }
}

/// Every `a::b…` in the code, macro calls included.
fn gather_paths(code: TokenStream, paths: &mut BTreeSet<Name>) {
    let mut path: Name = Vec::new();
    let mut colons = 0;
    let mut end = |path: &mut Name| {
        if path.len() > 1 {
            paths.insert(std::mem::take(path));
        }
        path.clear();
    };
    let mut groups = Vec::new();
    for token in code {
        match token {
            TokenTree::Ident(word) => {
                if colons != 2 {
                    end(&mut path);
                }
                path.push(word.to_string());
                colons = 0;
            }
            TokenTree::Punct(colon) if colon.as_char() == ':' => colons += 1,
            other => {
                end(&mut path);
                colons = 0;
                if let TokenTree::Group(group) = other {
                    // Not the place in `pub(in crate::bus)`: it names no thing.
                    let visible =
                        matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(word)) if word == "in");
                    groups.extend((!visible).then(|| group.stream()));
                }
            }
        }
    }
    end(&mut path);
    groups.into_iter().for_each(|group| gather_paths(group, paths));
}

#[test]
fn code_for_tests_is_left_out_and_names_find_their_home() {
    let mut tree = Tree::default();
    tree.add("", "pub mod a; pub mod b;");
    tree.add("a", "mod c; pub use self::c::Thing; #[cfg(test)] mod tests; #[cfg(test)] use crate::b::Other; fn f() {}");
    tree.add(
        "a::c",
        "/// Doc.\npub struct Thing;\n// Comment.\n#[cfg(test)]\nmod tests { fn g() { crate::b::h(); } }\n",
    );
    tree.add("b", "use crate::a; fn h() { println!(\"{}\", a::Thing::new()); bytes::Bytes::new(); }");
    let name = |text: &str| -> Name { text.split("::").map(str::to_owned).collect() };
    assert_eq!(tree.modules[&name("a::c")].lines, 1);
    assert!(tree.tests.contains(&name("a::tests")));
    assert_eq!(tree.modules[&name("a")].imports, [("Thing".to_owned(), name("self::c::Thing"))]);
    assert_eq!(tree.home(&name("b"), &name("a::Thing::new")), Some(&name("a::c")));
    assert_eq!(tree.home(&name("b"), &name("bytes::Bytes::new")), None);
    assert_eq!(tree.home(&name("a::c"), &name("super::f")), Some(&name("a")));
}
