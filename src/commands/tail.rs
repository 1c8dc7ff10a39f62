//! `hookbus tail`: prints events from the bus as they come, whichever bus it is.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write},
    thread,
    time::Duration,
};

use clap::Args;

use crate::{
    bus::{self, kafka},
    cli::Failure,
    config::{BusKind, Config},
    envelope::{Message, attributes::Attribute},
    journal::{Reader, Start},
    json,
    pattern::Pattern,
};

/// Pause before looking for new events again.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The words after `tail`.
#[derive(Debug, Args)]
pub struct Options {
    /// Subjects to print: `*` is one token, `>` all the rest
    #[arg(default_value = ">")]
    pattern: Pattern,

    /// Print one structured CloudEvent per line (white space between tokens removed, nothing else changed)
    #[arg(long)]
    json: bool,

    /// Begin with the oldest event on the bus instead of the next one
    #[arg(long)]
    from_start: bool,

    /// End after this many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Prints until the count is reached or the process is ended.
///
/// # Errors
/// When the bus cannot be read.
pub fn run(options: &Options, config: &Config) -> Result<(), Failure> {
    match config.bus.kind {
        BusKind::Journal => journal(options, config),
        BusKind::Kafka => kafka(options, config),
    }
}

fn kafka(options: &Options, config: &Config) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("kafka: {error}"));
    let mut reader =
        kafka::reader::Reader::open(config, &options.pattern, options.from_start).map_err(|error| failed(&error))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut printed = 0;
    while options.count.is_none_or(|count| printed < count) {
        match reader.next(LOOK_EVERY).map_err(|error| failed(&error))? {
            Some(message) => {
                print(&message, options.json, &mut out)?;
                printed += 1;
            }
            // Whoever reads the other end sees what there is before we wait.
            None => out.flush()?,
        }
    }
    out.flush()?;
    Ok(())
}

/// It reads the journal's files beside the running gateway, without a lock and without writing.
fn journal(options: &Options, config: &Config) -> Result<(), Failure> {
    let directory = &config.journal.directory;
    let start = if options.from_start { Start::Oldest } else { Start::Newest };
    let mut reader = Reader::open(directory, start)
        .map_err(|error| Failure::Failed(format!("journal {}: {error}", directory.display())))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut printed = 0;
    while options.count.is_none_or(|count| printed < count) {
        let Some(entry) = reader.next()? else {
            // Whoever reads the other end sees what there is before we wait.
            out.flush()?;
            thread::sleep(LOOK_EVERY);
            continue;
        };
        let Some(message) = bus::message(entry.head, entry.body) else { continue };
        if options.pattern.matches(message.route()) {
            print(&message, options.json, &mut out)?;
            printed += 1;
        }
    }
    out.flush()?;
    Ok(())
}

/// The same JSON with the characters that move a terminal's cursor or turn its text around written as escapes.
fn harmless(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for character in String::from_utf8_lossy(line).chars() {
        match character {
            '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => text.push(other),
        }
    }
    text
}

fn print(message: &Message, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        let line: Vec<u8> = json::compact(&message.structured()).collect::<Vec<_>>().concat();
        // A pipe gets the bytes as they are, a terminal none that it would obey.
        return if io::stdout().is_terminal() {
            writeln!(out, "{}", harmless(&line))
        } else {
            out.write_all(&line).and_then(|()| writeln!(out))
        };
    }
    let get = |attribute| message.get(attribute).escape_debug();
    writeln!(
        out,
        "{}  {}  id={} subject={} bytes={}",
        get(Attribute::RecordedTime),
        message.route(),
        get(Attribute::Id),
        get(Attribute::Subject),
        message.body.len()
    )
}
