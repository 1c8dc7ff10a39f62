//! `hookbus schema --observed`: the members at the root of the events on the bus, beside those that the vendors' documents show.
//!
//! It reads what lies on the bus when it begins, as `hookbus timeline` does: the gateway keeps nothing for it. What others wrote
//! is escaped and cut, and a body that makes up members makes up no more than a hundred lines.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
};

use crate::{
    commands::{failure::Failure, whole_bus::read_whole_bus},
    config::Config,
    envelope::{Message, attributes::Attribute},
    schema::{Document, Root, visit},
    text,
    vendors::Vendor,
};

/// Undocumented members of one event in one form that have a line of their own.
const MOST_UNDOCUMENTED: usize = 100;
/// Characters of a member's name that are kept.
const MOST_NAME: usize = 64;

/// A documented type of event, and the form that it came in: as many as there are in the documents.
type Key = (Vendor, &'static str, &'static str);

/// What the events of one type in one form have at their root.
struct Observed {
    events: u64,
    documented: Option<Root>,
    members: BTreeMap<String, Seen>,
    /// Members beyond those that have a line.
    others: u64,
}

/// One member: how often it was there, and with values of which types.
#[derive(Default)]
struct Seen {
    times: u64,
    types: Vec<&'static str>,
}

/// Prints a table for each type and form that is on the bus. `only`: the event of this document, or all for AsyncAPI's.
///
/// # Errors
/// When the bus cannot be read to its end; for a document that is no event's.
pub(super) fn run(only: Document, config: &Config) -> Result<(), Failure> {
    if only == Document::Envelope {
        return Err(Failure::Usage("the envelope is hookbus' own: name an event such as audit1/file.processed".into()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (observed, others) = runtime.block_on(collect(only, config))?;
    let mut out = BufWriter::new(io::stdout().lock());
    for (key, observed) in &observed {
        observed.print(*key, &mut out)?;
    }
    out.flush()?;
    let events: u64 = observed.values().map(|observed| observed.events).sum();
    writeln!(io::stderr(), "hookbus: {events} events; {others} other records were read")?;
    Ok(())
}

async fn collect(only: Document, config: &Config) -> Result<(BTreeMap<Key, Observed>, u64), Failure> {
    let (mut observed, mut others) = (BTreeMap::new(), 0);
    let take = |message: Option<Message>| {
        match message.as_ref().and_then(|message| Some((key(message, only)?, message))) {
            Some((key, message)) => observed.entry(key).or_insert_with(|| Observed::of(key)).learn(&message.body),
            None => others += 1,
        }
        Ok(())
    };
    read_whole_bus(config, take).await?;
    Ok((observed, others))
}

/// What an event is, if the documents have it and it is asked for. Others may write to a bus, too: each part is one of a
/// closed list.
fn key(message: &Message, only: Document) -> Option<Key> {
    let vendor: Vendor = message.get(Attribute::Vendor).parse().ok()?;
    let profile = vendor.profile();
    let said = message.get(Attribute::Type).strip_prefix("com.")?.strip_prefix(vendor.as_str())?.strip_prefix('.')?;
    let event = profile.event_types().find(|event| *event == said)?;
    let form = profile.forms.iter().find(|form| form.name == message.get(Attribute::Form))?;
    let is_wanted = only == Document::AsyncApi || only == Document::Payload(vendor, event);
    is_wanted.then_some((vendor, event, form.name))
}

impl Observed {
    fn of((vendor, event, form): Key) -> Self {
        Observed { events: 0, documented: Root::of(vendor, event, form), members: BTreeMap::new(), others: 0 }
    }

    fn documented_types(&self, name: &str) -> Option<&[&'static str]> {
        self.documented.as_ref()?.members().find(|(known, _)| *known == name).map(|(_, types)| types)
    }

    fn learn(&mut self, body: &[u8]) {
        self.events += 1;
        let most = MOST_UNDOCUMENTED + self.documented.as_ref().map_or(0, |root| root.members().count());
        visit(body, |name, kind| {
            let name: String = name.chars().take(MOST_NAME).collect();
            let has_room = self.members.len() < most || self.documented_types(&name).is_some();
            if !has_room && !self.members.contains_key(&name) {
                self.others += 1;
                return;
            }
            let seen = self.members.entry(name).or_default();
            seen.times += 1;
            if !seen.types.contains(&kind) {
                seen.types.push(kind);
            }
        });
    }

    fn print(&self, (vendor, event, form): Key, out: &mut impl Write) -> io::Result<()> {
        let news = if self.documented.is_some() { "" } else { "  (in no document in this form)" };
        writeln!(out, "{vendor}/{event} {form}: {} events{news}", self.events)?;
        writeln!(out, "  {:24} {:20} {:20} {:>8}", "member", "documented", "seen", "times")?;
        let missing =
            self.documented.iter().flat_map(Root::members).filter(|(name, _)| !self.members.contains_key(*name));
        for (name, types) in missing {
            row(name, &words(Some(types)), "-", 0, "  <- missing", out)?;
        }
        for (name, seen) in &self.members {
            let documented = self.documented_types(name);
            let is_other = |kind: &&&str| {
                **kind != "null" && documented.is_some_and(|types| !types.is_empty() && !types.contains(kind))
            };
            let mark = match documented {
                None => "  <- unknown",
                Some(_) if seen.types.iter().any(|kind| is_other(&kind)) => "  <- other type",
                Some(_) if seen.times < self.events => "  <- not in all",
                Some(_) => "",
            };
            row(name, &words(documented), &seen.types.join("|"), seen.times, mark, out)?;
        }
        if self.others > 0 {
            writeln!(out, "  and {} more members that no document shows", self.others)?;
        }
        writeln!(out)
    }
}

/// The types in the documents: `-` for none, `any` where they show `null` alone.
fn words(types: Option<&[&str]>) -> String {
    match types {
        None => "-".into(),
        Some([]) => "any".into(),
        Some(types) => types.join("|"),
    }
}

fn row(name: &str, documented: &str, seen: &str, times: u64, mark: &str, out: &mut impl Write) -> io::Result<()> {
    let mut plain = String::new();
    let _infallible = text::ascii(name, MOST_NAME, &mut plain);
    writeln!(out, "  {plain:24} {documented:20} {seen:20} {times:>8}{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(bodies: &[String]) -> String {
        let key = (Vendor::Policy1099, "policy.active", "flat");
        let mut observed = Observed::of(key);
        bodies.iter().for_each(|body| observed.learn(body.as_bytes()));
        let mut out = Vec::new();
        observed.print(key, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_hostile_body_makes_up_a_bounded_table_in_plain_ascii() {
        let flood: Vec<String> = (0..5000).map(|n| format!("\"made_up_{n:05}\":1")).collect();
        let long = format!("\"{}\u{1b}[2J\"", "x".repeat(1000));
        let hostile = "{\"\\u001b[2J\\u202e\\nforged\":1,\"type\":\"policy.active\"}".to_owned();
        let text = printed(&[hostile, format!("{{{},{long}:1}}", flood.join(","))]);
        assert!(text.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')), "{text}");
        assert!(text.lines().count() < 130 && text.lines().all(|line| line.len() < 500), "{text}");
        assert!(
            text.contains("\\u001b[2J\\u202e\\u000aforged") && text.contains("more members that no document shows")
        );
    }
}
