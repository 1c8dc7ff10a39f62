//! `hookbus replay`: sends again what lies in the dead letters, in quarantine or on the embedded bus.
//!
//! It only lists without `--send`. What the bus has acknowledged is remembered beside the records
//! ([`journal::replay_log`]), so that a second run, also after an interruption, goes on where the first one ended. It
//! reads without a lock and never removes a record: a running gateway sees the same memory and counts them as done.

mod candidate;
mod memory;
mod options;
mod origin;
mod report;
mod reroute;
mod sender;

use std::{
    io,
    pin::{Pin, pin},
    time::Duration,
};

use journal::replay_log::Replayed;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, timeout_at},
};

use self::{
    candidate::{Candidate, Fate},
    memory::Memory,
    options::What,
    origin::Origin,
    report::Report,
    sender::{Landed, Sender},
};

use crate::{
    bus::{Bus, Record, nats},
    commands::failure::Failure,
    config::{BusKind, Config},
    delivery::Reason,
    server::{metrics::Metrics, open},
};

pub use self::options::Options;

/// How long the bus may take to answer before anything is sent.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// Between two looks whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the end waits for answers after an interruption.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

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
    if options.what == What::DeadLetters && origin::keeps_no_dead_letters(config) {
        return Ok(Report::new(options, config, 0).total()?);
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

/// The candidate that was found, if it is meant and was not sent on before.
fn wanted(
    found: Record,
    options: &Options,
    config: &Config,
    replayed: &Replayed,
    report: &mut Report<'_>,
) -> Option<Candidate> {
    let mut candidate = Candidate::new(found, options.what, config);
    if !candidate.is_meant(options) {
        return None;
    }
    if !options.again && replayed.contains(candidate.place) {
        report.counts.replayed += 1;
        return None;
    }
    if options.again {
        candidate.send_again(report.run());
    }
    Some(candidate)
}

async fn list(options: &Options, config: &Config) -> Result<(), Failure> {
    let replayed = Memory::read(options.what, config)?;
    let mut origin = Origin::open(options.what, config).await?;
    let mut report = Report::new(options, config, 0);
    while let Some(found) = origin.next().await? {
        let Some(candidate) = wanted(found, options, config, &replayed, &mut report) else { continue };
        let fate = if candidate.obstacle.is_some() { Fate::Stays } else { Fate::Waits };
        report.count(&candidate, fate, true)?;
    }
    report.counts.missed = origin.missed(options.what);
    report.total()?;
    report.is_whole()
}

/// Remembers candidates as if they had been sent.
async fn discard(options: &Options, config: &Config, mut memory: Memory) -> Result<(), Failure> {
    let mut origin = Origin::open(options.what, config).await?;
    let mut report = Report::new(options, config, 0);
    while let Some(found) = origin.next().await? {
        let Some(candidate) = wanted(found, options, config, &memory.replayed, &mut report) else { continue };
        memory.note(&candidate)?;
        report.count(&candidate, Fate::Discarded, true)?;
    }
    memory.flush()?;
    report.total()?;
    Ok(())
}

/// The configured bus, once it answers.
async fn reach(config: &Config) -> Result<Bus, Failure> {
    if config.bus.kind == BusKind::Nats {
        // The bus itself goes on trying without a word; this one says what is wrong.
        let once = nats::connect_once(&config.bus.nats).await;
        drop(once.map_err(Failure::at("bus.nats"))?);
    }
    let (metrics, _) = Metrics::new(config).map_err(Failure::failed)?;
    let (bus, _journal) = open::open_bus(config, &metrics).map_err(Failure::failed)?;
    let until = Instant::now() + FIRST_ANSWER;
    while !bus.up() {
        if until <= Instant::now() {
            bus.close();
            let seconds = FIRST_ANSWER.as_secs();
            return Err(Failure::failed(format!("the bus does not answer within {seconds} s; nothing was sent")));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(bus)
}

async fn send(options: &Options, config: &Config, bus: Bus, memory: Memory) -> Result<(), Failure> {
    let mut origin = Origin::open(options.what, config).await?;
    let report = Report::new(options, config, origin.length());
    let mut interrupt = pin!(interrupt()?);
    let mut replay = Replay { options, sender: Sender::new(bus), memory, report, stop: None };
    let read = replay.send_all(&mut origin, config, interrupt.as_mut()).await;
    replay.report.counts.missed = origin.missed(options.what);
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
        mut interrupt: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), Failure> {
        loop {
            // The turn of the event loop is for signals, which nothing else here waits for while all goes well.
            tokio::task::yield_now().await;
            let found = tokio::select! {
                biased;
                () = interrupt.as_mut() => { self.stop = Some("interrupted".into()); return Ok(()) }
                found = origin.next() => found?,
            };
            let Some(found) = found else { break };
            self.report.looked();
            let replayed = &self.memory.replayed;
            let Some(candidate) = wanted(found, self.options, config, replayed, &mut self.report) else { continue };
            if candidate.obstacle.is_some() {
                self.report.count(&candidate, Fate::Stays, true)?;
                continue;
            }
            while self.stop.is_none() && !self.sender.has_room(&candidate) {
                self.land(interrupt.as_mut()).await?;
            }
            if self.stop.is_some() {
                return Ok(());
            }
            self.sender.send(candidate);
        }
        while self.stop.is_none() && self.sender.waiting() > 0 {
            self.land(interrupt.as_mut()).await?;
        }
        Ok(())
    }

    async fn land(&mut self, interrupt: Pin<&mut impl Future<Output = ()>>) -> Result<(), Failure> {
        tokio::select! {
            () = interrupt => self.stop = Some("interrupted".into()),
            landed = self.sender.landed() => if let Some(landed) = landed { self.take(&landed)? },
        }
        Ok(())
    }

    fn take(&mut self, landed: &Landed) -> Result<(), Failure> {
        let Landed { candidate, result } = landed;
        match result {
            Ok(ack) => {
                self.memory.note(candidate)?;
                self.report.count(candidate, Fate::Sent(*ack), self.options.json)?;
            }
            Err(error) => {
                self.report.count(candidate, Fate::Failed(*error), true)?;
                // What is refused for good is this one candidate's matter; anything else meets the next one as well.
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
        self.sender.stop();
        while let Ok(Some(landed)) = timeout_at(until, self.sender.landed()).await {
            self.take(&landed)?;
        }
        self.memory.flush()?;
        self.report.counts.forgotten = !self.memory.is_kept();
        self.report.total()?;
        let unknown = self.sender.in_flight();
        read?;
        if let Some(stop) = self.stop {
            let unknown = match unknown {
                0 => String::new(),
                some => format!("; {some} without an answer may be on the bus and are sent again"),
            };
            return Err(Failure::failed(format!(
                "{stop}: not everything was sent{unknown}; the same call goes on from here"
            )));
        }
        match self.report.left() {
            0 => self.report.is_whole(),
            left => Err(Failure::failed(format!("{left} event(s) could not be sent"))),
        }
    }
}

/// Ends with SIGINT or SIGTERM, whose default it takes away at once.
fn interrupt() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
