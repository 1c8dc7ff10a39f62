//! `hookbus tail`: prints events from the bus as they come, whichever bus it is.
//!
//! It reads the journal's files beside the running gateway without a lock and without writing, a stream without consuming
//! anything, topics without a group.

use std::io::{self, BufWriter, Write};

use clap::Args;

use crate::{
    bus::{Extent, Next, Reader, Record},
    commands::{failure::Failure, output::json_line},
    config::Config,
    envelope::attributes::Attribute,
    json,
    subject::Pattern,
};

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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(follow(options, config))
}

async fn follow(options: &Options, config: &Config) -> Result<(), Failure> {
    let extent = if options.from_start { Extent::All } else { Extent::New };
    let mut reader = Reader::open(config, options.pattern.clone(), extent).await.map_err(Failure::failed)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut printed = 0;
    while options.count.is_none_or(|count| printed < count) {
        let next = reader.next().await.map_err(Failure::failed)?;
        let missed = reader.missed();
        if missed > 0 {
            writeln!(io::stderr(), "hookbus: {missed} events were dropped by retention before they were read")?;
        }
        match next {
            Next::Record(record) => printed += u64::from(print(&record, options.json, &mut out)?),
            // What there is must not wait for the next event.
            Next::Idle => out.flush()?,
            Next::End => break,
        }
    }
    out.flush()?;
    Ok(())
}

/// Prints an event; `false` for a record that is none.
fn print(record: &Record, as_json: bool, out: &mut impl Write) -> io::Result<bool> {
    let Some(message) = &record.message else { return Ok(false) };
    if let Some(structured) = record.json().filter(|_| as_json) {
        let line: Vec<u8> = json::compact(&structured).collect::<Vec<_>>().concat();
        return json_line(&line, out).map(|()| true);
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
    )?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::envelope::{Attributes, Message};

    #[test]
    fn nothing_that_others_wrote_moves_a_cursor_or_ends_a_line() {
        let line = b"{\"a\":\"1\n2\x1b[31m3\xd8\x9c4\xc2\x9b\"}";
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Id, &"1");
        attributes.push(Attribute::Route, &"a.\u{1b}[2J\nb");
        let message = Some(Message { attributes, body: Default::default() });
        let payload = Bytes::from_static(line);
        let mut record = Record { written: None, message, is_behind_a_gap: false, payload, is_structured: true };
        let printed = |record: &Record, as_json| {
            let mut out = Vec::new();
            assert!(print(record, as_json, &mut out).unwrap());
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(printed(&record, false), "  a.\\u{1b}[2J\\nb  id=1 subject= bytes=0\n");
        assert_eq!(printed(&record, true).matches('\n').count(), 1);
        record.message = None;
        assert!(!print(&record, false, &mut Vec::new()).unwrap());
    }
}
