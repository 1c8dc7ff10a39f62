//! The connection: its thread, its ups and downs.
//!
//! In: `[bus.nats]`. Out: [`Shared`], whose `link` says whether the connection stands. It connects again for ever, with
//! jitter, and refuses to start only when a broker answers and has a stream that loses what it acknowledges.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, ServerError, connection::State, jetstream::ContextBuilder};
use futures_util::StreamExt as _;
use tokio::{
    runtime::{Builder, Handle},
    sync::{Mutex as Turnstile, Notify, watch},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Link, Shared, StartError,
    durability::{self, Look},
    login,
    waiting::Waiting,
};
use crate::{
    config::{Config, Nats},
    observe::metrics::Metrics,
};

/// Longest wait at the start for a broker's answer; without one, the start goes on.
const FIRST_ANSWER: Duration = Duration::from_secs(2);
/// Longest question to the broker.
const ASK: Duration = Duration::from_secs(2);
/// How often the connection's state is looked at, should the client have dropped an event.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often the stream's settings are read while a connection stands.
const LOOK_AT_STREAM_EVERY: Duration = Duration::from_secs(15);
/// Longest pause between two attempts to connect, before jitter takes off up to half of it.
const MOST_PAUSE: Duration = Duration::from_secs(4);
/// How long the end waits for what was handed over to be written.
const FLUSH: Duration = Duration::from_secs(5);
/// How long the server may take to let go.
const DRAIN: Duration = Duration::from_secs(1);

/// Starts the thread and waits for the first look at the stream.
pub(super) fn start(config: &Config, metrics: &Arc<Metrics>) -> Result<(Arc<Shared>, JoinHandle<()>), StartError> {
    let (told, tell) = mpsc::sync_channel(1);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (config, metrics) = (config.clone(), Arc::clone(metrics));
    let work = move || runtime.block_on(serve(&config, metrics, told));
    let thread = thread::Builder::new().name("nats".into()).spawn(work)?;
    let gone = || StartError::Thread(io::Error::other("the connection's thread has ended"));
    Ok((tell.recv().map_err(|_| gone())??, thread))
}

/// A connection for a command that needs the broker now.
///
/// # Errors
/// A login that cannot be read; a broker that does not answer.
pub async fn connect_once(nats: &Nats) -> Result<Client, StartError> {
    options(nats)?.name("hookbus").connect(&nats.servers).await.map_err(StartError::Client)
}

