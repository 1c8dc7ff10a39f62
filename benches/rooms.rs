//! The rooms on the way of an event, one by one: `make bench`.
#![expect(clippy::expect_used, reason = "a bench that cannot set itself up has nothing to measure")]

use std::{borrow::Cow, hint::black_box, net::IpAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hookbus::{
    config::{BusKind, Config, Encoding, LogConfig, LogFormat, LogLevel, SourceConfig},
    endpoint::{Endpoint, Endpoints},
    envelope::{Envelope, Message, Stamp, message::Binding, route::Template},
    event::{self, Event},
    json,
    log::{self, History, Lines, RequestLine},
    request::{Body, Received},
    secrets::Secret,
    server::metrics::Metrics,
    vendors::Vendor,
    verify::sign,
};
use journal::{Journal, Keep, Options, Record};

const SECRET: &str = "whsec_Zm9vYmFyMTA5OXBvbGljeQ";
const PATH: &str = "/webhooks/1099policy";

/// About 700 bytes: the documented example of S1, in the form with an id.
fn body() -> Bytes {
    let sample = include_str!("../src/vendors/policy1099/samples/event_api/policy.active.json");
    Bytes::from_static(sample.as_bytes())
}

fn endpoint(directory: &Path) -> Arc<Endpoint> {
    let file = directory.join("secret");
    std::fs::write(&file, SECRET).expect("a secret file");
    let source = SourceConfig::defaults("acme", Vendor::Policy1099, PATH, vec![file]);
    let config = Config::defaults(BusKind::Journal, vec![source]);
    let (_metrics, sources) = Metrics::new(&config).expect("metrics");
    let endpoints = Endpoints::load(&config.sources, sources).expect("endpoints");
    Arc::clone(endpoints.find(PATH).expect("the endpoint"))
}

fn received() -> Received<'static> {
    let arrival = jiff::Timestamp::now();
    let secret = Secret::from_text(SECRET.into()).expect("a secret");
    let mut headers = http::HeaderMap::new();
    for (name, value) in sign::headers(Vendor::Policy1099, &secret, arrival.as_second(), &body()) {
        headers.insert(name, value.parse().expect("a header"));
    }
    Received { headers: Cow::Owned(headers), body: Body::unbudgeted(body()), arrival }
}

fn rooms(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let endpoint = endpoint(directory.path());
    let (template, stamp) = (Template::default(), Stamp::new("bench", 0));
    let body = body();
    let mut group = c.benchmark_group("room");
    group.throughput(Throughput::Bytes(body.len() as u64));

    let signed = received();
    let now_ms = signed.arrival.as_millisecond();
    group.bench_function("verify", |b| {
        b.iter(|| endpoint.verifier.check(black_box(&signed.headers), black_box(&body), now_ms));
    });
    group.bench_function("normalise", |b| {
        b.iter(|| event::read(Vendor::Policy1099, "acme", black_box(&body)));
    });
    group.bench_function("validate_with_serde_json", |b| {
        b.iter(|| serde_json::from_slice::<&serde_json::value::RawValue>(black_box(&body)).map(|raw| raw.get().len()));
    });
    group.bench_function("envelope", |b| {
        let event = || Event::new(endpoint.verifier.verify(received()).expect("verified"));
        b.iter_batched(event, |event| Envelope::new(event, &template, &stamp), criterion::BatchSize::SmallInput);
    });
    let event = Event::new(endpoint.verifier.verify(received()).expect("verified"));
    let envelope = Envelope::new(event, &template, &stamp);
    let message: Message =
        Message::decode(Bytes::copy_from_slice(envelope.attributes().encoded()), body.clone()).expect("a message");
    group.bench_function("structured", |b| b.iter(|| black_box(&message).structured()));
    group.bench_function("binary_headers", |b| {
        b.iter(|| {
            let headers = black_box(&message).headers(Binding::Kafka, Encoding::Binary);
            headers.map(|(name, value)| name.len() + value.len()).sum::<usize>()
        });
    });
    group.bench_function("compact", |b| b.iter(|| json::compact(black_box(&body)).map(<[u8]>::len).sum::<usize>()));
    group.finish();
}

/// A request whose event is durable.
fn line() -> RequestLine<'static> {
    RequestLine {
        source: "acme",
        status: 200,
        outcome: "accepted",
        reason: None,
        event_type: Some("com.1099policy.policy.active"),
        event_id: Some("evt_18d71a56a21e22fcd6decf09627d376194"),
        entity: Some("pol_9f2c41"),
        path: None,
        sender: IpAddr::from([203, 0, 113, 7]),
        user_agent: Some(b"Convoy/1.0"),
        secret: Some("1099policy"),
        bytes: 653,
        duration: Duration::from_micros(1371),
        trace_id: Some("1beda568c565ac6cd8e86b3ef920dffb"),
    }
}

/// The copy of one request for the console.
fn history(c: &mut Criterion) {
    let (history, line) = (History::default(), line());
    c.bench_function("history", |b| b.iter(|| history.push(black_box(&line))));
}

/// The line of one request; nothing reads the buffer, so that most lines are laid out and dropped.
fn log_line(c: &mut Criterion) {
    let line = line();
    let lines = Lines::new(LogLevel::Info);
    let config = LogConfig { format: LogFormat::Json, level: LogLevel::Info };
    tracing::subscriber::with_default(log::subscriber(&config, &lines), || {
        c.bench_function("log", |b| b.iter(|| lines.request(black_box(&line))));
    });
}

fn journal(c: &mut Criterion) {
    // Not the system's temporary folder: that may be memory, where a sync costs nothing.
    let outer = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let options = Options {
        directory: outer.path().join("journal"),
        segment_size: 64 << 20,
        max_size: 1 << 30,
        max_age: None,
        reserve: 0,
        keep: Keep::UntilOld,
        queue: 4096,
    };
    let journal = Journal::open(options, Arc::new(())).expect("a journal");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let body = body();
    let mut group = c.benchmark_group("journal_append");
    group.measurement_time(Duration::from_secs(5)).sample_size(20);
    for waiters in [1, 64, 256] {
        group.throughput(Throughput::Elements(waiters));
        group.bench_function(waiters.to_string(), |bencher| {
            bencher.iter(|| {
                let record = || Record { head: vec![b'h'; 640].into(), body: body.clone() };
                let waiting: Vec<_> = (0..waiters).map(|_| journal.append(record())).collect();
                runtime.block_on(async {
                    for append in waiting {
                        append.await.expect("durable");
                    }
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, rooms, history, log_line, journal);
criterion_main!(benches);
