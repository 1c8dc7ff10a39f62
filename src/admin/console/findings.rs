//! What an operator has to know first. In: the state. Out: what is wrong, in words with what to do, the worst first; none when
//! all is well.

use super::{
    facts::NO_SOURCE,
    state::{JournalState, SourceState, State},
    words,
};
use crate::health::Stage;

/// Fewer refused requests than this in the last minutes are somebody's mistake.
const MANY_REFUSED: u64 = 10;
/// Fewer requests for unknown paths than this in the last minutes are the weather of the internet.
const MANY_STRANGERS: u64 = 100;
/// Hundredths of its largest size at which a spool is nearly full.
const NEARLY_FULL: u64 = 80;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Events are refused, or what makes them durable is down.
    Outage,
    /// Somebody should look, today.
    Look,
}

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) text: String,
}

/// Everything that is wrong.
pub(super) fn of(state: &State) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |level, text: String| findings.push(Finding { level, text });
    match state.stage {
        Stage::Starting => say(Level::Look, "Starting: the journal is being read, and no event is taken yet.".into()),
        Stage::Draining => {
            say(Level::Look, "Stopping: no new connection is taken, what is under way is finished.".into())
        }
        Stage::Serving => serving(state, &mut say),
    }
    for source in &state.sources {
        of_source(source, &mut say);
    }
    findings.sort_by_key(|finding| finding.level);
    findings
}

fn serving(state: &State, say: &mut impl FnMut(Level, String)) {
    let failed: u64 = state.sources.iter().map(|source| source.lately.answers.failed).sum();
    let (bus, is_down) = (&state.bus, !state.bus.is_up);
    if !state.is_ready {
        let text =
            "No event can be taken: neither the bus nor a disk takes any. Senders are answered 503 and try again.";
        say(Level::Outage, text.into());
    } else if is_down {
        let text = "The bus is down. Events are answered 200 from the spool, and published in order when it is back.";
        say(Level::Outage, text.into());
    }
    if failed > 0 {
        let requests = words::of(failed, "request was", "requests were");
        let text = format!("{requests} answered 503 lately, which is hookbus's fault: see the reasons below.");
        say(Level::Outage, text);
    }
    if bus.unsafe_topics > 0 {
        let topics = words::of(bus.unsafe_topics, "topic or stream", "topics or streams");
        say(Level::Outage, format!("{topics} would lose events and get none: the log says which, and why."));
    }
    if let Some(journal) = &state.journal {
        of_journal(journal, bus.is_embedded, say);
    }
    if bus.missing_topics > 0 {
        let topics = words::of(bus.missing_topics, "topic or subject", "topics or subjects");
        say(
            Level::Look,
            format!("{topics} that events can lead to are missing: hookbus provision --check lists them."),
        );
    }
    if state.refused_keys > 0 {
        let keys = words::of(state.refused_keys, "key waits", "keys wait");
        say(Level::Look, format!("{keys} since the bus refuses an event of theirs; all others go on."));
    }
    if state.dead_letters > 0 {
        let events = words::of(state.dead_letters, "event lies", "events lie");
        say(Level::Look, format!("{events} in the dead letters: mend the cause, then hookbus replay dead-letters."));
    }
}

fn of_journal(journal: &JournalState, is_embedded: bool, say: &mut impl FnMut(Level, String)) {
    let name = if is_embedded { "embedded bus" } else { "spool" };
    if !journal.is_up {
        say(
            Level::Outage,
            format!("The {name} takes no record: its disk is full, fails or hangs; the log says which."),
        );
    }
    if journal.lost_records > 0 {
        let records = words::of(journal.lost_records, "record is", "records are");
        say(
            Level::Outage,
            format!(
                "{records} missing from the disk, seen since this start: ask the vendor to send those events again."
            ),
        );
    }
    if !is_embedded && journal.records > 0 {
        let events = words::of(journal.records, "event waits", "events wait");
        let oldest = journal.oldest.map(|seconds| format!(", the oldest came {}", words::ago(seconds)));
        say(Level::Look, format!("{events} in the spool for the bus{}.", oldest.unwrap_or_default()));
    }
    if !is_embedded && journal.bytes * 100 > journal.max_bytes * NEARLY_FULL {
        let (bytes, most) = (words::size(journal.bytes), words::size(journal.max_bytes));
        say(
            Level::Look,
            format!("The spool has {bytes} of at most {most}; when it is full, senders are answered 503."),
        );
    }
    if let Some(free) = journal.free_bytes.filter(|free| *free < 2 * journal.reserve_bytes) {
        let (free, reserve) = (words::size(free), words::size(journal.reserve_bytes));
        say(Level::Look, format!("The journal's disk has {free} free; at {reserve} the {name} stops."));
    }
}