async fn serve(config: &Config, metrics: Arc<Metrics>, told: mpsc::SyncSender<Result<Arc<Shared>, StartError>>) {
    let started = async {
        let shared = open(config, Some(Arc::clone(&metrics))).await?;
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
            let _gone = told.send(Err(error));
            return;
        }
    };
    if told.send(Ok(Arc::clone(&shared))).is_ok() {
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
pub(super) async fn open(config: &Config, metrics: Option<Arc<Metrics>>) -> Result<Arc<Shared>, StartError> {
    let events = Arc::new(Events::default());
    let shared = connect(config, Arc::clone(&events)).await?;
    tokio::spawn(watch_link(Arc::clone(&shared), events, metrics));
    let replies = shared.client.subscribe(format!("{}*", shared.inbox)).await;
    let mut replies = replies.map_err(|error| StartError::Thread(io::Error::other(error)))?;
    let waiting = Arc::clone(&shared.waiting);
    tokio::spawn(async move {
        while let Some(reply) = replies.next().await {
            waiting.reply(reply);
        }
    });
    Ok(shared)
}

async fn connect(config: &Config, events: Arc<Events>) -> Result<Arc<Shared>, StartError> {
    let nats = &config.bus.nats;
    let waiting = Arc::clone(&events.waiting);
    let options =
        options(nats)?.name("hookbus").retry_on_initial_connect().reconnect_delay_callback(pause).event_callback(
            move |event| {
                events.take(event);
                std::future::ready(())
            },
        );
    let client = options.connect(&nats.servers).await.map_err(StartError::Client)?;
    Ok(Arc::new(Shared {
        runtime: Handle::current(),
        context: ContextBuilder::new().timeout(ASK).build(client.clone()),
        stream: nats.stream.clone(),
        encoding: config.bus.encoding,
        ack_timeout: nats.ack_timeout,
        publish_timeout: nats.publish_timeout,
        inbox: format!("{}.", client.new_inbox()),
        waiting,
        link: watch::channel(Link::default()).0,
        turn: Turnstile::new(()),
        existence: Turnstile::new(None),
        stop: watch::channel(false).0,
        client,
    }))
}

fn options(nats: &Nats) -> Result<ConnectOptions, StartError> {
    let mut options = login::options(nats)?.require_tls(nats.require_tls);
    if let Some(file) = &nats.ca_file {
        options = options.add_root_certificates(file.clone());
    }
    if let (Some(certificate), Some(key)) = (&nats.certificate_file, &nats.key_file) {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

/// At once after a loss, then longer and longer; jitter, so that gateways do not come back all together.
fn pause(attempts: usize) -> Duration {
    if attempts <= 1 {
        return Duration::ZERO;
    }
    let exponent = u32::try_from(attempts).unwrap_or(u32::MAX).min(10);
    let most = MOST_PAUSE.min(Duration::from_millis(25) * 2_u32.pow(exponent));
    most.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// What the client tells by itself.
#[derive(Debug, Default)]
struct Events {
    waiting: Arc<Waiting>,
    changed: Notify,
    tried: std::sync::atomic::AtomicBool,
    /// What was last said to be wrong, so that one fault is one line however often the client tries.
    said: Mutex<String>,
}

impl Events {
    fn take(&self, event: Event) {
        match event {
            Event::ServerError(ServerError::Other(error)) => self.refused(&error),
            Event::ServerError(error) => self.say(&error.to_string()),
            Event::ClientError(error) => self.say(&error.to_string()),
            Event::LameDuckMode => tracing::info!("NATS server is going down, another will be found"),
            Event::Connected | Event::Disconnected | Event::Draining | Event::Closed | Event::SlowConsumer(_) => {}
        }
        self.tried.store(true, std::sync::atomic::Ordering::Release);
        self.changed.notify_one();
    }

    /// A forbidden publication has no reply: the server says so on the side, and names the subject.
    fn refused(&self, error: &str) {
        match forbidden(error) {
            Some(Forbidden::Publish(subject)) => self.waiting.forbid(subject),
            Some(Forbidden::Subscribe) => self.waiting.deafen(),
            None => {}
        }
        self.say(error);
    }

    fn say(&self, error: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != error {
            tracing::error!(%error, "NATS");
            error.clone_into(&mut said);
        }
    }

    fn forget(&self) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Forbidden<'a> {
    Publish(&'a str),
    Subscribe,
}

/// Reads `Permissions Violation for Publish to "subject"`.
fn forbidden(error: &str) -> Option<Forbidden<'_>> {
    let mut quoted = error.split('"');
    let what = quoted.next()?.to_ascii_lowercase();
    let subject = quoted.next()?;
    if !what.contains("permissions violation") {
        None
    } else if what.contains("publish") {
        Some(Forbidden::Publish(subject))
    } else {
        Some(Forbidden::Subscribe)
    }
}

/// Keeps `link` true: at each of the client's events, and now and then in case it dropped one.
async fn watch_link(shared: Arc<Shared>, events: Arc<Events>, metrics: Option<Arc<Metrics>>) {
    let thread = thread::current().name().unwrap_or_default().to_owned();
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = events.changed.notified() => {}
            _ = ticks.tick() => {}
        }
        let connects = shared.client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed);
        let up = shared.client.connection_state() == State::Connected;
        let tried = up || events.tried.load(std::sync::atomic::Ordering::Acquire);
        let now = Link { up, connects, tried };
        let before = *shared.link.borrow();
        if now == before {
            continue;
        }
        shared.link.send_replace(now);
        if up {
            events.waiting.reconnected(connects);
        }
        if before.up && !up {
            tracing::warn!(thread, "NATS connection lost");
        } else if up && connects != before.connects {
            // The first connection is none made again.
            if let Some(metrics) = &metrics {
                metrics.bus.reconnects.inc_by(connects.saturating_sub(before.connects.max(1)));
            }
            events.forget();
            tracing::info!(thread, connects, "NATS connected");
        }
    }
}

/// Looks at the stream again after each new connection, when it may be another one, and now and then. What would have
/// stopped the start is an error line now, since stopping would lose more.
async fn look_again(shared: &Shared, config: &Config, metrics: &Metrics, mut looked_at: u64, mut last: Option<Look>) {
    let mut link = shared.link.subscribe();
    loop {
        let another = link.wait_for(|link| link.up && link.connects != looked_at);
        match timeout(LOOK_AT_STREAM_EVERY, another).await {
            Ok(Ok(link)) => looked_at = link.connects,
            Ok(Err(_)) => return,
            Err(_) if shared.link.borrow().up => {}
            Err(_) => continue,
        }
        let look = durability::look(shared, config, metrics, last.as_ref()).await;
        if let Some(text) = look.refusal(config).filter(|_| last.as_ref() != Some(&look)) {
            tracing::error!("stream {} {text}", shared.stream);
        }
        last = Some(look);
    }
}

/// Writes out what was handed over, and lets go.
pub(super) async fn close(client: &Client) {
    if client.connection_state() == State::Connected && timeout(FLUSH, client.flush()).await.is_err() {
        tracing::error!("NATS does not answer, closed without it");
    }
    // Draining ends the subscription for replies, too; there is nobody left to hear them.
    let _closed = timeout(DRAIN, async {
        let _gone = client.drain().await;
        while client.flush().await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_refusals_are_read() {
        let publish = "Permissions Violation for Publish to \"webhooks.audit1.file.failed\"";
        assert_eq!(forbidden(publish), Some(Forbidden::Publish("webhooks.audit1.file.failed")));
        assert_eq!(forbidden(&publish.to_lowercase()), forbidden(publish));
        let subscribe = "Permissions Violation for Subscription to \"_INBOX.x.*\"";
        assert_eq!(forbidden(subscribe), Some(Forbidden::Subscribe));
        for other in ["Maximum Payload Violation", "", "\"\"", "stale connection \"publish\""] {
            assert_eq!(forbidden(other), None, "{other}");
        }
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        assert_eq!(pause(1), Duration::ZERO);
        for attempts in 2..100 {
            assert!(pause(attempts) <= MOST_PAUSE && !pause(attempts).is_zero());
        }
        assert!(pause(usize::MAX) >= MOST_PAUSE / 2);
    }
}
