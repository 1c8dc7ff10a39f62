//! `hookbus tail`: prints events from the bus as they come, whichever bus it is.
//!
//! It reads the journal's files beside the running gateway without a lock and without writing, a stream without consuming
//! anything, topics without a group.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write},
    thread,
    time::Duration,
};

use clap::Args;
use tokio::time::timeout;

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
        BusKind::Nats => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(stream(options, config))
        }
    }
}

async fn stream(options: &Options, config: &Config) -> Result<(), Failure> {
    let failed = |error: String| Failure::Failed(format!("stream {}: {error}", config.bus.nats.stream));
    let mut follower = bus::nats::Follower::open(&config.bus.nats, options.from_start).await.map_err(failed)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut printed = 0;
    while options.count.is_none_or(|count| printed < count) {
        // Whoever reads the other end sees what there is before we wait.
        let event = match timeout(LOOK_EVERY, follower.next()).await {
            Ok(Some(event)) => event.map_err(failed)?,
            Ok(None) => return Err(failed("ended".into())),
            Err(_) => {
                out.flush()?;
                continue;
            }
        };
        if options.pattern.matches(event.message.route()) {
            print(&event.message, options.json.then_some(event.json.as_slice()), &mut out)?;
            printed += 1;
        }
    }
    out.flush()?;
    Ok(())
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
                print(&message, json(&message, options).as_deref(), &mut out)?;
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
        let entry = reader.next()?;
        let missed = reader.missed();
        if missed > 0 {
            writeln!(io::stderr(), "hookbus: {missed} events were dropped by retention before they were read")?;
        }
        let Some(entry) = entry else {
            // Whoever reads the other end sees what there is before we wait.
            out.flush()?;
            thread::sleep(LOOK_EVERY);
            continue;
        };
        let Some(message) = bus::message(entry.head, entry.body) else { continue };
        if options.pattern.matches(message.route()) {
            print(&message, json(&message, options).as_deref(), &mut out)?;
            printed += 1;
        }
    }
    out.flush()?;
    Ok(())
}

/// The same JSON with the characters that move a terminal's cursor or turn its text around written as escapes. Raw
/// control characters are none of JSON's, and stand in a literal that somebody else wrote, if anywhere.
pub(crate) fn harmless(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for character in String::from_utf8_lossy(line).chars() {
        match character {
            '\0'..='\u{1f}'
            | '\u{61c}'
            | '\u{7f}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => text.push(other),
        }
    }
    text
}

/// The same JSON on one line, whatever stands in its literals.
pub(super) fn one_line(line: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(line.len());
    for byte in line {
        match byte {
            0..0x20 => text.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            other => text.push(*other),
        }
    }
    text
}

/// The event as JSON, if that is asked for.
fn json(message: &Message, options: &Options) -> Option<Vec<u8>> {
    options.json.then(|| message.structured())
}

fn print(message: &Message, json: Option<&[u8]>, out: &mut impl Write) -> io::Result<()> {
    if let Some(structured) = json {
        let line: Vec<u8> = json::compact(structured).collect::<Vec<_>>().concat();
        // A pipe gets the bytes as they are, a terminal none that it would obey.
        return if io::stdout().is_terminal() {
            writeln!(out, "{}", harmless(&line))
        } else {
            out.write_all(&one_line(&line)).and_then(|()| writeln!(out))
        };
    }
    let get = |attribute| message.get(attribute).escape_debug();
    writeln!(
        out,
        "{}  {}  id={} subject={} bytes={}",
        get(Attribute::RecordedTime),
        message.route().escape_debug(),
        get(Attribute::Id),
        get(Attribute::Subject),
        message.body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Attributes;

    #[test]
    fn nothing_that_others_wrote_moves_a_cursor_or_ends_a_line() {
        let line = b"{\"a\":\"1\n2\x1b[31m3\xd8\x9c4\xc2\x9b\"}";
        assert_eq!(harmless(line), r#"{"a":"1\u000a2\u001b[31m3\u061c4\u009b"}"#);
        assert_eq!(one_line(line), "{\"a\":\"1\\u000a2\\u001b[31m3\u{61c}4\u{9b}\"}".as_bytes());
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Id, &"1");
        attributes.push(Attribute::Route, &"a.\u{1b}[2J\nb");
        let message = Message { attributes, body: Default::default() };
        let mut out = Vec::new();
        print(&message, None, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "  a.\\u{1b}[2J\\nb  id=1 subject= bytes=0\n");
        let mut out = Vec::new();
        print(&message, Some(line), &mut out).unwrap();
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
}
