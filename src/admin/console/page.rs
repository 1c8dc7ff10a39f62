//! The page of the console. In: the state and the requests asked for. Out: HTML, in which every text is escaped by `maud`, and
//! what would turn a line around is shown as an escape. It works without scripts; `script.js` renews what is marked `data-live`.

use maud::{DOCTYPE, Markup, html};

use super::{
    facts::{Facts, NO_SOURCE},
    findings::{self, Finding, Level},
    requests::{self, Shown},
    sparkline,
    state::{BusState, JournalState, SourceState, State},
    words,
};

/// The whole page.
pub(super) fn page(facts: &Facts, state: &State, shown: &Shown<'_>) -> String {
    let at = state.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "hookbus on " (words::plain(&facts.replica)) }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="console/style.css";
                script src="console/script.js" defer {}
            }
            body {
                a.skip href="#requests" { "Skip to the last requests" }
                header {
                    h1 { "hookbus " small { (words::plain(&facts.replica)) } }
                    p {
                        "Version " (env!("CARGO_PKG_VERSION")) ", as of "
                        time #at data-live datetime=(state.at) { (at) } ". "
                        a #again href={ "?" (shown.filter.query()) } { "Load again" }
                    }
                    p #lost role="alert" {}
                }
                main {
                    (verdict(&findings::of(state)))
                    (sources(state))
                    (bus_and_journal(state))
                    (requests::section(facts, shown))
                }
                footer {
                    p {
                        "The same numbers, for machines: " a href="metrics" { "metrics" } ", "
                        a #as-json href={ "console/recent.json?" (shown.filter.query()) } { "last requests as JSON" } "."
                    }
                }
            }
        }
    };
    page.into_string()
}

