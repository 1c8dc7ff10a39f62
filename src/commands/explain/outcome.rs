//! What becomes of a request whose signature holds: the event's attributes, and where it goes.

use std::io::{self, Write};

use super::report::say;
use crate::{
    config::{BusKind, Config},
    envelope::{Envelope, Stamp, attributes::Attribute},
    event::{Event, Kind},
};

/// Prints it.
pub(super) fn print(event: Event<'_>, config: &Config, out: &mut impl Write) -> io::Result<()> {
    if event.contradicts_header() {
        say(out, "type", "the unsigned type header says another type than the body; the body counts")?;
    }
    let kind = event.reading.kind.clone();
    let envelope = Envelope::new(event, &config.bus.template(), &Stamp::new("explain", 0));
    let (mut route, mut key) = (String::new(), String::new());
    for (attribute, value) in envelope.attributes().iter() {
        let value = value.escape_debug().to_string();
        match attribute {
            // Made anew for each request.
            Attribute::Sequence | Attribute::Traceparent => {}
            Attribute::Route => route = value,
            Attribute::PartitionKey => key = value,
            other => {
                if let Some(name) = other.name() {
                    say(out, "event", format_args!("{name} = {value}"))?;
                }
            }
        }
    }
    match kind {
        Kind::Documented(_) => {}
        Kind::Unlisted(_) => {
            let text = "its type is in no document, so it goes to the catch-all, or where bus.unknown_types says";
            say(out, "route", text)?;
            say(out, "", "do: nothing, if the vendor has a new event; a newer hookbus may know it")?;
        }
        Kind::Quarantined(reason) => {
            say(out, "route", format_args!("quarantine, reason {reason}: its body cannot be routed by its type"))?;
            say(out, "", "do: tell the vendor; after an upgrade that reads it, hookbus replay quarantine")?;
        }
    }
    match config.bus.kind {
        BusKind::Journal => say(out, "goes to", format_args!("subject {route} of the embedded bus")),
        BusKind::Nats => say(out, "goes to", format_args!("subject {route} of stream {}", config.bus.nats.stream)),
        BusKind::Kafka => {
            say(out, "goes to", format_args!("topic {route}, key {key}; the catch-all, if that topic does not exist"))
        }
    }
}
