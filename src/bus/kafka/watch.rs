//! The watcher: a thread that asks the brokers every few seconds which topics exist, sees whether they answer at all, and
//! replaces a producer that has failed for good.
//!
//! In: nobody's requests; what it learns stands ready for the publishers, the metrics and the log. It says a thing once
//! when it changes, not at every look. A request to a broker blocks, which is why this is a thread of its own.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use rdkafka::{
    ClientConfig,
    error::RDKafkaErrorCode,
    metadata::Metadata,
    producer::{Producer as _, PurgeConfig},
};

use super::{
    Context, Producer, Shared,
    durability::{self, Settings},
    settings,
    topics::{Looks, is_catch_all},
};
use crate::config;

/// Between two looks while brokers answer.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Shortest pause between two of them, however many events find their topic missing: the list of a large cluster is long.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Between two looks while brokers do not answer.
const LOOK_SOON: Duration = Duration::from_millis(500);
/// Longest wait for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Between two readings of the topics' settings, which change rarely.
const SETTINGS_EVERY: Duration = Duration::from_secs(60);
/// Before they are asked for again when they could not be read.
const SETTINGS_RETRY: Duration = Duration::from_secs(15);
/// Longest wait for the last words of a producer that is given up.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Most names in one log line.
const MOST_NAMES: usize = 5;

/// Between the watcher and everybody else.
#[derive(Debug, Default)]
pub(super) struct Signal {
    /// Whether a broker answered the last time it was asked, and it is known which topics there are.
    pub(super) up: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    looked: bool,
    look: bool,
    stop: bool,
    /// What librdkafka said last about its connections.
    reason: Option<String>,
}

impl Signal {
    /// Asks for a look before the next one is due.
    pub(super) fn look_again(&self) {
        let mut state = self.state();
        if !state.look {
            state.look = true;
            self.changed.notify_all();
        }
    }

    /// Keeps the client's reason for the next log line.
    pub(super) fn reason(&self, reason: &str) {
        self.state().reason = Some(reason.to_owned());
    }

    /// Ends the watcher.
    pub(super) fn stop(&self) {
        self.state().stop = true;
        self.changed.notify_all();
    }

    /// Waits until it is known which topics there are, or that no broker answers.
    pub(super) fn wait_for_first_look(&self, limit: Duration) {
        let waiting = self.changed.wait_timeout_while(self.state(), limit, |state| !state.looked);
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }

    fn looked(&self) {
        self.state().looked = true;
        self.changed.notify_all();
    }