fn verdict(findings: &[Finding]) -> Markup {
    let (class, heading) = match findings.first().map(|finding| finding.level) {
        None => ("well", "✓ All is well"),
        Some(Level::Look) => ("look", "▲ Somebody should look"),
        Some(Level::Outage) => ("outage", "✖ Outage"),
    };
    html! {
        section aria-labelledby="verdict-heading" {
            // Read out when it changes, which the numbers beside it do all the time.
            p.heard #state data-live role="status" { (heading) }
            div #verdict data-live {
                div class={ "verdict " (class) } {
                    h2 #verdict-heading { (heading) }
                    @if !findings.is_empty() {
                        ul {
                            @for finding in findings {
                                li { @if finding.level == Level::Outage { strong { (finding.text) } } @else { (finding.text) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn sources(state: &State) -> Markup {
    html! {
        section aria-labelledby="sources-heading" {
            h2 #sources-heading { "Sources" }
            p #spans data-live {
                "In the last " (words::duration(state.hour)) ", an hour at most. Lately means the last "
                (words::duration(state.lately)) "."
            }
            div.scroll role="region" aria-label="Table of sources" tabindex="0" {
                table {
                    caption { "A bar is a minute, the last one not yet over" }
                    thead {
                        tr {
                            th scope="col" { "Source" }
                            th scope="col" { "Last event" }
                            th scope="col" { "Requests a minute" }
                            th.number scope="col" { "Accepted" }
                            th.number scope="col" { "Rejected" }
                            th.number scope="col" { "Failed" }
                            th scope="col" { "Signatures" }
                            th scope="col" { "Secrets in use" }
                            th.number scope="col" { "Clock skew" }
                        }
                    }
                    tbody #sources data-live { @for source in &state.sources { (source_row(source)) } }
                }
            }
        }
    }
}

fn source_row(source: &SourceState) -> Markup {
    let answers = source.hour.answers;
    let last = source.last_event.map_or_else(|| "none since the start".into(), words::ago);
    let skew = source.hour.skew.mean();
    html! {
        tr {
            th scope="row" { (source.name) br; small { (source.about) } }
            td { @if source.name == NO_SOURCE { "–" } @else { (last) } }
            td { (sparkline::of(&source.bars, State::tallest(source))) }
            td.number { (words::count(answers.accepted)) }
            td.number.odd[answers.rejected > 0] { (words::count(answers.rejected)) }
            td.number.bad[answers.failed > 0] { (words::count(answers.failed)) }
            td { (each(&source.hour.checks)) }
            td {
                (each(&source.hour.secrets))
                @if !source.is_secret_fresh { " " strong.bad { "a secret file is bad" } }
            }
            td.number { @if let Some(skew) = skew { (format!("{skew:+.1} s")) } @else { "–" } }
        }
    }
}

/// Names with their numbers, those that are 0 left out.
fn each(counted: &[(impl AsRef<str>, u64)]) -> Markup {
    let some: Vec<_> = counted.iter().filter(|(_, count)| *count > 0).collect();
    html! {
        @if some.is_empty() { "–" }
        @for (index, (name, count)) in some.iter().enumerate() {
            @if index > 0 { ", " }
            (words::count(*count)) " " (words::plain(name.as_ref()))
        }
    }
}

fn bus_and_journal(state: &State) -> Markup {
    html! {
        div #works data-live {
            div.cards {
                (bus(&state.bus))
                @if let Some(journal) = &state.journal { (journal_card(journal, state.bus.is_embedded)) }
                (aside(state))
            }
        }
    }
}

fn bus(bus: &BusState) -> Markup {
    let last = bus.published.buckets.last().map_or(0.0, |(bound, _)| *bound);
    let latency = |percent| bus.published.at_most(percent).map(|seconds| words::at_most(seconds, last));
    html! {
        section.card aria-labelledby="bus-heading" {
            h2 #bus-heading { "Bus: " (bus.kind) }
            dl {
                (row("State", &state_of(bus.is_up, "up", "down")))
                (row("An acknowledgement means", &html! { (worth(&bus.durability)) }))
                (row("Publications lately", &html! { (words::count(bus.published.count)) }))
                (row("Half of them took", &html! { (latency(50).unwrap_or_else(|| "–".into())) }))
                (row("99 of 100 took", &html! { (latency(99).unwrap_or_else(|| "–".into())) }))
                (row("Without an answer yet", &html! { (words::of(bus.inflight, "message", "messages")) }))
            }
        }
    }
}

fn journal_card(journal: &JournalState, is_embedded: bool) -> Markup {
    let oldest = journal.oldest.map_or_else(|| "–".into(), words::ago);
    let records = match (is_embedded, journal.records) {
        (false, 0) => "empty".into(),
        (_, records) => words::of(records, "record", "records"),
    };
    html! {
        section.card aria-labelledby="journal-heading" {
            h2 #journal-heading { @if is_embedded { "Embedded bus on disk" } @else { "Spool" } }
            dl {
                (row("State", &state_of(journal.is_up, "takes records", "takes none")))
                (row("Holds", &html! { (records) }))
                (row("Oldest came", &html! { (oldest) }))
                (row("On disk", &html! { (words::size(journal.bytes)) " of at most " (words::size(journal.max_bytes)) }))
                (row("Disk free", &html! { (journal.free_bytes.map_or_else(|| "not known".into(), words::size)) }))
            }
        }
    }
}

/// What went another way than to its own subject.
fn aside(state: &State) -> Markup {
    html! {
        section.card aria-labelledby="aside-heading" {
            h2 #aside-heading { "Dead letters and quarantine" }
            dl {
                (row("Dead letters now", &html! { (words::of(state.dead_letters, "event", "events")) }))
                (row("Dead letters since the start", &each(&state.dead_letter_reasons)))
                (row("Quarantined since the start", &each(&state.quarantine_reasons)))
                (row("Keys that wait", &html! { (words::count(state.refused_keys)) }))
            }
        }
    }
}

fn row(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn state_of(is_good: bool, good: &str, bad: &str) -> Markup {
    html! { @if is_good { span.good { "✓ " (good) } } @else { strong.bad { "✖ " (bad) } } }
}

/// What `bus_durability_info` says, in words.
fn worth(class: &str) -> &str {
    match class {
        "replicated_synced" => "several copies, each on disk",
        "replicated" => "several copies, in memory at first",
        "synced" => "one copy on disk",
        "memory" => "one copy in memory",
        _ => "not known yet",
    }
}
