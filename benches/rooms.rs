//! The rooms on the way of an event, one by one: `make bench`.
#![expect(clippy::expect_used, reason = "a bench that cannot set itself up has nothing to measure")]

use std::{hint::black_box, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hookbus::{
    body::Body,
    bus,
    config::{BusKind, Config, Encoding, Source},
    endpoint::{Endpoint, Endpoints},
    envelope::{Envelope, Message, Stamp, message::Binding, route::Template},
    intake::Received,
    journal::{Journal, Keep, Options, Record},
    json,
    observe::metrics::Metrics,
    secrets::Secret,
    vendor::{self, Vendor},
    verify::{self, sign},
};

const SECRET: &str = "whsec_Zm9vYmFyMTA5OXBvbGljeQ";
const PATH: &str = "/webhooks/1099policy";

/// About 700 bytes: the documented example of S1, in the form with an id.
fn body() -> Bytes {
    let sample = include_str!("../src/vendor/samples/1099policy/event_api/policy.active.json");
    Bytes::from_static(sample.as_bytes())
}

fn endpoint(directory: &Path) -> Arc<Endpoint> {
    let file = directory.join("secret");
    std::fs::write(&file, SECRET).expect("a secret file");
    let source = Source::defaults("acme", Vendor::Policy1099, PATH, vec![file]);
    let config = Config::defaults(BusKind::Journal, vec![source]);
    let (_metrics, sources) = Metrics::new(&config).expect("metrics");
    let endpoints = Endpoints::load(&config.sources, sources).expect("endpoints");
    Arc::clone(endpoints.find(PATH).expect("the endpoint"))
}

fn received(endpoint: &Arc<Endpoint>) -> Received {
    let arrival = jiff::Timestamp::now();
    let secret = Secret::from_text(SECRET.into()).expect("a secret");
    let mut headers = http::HeaderMap::new();
    for (name, value) in sign::headers(Vendor::Policy1099, &secret, arrival.as_second(), &body()) {
        headers.insert(name, value.parse().expect("a header"));
    }
    Received { endpoint: Arc::clone(endpoint), headers, body: Body::unbudgeted(body()), arrival }
}

fn rooms(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let endpoint = endpoint(directory.path());
    let (template, stamp) = (Template::default(), Stamp::new("bench", 0));
    let body = body();
    let mut group = c.benchmark_group("room");
    group.throughput(Throughput::Bytes(body.len() as u64));

    let signed = received(&endpoint);
    let now_ms = signed.arrival.as_millisecond();
    group.bench_function("verify", |b| {
        b.iter(|| endpoint.verifier.check(black_box(&signed.headers), black_box(&body), now_ms));
    });
    group.bench_function("normalise", |b| {
        b.iter(|| vendor::read(Vendor::Policy1099, "acme", black_box(&body)));
    });
    group.bench_function("validate_with_serde_json", |b| {
        b.iter(|| serde_json::from_slice::<&serde_json::value::RawValue>(black_box(&body)).map(|raw| raw.get().len()));
    });
    group.bench_function("envelope", |b| {
        let event = || vendor::normalise(verify::verify(received(&endpoint)).expect("verified"));
        b.iter_batched(event, |event| Envelope::new(event, &template, &stamp), criterion::BatchSize::SmallInput);
    });
    let event = vendor::normalise(verify::verify(received(&endpoint)).expect("verified"));
    let envelope = Envelope::new(event, &template, &stamp);
    let message: Message =
        bus::message(Bytes::copy_from_slice(envelope.attributes().encoded()), body.clone()).expect("a message");
    group.bench_function("structured", |b| b.iter(|| black_box(&message).structured()));
    group.bench_function("binary_headers", |b| {
        b.iter(|| {
            let message = black_box(&message);
            let mode = message.content_type(Binding::Kafka, Encoding::Binary).map_or(0, str::len);
            message.headers(Binding::Kafka).map(|(name, value)| name.len() + value.len()).sum::<usize>() + mode
        });
    });
    group.bench_function("compact", |b| b.iter(|| json::compact(black_box(&body)).map(<[u8]>::len).sum::<usize>()));
    group.finish();
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

criterion_group!(benches, rooms, journal);
criterion_main!(benches);
