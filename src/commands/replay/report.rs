//! What a replay says: lines for events, a bar on a terminal, a total.
//!
//! In: letters and what became of them. Out: text on standard output; the bar, and with `--json` the total, on standard
//! error.

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Options, What,
    letter::{Fate, Letter},
    origin::directory,
};
use crate::{
    bus::Ack,
    cli::Failure,
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
    /// There is a file that the next replay will read.
    pub(super) remembered: bool,
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
        let (good, bytes, duplicates, failed, stay, missed, replayed) = (0, 0, 0, 0, 0, 0, 0);
        let remembered = true;
        Report {
            options,
            target,
            origin,
            out,
            bar,
            good,
            bytes,
            duplicates,
            failed,
            stay,
            missed,
            replayed,
            remembered,
        }
    }

    /// One more record was looked at.
    pub(super) fn looked(&self) {
        self.bar.inc(1);
    }

    /// Counts a letter, and prints its line if that is wanted.
    pub(super) fn count(&mut self, letter: &Letter, fate: Fate, print: bool) -> io::Result<()> {
        match fate {
            Fate::Waits | Fate::Sent(Ack::Stored) | Fate::Discarded => self.good += 1,
            Fate::Sent(Ack::Duplicate) => {
                self.good += 1;
                self.duplicates += 1;
            }
            Fate::Failed(_) => self.failed += 1,
            Fate::Stays => self.stay += 1,
        }
        if matches!(fate, Fate::Waits | Fate::Sent(_) | Fate::Discarded) {
            self.bytes += u64::try_from(letter.message.body.len()).unwrap_or(u64::MAX);
        }
        if self.options.send {
            self.bar.set_message(format!("{} sent", self.good));
        }
        if !print {
            return Ok(());
        }
        let Report { options, out, bar, .. } = self;
        // Not asked inside: there the bar is locked.
        let hidden = bar.is_hidden();
        bar.suspend(|| {
            letter.print(fate, options, out)?;
            // Beside a bar, a line is seen when it is written.
            if hidden { Ok(()) } else { out.flush() }
        })
    }

    /// Meant, and not on the bus.
    pub(super) fn left(&self) -> u64 {
        self.failed + self.stay
    }

    /// What nobody has seen is a failure, whatever became of the rest.
    pub(super) fn is_whole(&self) -> Result<(), Failure> {
        match self.missed {
            0 => Ok(()),
            missed => {
                Err(Failure::Failed(format!("{missed} event(s) were dropped by retention before they were read")))
            }
        }
    }

    /// The last line.
    pub(super) fn total(&mut self) -> io::Result<()> {
        self.bar.finish_and_clear();
        let Report { good, bytes, target, .. } = &*self;
        let origin = self.origin.as_ref().map(|origin| format!(" from {}", origin.display())).unwrap_or_default();
        let end = match (self.options.discard, self.options.send) {
            (true, _) => "discarded: no bus gets them".to_owned(),
            (false, true) => format!("sent to {target}"),
            (false, false) => format!("to send to {target}"),
        };
        let mut text = format!("{good} event(s), {bytes} bytes{origin}, {end}");
        let mut add = |count: u64, what: &str| {
            if count > 0 {
                text.push_str(&format!("; {count} {what}"));
            }
        };
        add(self.duplicates, "of them it had already");
        add(self.failed, "not sent");
        add(self.stay, if self.options.what == What::Quarantine { "still unreadable" } else { "unreadable" });
        add(self.missed, "dropped by retention before they were read");
        add(self.replayed, "sent by an earlier replay, or discarded (--again sends them again)");
        if !self.remembered && *good > 0 {
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
