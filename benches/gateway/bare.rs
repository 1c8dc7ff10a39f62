//! What hookbus is compared with: an HTTP server that only reads bodies, and a producer of each bus that only waits for
//! acknowledgements. Each runs in a process of its own, this same program started with the name of its part, so that
//! its CPU time is its own; it ends when its standard input does.
//!
//! A producer is told `<warm-up> <events> <in flight>`, makes its events, says `ready`, is told `go`, and says what
//! it took: seconds, then the latencies at 50, 99 and 99.9 %.

use std::{
    convert::Infallible,
    io::{self, BufRead as _, Write as _},
    net::TcpListener as StdListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, message::PublishMessage};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};
use tokio::net::TcpListener;

use crate::{brokers::runtime, events::Forge, quantiles::Latencies};

/// What each part is called in a table.
pub const HYPER: &str = "bare hyper: POST, body read";
pub const NATS: &str = "bare async-nats producer";
pub const KAFKA: &str = "bare rdkafka producer";

/// The stream, the subject and the topic of the bare producers.
pub const BARE: &str = "bare";

/// POST, the body read, `200`: hyper with so many event loops, one per core if that is no number, on one listening socket. The loop that is awake first keeps a
/// connection, which spares wake-ups; hookbus spreads them.
pub fn hyper(loops: &str) {
    let listener = StdListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("non-blocking");
    let one_per_core = || thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..loops.parse().unwrap_or_else(|_| one_per_core()) {
        let listener = listener.try_clone().expect("a clone");
        thread::spawn(move || runtime().block_on(accept(listener)));
    }
    tell(&listener.local_addr().expect("an address").to_string());
    let _end = heard();
}

async fn accept(listener: StdListener) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("no delay");
        tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            // A client that goes away ends its connection.
            let _gone = connection.await;
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "the load generator's bodies are small")]
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    assert!(!body.is_empty());
    let mut response = Response::new(Full::new(Bytes::from_static(br#"{"received":true}"#)));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Publishes bodies with a message id to a stream of its own.
pub fn nats(url: &str) {
    let runtime = runtime();
    let context = runtime.block_on(async {
        let context = jetstream::new(async_nats::connect(url).await.expect("a connection"));
        let settings = jetstream::stream::Config {
            name: BARE.into(),
            subjects: vec![BARE.into()],
            discard: jetstream::stream::DiscardPolicy::New,
            duplicate_window: Duration::from_hours(12),
            ..jetstream::stream::Config::default()
        };
        context.create_stream(settings).await.expect("a stream");
        context
    });
    let publish = move |(body, id): Event| {
        let context = context.clone();
        async move {
            let message = PublishMessage::build().payload(body).message_id(id);
            context.send_publish(BARE, message).await.expect("sent").await.expect("acknowledged");
        }
    };
    produce(&runtime, publish);
}

/// Publishes bodies with a key to a topic of its own.
pub fn kafka(brokers: &str) {
    let runtime = runtime();
    let settings = [
        ("bootstrap.servers", brokers),
        ("enable.idempotence", "true"),
        ("acks", "all"),
        // What hookbus has by default.
        ("linger.ms", "0.1"),
        ("partitioner", "murmur2_random"),
        // A broker that has gone ends this process soon.
        ("message.timeout.ms", "60000"),
    ];
    let settings: ClientConfig = settings.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let producer: FutureProducer = settings.create().expect("a producer");
    let publish = move |(body, id): Event| {
        let producer = producer.clone();
        async move {
            let record = FutureRecord::to(BARE).key(&id).payload(body.as_ref());
            let sent = producer.send_result(record).map_err(|(error, _)| error).expect("sent");
            sent.await.expect("a report").expect("acknowledged");
        }
    };
    produce(&runtime, publish);
}

/// A body and its id.
type Event = (Bytes, String);

fn produce<F, P>(runtime: &tokio::runtime::Runtime, publish: P)
where
    P: Fn(Event) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let mut forge = Forge::new();
    let mut events = |count| {
        let events = (0..count).map(|_| forge.body()).map(|(body, id)| (Bytes::from(body), id));
        events.collect::<Vec<_>>()
    };
    while let Some(order) = heard() {
        let numbers: Vec<usize> = order.split(' ').map(|word| word.parse().expect("a number")).collect();
        let [warm_up, count, in_flight] = numbers[..] else { panic!("three numbers, not {order:?}") };
        runtime.block_on(run(events(warm_up), in_flight, publish.clone()));
        let events = events(count);
        tell("ready");
        assert_eq!(heard().as_deref(), Some("go"));
        let begin = Instant::now();
        let latencies = runtime.block_on(run(events, in_flight, publish.clone()));
        let seconds = begin.elapsed().as_secs_f64();
        let Latencies { p50, p99, p999 } = Latencies::of(latencies);
        tell(&format!("{seconds} {p50} {p99} {p999}"));
    }
}

async fn run<F, P>(events: Vec<Event>, in_flight: usize, publish: P) -> Vec<Duration>
where
    P: Fn(Event) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let (events, next) = (Arc::new(events), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let (events, next, publish) = (Arc::clone(&events), Arc::clone(&next), publish.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while let Some(event) = events.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begin = Instant::now();
                    publish(event.clone()).await;
                    latencies.push(begin.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut all = Vec::with_capacity(events.len());
    for task in tasks {
        all.extend(task.await.expect("a producer that goes on"));
    }
    all
}

fn tell(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("a parent that listens");
}

/// The next line of the parent; `None` at its end.
fn heard() -> Option<String> {
    io::stdin().lock().lines().next().map(|line| line.expect("text"))
}
