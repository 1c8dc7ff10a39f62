//! Reads a page of the documents.
//!
//! In: Markdown. Out: what its fenced blocks have a reader do, in order, and what its prose names in `code` and in links.
//!
//! - `console` is a terminal: `$ ` begins a command (a `\` at its end goes on in the next line), `^C` ends the last one that
//!   still runs, every other line is what the command prints.
//! - A language and a file's name, as `toml hookbus.toml`, is a file that the reader saves.
//! - `text` is a picture or a formula, `toml` without a name a part of a file: nothing to do.

use std::{fs, path::Path};

/// One thing that the reader does.
#[derive(Debug, PartialEq)]
pub struct Step {
    pub line: usize,
    /// The last heading above it.
    pub section: String,
    pub act: Act,
}

#[derive(Debug, PartialEq)]
pub enum Act {
    /// Saves a file.
    Save { name: String, text: String },
    /// Types a command, and sees this.
    Run { command: String, shown: Vec<String> },
    /// Presses Ctrl-C where the last command runs that still does.
    Stop,
}

/// A page, read.
#[derive(Debug, Default)]
pub struct Page {
    pub steps: Vec<Step>,
    /// Code spans in the prose, with their lines.
    pub spans: Vec<(usize, String)>,
    /// Targets of links, with their lines.
    pub links: Vec<(usize, String)>,
    /// What the headings are as anchors.
    pub anchors: Vec<String>,
}

impl Page {
    /// Reads a file of the repository.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}:{error}", path.display()))
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut page, mut section) = (Page::default(), String::new());
        let (mut prose, mut lines) = (String::new(), text.lines().enumerate());
        while let Some((index, line)) = lines.next() {
            if let Some(info) = line.trim_start().strip_prefix("```") {
                let indent = line.len() - line.trim_start().len();
                let ended = |line: &str| line.trim() == "```";
                let block: Vec<_> = lines.by_ref().map(|(_, line)| line).take_while(|line| !ended(line)).collect();
                let block: Vec<_> = block.iter().map(|line| line.get(indent..).unwrap_or_default()).collect();
                page.take_block(info, index + 2, &section, &block)
                    .map_err(|error| format!("{}: {error}", index + 1))?;
                prose.push_str(&"\n".repeat(block.len() + 2));
                continue;
            }
            if let Some(heading) = line.strip_prefix('#') {
                heading.trim_start_matches('#').trim().clone_into(&mut section);
                page.anchors.push(anchor(&section));
            }
            prose.push_str(line);
            prose.push('\n');
        }
        page.take_prose(&prose);
        Ok(page)
    }

    fn take_block(&mut self, info: &str, line: usize, section: &str, block: &[&str]) -> Result<(), String> {
        let step = |line: usize, act: Act| Step { line, section: section.to_owned(), act };
        match info.split_once(' ') {
            Some((_, name)) => {
                let text = block.iter().map(|line| format!("{line}\n")).collect();
                self.steps.push(step(line, Act::Save { name: name.trim().to_owned(), text }));
            }
            None if info == "console" => {
                let acts = terminal(block)?;
                self.steps.extend(acts.into_iter().map(|(offset, act)| step(line + offset, act)));
            }
            None if ["text", "toml"].contains(&info) => {}
            None => {
                return Err(format!(
                    "a block of `{info}`: is it a terminal (console), a file (with its name) or text?"
                ));
            }
        }
        Ok(())
    }

    /// Spans and links may go over a line's end.
    fn take_prose(&mut self, prose: &str) {
        let spans = parts(prose, "`").enumerate().filter(|(number, _)| number % 2 == 1);
        self.spans =
            spans.map(|(_, (line, span))| (line, span.split_whitespace().collect::<Vec<_>>().join(" "))).collect();
        let target = |after: &str| after.split(')').next().unwrap_or_default().to_owned();
        self.links = parts(prose, "](").skip(1).map(|(line, after)| (line, target(after))).collect();
    }
}

/// What stands between the marks, each part with the line on which it begins.
fn parts<'t>(text: &'t str, mark: &'t str) -> impl Iterator<Item = (usize, &'t str)> {
    text.split(mark).scan(1, |line, part| {
        let begins = *line;
        *line += part.matches('\n').count();
        Some((begins, part))
    })
}

/// What is typed into a terminal and shown by it, each with its line.
fn terminal(block: &[&str]) -> Result<Vec<(usize, Act)>, String> {
    let mut acts: Vec<(usize, Act)> = Vec::new();
    let mut goes_on = false;
    for (offset, line) in block.iter().enumerate() {
        if let Some(begun) = line.strip_prefix("$ ") {
            acts.push((offset, Act::Run { command: begun.to_owned(), shown: Vec::new() }));
            goes_on = begun.ends_with('\\');
        } else if *line == "^C" {
            acts.push((offset, Act::Stop));
        } else if let Some((_, Act::Run { command, shown })) = acts.last_mut() {
            if goes_on {
                command.push('\n');
                command.push_str(line);
                goes_on = line.ends_with('\\');
            } else {
                shown.push((*line).to_owned());
            }
        } else {
            return Err(format!("`{line}` is printed by no command"));
        }
    }
    Ok(acts)
}

/// A heading as GitHub's anchor.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}
