//! `hookbus forward`: posts events from the bus to a handler on the developer's machine, signed anew as their vendor does.
//!
//! The handler gets the body's own bytes and the vendor's headers: what it would get from the vendor itself. The bus is
//! read without a group and without consuming anything.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use jiff::Timestamp;
use tokio::time::sleep;

use crate::{
    bus::{Extent, Next, Reader},
    commands::{
        failure::Failure,
        post::{Answer, Poster},
        source_arg::source_named,
        time_arg::TimeArg,
    },
    config::Config,
    envelope::{Message, attributes::Attribute},
    finding,
    secrets::Secret,
    subject::Pattern,
    vendors::Vendor,
};

/// Longest pause between two attempts of one event.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The words after `forward`.
#[derive(Debug, Args)]
pub struct Options {
    /// The handler, such as <http://127.0.0.1:5000/webhook>
    url: String,

    /// The secret that the handler knows, in a file; not the vendor's
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,

    /// Only types that match, as `com.audit1.file.>` or without `com.<vendor>.`: `*` is one token, `>` all the rest
    #[arg(long = "type", value_name = "PATTERN")]
    kind: Option<Pattern>,

    /// Only events of this source, by its configured name
    #[arg(long, value_name = "NAME")]
    source: Option<String>,

    /// Begin with the oldest event on the bus instead of the next one
    #[arg(long)]
    from_start: bool,

    /// Begin with what arrived at this time, or a while ago such as 2h
    #[arg(long, value_name = "TIME", conflicts_with = "from_start")]
    since: Option<TimeArg>,

    /// Post an event up to so many times more, until the handler answers 2xx
    #[arg(long, value_name = "N", default_value_t = 0)]
    retry: u32,

    /// End after this many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Forwards until the count is reached or the process is ended.
///
/// # Errors
/// When the bus cannot be read; with `--count`, when the handler has not taken every event.
pub fn run(options: &Options, config: &Config) -> Result<(), Failure> {
    let secret =
        Secret::read(&options.secret_file).map_err(|fault| Failure::Usage(format!("the secret file {fault}")))?;
    let named = options.source.as_deref().map(|name| source_named(config, name)).transpose()?;
    let wanted = named.map(|source| source.ce_source.as_str());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(follow(options, wanted, &secret, config))
}

async fn follow(options: &Options, source: Option<&str>, secret: &Secret, config: &Config) -> Result<(), Failure> {
    let extent = if options.from_start || options.since.is_some() { Extent::All } else { Extent::New };
    let all: Pattern = ">".parse().map_err(Failure::failed)?;
    let mut reader = Reader::open(config, all, extent).await.map_err(Failure::failed)?;
    let poster = Poster::new();
    let (mut posted, mut failed) = (0_u64, 0_u64);
    while options.count.is_none_or(|count| posted < count) {
        let message = match reader.next().await.map_err(Failure::failed)? {
            Next::Record(record) => record.message.filter(|message| options.wants(message, source)),
            Next::Idle => None,
            Next::End => break,
        };
        let Some(message) = message else { continue };
        posted += 1;
        failed += u64::from(!forward(&message, options, &poster, secret).await?);
    }
    if failed == 0 { Ok(()) } else { Err(Failure::failed(format!("{failed} of {posted} event(s) were not taken"))) }
}

/// Posts one event, again if that is wanted; whether the handler has taken it.
async fn forward(message: &Message, options: &Options, poster: &Poster, secret: &Secret) -> Result<bool, Failure> {
    let Ok(vendor) = message.get(Attribute::Vendor).parse::<Vendor>() else { return Ok(false) };
    let mut pause = Duration::from_secs(1);
    for attempt in 0..=options.retry {
        let begin = Instant::now();
        let answer = poster.post(&options.url, vendor, secret, &message.body);
        let milliseconds = begin.elapsed().as_millis();
        let get = |attribute| message.get(attribute).escape_debug();
        let (result, taken) = match answer {
            Ok(Answer { status, .. }) if (200..300).contains(&status) => (status.to_string(), true),
            Ok(Answer { status, text }) => (format!("{status} {text}"), false),
            Err(error) => (error.to_string().escape_debug().to_string(), false),
        };
        let (kind, id) = (get(Attribute::Type), get(Attribute::Id));
        writeln!(io::stdout(), "{:.3}  {kind}  id={id}  {milliseconds} ms  {result}", Timestamp::now())?;
        if taken {
            return Ok(true);
        }
        if attempt < options.retry {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    Ok(false)
}

impl Options {
    fn wants(&self, message: &Message, source: Option<&str>) -> bool {
        let event_type = message.get(Attribute::Type);
        let prefix = format!("com.{}.", message.get(Attribute::Vendor));
        let short = event_type.strip_prefix(&prefix).unwrap_or(event_type);
        let arrival = || message.get(Attribute::RecordedTime).parse::<Timestamp>().ok();
        // What hookbus says by itself has no vendor to sign as.
        message.get(Attribute::Vendor) != finding::VENDOR
            && source.is_none_or(|source| message.get(Attribute::Source) == source)
            && self.kind.as_ref().is_none_or(|kind| kind.matches(event_type) || kind.matches(short))
            && self.since.is_none_or(|since| arrival().is_some_and(|arrival| since.0 <= arrival))
    }
}
