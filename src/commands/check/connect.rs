//! `hookbus check --connect`: the broker as it is now, held against what the gateway would ask of it.
//!
//! In: the configuration. Out: lines for the operator, and whether the gateway could publish. It changes nothing on the
//! broker and publishes nothing.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use async_nats::{ServerInfo, jetstream::ContextBuilder};
use tokio::time::timeout;

use crate::{
    bus::{
        self,
        kafka::{inspection, topics::names},
        nats,
    },
    commands::failure::Failure,
    config::{BusKind, Config},
    metrics::Label as _,
    text,
    units::{show_duration, show_size},
};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one question may take, once the broker has answered.
const ASK: Duration = Duration::from_secs(3);

/// What is said of a broker. Names and errors are the broker's own words: no line may obey them.
#[derive(Debug, Default)]
struct Report {
    facts: Vec<String>,
    warnings: Vec<String>,
    /// Why the gateway could not publish there.
    obstacles: Vec<String>,
}

pub(super) fn run(config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    let report = match config.bus.kind {
        BusKind::Journal => journal(config),
        BusKind::Kafka => kafka(config),
        BusKind::Nats => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let late = || Report::obstacle(format!("no answer within {}", show_duration(PATIENCE)));
            runtime.block_on(async { timeout(PATIENCE, nats(config)).await.unwrap_or_else(|_| late()) })
        }
    };
    let Report { facts, warnings, obstacles } = report;
    for (kind, lines) in [("  ", facts), ("warning: ", warnings), ("problem: ", obstacles.clone())] {
        lines.iter().try_for_each(|line| writeln!(out, "{kind}{}", text::terminal(line.as_bytes())))?;
    }
    match obstacles.len() {
        0 => Ok(()),
        count => Err(Failure::failed(format!("the gateway could not publish there: {count} problem(s)"))),
    }
}

impl Report {
    fn obstacle(text: String) -> Self {
        Report { obstacles: vec![text], ..Report::default() }
    }
}

/// There is no broker to ask: the gateway opens the directory itself.
fn journal(config: &Config) -> Report {
    let text = format!(
        "nothing to connect to: an acknowledgement means that the event is synced in {}",
        config.journal.directory.display()
    );
    Report { facts: vec![text], ..Report::default() }
}

async fn nats(config: &Config) -> Report {
    let (client, refusals) = match nats::connect_and_hear(&config.bus.nats).await {
        Ok(connected) => connected,
        Err(error) => return Report::obstacle(format!("bus.nats: {error}")),
    };
    let mut report = Report::default();
    report.facts.push(introduction(&client.server_info()));
    let name = &config.bus.nats.stream;
    let context = ContextBuilder::new().timeout(ASK).build(client.clone());
    match refusals.or(nats::provision::find(&context, name)).await {
        Ok(Some(info)) => {
            let held = (info.state.messages, info.state.bytes);
            let verdict = nats::judge(&info.config, held, config, client.max_payload());
            let class = verdict.class.as_str();
            report.facts.push(format!("stream {name}: an acknowledgement means: {} ({class})", verdict.worth));
            let on_stream = |text: String| format!("stream {name} {text}");
            for found in verdict.dangers {
                let lines = if found.is_waived(config) { &mut report.warnings } else { &mut report.obstacles };
                lines.push(on_stream(found.text));
            }
            report.warnings.extend(verdict.warnings.into_iter().map(on_stream));
            report.obstacles.extend(verdict.obstacles.into_iter().map(on_stream));
        }
        Ok(None) => report.obstacles.push(format!("there is no stream {name}: `hookbus provision` makes it")),
        Err(error) => report.warnings.push(format!(
            "stream {name}: its settings cannot be read, so what an acknowledgement is worth is unknown: {error}"
        )),
    }
    match nats::permissions::forbidden(&client, &nats::wanted(config)).await {
        Some(forbidden) if forbidden.is_empty() => report.facts.push("the login may publish all subjects".into()),
        Some(forbidden) => report.obstacles.push(format!("the login may not publish {}", forbidden.join(", "))),
        None => report.facts.push("the server does not tell what the login may publish".into()),
    }
    report
}

fn introduction(server: &ServerInfo) -> String {
    let ServerInfo { server_name, version, cluster, host, port, max_payload, .. } = server;
    let cluster = cluster.as_ref().map(|cluster| format!(", cluster {cluster}")).unwrap_or_default();
    let limit = show_size(u64::try_from(*max_payload).unwrap_or(u64::MAX));
    format!("connected: {server_name} at {host}:{port}, nats-server {version}{cluster}, messages up to {limit}")
}

fn kafka(config: &Config) -> Report {
    let seen = match inspection::inspect(config, Instant::now() + PATIENCE) {
        Ok(seen) => seen,
        Err(error) => return Report::obstacle(format!("bus.kafka: no broker answers: {error}")),
    };
    let mut report = Report::default();
    let cluster = seen.cluster.map(|cluster| format!(", cluster {cluster}")).unwrap_or_default();
    report.facts.push(format!("connected: {}, {} broker(s){cluster}", seen.broker, seen.brokers));
    report.facts.push(format!("{} ({})", seen.worth, seen.class.as_str()));
    report.warnings.extend(seen.warnings);
    report.warnings.extend(seen.limits.into_iter().filter_map(|(key, limit)| bus::too_low(key, limit, config)));
    report.obstacles.extend(seen.refusals);
    report.facts.push("the brokers do not tell what the login may write".into());
    if !seen.forbidden.is_empty() {
        report.obstacles.push(format!("the login may not see {}", names(&seen.forbidden)));
    }
    let missing = || seen.missing.iter().filter(|topic| !seen.forbidden.contains(*topic));
    let (catch_all, others): (Vec<_>, Vec<_>) = missing().partition(|topic| bus::kafka::topics::is_catch_all(topic));
    report.facts.push(format!("{} topics exist, {} do not", seen.existing, missing().count()));
    if !catch_all.is_empty() {
        report.obstacles.push(format!(
            "{} is missing: an event without a topic of its own cannot be published; `hookbus provision` makes it",
            names(catch_all)
        ));
    }
    if !others.is_empty() {
        report.warnings.push(format!("topics are missing, whose events go to the catch-all: {}", names(others)));
    }
    report
}