    /// Waits for `least`, and then until somebody asks for a look or `most` is over. `false` = stop.
    fn pause(&self, least: Duration, most: Duration) -> bool {
        let state = self.changed.wait_timeout_while(self.state(), least, |state| !state.stop);
        let (state, _) = state.unwrap_or_else(PoisonError::into_inner);
        let rest = most.saturating_sub(least);
        let state = self.changed.wait_timeout_while(state, rest, |state| !state.stop && !state.look);
        let (mut state, _) = state.unwrap_or_else(PoisonError::into_inner);
        state.look = false;
        !state.stop
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread.
///
/// # Errors
/// The system has no thread left.
pub(super) fn start(
    shared: Arc<Shared>,
    config: config::Kafka,
    settings: ClientConfig,
    expected: BTreeSet<String>,
) -> io::Result<JoinHandle<()>> {
    let mut watcher = Watcher {
        shared,
        files: settings::file_times(&config),
        config,
        settings,
        expected,
        looks: Looks::default(),
        missing: None,
        was_up: None,
        worth: None,
        settings_due: Instant::now(),
        replaced: None,
    };
    thread::Builder::new().name("kafka-watch".into()).spawn(move || watcher.run())
}

/// How a look ended.
enum Look {
    /// Brokers answer, and what they list is taken.
    Answered,
    /// A broker answers, and may know too little yet.
    Unsure,
    /// No broker answers.
    Silence,
}

struct Watcher {
    shared: Arc<Shared>,
    config: config::Kafka,
    settings: ClientConfig,
    /// When the files that `settings` was made from were written.
    files: Vec<Option<SystemTime>>,
    expected: BTreeSet<String>,
    looks: Looks,
    /// What was last said to be missing.
    missing: Option<BTreeSet<String>>,
    was_up: Option<bool>,
    /// What an acknowledgement was last said to be worth.
    worth: Option<Settings>,
    settings_due: Instant,
    /// When a producer was last replaced.
    replaced: Option<Instant>,
}

impl Watcher {
    fn run(&mut self) {
        loop {
            self.replace_failed_producer();
            let (least, most) = match self.look() {
                Look::Answered => (LOOK_AGAIN, LOOK_EVERY),
                Look::Unsure => (LOOK_SOON, LOOK_SOON),
                Look::Silence => {
                    self.take_new_login();
                    self.shared.signal.looked();
                    (LOOK_SOON, LOOK_SOON)
                }
            };
            if !self.shared.signal.pause(least, most) {
                return;
            }
        }
    }

    fn look(&mut self) -> Look {
        let answer = self.shared.producer.load().client().fetch_metadata(None, ANSWER_LIMIT);
        let answered = answer.is_ok();
        if !answered {
            self.shared.signal.up.store(false, Ordering::Release);
        }
        if self.was_up != Some(answered) {
            self.say_up(answered, answer.as_ref().err());
        }
        match answer {
            Ok(metadata) => self.take(&metadata),
            Err(_) => Look::Silence,
        }
    }

    fn say_up(&mut self, up: bool, error: Option<&rdkafka::error::KafkaError>) {
        if up {
            if self.was_up == Some(false) {
                self.shared.metrics.reconnects.inc();
            }
            tracing::info!("kafka: brokers answer");
        } else {
            let reason = self.shared.signal.state().reason.take().unwrap_or_default();
            let error = error.map(ToString::to_string).unwrap_or_default();
            tracing::error!(reason, error, "kafka: no broker answers; the client goes on trying");
        }
        self.was_up = Some(up);
    }

    fn take(&mut self, metadata: &Metadata) -> Look {
        let listed = metadata.topics().iter().filter_map(existing).collect();
        let Some(known) = self.looks.take(listed, &self.expected) else { return Look::Unsure };
        let missing: BTreeSet<String> = known.missing(&self.expected).into_iter().map(Into::into).collect();
        self.shared.metrics.missing(missing.len());
        let grown = self.shared.topics.load().as_ref().is_none_or(|before| !known.is_within(before));
        self.shared.topics.store(Some(Arc::new(known)));
        self.shared.signal.up.store(true, Ordering::Release);
        // The settings take longer, and no event waits for them.
        self.shared.signal.looked();
        if self.missing.as_ref() != Some(&missing) {
            say_missing(&missing, self.expected.len());
            self.missing = Some(missing);
        }
        if grown || self.settings_due <= Instant::now() {
            self.settings_due = Instant::now() + SETTINGS_EVERY;
            self.read_settings(metadata);
        }
        Look::Answered
    }

    fn read_settings(&mut self, metadata: &Metadata) {
        let read = settings::administrator(&self.config)
            .and_then(|settings| Ok(durability::read(&settings, metadata, &self.expected)?));
        let worth = match read {
            Ok((worth, limits)) => {
                self.shared.limits.store(Some(Arc::new(limits)));
                worth
            }
            // Brokers that are busy failing change no settings: what was known stays.
            Err(error) => {
                tracing::warn!(%error, "kafka: the topics' settings cannot be read");
                // Without limits, what is refused as too large is so for good, or it would be tried for ever.
                if self.shared.limits.load().is_none() {
                    self.shared.limits.store(Some(Arc::default()));
                }
                self.settings_due = Instant::now() + SETTINGS_RETRY;
                return;
            }
        };
        self.shared.metrics.durability(worth.class());
        if self.worth.as_ref() != Some(&worth) {
            worth.say(settings::batch_size(&self.settings));
            self.worth = Some(worth);
        }
    }

    /// A fatal error ends a producer: every event in it fails, and every later one. What failed goes back to the caller,
    /// who alone knows the order to publish it again in.
    fn replace_failed_producer(&mut self) {
        let Some((code, reason)) = self.shared.producer.load().client().fatal_error() else { return };
        // What fails again at once is tried no faster than anything else.
        if self.replaced.is_none_or(|replaced| LOOK_EVERY <= replaced.elapsed()) {
            tracing::error!(%code, reason, "kafka: fatal error; the producer is replaced");
            self.replace_producer();
        }
    }

    /// Brokers that answer no more may have been given another password or certificate to ask for: files that were
    /// written since are read again.
    fn take_new_login(&mut self) {
        let files = settings::file_times(&self.config);
        if files == self.files {
            return;
        }
        self.files = files;
        match settings::producer(&self.config) {
            Ok(settings) => {
                tracing::info!("kafka: login and TLS files have changed; the producer is replaced");
                self.settings = settings;
                self.replace_producer();
            }
            Err(error) => tracing::error!(%error, "kafka: the changed files cannot be used"),
        }
    }

    fn replace_producer(&mut self) {
        self.replaced = Some(Instant::now());
        let context = Context::new(Arc::clone(&self.shared.signal), self.shared.metrics.clone());
        match self.settings.create_with_context::<_, Producer>(context) {
            Ok(producer) => {
                let old = self.shared.producer.swap(Arc::new(producer));
                let events = old.in_flight_count();
                old.purge(PurgeConfig::default().queue().inflight());
                // Whatever comes of it, every event in it has its report.
                let _reported = old.flush(LAST_WORDS);
                if 0 < events {
                    tracing::warn!(events, "kafka: events under way were given back");
                }
            }
            Err(error) => tracing::error!(%error, "kafka: no other producer can be made"),
        }
    }
}

fn existing(topic: &rdkafka::metadata::MetadataTopic) -> Option<String> {
    let error = topic.error().map(RDKafkaErrorCode::from);
    (error != Some(RDKafkaErrorCode::UnknownTopicOrPartition)).then(|| topic.name().to_owned())
}

fn say_missing(missing: &BTreeSet<String>, expected: usize) {
    if missing.is_empty() {
        tracing::info!(topics = expected, "kafka: every topic exists");
        return;
    }
    let names: Vec<&str> = missing.iter().take(MOST_NAMES).map(String::as_str).collect();
    let more = if MOST_NAMES < missing.len() { ", …" } else { "" };
    let names = names.join(", ") + more;
    tracing::warn!(
        missing = missing.len(),
        topics = expected,
        names,
        "kafka: topics are missing; run `hookbus provision`"
    );
    for topic in missing.iter().filter(|topic| is_catch_all(topic)) {
        tracing::error!(topic, "kafka: the catch-all topic is missing: an event without a topic cannot be published");
    }
}
