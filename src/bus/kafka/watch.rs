//! The watcher: a thread that asks the brokers every few seconds which topics exist, sees whether they answer at all, and
//! replaces a producer that has failed for good, or that brokers answer no more while they answer others.
//!
//! What it learns is ready for the publishers, the metrics and the log, before an event needs it. A request to a broker
//! blocks, so this is a thread of its own.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use log_once::LogOnce;
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    metadata::Metadata,
};

use super::{
    causes::Causes,
    deaf::{Deaf, another_is_answered},
    durability::{self, Settings},
    ends,
    producer::Producer,
    settings,
    shared::Shared,
    topics::{self, Looks, is_catch_all},
};
use crate::config::{BusKind, Config};

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
/// Between two looks at where the partitions end.
const ENDS_EVERY: Duration = Duration::from_secs(15);
/// How long events may wait without any being acknowledged before the bus counts as down: brokers may answer questions
/// while too few replicas are in sync.
const ACKNOWLEDGES_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait for the last words of a producer that is given up.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How soon causes that stay are said again.
const SAY_AGAIN: Duration = Duration::from_mins(1);
/// Most names in one log line.
const MOST_NAMES: usize = 5;

/// Starts the thread.
///
/// # Errors
/// The system has no thread left.
pub(super) fn start(shared: Arc<Shared>, config: Config, settings: ClientConfig) -> io::Result<JoinHandle<()>> {
    let mut watcher = Watcher {
        shared,
        files: settings::file_times(&config.bus.kafka),
        expected: topics::expected(&config),
        config,
        settings,
        looks: Looks::default(),
        missing: LogOnce::default(),
        was_up: LogOnce::default(),
        silence: LogOnce::repeated(SAY_AGAIN),
        worth: LogOnce::default(),
        settings_due: Instant::now(),
        ends_due: Instant::now(),
        silent_since: None,
        replaced: None,
        deaf: Deaf::default(),
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
    config: Config,
    settings: ClientConfig,
    /// When the files that `settings` was made from were written.
    files: Vec<Option<SystemTime>>,
    expected: BTreeSet<String>,
    looks: Looks,
    missing: LogOnce<BTreeSet<String>>,
    was_up: LogOnce<bool>,
    silence: LogOnce<Causes>,
    worth: LogOnce<Settings>,
    settings_due: Instant,
    ends_due: Instant,
    /// Since when events wait and none is acknowledged.
    silent_since: Option<Instant>,
    /// When a producer was last replaced.
    replaced: Option<Instant>,
    deaf: Deaf,
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
                    self.replace_deaf_producer();
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
        if answered {
            self.shared.signal.answered();
            self.deaf.answered();
        } else {
            self.shared.signal.up.store(false, Ordering::Release);
        }
        let was_down = self.was_up.last() == Some(&false);
        if was_down {
            (self.ends_due, self.settings_due) = (Instant::now(), Instant::now());
        }
        let is_change = self.was_up.is_new(answered);
        match answer {
            Ok(metadata) => {
                if is_change {
                    self.log_up(was_down);
                }
                self.take(&metadata)
            }
            Err(error) => {
                self.log_silence(&error);
                Look::Silence
            }
        }
    }

    fn log_up(&mut self, was_down: bool) {
        self.silence.clear();
        if was_down {
            self.shared.metrics.reconnects.inc();
        }
        tracing::info!("kafka: brokers answer");
    }

    /// One line for each change of the causes, and again each minute.
    fn log_silence(&mut self, error: &KafkaError) {
        let causes = self.shared.signal.causes();
        // A broker that hangs gives no cause but its silence.
        let cause = if causes.is_empty() { error.to_string() } else { causes.to_string() };
        if self.silence.is_new(causes) {
            tracing::error!(error = cause, "kafka: no broker answers, trying for ever");
        }
    }

    fn take(&mut self, metadata: &Metadata) -> Look {
        let listed = metadata.topics().iter().filter_map(existing).collect();
        let Some(known) = self.looks.take(listed, &self.expected) else { return Look::Unsure };
        let missing: BTreeSet<String> = known.missing(&self.expected).into_iter().map(Into::into).collect();
        let lost = self.shared.topics.load().as_ref().is_some_and(|before| !before.is_within(&known));
        let grown = self.shared.topics.load().as_ref().is_none_or(|before| !known.is_within(before));
        // First, so that nothing is published to a topic that is not judged. A topic that was made waits for it.
        if grown || self.settings_due <= Instant::now() {
            self.settings_due = Instant::now() + SETTINGS_EVERY;
            self.read_settings(metadata);
        }
        self.shared.producer.load().told(metadata, &self.expected);
        self.shared.topics.store(Some(Arc::new(known)));
        self.shared.metrics.missing(missing.len());
        let acknowledges = self.acknowledges();
        self.shared.signal.up.store(acknowledges, Ordering::Release);
        self.shared.signal.looked();
        if self.missing.is_new(missing.clone()) {
            log_missing(&missing, self.expected.len());
        }
        let ends = &self.shared.ends;
        let wanted = ends.doubt.swap(false, Ordering::Relaxed) || ends.incarnations.mark().is_none();
        if grown || lost || wanted || self.ends_due <= Instant::now() {
            self.ends_due = Instant::now() + ENDS_EVERY;
            self.look_at_ends(metadata);
        }
        Look::Answered
    }

    /// Whether events are acknowledged, as far as some wait.
    fn acknowledges(&mut self) -> bool {
        let waits = 0 < self.shared.producer.load().under_way();
        if self.shared.acknowledged.swap(false, Ordering::Relaxed) || !waits {
            self.silent_since = None;
        } else {
            self.silent_since.get_or_insert_with(Instant::now);
        }
        self.silent_since.is_none_or(|since| since.elapsed() < ACKNOWLEDGES_WITHIN)
    }

    fn look_at_ends(&self, metadata: &Metadata) {
        let known = self.shared.topics.load();
        let Some(known) = known.as_ref() else { return };
        let topics = self.expected.iter().map(String::as_str).filter(|topic| known.contains(topic)).collect();
        let before = self.shared.ends.places();
        match ends::ask(&self.config.bus.kafka, metadata, &topics, &before) {
            Ok((origin, told)) => self.shared.ends.looked(origin, &before, told),
            // The next look asks again.
            Err(error) => tracing::debug!(%error, "kafka: the ends of the partitions are not told"),
        }
    }

    fn read_settings(&mut self, metadata: &Metadata) {
        let worth = match durability::read(&self.config, metadata, &self.expected) {
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
        self.shared.metrics.durability(BusKind::Kafka, worth.class());
        let refused = worth.refused(&self.config);
        self.shared.metrics.refused(refused.len());
        self.shared.refused.store(Arc::new(refused));
        self.shared.signal.refuse(worth.refusals(&self.config));
        if self.worth.is_new(worth.clone()) {
            for text in worth.refusals(&self.config) {
                tracing::error!("kafka: nothing is published to {text}");
            }
            worth.log(settings::batch_size(&self.settings));
        }
    }

    /// A fatal error ends a producer: every event in it fails, and every later one. What failed goes back to the caller,
    /// which alone knows the order to publish it again in.
    fn replace_failed_producer(&mut self) {
        let Some((code, reason)) = self.shared.producer.load().client().fatal_error() else { return };
        // What fails again at once is tried no faster than anything else.
        if self.replaced.is_none_or(|replaced| LOOK_EVERY <= replaced.elapsed()) {
            tracing::error!(%code, reason, "kafka: fatal error; the producer is replaced");
            self.replace_producer();
        }
    }

    fn replace_deaf_producer(&mut self) {
        let kafka = &self.config.bus.kafka;
        if self.deaf.is_deaf(Instant::now(), || another_is_answered(kafka)) {
            tracing::error!("kafka: brokers answer another client, and not the producer, which is replaced");
            self.replace_producer();
        }
    }

    /// Brokers that answer no more may have been given another password or certificate to ask for: files that were
    /// written since are read again.
    fn take_new_login(&mut self) {
        let files = settings::file_times(&self.config.bus.kafka);
        if files == self.files {
            return;
        }
        self.files = files;
        match settings::producer(&self.config.bus.kafka) {
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
        match Producer::new(&self.settings, Arc::clone(&self.shared.signal), self.shared.metrics.clone()) {
            Ok(producer) => {
                let old = self.shared.producer.swap(Arc::new(producer));
                let events = old.under_way();
                old.give_back(LAST_WORDS);
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

fn log_missing(missing: &BTreeSet<String>, expected: usize) {
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
