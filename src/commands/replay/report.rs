//! What a replay says: lines for events, a bar on a terminal, a total.
//!
//! In: candidates and what became of them. Out: text on standard output; the bar, and with `--json` the total, on standard
//! error.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{
    candidate::{Candidate, Fate},
    options::{Options, What},
    origin::directory,
};
use crate::{
    bus::Ack,
    commands::failure::Failure,
    config::{BusKind, Config},
};

/// Counts and prints.
pub(super) struct Report<'a> {
    options: &'a Options,
    target: String,
    /// The directory they lie in; `None` on a broker.
    origin: Option<PathBuf>,
    out: BufWriter<io::Stdout>,
    bar: ProgressBar,
    /// Ends the message ids of what is sent again.
    run: String,
    pub(super) counts: Counts,
}

/// What became of the records that were looked at.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Sent, to be sent, or discarded: what the call is for.
    good: u64,
    bytes: u64,
    /// Of those sent, that the bus had already.
    duplicates: u64,
    failed: u64,
    stay: u64,
    /// Dropped by retention before they could be read.
    pub(super) missed: u64,
    /// Left out because an earlier replay has sent them.
    pub(super) replayed: u64,
    /// There is no file that the next replay could read.
    pub(super) forgotten: bool,
}

impl Counts {
    /// No record was meant.
    fn nothing(&self) -> bool {
        self.good + self.failed + self.stay + self.missed + self.replayed == 0
    }
}

impl<'a> Report<'a> {
    /// `length`: records to look at, for the bar; 0 shows none.
    pub(super) fn new(options: &'a Options, config: &Config, length: u64) -> Self {
        let target = match config.bus.kind {
            BusKind::Nats => format!("NATS stream {}", config.bus.nats.stream),
            BusKind::Kafka => format!("kafka at {}", config.bus.kafka.brokers.join(", ")),
            BusKind::Journal => format!("the journal in {}", config.journal.directory.display()),
        };
        let in_directory = options.what != What::Quarantine || config.bus.kind == BusKind::Journal;
        let origin = in_directory.then(|| directory(options.what, config));
        // It is drawn on a terminal only.
        let bar = if length == 0 { ProgressBar::hidden() } else { ProgressBar::new(length) };
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} read, {msg}, {eta} left") {
            bar.set_style(style);
        }
        let out = BufWriter::new(io::stdout());
        let run = format!("/again-{:x}", Timestamp::now().as_microsecond());
        Report { options, target, origin, out, bar, run, counts: Counts::default() }
    }

    /// Tells the message ids of this call's events from those of others.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// One more record was looked at.
    pub(super) fn looked(&self) {
        self.bar.inc(1);
    }

    /// Counts a candidate, and prints its line if that is wanted.
    pub(super) fn count(&mut self, candidate: &Candidate, fate: Fate, print: bool) -> io::Result<()> {
        let Counts { good, bytes, duplicates, failed, stay, .. } = &mut self.counts;
        match fate {
            Fate::Waits | Fate::Sent(_) | Fate::Discarded => {
                *good += 1;
                *bytes += u64::try_from(candidate.message.body.len()).unwrap_or(u64::MAX);
            }
            Fate::Failed(_) => *failed += 1,
            Fate::Stays => *stay += 1,
        }
        *duplicates += u64::from(fate == Fate::Sent(Ack::Duplicate));
        if self.options.send {
            self.bar.set_message(format!("{} sent", self.counts.good));
        }
        if !print {
            return Ok(());
        }
        let Report { options, out, bar, .. } = self;
        // Not asked inside: there the bar is locked.
        let hidden = bar.is_hidden();
        bar.suspend(|| {
            candidate.print(fate, options, out)?;
            // Beside a bar, a line is seen when it is written.
            if hidden { Ok(()) } else { out.flush() }
        })
    }

    /// Meant, and not on the bus.
    pub(super) fn left(&self) -> u64 {
        self.counts.failed + self.counts.stay
    }

    /// Records that were lost unread are a failure, whatever became of the rest.
    pub(super) fn is_whole(&self) -> Result<(), Failure> {
        match self.counts.missed {
            0 => Ok(()),
            missed => {
                Err(Failure::failed(format!("{missed} event(s) were dropped by retention before they were read")))
            }
        }
    }

    /// The last line.
    pub(super) fn total(&mut self) -> io::Result<()> {
        self.bar.finish_and_clear();
        let (Report { target, counts, .. }, Counts { good, bytes, .. }) = (&*self, &self.counts);
        let place = self.origin.as_ref().map(|place| place.display().to_string());
        let end = match (self.options.discard, self.options.send) {
            (true, _) => "discarded: no bus gets them".to_owned(),
            (false, true) => format!("sent to {target}"),
            (false, false) => format!("to send to {target}"),
        };
        let mut text = if counts.nothing() {
            format!("0 event(s): none found in {}", place.as_deref().unwrap_or("quarantine"))
        } else {
            let from = place.map(|place| format!(" from {place}")).unwrap_or_default();
            format!("{good} event(s), {bytes} bytes{from}, {end}")
        };
        let mut add = |count: u64, what: &str| {
            if count > 0 {
                text.push_str(&format!("; {count} {what}"));
            }
        };
        add(counts.duplicates, "of them it had already");
        add(counts.failed, "not sent");
        add(counts.stay, if self.options.what == What::Quarantine { "still unreadable" } else { "unreadable" });
        add(counts.missed, "dropped by retention before they were read");
        add(counts.replayed, "sent by an earlier replay, or discarded (--again sends them again)");
        if counts.forgotten && *good > 0 {
            text.push_str("; not remembered, since there is no journal.directory: a second run sends them again");
        }
        if !self.options.send && !self.options.discard && *good > 0 {
            text.push_str(". Nothing was sent: --send sends");
        }
        if self.options.json {
            self.out.flush()?;
            writeln!(io::stderr(), "{text}")
        } else {
            writeln!(self.out, "{text}")?;
            self.out.flush()
        }
    }
}
