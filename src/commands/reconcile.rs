//! `hookbus reconcile`: asks the vendors' own APIs for what never came, in a process of its own.

use std::io::{self, BufWriter, Write};

use clap::Args;
use jiff::Timestamp;

use crate::{
    commands::{failure::Failure, output::json_line},
    config::Loaded,
    follow_up,
    metrics::Label as _,
    reconcile::{self, Finding, Look, Shared, Sight, StartError, Verdict},
    text::terminal,
};

/// The words after `reconcile`.
#[derive(Debug, Args)]
pub struct Options {
    /// Look once, print what was found, and end
    #[arg(long)]
    once: bool,

    /// Print one JSON object per finding
    #[arg(long, requires = "once")]
    json: bool,
}

/// Looks once, or until a signal.
///
/// # Errors
/// No `[reconcile]` table; with `--once`, a finding, or a vendor or bus that does not answer.
pub fn run(options: &Options, loaded: &Loaded) -> Result<(), Failure> {
    if options.once { once(options.json, loaded) } else { reconcile::serve(loaded, beside).map_err(refused) }
}

/// What else the long form does: each is one more task of its runtime, and ends with it.
fn beside(shared: &Shared) -> Result<(), StartError> {
    follow_up::start(&shared.config, shared.bus.clone(), &shared.families, &shared.stop)?;
    Ok(())
}

fn once(as_json: bool, loaded: &Loaded) -> Result<(), Failure> {
    let (mut printed, mut is_whole, mut is_nothing) = (Ok(()), true, true);
    let unpublished = reconcile::once(loaded, |look| {
        printed = print(look, as_json);
        (is_whole, is_nothing) = (look.is_whole(), look.findings().next().is_none());
    });
    printed?;
    match (unpublished.map_err(refused)?, is_whole, is_nothing) {
        (0, true, true) => Ok(()),
        (0, true, false) => Err(Failure::Pending),
        (0, false, _) => Err(Failure::failed("not everything could be asked and read: see above")),
        (count, ..) => {
            Err(Failure::failed(format!("{count} finding(s) are not on the bus; the next look tries again")))
        }
    }
}

fn refused(error: StartError) -> Failure {
    if error.is_refusal() { Failure::Usage(error.to_string()) } else { Failure::failed(error) }
}

fn print(look: &Look, as_json: bool) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let findings: Vec<&Finding> = look.findings().map(|(_, finding)| finding).collect();
    for finding in &findings {
        if as_json {
            let mut data = finding.data(false, look.now);
            data["id"] = finding.id(false).into();
            json_line(data.to_string().as_bytes(), &mut out)?;
        } else {
            line(finding, &mut out)?;
        }
    }
    out.flush()?;
    let mut said = io::stderr().lock();
    for sight in &look.sights {
        let name = &sight.source.name;
        match &sight.verdict {
            Err(error) => writeln!(said, "hookbus: {name}: {}", terminal(error.to_string().as_bytes()))?,
            Ok(verdict) => of_verdict(&mut said, name, verdict)?,
        }
        if sight.is_cut {
            writeln!(said, "hookbus: {name}: {}", Sight::CUT)?;
        }
    }
    if let Some(error) = &look.bus_error {
        writeln!(said, "hookbus: the bus: {}", terminal(error.to_string().as_bytes()))?;
    }
    writeln!(said, "hookbus: {} finding(s)", findings.len())
}

/// What a verdict says beside its findings.
fn of_verdict(said: &mut impl Write, name: &str, verdict: &Verdict) -> io::Result<()> {
    for (_, error) in &verdict.failed {
        writeln!(said, "hookbus: {name}: {}", terminal(error.to_string().as_bytes()))?;
    }
    if verdict.odd > 0 {
        writeln!(said, "hookbus: {name}: {} item(s) of another shape than documented are passed over", verdict.odd)?;
    }
    if verdict.unknown > 0 {
        let unknown = verdict.unknown;
        writeln!(
            said,
            "hookbus: {name}: of {unknown} change(s) the bus does not reach back far enough to say whether their event came"
        )?;
    }
    Ok(())
}

/// Columns: kind, source, thing, since when, what is missing or how it stands, in words.
fn line(finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let shown = |text: &str| terminal(text.as_bytes());
    let since = finding.since.map(|since: Timestamp| since.to_string());
    writeln!(
        out,
        "{:<18} {:<12} {:<28} {:<20} {:<24} {}",
        finding.kind.as_str(),
        finding.source,
        shown(&finding.subject),
        since.as_deref().unwrap_or("-"),
        shown(finding.event.as_deref().or(finding.status.as_deref()).unwrap_or("-")),
        finding.text,
    )
}
