//! `hookbus replay`: sends again what lies in the dead letters, in quarantine or on the embedded bus.
//!
//! It only lists unless it is told to send. What the bus has acknowledged is remembered beside the records
//! ([`crate::delivery::replayed`]), so that a second run, also after an interruption, goes on where the first one ended. It
//! reads without a lock and never removes a record: a running gateway sees the same memory and counts them as done.

mod letter;
mod moment;
mod origin;
mod report;
mod sender;

use std::{fs::DirBuilder, io, os::unix::fs::DirBuilderExt as _, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep, timeout_at},
};

use self::{
    letter::{Fate, Letter},
    moment::Moment,
    origin::{Found, Origin},
    report::Report,
    sender::{Landed, Sender},
};
use crate::{
    bus::{Bus, nats},
    cli::Failure,
    config::{BusKind, Config},
    delivery::{
        dead_letters::Reason,
        replayed::{Replayed, Writer, give_to_owner_of},
    },
    observe::metrics::Metrics,
    pattern::Pattern,
    server,
};

/// How long the bus may take to answer before anything is sent.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// Between two looks whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the end waits for answers after an interruption.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// Sent letters that are remembered together: one sync of the disk for all of them.
const REMEMBER: usize = 256;

/// The words after `replay`.
#[derive(Debug, Args)]
pub struct Options {
    /// Where the events lie
    #[arg(value_enum)]
    what: What,

    /// Only the event with this id; may be given several times
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,

    /// Only types that match, as `com.audit1.file.>` or without `com.<vendor>.`: `*` is one token, `>` all the rest
    #[arg(long = "type", value_name = "PATTERN")]
    kind: Option<Pattern>,

    /// Only events that arrived at this time or later: 2026-11-27T08:00:00Z, 2026-11-27, or 2h for two hours ago
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,

    /// Only events that arrived before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,

    /// Show payloads, too
    #[arg(long)]
    show: bool,

    /// Send them; without this nothing leaves
    #[arg(long)]
    send: bool,

    /// Give up dead letters that can never be sent: they count no more, and the gateway deletes them. Needs --id, --type,
    /// --since or --until; look at them without it first, and keep what matters with --json --show
    #[arg(long, conflicts_with_all = ["send", "again"])]
    discard: bool,

    /// Also those that an earlier replay has sent
    #[arg(long)]
    again: bool,

    /// Print one JSON object for each event; the total goes to standard error
    #[arg(long)]
    json: bool,
}

/// Where events lie that may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// What the bus refused for good, in `<journal.directory>/dead-letters`
    DeadLetters,
    /// Bodies that could not be read, on `webhooks.<vendor>.quarantine` of the bus; signatures are not verified again, so
    /// whoever may write there writes to every subject by way of a replay
    Quarantine,
    /// What the embedded bus holds, in `<journal.directory>`
    Journal,
}

