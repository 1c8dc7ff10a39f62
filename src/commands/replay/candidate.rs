//! One event that may be sent again: what it is, whether the operator means it, and what is said of it.
//!
//! In: a record. Out: the message to publish or why there is none, and one line. Everything a body or an id says is
//! escaped before it is printed.

use std::{
    io::{self, Write},
    time::SystemTime,
};

use jiff::Timestamp;
use journal::replay_log::Place;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    options::{Options, What},
    reroute::{reread, reroute},
};
use crate::{
    bus::{Ack, PublishError, Record},
    commands::output::json_line,
    config::Config,
    envelope::{Attributes, Message, attributes::Attribute},
    json, text,
};

/// The event.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Where it lies, for the memory of what was sent on.
    pub(super) place: Place,
    /// When it arrived.
    pub(super) time: Timestamp,
    /// As it would be published; as it lies, when it cannot be.
    pub(super) message: Message,
    /// Why it lies where it lies.
    reason: String,
    /// The id that it has there.
    old_id: String,
    /// Why it cannot be published.
    pub(super) obstacle: Option<String>,
}

/// What becomes, or became, of it. The states of `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It would be sent.
    Waits,
    /// The bus has it.
    Sent(Ack),
    /// The bus has not taken it.
    Failed(PublishError),
    /// It cannot be sent.
    Stays,
    /// The operator has given it up.
    Discarded,
}

