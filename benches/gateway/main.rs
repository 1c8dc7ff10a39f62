//! The whole gateway against what it is made of: `make bench`.
//!
//! hookbus (the release binary) on each bus and on its spool, beside a bare hyper server and a bare producer of each
//! broker, all running at once and measured in turn, at full load and, in an open loop, at half of it; real brokers, started
//! and stopped here. Prints the page that lies in `docs/benchmark.md`.
//!
//! `--test`: one short round, for CI. `--short`: the main row alone. `--rounds N`, `--events N`. `--only WORD`: the
//! subjects whose label has it, to profile one of them. `--output DIRECTORY`: also writes the page and its plot there.
//! `HOOKBUS__…` variables reach the gateways: `HOOKBUS__LOG__LEVEL=warn` shows what the request log costs.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal that stops at the first surprise"
)]
#![expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^52")]
#![expect(unreachable_pub, reason = "one program")]

mod bare;
mod brokers;
mod events;
mod hookbus;
mod latency;
mod load;
mod machine;
mod part;
mod plot;
mod process;
mod quantiles;
mod report;
mod spread;
mod stolen;
mod subject;

use std::{fs, path::PathBuf, time::Instant};

use self::{
    events::Forge,
    report::{Drained, Row},
    stolen::Stolen,
    subject::{Brokers, Kind, Size, Subject},
};

/// What each subject gets before anything counts: a broker whose code is not compiled yet is ten times dearer.
const FIRST: Size = Size { parallel: 64, events: 10_000 };
/// Rounds of the rows beside the main one.
const SIDE_ROUNDS: usize = 3;
/// A window at half of the full load: long enough that p99.9 is of some events.
const HALF_SECONDS: f64 = 5.0;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--part", "hyper", loops] => bare::hyper(loops),
        ["--part", "nats", url] => bare::nats(url),
        ["--part", "kafka", brokers] => bare::kafka(brokers),
        _ => bench(&Options::read(&words)),
    }
}

struct Options {
    /// Windows: their size and number.
    plan: Vec<(Size, usize)>,
    subjects: Vec<Kind>,
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
        let (rounds, main_events) = (number("--rounds", 5), number("--events", 60_000));
        let size = |parallel, events| Size { parallel, events };
        // Without `--bench` this is `cargo test --benches`.
        let smoke = has("--test") || !has("--bench");
        let plan = if smoke {
            vec![(size(64, 2_000), 1)]
        } else if has("--short") {
            vec![(size(64, main_events), rounds)]
        } else {
            let side = rounds.min(SIDE_ROUNDS);
            vec![
                (size(64, main_events), rounds),
                (size(1, 4_000), side),
                (size(8, 12_000), side),
                (size(256, 40_000), side),
                (size(1_000, 40_000), side),
            ]
        };
        let wanted = |kind: &Kind| value("--only").is_none_or(|word| kind.label().contains(word.as_str()));
        let own: Vec<_> = words.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
        let command = format!("cargo bench --bench gateway -- {}", own.join(" "));
        Options {
            plan,
            subjects: Kind::ALL.into_iter().filter(wanted).collect(),
            smoke,
            output: value("--output").map(PathBuf::from),
            command,
        }
    }
}

fn bench(options: &Options) {
    // Not the system's temporary folder: that may be memory, where a sync costs nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let mut brokers = Brokers::start(folder.path());
    let start = |kind: &Kind| Subject::start(*kind, folder.path(), &mut brokers);
    let mut subjects: Vec<Subject> = options.subjects.iter().map(start).collect();
    let mut forge = Forge::new();
    if !options.smoke {
        for subject in &mut subjects {
            subject.measure(FIRST, &mut forge);
        }
    }
    let rows: Vec<Row> =
        options.plan.iter().map(|(size, rounds)| measure(*size, *rounds, &mut subjects, &mut forge)).collect();
    let (rounds, seconds) = if options.smoke { (1, 0.1) } else { (options.plan[0].1, HALF_SECONDS) };
    let halves = latency::measure(&rows[0], rounds, seconds, &mut subjects, &mut forge);
    subjects.iter().for_each(|subject| subject.check(&brokers));
    let drained = drain(&subjects, &mut brokers);
    let page = report::page(&rows, &halves, drained.as_ref(), options.command.trim_end_matches([' ', '-']));
    println!("{page}");
    if let (Some(directory), Some(main_row)) = (&options.output, rows.first()) {
        fs::create_dir_all(directory).expect("a folder");
        fs::write(directory.join("benchmark.md"), page).expect("a page");
        fs::write(directory.join("benchmark.svg"), plot::svg(main_row)).expect("a plot");
    }
    let refused: usize = rows
        .iter()
        .flat_map(|row| row.windows.iter().flat_map(|(_, windows)| windows))
        .map(|window| window.refused)
        .sum();
    assert_eq!(refused + latency::refused(&halves), 0, "answers other than 2xx");
}

/// All subjects in turn, round by round, each round beginning with another one.
fn measure(size: Size, rounds: usize, subjects: &mut [Subject], forge: &mut Forge) -> Row {
    let windows = subjects.iter().map(|subject| (subject.kind, Vec::new())).collect();
    let (mut row, stolen) = (Row { size, windows, stolen: 0.0 }, Stolen::begin());
    for round in 0..rounds {
        for turn in 0..subjects.len() {
            let place = (round + turn) % subjects.len();
            let subject = &mut subjects[place];
            let window = subject.measure(size, forge);
            eprintln!(
                "{:4} connections, round {}: {:<30} {:>7.0} events/s, {:.2} CPU s / 100k",
                size.parallel,
                round + 1,
                subject.kind.label(),
                window.per_second,
                window.cpu
            );
            row.windows[place].1.push(window);
        }
    }
    row.stolen = stolen.share();
    row
}

/// Starts the stopped broker again and waits until it has what was answered without it.
fn drain(subjects: &[Subject], brokers: &mut Brokers) -> Option<Drained> {
    let spool = subjects.iter().find(|subject| subject.kind == Kind::Spool)?;
    let (events, cpu) = (spool.acknowledged(), process::cpu_seconds(spool.pid()));
    let begin = Instant::now();
    brokers.stopped.run();
    brokers::wait_until("the drain", || brokers.stopped.stored("WEBHOOKS") >= events);
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(brokers.stopped.stored("WEBHOOKS"), events, "drained and acknowledged events");
    Some(Drained { events, seconds, cpu: (process::cpu_seconds(spool.pid()) - cpu) * 1e5 / events as f64 })
}
