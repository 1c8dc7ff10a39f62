//! `hookbus timeline`: every event of one thing, in the order of time, from whichever bus it is.
//!
//! It reads what lies on the bus when it begins, and keeps a row for each event of that thing, without its body: the
//! bus may be far larger than the memory. A trail with a hole is none, so too many rows are an error.

use std::{
    collections::HashMap,
    io::{self, BufWriter, Write},
};

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    commands::{failure::Failure, output::json_line, source_arg::source_named, whole_bus::read_whole_bus},
    config::Config,
    envelope::{Attributes, Message, attributes::Attribute},
    text::hex_encode,
};

/// Events of one thing that are kept by default: about 100 MB.
const MOST_EVENTS: usize = 100_000;

/// The words after `timeline`.
#[derive(Debug, Args)]
pub struct Options {
    /// The id of a certificate, policy, assignment or file: the CloudEvents `subject` of its events
    entity: String,

    /// Only events of this source, by its configured name
    #[arg(long, value_name = "NAME")]
    source: Option<String>,

    /// Print one JSON object per event
    #[arg(long)]
    json: bool,

    /// Fail rather than keep more than this many events in memory
    #[arg(long, value_name = "N", default_value_t = MOST_EVENTS)]
    most: usize,
}

/// One event, and how often it lies on the bus.
#[derive(Debug)]
struct Row {
    attributes: Attributes,
    bytes: usize,
    repeats: u64,
}

/// What makes two records copies of one event: source, id, and the digest of the body.
type Key = (String, String, [u8; 32]);

/// Prints the rows.
///
/// # Errors
/// When the bus cannot be read to its end, or has more events of the thing than are kept.
pub fn run(options: &Options, config: &Config) -> Result<(), Failure> {
    let named = options.source.as_deref().map(|name| source_named(config, name)).transpose()?;
    let wanted = named.map(|source| source.ce_source.as_str());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (rows, read) = runtime.block_on(collect(options, wanted, config))?;
    let count = rows.len();
    let mut out = BufWriter::new(io::stdout().lock());
    for (digest, row) in in_order(rows) {
        row.print(digest, options.json, &mut out)?;
    }
    out.flush()?;
    writeln!(io::stderr(), "hookbus: {count} of it; {read} records were read")?;
    Ok(())
}

async fn collect(
    options: &Options,
    source: Option<&str>,
    config: &Config,
) -> Result<(HashMap<Key, Row>, u64), Failure> {
    let mut rows = HashMap::new();
    let take = |message: Option<Message>| match message.filter(|message| is_wanted(message, &options.entity, source)) {
        Some(message) => add(message, &mut rows, options.most),
        None => Ok(()),
    };
    let read = read_whole_bus(config, take).await?;
    Ok((rows, read))
}

fn is_wanted(message: &Message, entity: &str, source: Option<&str>) -> bool {
    message.attributes.get(Attribute::Subject) == Some(entity)
        && source.is_none_or(|source| message.get(Attribute::Source) == source)
}

fn add(message: Message, rows: &mut HashMap<Key, Row>, most: usize) -> Result<(), Failure> {
    let get = |attribute| message.get(attribute).to_owned();
    let key = (get(Attribute::Source), get(Attribute::Id), Sha256::digest(&message.body).into());
    if let Some(row) = rows.get_mut(&key) {
        row.repeats += 1;
    } else if rows.len() < most {
        rows.insert(key, Row { attributes: message.attributes, bytes: message.body.len(), repeats: 0 });
    } else {
        return Err(Failure::failed(format!("more than {most} events of it are on the bus: allow more by --most")));
    }
    Ok(())
}

/// By the vendor's time, without one by the arrival; what is equal, by the arrival and the id.
fn in_order(rows: HashMap<Key, Row>) -> Vec<([u8; 32], Row)> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_cached_key(|((source, id, digest), row)| {
        let at = |attribute| row.get(attribute).parse::<Timestamp>().ok();
        let arrival = at(Attribute::RecordedTime);
        (at(Attribute::Time).or(arrival), arrival, source.clone(), id.clone(), *digest)
    });
    rows.into_iter().map(|((_, _, digest), row)| (digest, row)).collect()
}

impl Row {
    fn get(&self, attribute: Attribute) -> &str {
        self.attributes.get(attribute).unwrap_or_default()
    }

    fn print(&self, digest: [u8; 32], as_json: bool, out: &mut impl Write) -> io::Result<()> {
        if as_json {
            let get = |attribute| self.attributes.get(attribute);
            let line = json!({
                "time": get(Attribute::Time),
                "recordedtime": get(Attribute::RecordedTime),
                "type": get(Attribute::Type),
                "id": get(Attribute::Id),
                "subject": get(Attribute::Subject),
                "entity": get(Attribute::Entity),
                "form": get(Attribute::Form),
                "source": get(Attribute::Source),
                "tenant": get(Attribute::Tenant),
                "environment": get(Attribute::Environment),
                "repeats": self.repeats,
                "bytes": self.bytes,
                "sha256": hex_encode(&digest),
            });
            return json_line(line.to_string().as_bytes(), out);
        }
        let get = |attribute| self.get(attribute).escape_debug();
        let time = if self.get(Attribute::Time).is_empty() { Attribute::RecordedTime } else { Attribute::Time };
        writeln!(
            out,
            "{}  {}  id={} form={} arrival={} repeats={} source={}",
            get(time),
            get(Attribute::Type),
            get(Attribute::Id),
            get(Attribute::Form),
            get(Attribute::RecordedTime),
            self.repeats,
            get(Attribute::Source)
        )
    }
}
