//! Latency at half of the full load, in an open loop, beside a bare server at the same rate.

use std::fmt::{self, Write as _};

use crate::{
    events::Forge,
    quantiles::Latencies,
    report::Row,
    spread::Spread,
    subject::{Kind, Paced, Subject},
};

/// The share of the time above which the generator has no more to give.
const AT_ITS_LIMIT: f64 = 0.9;

/// One subject at half of its full load, and bare hyper at that rate, round by round.
#[derive(Debug)]
pub struct Half {
    kind: Kind,
    per_second: f64,
    own: Vec<Paced>,
    /// None where the subject is bare hyper, or that is not measured.
    bare: Vec<Paced>,
}

/// Measures all subjects that speak HTTP, in turn. `full`: the row that says what the full load is. A window is so many
/// `seconds` long.
pub fn measure(full: &Row, rounds: usize, seconds: f64, subjects: &mut [Subject], forge: &mut Forge) -> Vec<Half> {
    let half = |subject: &Subject| {
        let windows = full.of(subject.kind).filter(|_| subject.kind.speaks_http())?;
        let per_second = Spread::of(windows.iter().map(|window| window.per_second)).median / 2.0;
        Some(Half { kind: subject.kind, per_second, own: Vec::new(), bare: Vec::new() })
    };
    let mut halves: Vec<Half> = subjects.iter().filter_map(half).collect();
    let place = |kind: Kind, subjects: &[Subject]| subjects.iter().position(|subject| subject.kind == kind);
    for round in 0..rounds {
        for turn in 0..halves.len() {
            let number = (round + turn) % halves.len();
            let half = &mut halves[number];
            let own = place(half.kind, subjects);
            let bare = place(Kind::BareHyper, subjects).filter(|_| half.kind != Kind::BareHyper);
            let mut pace = |place: Option<usize>| {
                place.map(|place| subjects[place].pace(full.size.parallel, half.per_second, seconds, forge))
            };
            // Neither is always the second.
            let (own, bare) = if round % 2 == 1 {
                let bare = pace(bare);
                (pace(own), bare)
            } else {
                (pace(own), pace(bare))
            };
            half.own.extend(own);
            half.bare.extend(bare);
            eprintln!("half load, round {}: {:<30} {:>7.0} events/s", round + 1, half.kind.label(), half.per_second);
        }
    }
    halves
}

/// Events that were answered with another status than 2xx.
pub fn refused(halves: &[Half]) -> usize {
    halves.iter().flat_map(|half| half.own.iter().chain(&half.bare)).map(|paced| paced.refused).sum()
}

/// The section of the page.
pub fn table(halves: &[Half], page: &mut String) -> fmt::Result {
    let rounds = halves.first().map_or(0, |half| half.own.len());
    writeln!(
        page,
        "\n## Latency at half of full load\n\n\
         An open loop: requests are due at fixed instants, half as many a second as the subject took above with 64 connections, \
         whatever the answers do. A due request takes the next free one of 64 connections. Latency counts from the instant at \
         which the request was *due*, so a wait for a connection, or behind a pause of the server, is in it. Latencies at two \
         rates do not compare, so bare hyper was offered each subject's own rate, too, in the same rounds. {rounds} rounds; \
         medians, ratios round by round (least-most).\n\n\
         \"Generator\" is the load generator's own delay in sending: p99 of the time from the instant at which a request was due \
         and a connection free until it was written. How long an answer waits to be read is not in that figure. Both are part of \
         the latencies on both sides, so they draw the ratios towards 1. Then the share of the time in which its one thread ran \
         or waited for a core. Above {most:.0} % the row says so: it may measure the generator. A window is some \
         seconds long, on cores that all share: one pause of some dozen milliseconds is more than 1 % of it, and then p99 tells of \
         that pause. \"Stolen\" is the share of the cores' time in which the hypervisor did not run a core although a thread \
         wanted to run on it. Some hypervisors do so at the end of each 100 ms, once a quota is used up: spread evenly, 1 % would \
         be a pause of a millisecond ten times a second.\n",
        most = AT_ITS_LIMIT * 100.0
    )?;
    writeln!(
        page,
        "| subject | events/s | p50 ms | p99 ms | p99.9 ms | bare hyper at that rate: p50 ms | p99 ms | p99.9 ms | ratio p50 | ratio p99 | ratio p99.9 | generator: with the subject | with bare hyper | stolen: with the subject | with bare hyper |"
    )?;
    writeln!(page, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")?;
    halves.iter().try_for_each(|half| half.line(page))
}

impl Half {
    fn line(&self, page: &mut String) -> fmt::Result {
        type Quantile = fn(&Latencies) -> f64;
        const QUANTILES: [Quantile; 3] = [|all| all.p50, |all| all.p99, |all| all.p999];
        let median = |windows: &[Paced], value: &dyn Fn(&Paced) -> f64| {
            (!windows.is_empty()).then(|| format!("{:.2}", Spread::of(windows.iter().map(value)).median))
        };
        let latency = |windows, quantile: Quantile| median(windows, &|paced| quantile(&paced.latencies));
        let ratio = |quantile: Quantile| {
            let both = self.own.iter().zip(&self.bare);
            let ratios = both.map(|(own, bare)| quantile(&own.latencies) / quantile(&bare.latencies));
            (!self.bare.is_empty()).then(|| format!("**{}**", Spread::of(ratios)))
        };
        let busy = |windows: &[Paced]| Spread::of(windows.iter().map(|paced| paced.busy)).median;
        let generator = |windows: &[Paced]| {
            let late = median(windows, &|paced| paced.late)?;
            let limit = if busy(windows) > AT_ITS_LIMIT { ", **at its limit**" } else { "" };
            Some(format!("{late} ms, {:.0} %{limit}", busy(windows) * 100.0))
        };
        let stolen = |windows| median(windows, &|paced| paced.stolen * 100.0).map(|share| format!("{share} %"));
        let mut cells = vec![Some(self.kind.label().to_owned()), Some(format!("{:.1}k", self.per_second / 1000.0))];
        cells.extend(QUANTILES.map(|quantile| latency(&self.own, quantile)));
        cells.extend(QUANTILES.map(|quantile| latency(&self.bare, quantile)));
        cells.extend(QUANTILES.map(ratio));
        cells.extend([generator(&self.own), generator(&self.bare), stolen(&self.own), stolen(&self.bare)]);
        let cells: Vec<_> = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".into())).collect();
        writeln!(page, "| {} |", cells.join(" | "))
    }
}