fn of_source(source: &SourceState, say: &mut impl FnMut(Level, String)) {
    let (name, (held, refused)) = (&source.name, source.lately.held());
    if name == NO_SOURCE {
        let strangers = source.lately.answers.rejected;
        if strangers >= MANY_STRANGERS {
            let requests = words::of(strangers, "request", "requests");
            say(
                Level::Look,
                format!("{requests} lately for paths that no source has: a wrong URL, or a search for holes."),
            );
        }
        return;
    }
    if !source.is_secret_fresh {
        say(Level::Look, format!("{name}: a secret file is bad, and the old secrets stay in use; the log says why."));
    }
    if refused >= MANY_REFUSED && refused > held {
        let most = source.lately.checks.iter().filter(|(result, _)| *result != "ok").max_by_key(|(_, count)| *count);
        let advice = match most.map(|(result, _)| *result) {
            Some("stale") => "look at both clocks",
            _ if held == 0 => "the secret is another one than the vendor's, or this is an attack; try hookbus explain",
            _ => "the vendor's own do come through, so this is somebody else, or a second endpoint with another secret",
        };
        let (refused, all) = (words::count(refused), words::count(refused + held));
        say(Level::Look, format!("{name}: {refused} of {all} signatures did not hold lately: {advice}."));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        admin::console::{state::BusState, trend::Counts},
        metrics::Distribution,
    };

    fn well() -> State {
        let source = |name: &str| SourceState {
            name: name.into(),
            about: String::new(),
            last_event: Some(3),
            is_secret_fresh: true,
            bars: Vec::new(),
            lately: Counts::default(),
            hour: Counts::default(),
        };
        State {
            at: Timestamp::UNIX_EPOCH,
            stage: Stage::Serving,
            is_ready: true,
            sources: vec![source("acme"), source(NO_SOURCE)],
            bus: BusState {
                kind: "nats",
                is_embedded: false,
                is_up: true,
                durability: "replicated".into(),
                inflight: 0,
                missing_topics: 0,
                unsafe_topics: 0,
                published: Distribution::default(),
            },
            journal: Some(JournalState {
                is_up: true,
                records: 0,
                oldest: None,
                bytes: 1 << 20,
                max_bytes: 10 << 30,
                free_bytes: Some(50 << 30),
                reserve_bytes: 1 << 30,
                lost_records: 0,
            }),
            dead_letters: 0,
            dead_letter_reasons: Vec::new(),
            quarantine_reasons: Vec::new(),
            refused_keys: 0,
            lately: Duration::from_mins(5),
            hour: Duration::from_mins(60),
        }
    }

    /// The findings of a state that is well but for one thing.
    fn but(change: impl FnOnce(&mut State)) -> Vec<(Level, String)> {
        let mut state = well();
        change(&mut state);
        of(&state).into_iter().map(|finding| (finding.level, finding.text)).collect()
    }

    fn only(level: Level, words: &str, change: impl FnOnce(&mut State)) {
        let found = but(change);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, level, "{found:?}");
        assert!(found[0].1.contains(words), "{words}: {found:?}");
    }

    #[test]
    fn nothing_is_said_when_all_is_well() {
        assert_eq!(but(|_| {}), []);
        let embedded = but(|state| {
            state.bus.is_embedded = true;
            state.journal.as_mut().unwrap().records = 70_000;
        });
        assert_eq!(embedded, [], "the embedded bus is meant to have records");
    }

    #[test]
    fn each_fault_is_said_with_how_bad_it_is() {
        use Level::{Look, Outage};
        only(Outage, "No event can be taken", |state| (state.is_ready, state.bus.is_up) = (false, false));
        only(Outage, "The bus is down", |state| state.bus.is_up = false);
        only(Outage, "1,200 requests were answered 503", |state| state.sources[0].lately.answers.failed = 1200);
        only(Outage, "1 topic or stream would lose", |state| state.bus.unsafe_topics = 1);
        only(Outage, "takes no record", |state| state.journal.as_mut().unwrap().is_up = false);
        only(Outage, "3 records are missing", |state| state.journal.as_mut().unwrap().lost_records = 3);
        only(Look, "Starting", |state| (state.stage, state.is_ready) = (Stage::Starting, false));
        only(Look, "Stopping", |state| (state.stage, state.is_ready) = (Stage::Draining, false));
        only(Look, "2 topics or subjects", |state| state.bus.missing_topics = 2);
        only(Look, "1 key waits", |state| state.refused_keys = 1);
        only(Look, "4 events lie in the dead letters", |state| state.dead_letters = 4);
        only(Look, "5 events wait in the spool for the bus, the oldest came 1 min 5 s ago", |state| {
            (state.journal.as_mut().unwrap().records, state.journal.as_mut().unwrap().oldest) = (5, Some(65));
        });
        only(Look, "8.1 GiB of at most 10.0 GiB", |state| state.journal.as_mut().unwrap().bytes = 8_700_000_000);
        only(Look, "1.5 GiB free; at 1.0 GiB", |state| state.journal.as_mut().unwrap().free_bytes = Some(3 << 29));
        only(Look, "acme: a secret file is bad", |state| state.sources[0].is_secret_fresh = false);
        only(Look, "100 requests lately for paths", |state| state.sources[1].lately.answers.rejected = 100);
    }

    #[test]
    fn refused_signatures_are_said_when_they_are_many_and_most() {
        let checks = |ok, mismatch, stale| {
            but(|state| {
                state.sources[0].lately.checks = vec![("ok", ok), ("mismatch", mismatch), ("stale", stale)];
            })
        };
        assert_eq!(checks(0, 9, 0), []);
        assert_eq!(checks(10, 10, 0), []);
        assert!(checks(0, 10, 0)[0].1.starts_with("acme: 10 of 10 signatures did not hold lately: the secret"));
        assert!(checks(10, 11, 0)[0].1.contains("somebody else"));
        assert!(checks(0, 5, 6)[0].1.contains("clocks"));
    }

    #[test]
    fn the_worst_comes_first() {
        let found = but(|state| {
            state.dead_letters = 1;
            state.bus.is_up = false;
        });
        assert_eq!(found.iter().map(|(level, _)| *level).collect::<Vec<_>>(), [Level::Outage, Level::Look]);
    }
}
