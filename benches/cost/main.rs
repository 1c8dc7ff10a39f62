//! What an event costs, in counts that a busy machine does not change: `make cost`.
//!
//! hookbus on each bus and on its spool, and what it is made of alone, in steady state, with real brokers: allocations, context
//! switches, system calls by name, wake-ups of one thread by another, bytes on the wire, and in user space bytes copied,
//! instructions and the atomic ones among them. Prints the page that lies in `docs/cost.md`.
//!
//! `--test`: allocations alone, against `budgets.toml`, for CI: a count that rises fails. `--only WORD`: the buses
//! whose name has it. `--events N` in a window. `--output DIRECTORY`: also writes the page there.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for a terminal that stops at the first surprise"
)]
#![expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^52")]
#![expect(unreachable_pub, reason = "one program")]
#![expect(dead_code, reason = "the bench of the gateway uses all of what is shared")]

mod alone;
#[path = "../gateway/bare.rs"]
mod bare;
#[path = "../gateway/brokers.rs"]
mod brokers;
mod budget;
mod callgrind;
mod copied;
mod counted;
#[path = "../gateway/events.rs"]
mod events;
#[path = "../gateway/hookbus.rs"]
mod hookbus;
mod kernel;
#[path = "../gateway/load.rs"]
mod load;
mod page;
#[path = "../gateway/part.rs"]
mod part;
#[path = "../gateway/process.rs"]
mod process;
#[path = "../gateway/quantiles.rs"]
mod quantiles;
mod subject;
mod window;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use self::{
    budget::Budgets,
    events::Forge,
    page::{Cost, Row},
    subject::{Brokers, Bus, Manner},
    window::{Light, Server, Window},
};

/// Windows of one kind; their spread says how far a count can be trusted.
const ROUNDS: usize = 3;
/// Connections.
const PARALLEL: [usize; 2] = [64, 256];
/// Connections and events while valgrind counts: it is fifty times slower.
const SLOW: (usize, usize) = (64, 4_000);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", ..] => return counted::hookbus(),
        ["--part", "hyper", loops] => bare::hyper(loops),
        ["--part", "nats", url] => bare::nats(url),
        ["--part", "kafka", brokers] => bare::kafka(brokers),
        _ => return count(&Options::read(&words)),
    }
    ExitCode::SUCCESS
}

fn count(options: &Options) -> ExitCode {
    // Not the system's temporary folder: that may be memory, where a sync costs nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    if options.smoke { check(options, folder.path()) } else { measure(options, folder.path()) }
}

struct Options {
    buses: Vec<Bus>,
    events: usize,
    /// Budgets alone.
    smoke: bool,
    output: Option<PathBuf>,
}

impl Options {
    fn read(words: &[String]) -> Self {
        let has = |name: &str| words.iter().any(|word| word == name);
        let value = |name: &str| words.iter().skip_while(|word| *word != name).nth(1);
        let wanted = |bus: &Bus| value("--only").is_none_or(|word| bus.name().contains(word.as_str()));
        // Without `--bench` this is `cargo test --benches`.
        let smoke = has("--test") || !has("--bench");
        let events = value("--events").map(|number| number.parse().expect("a number"));
        Options {
            buses: Bus::ALL.into_iter().filter(wanted).collect(),
            events: events.unwrap_or(if smoke { 2_000 } else { 20_000 }),
            smoke,
            output: value("--output").map(PathBuf::from),
        }
    }
}

/// Allocations against their budgets.
fn check(options: &Options, folder: &Path) -> ExitCode {
    let (budgets, mut forge, mut brokers) = (Budgets::read(), Forge::new(), Brokers::in_folder(folder));
    let mut failed = 0;
    for bus in &options.buses {
        let gateway = brokers.start(*bus, Manner::Counted, &folder.join(bus.name()));
        let mut window = Window::open(Server::of(&gateway), PARALLEL[0], options.events, &mut forge);
        let cost = Light::least((0..ROUNDS).map(|_| window.light()));
        let Light { allocations, bytes, .. } = cost;
        println!("{}: {allocations:.2} allocations and {bytes:.0} allocated bytes per event", bus.name());
        let wrong = budgets.judge(*bus, cost);
        wrong.iter().for_each(|wrong| println!("budget: {wrong}"));
        failed += usize::from(!wrong.is_empty());
    }
    println!("{} passed, {failed} failed", options.buses.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Everything, as a page.
fn measure(options: &Options, folder: &Path) -> ExitCode {
    let (mut forge, mut brokers) = (Forge::new(), Brokers::in_folder(folder));
    let costs: Vec<Cost> =
        options.buses.iter().map(|bus| cost(*bus, options, folder, &mut brokers, &mut forge)).collect();
    let parts = alone::measure(&options.buses, options.events, folder, &mut brokers, &mut forge);
    let page = page::page(&costs, &parts, options.events);
    println!("{page}");
    if let Some(directory) = &options.output {
        fs::create_dir_all(directory).expect("a folder");
        fs::write(directory.join("cost.md"), page).expect("a page");
    }
    ExitCode::SUCCESS
}

fn cost(bus: Bus, options: &Options, folder: &Path, brokers: &mut Brokers<'_>, forge: &mut Forge) -> Cost {
    let gateway = brokers.start(bus, Manner::Counted, &folder.join(bus.name()));
    let rows = PARALLEL.map(|parallel| {
        let mut window = Window::open(Server::of(&gateway), parallel, options.events, forge);
        let light = (0..ROUNDS).map(|_| window.light()).collect();
        let (seen, wire) = window.watched(folder);
        Row { parallel, light, seen, wire }
    });
    drop(gateway);
    let gateway = brokers.start(bus, Manner::Copied, &folder.join(format!("{}-copied", bus.name())));
    let mut window = Window::open(Server::of(&gateway), SLOW.0, options.events, forge);
    let copied = (0..ROUNDS).map(|_| window.copied()).collect();
    drop(gateway);
    let directory = folder.join(format!("{}-valgrind", bus.name()));
    let gateway = brokers.start(bus, Manner::Callgrind, &directory);
    let mut window = Window::open(Server::of(&gateway), SLOW.0, SLOW.1, forge);
    let work = (0..ROUNDS).map(|_| window.instructions(&directory)).collect();
    Cost { bus, rows: rows.into(), copied, work }
}