impl Candidate {
    pub(super) fn new(found: Record, what: What, config: &Config) -> Self {
        let Record { written, message, payload: body, .. } = found;
        let template = config.bus.template();
        let recorded = written.map(|(_, recorded)| recorded);
        let known = message.filter(|message| !message.get(Attribute::Id).is_empty());
        let Some(lying) = known else {
            let message = Message { attributes: Attributes::default(), body };
            let time = recorded.and_then(|time| Timestamp::try_from(time).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
            let (place, obstacle) = (place(written, &message), Some("another version has written it".to_owned()));
            return Candidate { place, time, message, reason: "unreadable".into(), old_id: String::new(), obstacle };
        };
        let arrival = lying.get(Attribute::RecordedTime).parse().ok();
        let time = arrival.or_else(|| Timestamp::try_from(recorded?).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
        let place = place(written, &lying);
        let reason = match what {
            What::DeadLetters => lying.get(Attribute::DeadLetterReason),
            What::Quarantine | What::Journal => lying.get(Attribute::QuarantineReason),
        };
        let (reason, old_id) = (reason.to_owned(), lying.get(Attribute::Id).to_owned());
        let (message, obstacle) = match what {
            What::DeadLetters | What::Journal => (reroute(&lying, &template), None),
            What::Quarantine => match reread(&lying, &config.identities(), &template) {
                Ok(message) => (message, None),
                Err(error) => (lying, Some(error.to_string())),
            },
        };
        Candidate { place, time, message, reason, old_id, obstacle }
    }

    /// Gives it a message id of its own: inside its duplicate window a stream would take it for a copy of what it had
    /// before, also after that was purged, and drop it with an acknowledgement.
    pub(super) fn send_again(&mut self, run: &str) {
        let mut attributes = Attributes::with_capacity(self.message.attributes.encoded().len() + run.len());
        for (attribute, value) in self.message.attributes.iter() {
            match attribute {
                Attribute::MessageId => attributes.push(attribute, &format_args!("{value}{run}")),
                other => attributes.push(other, &value),
            }
        }
        self.message.attributes = attributes;
    }

    /// Whether the operator's words mean it.
    pub(super) fn is_meant(&self, options: &Options) -> bool {
        let event_type = self.message.get(Attribute::Type);
        let prefix = format!("com.{}.", self.message.get(Attribute::Vendor));
        let short = event_type.strip_prefix(&prefix).unwrap_or(event_type);
        let (id, old_id) = (self.message.get(Attribute::Id), &self.old_id);
        (options.ids.is_empty() || options.ids.iter().any(|wanted| wanted == id || wanted == old_id))
            && options.kind.as_ref().is_none_or(|kind| kind.matches(event_type) || kind.matches(short))
            && options.since.is_none_or(|since| since.0 <= self.time)
            && options.until.is_none_or(|until| self.time < until.0)
    }

    /// Its line, and below it the payload if that is wanted.
    pub(super) fn print(&self, fate: Fate, options: &Options, out: &mut impl Write) -> io::Result<()> {
        if options.json {
            return self.print_json(fate, options, out);
        }
        let get = |attribute| self.message.get(attribute).escape_debug();
        write!(
            out,
            "{:.6}  {}  id={} subject={} reason={} bytes={}",
            self.time,
            get(Attribute::Type),
            get(Attribute::Id),
            get(Attribute::Subject),
            if self.reason.is_empty() { "-".escape_debug() } else { self.reason.escape_debug() },
            self.message.body.len()
        )?;
        match fate {
            Fate::Stays => writeln!(out, "  stays: {}", self.obstacle.as_deref().unwrap_or_default())?,
            Fate::Failed(error) => writeln!(out, "  not sent to {}: {error}", self.message.route().escape_debug())?,
            Fate::Discarded => writeln!(out, "  discarded")?,
            Fate::Waits | Fate::Sent(_) => writeln!(out, "  -> {}", self.message.route().escape_debug())?,
        }
        if options.show {
            writeln!(out, "    {}", payload(&self.message.body))?;
        }
        Ok(())
    }

    fn print_json(&self, fate: Fate, options: &Options, out: &mut impl Write) -> io::Result<()> {
        let text = |value: &str| serde_json::Value::from(value);
        let get = |attribute| text(self.message.get(attribute));
        let (state, error) = match fate {
            Fate::Waits => ("waits", None),
            Fate::Sent(Ack::Stored) => ("sent", None),
            Fate::Sent(Ack::Duplicate) => ("duplicate", None),
            Fate::Failed(error) => ("failed", Some(error.to_string())),
            Fate::Stays => ("stays", self.obstacle.clone()),
            Fate::Discarded => ("discarded", None),
        };
        let mut line = format!(
            "{{\"time\":\"{:.6}\",\"type\":{},\"id\":{},\"subject\":{},\"reason\":{},\"bytes\":{},\"to\":{},\"state\":\"{state}\"",
            self.time,
            get(Attribute::Type),
            get(Attribute::Id),
            get(Attribute::Subject),
            text(&self.reason),
            self.message.body.len(),
            text(self.message.route()),
        );
        if let Some(error) = error {
            line.push_str(&format!(",\"error\":{}", text(&error)));
        }
        let mut line = line.into_bytes();
        if options.show {
            line.extend_from_slice(b",\"event\":");
            json::compact(&self.message.structured()).for_each(|piece| line.extend_from_slice(piece));
        }
        line.push(b'}');
        json_line(&line, out)
    }
}

/// In a journal, the record's own place. On a bus, what is unique to the event.
fn place(written: Option<(u64, SystemTime)>, message: &Message) -> Place {
    if let Some((sequence, recorded)) = written {
        let recorded = Timestamp::try_from(recorded).map_or(0, Timestamp::as_microsecond);
        return Place { sequence, recorded: u64::try_from(recorded).unwrap_or_default() };
    }
    let named = format!("{}\0{}\0", message.get(Attribute::Source), message.get(Attribute::Id));
    let arrival = message.get(Attribute::RecordedTime).parse::<Timestamp>().map_or(0, Timestamp::as_microsecond);
    let recorded = u64::try_from(arrival).unwrap_or_default();
    Place { sequence: xxh3_64(&[named.as_bytes(), &message.body].concat()), recorded }
}

/// A body on one line: JSON without its white space, anything else with what is no text as escapes.
fn payload(body: &[u8]) -> String {
    let bytes = match json::scan(body, |_| ()) {
        Ok(_) => json::compact(body).collect::<Vec<_>>().concat(),
        Err(_) => body.to_vec(),
    };
    text::terminal(&bytes)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{
        config::{BusKind, SourceConfig},
        vendors::Vendor,
    };

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &str) -> Options {
        Line::try_parse_from(["replay", "dead-letters"].into_iter().chain(words.split_whitespace())).unwrap().options
    }

    fn candidate(head: Option<&[(Attribute, &str)]>) -> Candidate {
        let message = head.map(|pairs| {
            let mut attributes = Attributes::default();
            pairs.iter().for_each(|(attribute, value)| attributes.push(*attribute, value));
            Message { attributes, body: "{ \"n\" : 1.50 }".into() }
        });
        let recorded = SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(1_700_000_000_000_007);
        let payload = "\u{1b}[31m".into();
        let found =
            Record { written: Some((7, recorded)), message, is_behind_a_gap: false, payload, is_structured: false };
        let sources = vec![SourceConfig::defaults("payroll", Vendor::Audit1, "/a", Vec::new())];
        Candidate::new(found, What::DeadLetters, &Config::defaults(BusKind::Nats, sources))
    }

    const HEAD: [(Attribute, &str); 7] = [
        (Attribute::Id, "evt\n1"),
        (Attribute::Type, "com.audit1.file.failed"),
        (Attribute::Vendor, "audit1"),
        (Attribute::RecordedTime, "2026-11-27T08:00:00.000001Z"),
        (Attribute::Route, "old"),
        (Attribute::MessageId, "audit1/payroll/evt/00"),
        (Attribute::DeadLetterReason, "too_large"),
    ];

    fn printed(candidate: &Candidate, fate: Fate, words: &str) -> String {
        let mut out = Vec::new();
        candidate.print(fate, &options(words), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_what_is_meant_is_taken() {
        let candidate = candidate(Some(&HEAD));
        for words in ["", "--type com.audit1.>", "--type file.*", "--since 2026-11-27T08:00:00Z --until 2026-11-28"] {
            assert!(candidate.is_meant(&options(words)), "{words}");
        }
        let others = ["--id evt", "--type file", "--type com.1099policy.>", "--since 2026-11-28", "--until 2026-11-27"];
        for words in others {
            assert!(!candidate.is_meant(&options(words)), "{words}");
        }
    }

    #[test]
    fn a_line_says_what_it_is_and_escapes_what_others_wrote() {
        let candidate = candidate(Some(&HEAD));
        assert_eq!(
            printed(&candidate, Fate::Waits, "--show"),
            "2026-11-27T08:00:00.000001Z  com.audit1.file.failed  id=evt\\n1 subject= reason=too_large bytes=14  -> \
             webhooks.audit1.file.failed\n    {\"n\":1.50}\n"
        );
        let json = printed(&candidate, Fate::Failed(PublishError::TooLarge), "--json --show");
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&line["id"], &line["state"], &line["error"]),
            (&"evt\n1".into(), &"failed".into(), &"too large".into())
        );
        assert!(json.contains(r#""event":{"specversion":"1.0","id":"evt\u000a1""#), "{json}");
        assert_eq!((candidate.place.sequence, candidate.place.recorded), (7, 1_700_000_000_000_007));
    }

    #[test]
    fn a_record_of_another_version_stays() {
        let candidate = candidate(None);
        let text = printed(&candidate, Fate::Stays, "--show");
        assert!(text.starts_with("2023-11-14T22:13:20.000007Z") && text.contains("stays: another version"), "{text}");
        assert!(text.ends_with("    \\u001b[31m\n"), "{text}");
    }
}
