//! `[bus]`: where the events go, and in which form.

use std::time::Duration;

use super::{
    danger::{Danger, dangers},
    kafka::KafkaConfig,
    key::{HOUR, KIB, MIB, MINUTE, Reading, TEN_YEARS, TIB, count, duration, list, size, text, word},
    nats::NatsConfig,
    section::section,
};
use crate::envelope::{Encoding, route::Template};

section! {
    /// `[bus]`.
    pub struct BusConfig {
        /// Required. "nats": a JetStream stream, see `[bus.nats]`. "kafka": see `[bus.kafka]`. "journal": the durable log on the
        /// local disk. `hookbus tail` reads any of them.
        kind: BusKind = word(BusKind::Journal, &[
            ("nats", BusKind::Nats),
            ("kafka", BusKind::Kafka),
            ("journal", BusKind::Journal),
        ])
        .required("write kind = \"nats\", \"kafka\" or \"journal\" under [bus]"),
        /// "structured": a message is one JSON object. "binary": a message is the webhook's own body, its attributes are
        /// headers.
        encoding: Encoding =
            word(Encoding::Structured, &[("structured", Encoding::Structured), ("binary", Encoding::Binary)]),
        /// Subject (on Kafka: topic) of an event. Placeholders: {vendor} {source} {tenant} {type}, and {category}, the first
        /// part of the type.
        subject: Template = text("webhooks.{vendor}.{type}", subject),
        /// Events remembered as durable, whose repeats are answered 200 and not published again.
        /// After a restart they are read back: from the embedded bus, or, in front of a broker, from a file beside the spool, at
        /// most 200000 of them. With journal.spool = "off" there is no such file, and the memory begins empty.
        recent_events: usize = count(100_000, 1..=10_000_000),
        /// Types in no catalogue: "catch_all" sends them to `webhooks.<vendor>.unknown`, "route" (only on NATS) to a subject of
        /// their own, if they are made of A-Z, a-z, 0-9, _, - and dots.
        unknown_types: UnknownTypes =
            word(UnknownTypes::CatchAll, &[("catch_all", UnknownTypes::CatchAll), ("route", UnknownTypes::Route)]),
        /// What a stream or topic may be set to although it loses acknowledged events that way. Anything of it that is not
        /// listed stops the start, and later publishing there: on NATS "memory_storage", "no_ack", "interest_retention",
        /// "workqueue_retention", "per_subject_limit" and "async_persistence", on Kafka "compaction", on either
        /// "short_retention".
        waive: Vec<Danger> = list("the words above", &[], dangers),
        /// Streams and topics that drop events sooner count as "short_retention". Time for subscribers to come back.
        min_retention: Duration = duration(24 * HOUR, MINUTE..=TEN_YEARS),
        /// The same for Kafka's retention.bytes, of one partition.
        min_retention_size: u64 = size(128 * MIB, KIB..=TIB),
        /// NATS JetStream; read for kind = "nats". An event is answered 200 when the stream has acknowledged it.
        nats: NatsConfig,
        /// Apache Kafka, or what speaks its protocol; used when bus.kind = "kafka". `hookbus provision` makes the topics.
        kafka: KafkaConfig,
    }
}

impl BusConfig {
    /// The template, which also says whether unknown types have subjects of their own.
    pub fn template(&self) -> Template {
        self.subject.clone().routing_unknown(self.unknown_types == UnknownTypes::Route)
    }
}

/// `bus.kind`. It has no default, so that a key that was forgotten makes no local file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusKind {
    /// The embedded bus: the journal itself, read with `hookbus tail`.
    Journal,
    /// Apache Kafka, or what speaks its protocol.
    Kafka,
    /// A NATS JetStream stream.
    Nats,
}

/// `bus.unknown_types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownTypes {
    /// To `webhooks.<vendor>.unknown`.
    CatchAll,
    /// To a subject of their own, by the template. Only where subjects need not be made first: on NATS.
    Route,
}

/// The template's own error quotes the text, which no line here does.
fn subject(text: &str) -> Reading<Template> {
    text.parse().map_err(|_| {
        "must be tokens of letters, digits, _ and - with single dots between; the placeholders are {vendor}, {source}, \
         {tenant}, {type} and {category}"
            .into()
    })
}