/// Lists, or sends.
///
/// # Errors
/// Words that make no sense together; a place or a bus that does not answer; with `--send`, an event that was meant and
/// is not on the bus at the end.
pub fn run(options: &Options, config: &Config) -> Result<(), Failure> {
    if options.what == What::Journal && options.send && config.bus.kind == BusKind::Journal {
        return Err(Failure::Usage(
            "bus.kind is \"journal\": its events are where they would go; set bus.kind to where they are to move"
                .into(),
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if options.discard {
        options.may_discard()?;
        let memory = Memory::open(options.what, config)?;
        return runtime.block_on(discard(options, config, memory));
    }
    if !options.send {
        return runtime.block_on(list(options, config));
    }
    let memory = Memory::open(options.what, config)?;
    let bus = runtime.block_on(reach(config))?;
    let result = runtime.block_on(send(options, config, bus.clone(), memory));
    bus.close();
    result
}

/// The letter that was found, if it is meant and was not sent on before.
fn wanted(
    found: Found,
    options: &Options,
    config: &Config,
    replayed: &Replayed,
    report: &mut Report<'_>,
) -> Option<Letter> {
    let letter = Letter::new(found, options.what, config);
    if !letter.is_meant(options) {
        return None;
    }
    if !options.again && replayed.contains(letter.place) {
        report.replayed += 1;
        return None;
    }
    Some(letter)
}

async fn list(options: &Options, config: &Config) -> Result<(), Failure> {
    let replayed = Memory::read(options.what, config)?;
    let mut origin = Origin::open(options.what, config).await?;
    let mut report = Report::new(options, config, 0);
    while let Some(found) = origin.next().await? {
        let Some(letter) = wanted(found, options, config, &replayed, &mut report) else { continue };
        let fate = if letter.obstacle.is_some() { Fate::Stays } else { Fate::Waits };
        report.count(&letter, fate, true)?;
    }
    report.missed = origin.missed(options.what);
    report.total()?;
    report.is_whole()
}

impl Options {
    /// Nobody gives up everything by leaving out a word.
    fn may_discard(&self) -> Result<(), Failure> {
        let names_some = !self.ids.is_empty() || self.kind.is_some() || self.since.is_some() || self.until.is_some();
        match (self.what, names_some) {
            (What::DeadLetters, true) => Ok(()),
            (What::DeadLetters, false) => {
                Err(Failure::Usage("--discard needs at least one of --id, --type, --since and --until".into()))
            }
            (What::Quarantine | What::Journal, _) => {
                Err(Failure::Usage("--discard is for dead-letters: nothing else waits to be sent".into()))
            }
        }
    }
}

/// Remembers letters as if they had been sent.
async fn discard(options: &Options, config: &Config, mut memory: Memory) -> Result<(), Failure> {
    let mut origin = Origin::open(options.what, config).await?;
    let mut report = Report::new(options, config, 0);
    while let Some(found) = origin.next().await? {
        let Some(letter) = wanted(found, options, config, &memory.replayed, &mut report) else { continue };
        memory.note(&letter)?;
        report.count(&letter, Fate::Discarded, true)?;
    }
    memory.flush()?;
    report.total()?;
    Ok(())
}

/// The configured bus, once it answers.
async fn reach(config: &Config) -> Result<Bus, Failure> {
    let failed = |error: String| Failure::Failed(error);
    if config.bus.kind == BusKind::Nats {
        // The bus itself goes on trying without a word; this one says what is wrong.
        let once = nats::connect_once(&config.bus.nats).await;
        drop(once.map_err(|error| failed(format!("bus.nats: {error}")))?);
    }
    let (metrics, _) = Metrics::new(config).map_err(|error| failed(error.to_string()))?;
    let (bus, _journal) = server::open_bus(config, &metrics).map_err(|error| failed(error.to_string()))?;
    let until = Instant::now() + FIRST_ANSWER;
    while !bus.up() {
        if until <= Instant::now() {
            bus.close();
            return Err(failed(format!(
                "the bus does not answer within {} s; nothing was sent",
                FIRST_ANSWER.as_secs()
            )));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(bus)
}

async fn send(options: &Options, config: &Config, bus: Bus, memory: Memory) -> Result<(), Failure> {
    let mut origin = Origin::open(options.what, config).await?;
    let report = Report::new(options, config, origin.length());
    let interrupt = Interrupt::new()?;
    let mut replay = Replay { options, sender: Sender::new(bus), memory, report, stop: None };
    let read = replay.send_all(&mut origin, config, interrupt).await;
    replay.report.missed = origin.missed(options.what);
    replay.finish(read).await
}

/// A replay under way.
struct Replay<'a> {
    options: &'a Options,
    sender: Sender,
    memory: Memory,
    report: Report<'a>,
    /// Why it ends before everything was sent.
    stop: Option<String>,
}

impl Replay<'_> {
    async fn send_all(
        &mut self,
        origin: &mut Origin,
        config: &Config,
        mut interrupt: Interrupt,
    ) -> Result<(), Failure> {
        loop {
            // The turn of the event loop is for signals, which nothing else here waits for while all goes well.
            tokio::task::yield_now().await;
            let found = tokio::select! {
                biased;
                () = interrupt.come() => { self.stop = Some("interrupted".into()); return Ok(()) }
                found = origin.next() => found?,
            };
            let Some(found) = found else { break };
            self.report.looked();
            let replayed = &self.memory.replayed;
            let Some(letter) = wanted(found, self.options, config, replayed, &mut self.report) else { continue };
            if letter.obstacle.is_some() {
                self.report.count(&letter, Fate::Stays, true)?;
                continue;
            }
            while self.stop.is_none() && !self.sender.has_room(&letter) {
                self.land(&mut interrupt).await?;
            }
            if self.stop.is_some() {
                return Ok(());
            }
            self.sender.send(letter);
        }
        while self.stop.is_none() && self.sender.in_flight() > 0 {
            self.land(&mut interrupt).await?;
        }
        Ok(())
    }

    async fn land(&mut self, interrupt: &mut Interrupt) -> Result<(), Failure> {
        tokio::select! {
            () = interrupt.come() => self.stop = Some("interrupted".into()),
            landed = self.sender.landed() => if let Some(landed) = landed { self.take(&landed)? },
        }
        Ok(())
    }

    fn take(&mut self, landed: &Landed) -> Result<(), Failure> {
        let Landed { letter, result } = landed;
        match result {
            Ok(ack) => {
                self.memory.note(letter)?;
                self.report.count(letter, Fate::Sent(*ack), self.options.json)?;
            }
            Err(error) => {
                self.report.count(letter, Fate::Failed(*error), true)?;
                // What is refused for good is this one letter's matter; anything else meets the next one as well.
                if Reason::of(*error).is_none() {
                    self.stop.get_or_insert_with(|| format!("the bus takes nothing now ({error})"));
                }
            }
        }
        Ok(())
    }

    /// Waits for what is in flight, remembers what was sent, says how far it came. `read`: how the reading ended.
    async fn finish(mut self, read: Result<(), Failure>) -> Result<(), Failure> {
        let until = Instant::now() + LAST_ANSWERS;
        while let Ok(Some(landed)) = timeout_at(until, self.sender.landed()).await {
            self.take(&landed)?;
        }
        self.memory.flush()?;
        self.report.remembered = self.memory.writer.is_some();
        self.report.total()?;
        let unknown = self.sender.in_flight();
        read?;
        if let Some(stop) = self.stop {
            let unknown = match unknown {
                0 => String::new(),
                some => format!("; {some} without an answer may be on the bus and are sent again"),
            };
            return Err(Failure::Failed(format!(
                "{stop}: not everything was sent{unknown}; the same call goes on from here"
            )));
        }
        match self.report.left() {
            0 => self.report.is_whole(),
            left => Err(Failure::Failed(format!("{left} event(s) could not be sent"))),
        }
    }
}

/// What was sent before, and the file that remembers what is sent now.
struct Memory {
    replayed: Replayed,
    /// `None`: there is no directory to remember in.
    writer: Option<Writer>,
}

impl Memory {
    fn directory(what: What, config: &Config) -> PathBuf {
        let directory = origin::directory(what, config);
        // Its places are no sequences of the journal.
        if what == What::Quarantine { directory.join("quarantine") } else { directory }
    }

    fn read(what: What, config: &Config) -> Result<Replayed, Failure> {
        let directory = Self::directory(what, config);
        let failed = |error: io::Error| Failure::Failed(format!("{}: {error}", directory.display()));
        Replayed::read(&directory).map_err(failed)
    }

    fn open(what: What, config: &Config) -> Result<Self, Failure> {
        let directory = Self::directory(what, config);
        let home = &config.journal.directory;
        if what == What::Quarantine && home.is_dir() && !directory.is_dir() {
            let made = DirBuilder::new().mode(0o700).create(&directory);
            made.map_err(|error| Failure::Failed(format!("{}: {error}", directory.display())))?;
            give_to_owner_of(home, &directory);
        }
        let writer = directory.is_dir().then(|| Writer::open(&directory)).transpose();
        let writer = writer.map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(Memory { replayed: Self::read(what, config)?, writer })
    }

    fn note(&mut self, letter: &Letter) -> Result<(), Failure> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if !self.replayed.contains(letter.place) {
            writer.note(letter.place);
        }
        if writer.waiting() < REMEMBER { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.flush().map_err(|error| {
            Failure::Failed(format!("what was sent cannot be remembered, so it would be sent again: {error}"))
        })
    }
}

/// SIGINT and SIGTERM as one.
struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    fn new() -> io::Result<Self> {
        Ok(Interrupt { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
