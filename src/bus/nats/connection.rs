//! The connection: its thread, its ups and downs.
//!
//! In: `[bus.nats]`. Out: [`Shared`], whose `link` says whether the connection stands. It reconnects for ever, with
//! jitter, and refuses to start only when a broker answers and has a stream that loses what it acknowledges.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use async_nats::{
    Client, ClientError, ConnectOptions, Event, ServerError, connection::State, jetstream::ContextBuilder,
};
use futures_util::StreamExt as _;
use log_once::LogOnce;
use tokio::{
    runtime::{Builder, Handle},
    sync::{Mutex as AsyncMutex, Notify, watch},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    attempts::{Attempts, pause},
    durability::{self, Look},
    inflight::Inflight,
    login,
    shared::{ASK_EVERY, Common, Link, SAY_AGAIN, Shared, StartError},
    violation::Violation,
};
use crate::{
    bus::metrics::BusMetrics,
    config::{Config, NatsConfig},
};

/// Longest wait at the start for a broker's answer; without one, the start goes on.
const FIRST_ANSWER: Duration = Duration::from_secs(2);
/// Longest question to the broker.
const ASK: Duration = Duration::from_secs(2);
/// How often the connection's state is looked at, should the client have dropped an event.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often the stream's settings are read while a connection stands.
const LOOK_AT_STREAM_EVERY: Duration = Duration::from_secs(15);
/// How long the end waits for what was handed over to be written.
const FLUSH: Duration = Duration::from_secs(5);
/// How long the server may take to let go.
const DRAIN: Duration = Duration::from_secs(1);

/// Starts the thread and waits for the first look at the stream.
pub(super) fn start(config: &Config, metrics: BusMetrics) -> Result<(Arc<Shared>, JoinHandle<()>), StartError> {
    let (tx, rx) = mpsc::sync_channel(1);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let config = config.clone();
    let work = move || runtime.block_on(serve(&config, metrics, tx));
    let thread = thread::Builder::new().name("nats".into()).spawn(work)?;
    let gone = || StartError::Thread(io::Error::other("the connection's thread has ended"));
    Ok((rx.recv().map_err(|_| gone())??, thread))
}

/// A connection for a command that needs the broker now.
///
/// # Errors
/// A login that cannot be read; a broker that does not answer.
pub async fn connect_once(nats: &NatsConfig) -> Result<Client, StartError> {
    Ok(connect_and_hear(nats).await?.0)
}

/// The same, with what the server forbids, which it says apart from any answer.
///
/// # Errors
/// See [`connect_once`].
pub async fn connect_and_hear(nats: &NatsConfig) -> Result<(Client, Refusals), StartError> {
    let (heard, refusals) = watch::channel(None);
    let options = options(nats)?.name("hookbus").event_callback(move |event| {
        if let Event::ServerError(ServerError::Other(error)) = event
            && Violation::read(&error).is_some()
        {
            heard.send_replace(Some(error));
        }
        std::future::ready(())
    });
    Ok((options.connect(&nats.servers).await.map_err(StartError::Client)?, Refusals(refusals)))
}

/// What the server has forbidden on a connection.
#[derive(Debug, Clone)]
pub struct Refusals(watch::Receiver<Option<String>>);

impl Refusals {
    /// Waits for an answer to a question, or for the server's word that it may not be asked: then there is none.
    ///
    /// # Errors
    /// The question's own, or the server's word.
    pub async fn or<T, E: From<String>>(&self, answer: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let mut heard = self.0.clone();
        tokio::select! {
            biased;
            answer = answer => answer,
            Ok(refusal) = heard.wait_for(Option::is_some) => Err(refusal.clone().unwrap_or_default().into()),
        }
    }
}

