//! `hookbus tail`: prints events from the bus as they come.
//!
//! It reads the journal's files beside the running gateway, without a lock and without writing; or a stream, without
//! consuming anything.

use std::{
    io::{self, BufWriter, Write},
    thread,
    time::Duration,
};

use clap::Args;
use tokio::time::timeout;

use crate::{
    bus,
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
            print(&event.message, options.json.then_some(&event.json), &mut out)?;
            printed += 1;
        }
    }
    out.flush()?;
    Ok(())
}

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
            let json = options.json.then(|| message.structured());
            print(&message, json.as_ref(), &mut out)?;
            printed += 1;
        }
    }
    out.flush()?;
    Ok(())
}

fn print(message: &Message, json: Option<&Vec<u8>>, out: &mut impl Write) -> io::Result<()> {
    if let Some(structured) = json {
        for run in json::compact(structured) {
            out.write_all(run)?;
        }
        return writeln!(out);
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
