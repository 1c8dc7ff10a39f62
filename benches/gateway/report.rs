//! What was measured, as a page: tables, ratios, and what a reader needs to do it again.

use std::fmt::{self, Write as _};

use crate::{
    brokers::{KafkaBroker, NatsServer},
    latency::{self, Half},
    machine,
    spread::Spread,
    subject::{Kind, Size, Window},
};

/// All rounds at one number of connections.
pub struct Row {
    pub size: Size,
    /// Of each subject, round by round.
    pub windows: Vec<(Kind, Vec<Window>)>,
    /// The share of the cores' time that the hypervisor gave to others.
    pub stolen: f64,
}

/// How the spool got rid of what it held when the broker came back.
pub struct Drained {
    pub events: u64,
    pub seconds: f64,
    /// Seconds per 100,000 events.
    pub cpu: f64,
}

impl Row {
    pub fn of(&self, wanted: Kind) -> Option<&[Window]> {
        self.windows.iter().find(|(kind, _)| *kind == wanted).map(|(_, windows)| windows.as_slice())
    }

    /// hookbus' CPU time over that of a server which only reads bodies and a producer which only publishes them, round
    /// by round; `None` unless all three were measured.
    fn ratio(&self, hookbus: Kind, producer: Kind) -> Option<Spread> {
        let bare = self.of(Kind::BareHyper)?.iter().zip(self.of(producer)?);
        let ratio = |(own, (http, bus)): (&Window, (&Window, &Window))| own.cpu / (http.cpu + bus.cpu);
        Some(Spread::of(self.of(hookbus)?.iter().zip(bare).map(ratio)))
    }

    fn table(&self, page: &mut String) -> fmt::Result {
        let (Size { parallel, events }, rounds) =
            (self.size, self.windows.first().map_or(0, |(_, windows)| windows.len()));
        let connections = if parallel == 1 { "connection" } else { "connections" };
        writeln!(
            page,
            "\n## {parallel} {connections}\n\n{rounds} rounds of {events} events. The hypervisor took {stolen:.1} % of the cores' \
             time.\n",
            stolen = self.stolen * 100.0
        )?;
        writeln!(
            page,
            "| subject | events/s | p50 ms | p99 ms | p99.9 ms | CPU s / 100k | broker's CPU s / 100k | peak RSS MiB | not 2xx |"
        )?;
        writeln!(page, "|---|---|---|---|---|---|---|---|---|")?;
        self.windows.iter().try_for_each(|(kind, windows)| line(*kind, windows, page))?;
        let ratios = [("JetStream", Kind::JetStream, Kind::BareNats), ("Kafka", Kind::Kafka, Kind::BareKafka)];
        for (name, hookbus, producer) in ratios {
            if let Some(ratio) = self.ratio(hookbus, producer) {
                writeln!(page, "\nCPU of hookbus / (bare hyper + bare producer) on {name}: **{ratio}**.")?;
            }
        }
        Ok(())
    }
}

fn line(kind: Kind, windows: &[Window], page: &mut String) -> fmt::Result {
    let spread = |value: fn(&Window) -> f64| Spread::of(windows.iter().map(value));
    let has_broker = windows.iter().any(|window| window.broker_cpu.is_some());
    let broker = has_broker.then(|| spread(|window| window.broker_cpu.unwrap_or_default()).to_string());
    let refused: usize = windows.iter().map(|window| window.refused).sum();
    writeln!(
        page,
        "| {} | {} | {:.2} | {:.2} | {:.2} | **{}** | {} | {:.0} | {} |",
        kind.label(),
        spread(|window| window.per_second),
        spread(|window| window.latencies.p50).median,
        spread(|window| window.latencies.p99).median,
        spread(|window| window.latencies.p999).median,
        spread(|window| window.cpu),
        broker.as_deref().unwrap_or("-"),
        spread(|window| window.peak_rss as f64 / 1_048_576.0).most,
        if kind.speaks_http() { refused.to_string() } else { "-".into() },
    )
}

/// The whole page. `command`: what made it.
pub fn page(rows: &[Row], halves: &[Half], drained: Option<&Drained>, command: &str) -> String {
    let mut page = format!(
        "# Benchmark\n\nMade by `{command}` on {date}; {machine}; load generator, subjects and brokers share it. \
         hookbus {version} ({revision}), rustc {rustc}, {nats}, {kafka}, {crates}, librdkafka {librdkafka}.\n\n\
         Signed bodies of 714 bytes, each with an id of its own. The subjects take turns, window by window, so that all of \
         them see the same neighbours; figures are the median of the windows (least-most). CPU is user + system time of \
         the process alone. After the run, every acknowledged event was counted in the journal, the stream or the topic. \
         The bare producers publish the same bodies, with as many in flight as there are connections; hookbus publishes \
         each in its envelope (about twice the bytes). hookbus runs with its defaults, its request log read through a pipe. \
         Ratios compare; figures of two machines or two days do not.\n\n\
         ![CPU time and throughput](benchmark.svg)\n",
        date = jiff::Timestamp::now().strftime("%Y-%m-%d"),
        machine = machine::machine(),
        version = env!("CARGO_PKG_VERSION"),
        revision = env!("HOOKBUS_REVISION"),
        rustc = env!("HOOKBUS_RUSTC"),
        nats = NatsServer::version(),
        kafka = KafkaBroker::version(),
        crates = crates(),
        librdkafka = rdkafka::util::get_rdkafka_version().1,
    );
    // Writing to a String cannot fail.
    let _infallible = rows.iter().try_for_each(|row| row.table(&mut page));
    let _infallible = latency::table(halves, &mut page);
    if let Some(Drained { events, seconds, cpu }) = drained {
        let _infallible = writeln!(
            page,
            "\n## When the broker comes back\n\nThe spool held {events} events; all were on the stream {seconds:.1} s after the \
             broker's start: {:.0} events/s, {cpu:.2} CPU s / 100k.",
            *events as f64 / seconds
        );
    }
    page
}

/// The clients' versions, from the lock file.
fn crates() -> String {
    let lock = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        let (_, behind) = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).expect("a locked crate");
        format!("{name} {}", behind.split('"').next().expect("a version"))
    };
    ["hyper", "tokio", "async-nats", "rdkafka"].map(version).join(", ")
}
