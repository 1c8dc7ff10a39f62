//! How hookbus behaves as things grow: `make scale`.
//!
//! The release binary, on buses and with brokers of its own, while one thing is varied: connections, sources, subjects or
//! topics, the size of the body; and its memory over a long run. Writes the measured part of `docs/scale.md`, and
//! `docs/scale.svg`.
//!
//! `--test`: a few points with a few events, for CI. `--rounds N`, `--events N` in a window, `--events-long N`. `--only WORD`: the
//! sweeps whose title has it, and no long run; `long`: that alone. `--output DIRECTORY`: also writes the page and its picture there.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal that stops at the first surprise"
)]
#![expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^52")]
#![expect(unreachable_pub, reason = "one program")]

mod body;
#[expect(dead_code, reason = "the bench of the gateway uses the rest")]
#[path = "../gateway/brokers.rs"]
mod brokers;
mod bus;
mod cluster;
#[expect(dead_code, reason = "the bench of the gateway uses the rest")]
#[path = "../gateway/events.rs"]
mod events;
#[expect(dead_code, reason = "the bench of the gateway uses the rest")]
#[path = "../gateway/hookbus.rs"]
mod hookbus;
#[expect(dead_code, reason = "the bench of its cost uses the rest")]
#[path = "../cost/kernel.rs"]
mod kernel;
#[expect(dead_code, reason = "the bench of the gateway uses the rest")]
#[path = "../gateway/load.rs"]
mod load;
mod long;
#[path = "../gateway/machine.rs"]
mod machine;
mod marks;
mod need;
mod page;
mod plot;
#[path = "../gateway/process.rs"]
mod process;
mod said;
#[path = "../gateway/spread.rs"]
mod spread;
mod steps;
mod sweep;
mod window;
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::{
    bus::Bus,
    events::Forge,
    marks::Around,
    page::Measured,
    sweep::{Sweep, What},
};

/// The page that the measured part is put into.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scale.md");

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = Options::read(&words);
    // Before anything is measured: a run takes long, and a page without its marks would waste it.
    let page = fs::read_to_string(PAGE).expect("the page");
    let around = Around::of(&page);
    // Not the system's temporary folder: that may be memory, where a sync costs nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let measured = measure(&options, folder.path());
    let part = page::measured(&measured, options.rounds, &options.command);
    println!("{part}");
    let picture = plot::svg(&measured);
    if let Some(directory) = &options.output {
        fs::create_dir_all(directory).expect("a folder");
        fs::write(directory.join("scale.md"), around.with(&part)).expect("a page");
        fs::write(directory.join("scale.svg"), picture).expect("a picture");
    }
}

struct Options {
    sweeps: Vec<Sweep>,
    rounds: usize,
    /// Events of the long run, and the buses that take it.
    long: (usize, Vec<Bus>),
    /// Only to see that it works.
    smoke: bool,
    output: Option<PathBuf>,
    command: String,
}

impl Options {
    fn read(words: &[String]) -> Self {
        let has = |name: &str| words.iter().any(|word| word == name);
        let value = |name: &str| words.iter().skip_while(|word| *word != name).nth(1);
        let number = |name: &str, default| value(name).map_or(default, |number| number.parse().expect("a number"));
        // Without `--bench` this is `cargo test --benches`.
        let smoke = has("--test") || !has("--bench");
        let only = value("--only");
        assert!(only.is_none() || value("--output").is_none(), "--only measures a part of the page: no --output");
        let wanted = |what: &What| only.is_none_or(|word| what.title().to_lowercase().contains(&word.to_lowercase()));
        let events = number("--events", if smoke { 256 } else { 40_000 });
        let long = match (only.map(String::as_str), smoke) {
            (Some("long"), _) => vec![Bus::Journal, Bus::JetStream],
            (Some(_), _) => Vec::new(),
            (None, true) => vec![Bus::Journal],
            (None, false) => vec![Bus::Journal, Bus::JetStream],
        };
        let own: Vec<_> = words.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
        Options {
            sweeps: What::ALL.into_iter().filter(wanted).map(|what| Sweep::of(what, events, smoke)).collect(),
            rounds: number("--rounds", if smoke { 1 } else { 5 }),
            long: (number("--events-long", if smoke { 2_000 } else { 2_000_000 }), long),
            smoke,
            output: value("--output").map(PathBuf::from),
            command: format!("cargo bench --bench scale -- {}", own.join(" ")).trim_end_matches([' ', '-']).to_owned(),
        }
    }
}

fn measure(options: &Options, folder: &Path) -> Measured {
    let mut forge = Forge::new();
    let mut sweeps = Vec::new();
    // A folder for each: millions of events need room.
    let own = || tempfile::tempdir_in(folder).expect("a folder");
    for sweep in &options.sweeps {
        let series = window::measure(sweep, options.rounds, options.smoke, own().path(), &mut forge);
        sweeps.push((sweep.clone(), series));
    }
    let (events, buses) = &options.long;
    let long = buses.iter().map(|bus| long::run(*bus, *events, own().path(), &mut forge)).collect();
    Measured { sweeps, long }
}