async fn serve(config: &Config, metrics: BusMetrics, tx: mpsc::SyncSender<Result<Arc<Shared>, StartError>>) {
    let started = async {
        let shared = open(config, Arc::default(), Some(metrics.clone())).await?;
        let mut link = shared.link.subscribe();
        let _answer = timeout(FIRST_ANSWER, link.wait_for(|link| link.tried)).await;
        let link = *shared.link.borrow();
        let mut look = None;
        if link.up {
            let first = durability::look(&shared, config, &metrics, None).await;
            if let Some(text) = first.refusal(config) {
                return Err(StartError::Stream(format!("stream {} {text}", shared.stream)));
            }
            look = Some(first);
        } else {
            tracing::warn!(stream = shared.stream, "NATS does not answer: starting without it, trying for ever");
        }
        Ok((shared, link.connects, look))
    };
    let (shared, looked_at, look) = match started.await {
        Ok(started) => started,
        Err(error) => {
            // The caller waits for nothing else.
            let _gone = tx.send(Err(error));
            return;
        }
    };
    if tx.send(Ok(Arc::clone(&shared))).is_ok() {
        let mut stop = shared.stop.subscribe();
        tokio::select! {
            () = look_again(&shared, config, &metrics, looked_at, look) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        close(&shared.client).await;
    }
}

/// Opens a connection on this event loop, without waiting for a broker. `metrics`: where it counts, if it is the one
/// that speaks for the process.
pub(super) async fn open(
    config: &Config,
    common: Arc<Common>,
    metrics: Option<BusMetrics>,
) -> Result<Arc<Shared>, StartError> {
    let events = Arc::new(Events::new(&common));
    let shared = connect(config, Arc::clone(&events), common).await?;
    tokio::spawn(watch_link(Arc::clone(&shared), events, metrics));
    let replies = shared.client.subscribe(format!("{}*", shared.inbox)).await;
    let mut replies = replies.map_err(|error| StartError::Thread(io::Error::other(error)))?;
    let inflight = Arc::clone(&shared.inflight);
    tokio::spawn(async move {
        while let Some(reply) = replies.next().await {
            inflight.reply(reply);
        }
    });
    Ok(shared)
}

async fn connect(config: &Config, events: Arc<Events>, common: Arc<Common>) -> Result<Arc<Shared>, StartError> {
    let nats = &config.bus.nats;
    let inflight = Arc::clone(&events.inflight);
    let attempts = Arc::clone(&events.attempts);
    let options = options(nats)?
        .name("hookbus")
        .ping_interval(ASK_EVERY)
        .retry_on_initial_connect()
        .reconnect_delay_callback(pause)
        // It chooses none: the client does.
        .reconnect_to_server_callback(move |servers, _| {
            attempts.begin(&servers);
            std::future::ready(None)
        })
        .event_callback(move |event| {
            events.take(event);
            std::future::ready(())
        });
    let client = options.connect(&nats.servers).await.map_err(StartError::Client)?;
    Ok(Arc::new(Shared {
        runtime: Handle::current(),
        context: ContextBuilder::new().timeout(ASK).build(client.clone()),
        stream: nats.stream.clone(),
        encoding: config.bus.encoding,
        ack_timeout: nats.ack_timeout,
        publish_timeout: nats.publish_timeout,
        inbox: format!("{}.", client.new_inbox()),
        inflight,
        link: watch::channel(Link::default()).0,
        turn: AsyncMutex::new(()),
        known: AsyncMutex::new(None),
        common,
        stop: watch::channel(false).0,
        client,
    }))
}

fn options(nats: &NatsConfig) -> Result<ConnectOptions, StartError> {
    let mut options = login::options(nats)?.require_tls(nats.require_tls);
    if let Some(file) = &nats.ca_file {
        options = options.add_root_certificates(file.clone());
    }
    if let (Some(certificate), Some(key)) = (&nats.certificate_file, &nats.key_file) {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

/// Events of the client.
#[derive(Debug)]
struct Events {
    inflight: Arc<Inflight>,
    changed: Notify,
    tried: AtomicBool,
    /// What was last said to be wrong, so that one fault is one line a while however often the client tries.
    said: Mutex<LogOnce<String>>,
    attempts: Arc<Attempts>,
}

impl Events {
    fn new(common: &Common) -> Self {
        Events {
            inflight: Arc::default(),
            changed: Notify::default(),
            tried: AtomicBool::default(),
            said: Mutex::new(LogOnce::repeated(SAY_AGAIN)),
            attempts: Arc::new(Attempts::new(common.unreached.clone())),
        }
    }

    fn take(&self, event: Event) {
        match event {
            Event::ServerError(ServerError::Other(error)) => self.refused(&error),
            Event::ServerError(error) => self.log(&error.to_string()),
            Event::ClientError(ClientError::Other(word)) => self.attempts.failed(word),
            Event::ClientError(error) => self.log(&error.to_string()),
            Event::LameDuckMode => tracing::info!("NATS server is going down, another will be found"),
            Event::Connected | Event::Disconnected | Event::Draining | Event::Closed | Event::SlowConsumer(_) => {}
        }
        self.tried.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// A forbidden publication has no reply: the server sends an error apart from it, with the subject.
    fn refused(&self, error: &str) {
        match Violation::read(error) {
            Some(Violation::Publish(subject)) => self.inflight.forbid(subject),
            Some(Violation::Subscribe) => self.inflight.deafen(),
            None => {}
        }
        self.log(error);
    }

    fn log(&self, error: &str) {
        if self.said.lock().unwrap_or_else(PoisonError::into_inner).is_new(error.to_owned()) {
            tracing::error!(%error, "NATS");
        }
    }

    fn forget(&self) {
        self.attempts.forget();
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Keeps `link` true: at each of the client's events, and now and then in case it dropped one.
async fn watch_link(shared: Arc<Shared>, events: Arc<Events>, metrics: Option<BusMetrics>) {
    let thread = thread::current().name().unwrap_or_default().to_owned();
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = events.changed.notified() => {}
            _ = ticks.tick() => {}
        }
        let connects = shared.client.statistics().connects.load(Ordering::Relaxed);
        let up = shared.client.connection_state() == State::Connected;
        let tried = up || events.tried.load(Ordering::Acquire);
        let now = Link { up, connects, tried };
        let before = *shared.link.borrow();
        if now == before {
            continue;
        }
        if before.connects != 0 && connects != before.connects {
            shared.common.unjudged();
        }
        shared.link.send_replace(now);
        if up {
            events.inflight.reconnected(connects);
        }
        if before.up && !up {
            tracing::warn!(thread, "NATS connection lost");
        } else if up && connects != before.connects {
            // The first connection is none made again.
            if let Some(metrics) = &metrics {
                metrics.reconnects.inc_by(connects.saturating_sub(before.connects.max(1)));
            }
            events.forget();
            tracing::info!(thread, connects, "NATS connected");
        }
    }
}

/// Looks at the stream again after each new connection, when it may be another one, and now and then. What would have
/// stopped the start is an error line now, since stopping would lose more.
async fn look_again(
    shared: &Shared,
    config: &Config,
    metrics: &BusMetrics,
    mut looked_at: u64,
    mut last: Option<Look>,
) {
    let mut link = shared.link.subscribe();
    loop {
        let wanted = async {
            sleep(LOOK_EVERY).await;
            shared.common.look.notified().await;
        };
        tokio::select! {
            biased;
            another = link.wait_for(|link| link.up && link.connects != looked_at) => match another {
                Ok(link) => looked_at = link.connects,
                Err(_) => return,
            },
            () = wanted => {}
            () = sleep(LOOK_AT_STREAM_EVERY) => {}
        }
        if !shared.link.borrow().up {
            continue;
        }
        let look = durability::look(shared, config, metrics, last.as_ref()).await;
        if let Some(text) = look.refusal(config).filter(|_| last.as_ref() != Some(&look)) {
            tracing::error!("nothing is published: stream {} {text}", shared.stream);
        }
        shared.common.looked();
        last = Some(look);
    }
}

/// Writes out what was handed over, and lets go.
pub(super) async fn close(client: &Client) {
    if client.connection_state() == State::Connected && timeout(FLUSH, client.flush()).await.is_err() {
        tracing::error!("NATS does not answer, closed without it");
    }
    // Draining also ends the subscription for replies: no publication waits any more.
    let _closed = timeout(DRAIN, async {
        let _gone = client.drain().await;
        while client.flush().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
