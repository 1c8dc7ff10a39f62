//! A new envelope for an event that has one: by today's routing rules, or by today's reading of its body.
//!
//! In: a message from the dead letters, a journal or a bus. Out: the same event, ready for the configured bus. The body
//! stays as it is, and so does what says when and from where the event came; an id changes only when what could
//! not be read before now has one of its own.

use std::fmt::Display;

use jiff::Timestamp;

use crate::{
    envelope::{
        Attributes, Message,
        attributes::Attribute,
        layout::{Circumstances, fingerprint, route},
        route::Template,
        stamp::is_sequence,
        traceparent::Traceparent,
    },
    event::{self, Kind, Quarantine},
    json,
    source::Identity,
    subject::is_routable,
    vendors::Vendor,
};

/// Ends the message id of an event that leaves quarantine with the id that it had there: inside its duplicate window, a
/// stream would take it for the message in quarantine, and drop it with an acknowledgement.
const REREAD: &str = "/reread";

/// Why an event in quarantine has to stay there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotReplayable {
    /// Its body still cannot be routed by its type.
    #[error("still unreadable: {0}")]
    Unreadable(Quarantine),
    /// What the gateway has written beside the body is not there: another writer has put it into quarantine.
    #[error("its {0} has a form that hookbus never writes: it may be forged")]
    Forged(&'static str),
    /// No configured source has it.
    #[error("its source is not in the configuration any more")]
    UnknownSource,
}

/// Gives a message the subject that its event would get today, and takes away what only dead letters have. A message
/// that does not say enough about itself keeps the subject that it has.
pub(super) fn reroute(message: &Message, template: &Template) -> Message {
    let today = route_today(message, template);
    let mut attributes = Attributes::with_capacity(message.attributes.encoded().len());
    for (attribute, value) in message.attributes.iter() {
        match attribute {
            Attribute::Route => {
                attributes.push(attribute, today.as_ref().map_or(&value, |today| today as &dyn Display))
            }
            Attribute::DeadLetterReason => {}
            other => attributes.push(other, &value),
        }
    }
    Message { attributes, body: message.body.clone() }
}

fn route_today(message: &Message, template: &Template) -> Option<String> {
    let vendor: Vendor = message.get(Attribute::Vendor).parse().ok()?;
    // `<vendor>/<source>/<id>/<fingerprint>`; no source's name has a slash.
    let source_name = message.get(Attribute::MessageId).split('/').nth(1)?;
    let event_type =
        message.get(Attribute::Type).strip_prefix("com.")?.strip_prefix(vendor.as_str())?.strip_prefix('.')?;
    // The reason itself does not matter for the subject.
    let odd = message.attributes.get(Attribute::QuarantineReason).map(|_| Kind::Quarantined(Quarantine::NotJson));
    let documented = || vendor.profile().find(None, event_type).map(Kind::Documented);
    let unlisted = || is_routable(event_type).then(|| Kind::Unlisted(event_type.into()));
    let kind = odd.or_else(documented).or_else(unlisted)?;
    let source = Identity {
        vendor,
        name: source_name.into(),
        ce_source: message.get(Attribute::Source).into(),
        tenant: message.attributes.get(Attribute::Tenant).map(Into::into),
        environment: message.get(Attribute::Environment).into(),
    };
    Some(route(&kind, &source, template).to_string())
}

/// Reads the body of a message in quarantine as it would be read today. The attributes of a message come
/// from the bus, where others may write too: what leads to a subject, above all the tenant, is taken from the configuration,
/// and arrival and sequence must look as the gateway writes them. A trace that does not is begun anew.
///
/// # Errors
/// See [`NotReplayable`].
pub(super) fn reread(message: &Message, sources: &[Identity], template: &Template) -> Result<Message, NotReplayable> {
    let vendor: Vendor = message.get(Attribute::Vendor).parse().map_err(|_| NotReplayable::UnknownSource)?;
    let (source, signed) = signed_by(message, vendor, sources).ok_or(NotReplayable::UnknownSource)?;
    let mut reading = event::read(vendor, &source.name, &message.body);
    if let Kind::Quarantined(reason) = reading.kind {
        return Err(NotReplayable::Unreadable(reason));
    }
    if reading.id_is_derived {
        reading.id = event::derived_id(vendor, &source.name, &signed);
    }
    let recorded = message.get(Attribute::RecordedTime);
    if !recorded.parse::<Timestamp>().is_ok_and(|time| format!("{time:.6}") == recorded) {
        return Err(NotReplayable::Forged("recordedtime"));
    }
    let sequence = message.get(Attribute::Sequence);
    if !is_sequence(sequence) {
        return Err(NotReplayable::Forged("sequence"));
    }
    let trace = Traceparent::parse(message.get(Attribute::Traceparent).as_bytes()).unwrap_or_else(Traceparent::begin);
    let suffix = if reading.id == message.get(Attribute::Id) { REREAD } else { "" };
    let circumstances = Circumstances {
        source,
        recorded: &recorded,
        sequence: &sequence,
        trace: &trace,
        // In the headers of a bus it stands in the same place as the start of the transmission.
        hop: &trace,
        fingerprint: fingerprint(&signed),
        suffix,
    };
    Ok(Message {
        attributes: circumstances.lay_out(&reading, template),
        body: message.body.slice_ref(json::without_mark(&message.body)),
    })
}

/// The source whose event it is, and the bytes that it had signed: the id of every event in quarantine is derived from
/// both. A source that was renamed since is known by its CloudEvents `source`, if that was configured.
fn signed_by<'s>(message: &Message, vendor: Vendor, sources: &'s [Identity]) -> Option<(&'s Identity, Vec<u8>)> {
    let id = message.get(Attribute::Id);
    let compacted = || json::compact(&message.body).collect::<Vec<_>>().concat();
    let candidates = || sources.iter().filter(|source| source.vendor == vendor);
    for signed in [message.body.to_vec(), compacted()] {
        if let Some(source) = candidates().find(|source| event::derived_id(vendor, &source.name, &signed) == id) {
            return Some((source, signed));
        }
    }
    let named = candidates().find(|source| source.ce_source == message.get(Attribute::Source))?;
    Some((named, message.body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(pairs: &[(Attribute, &str)], body: &'static [u8]) -> Message {
        let mut attributes = Attributes::default();
        for (attribute, value) in pairs {
            attributes.push(*attribute, value);
        }
        Message { attributes, body: body.into() }
    }

    fn identity(vendor: Vendor, name: &str) -> Identity {
        let ce_source = format!("//hookbus/{vendor}/{name}");
        Identity { vendor, name: name.into(), ce_source, tenant: None, environment: "test".into() }
    }

    #[test]
    fn a_dead_letter_gets_todays_subject_and_keeps_everything_else() {
        let documented = [
            (Attribute::Id, "evt_1"),
            (Attribute::Type, "com.audit1.file.failed"),
            (Attribute::Vendor, "audit1"),
            (Attribute::Tenant, "t1"),
            (Attribute::Route, "old.subject"),
            (Attribute::MessageId, "audit1/payroll/evt_1/00"),
            (Attribute::DeadLetterReason, "too_large"),
        ];
        let template: Template = "in.{source}.{tenant}.{type}".parse().unwrap();
        let routed = reroute(&message(&documented, b"{}"), &template);
        assert_eq!(routed.route(), "in.payroll.t1.file.failed");
        assert_eq!(routed.attributes.get(Attribute::DeadLetterReason), None);
        assert_eq!(routed.get(Attribute::MessageId), "audit1/payroll/evt_1/00");
        assert_eq!(routed.attributes.iter().count(), documented.len() - 1);

        let with = |kind: &'static str, odd: bool| {
            let mut pairs = documented;
            pairs[1].1 = kind;
            let mut message = message(&pairs, b"{}");
            if odd {
                message.attributes.push(Attribute::QuarantineReason, &"not_json");
            }
            reroute(&message, &template).route().to_owned()
        };
        assert_eq!(with("com.audit1.brand.new", false), "webhooks.audit1.unknown");
        assert_eq!(with("com.audit1.quarantine", true), "webhooks.audit1.quarantine");
        assert_eq!(with("com.other.file.failed", false), "old.subject", "it does not say enough about itself");
        let route_unknown = template.clone().routing_unknown(true);
        let mut unlisted = documented;
        unlisted[1].1 = "com.audit1.brand.new";
        assert_eq!(reroute(&message(&unlisted, b"{}"), &route_unknown).route(), "in.payroll.t1.brand.new");
    }

    #[test]
    fn what_is_readable_today_leaves_quarantine_as_if_it_came_today() {
        let body = br#"{"id":"evt_7","type":"file.processed","data":{"fileId":"f_1"}}"#;
        let renamed = Identity {
            ce_source: "urn:payroll".into(),
            tenant: Some("ours".into()),
            ..identity(Vendor::Audit1, "paper")
        };
        let sources = [identity(Vendor::Audit1, "other"), renamed];
        let id = event::derived_id(Vendor::Audit1, "paper", body);
        let odd = |id: &str, source: &str, body: &'static [u8]| {
            let pairs = [
                (Attribute::Id, id),
                (Attribute::Source, source),
                (Attribute::Type, "com.audit1.quarantine"),
                (Attribute::Vendor, "audit1"),
                (Attribute::Tenant, "theirs"),
                (Attribute::Environment, "production"),
                (Attribute::RecordedTime, "2026-01-02T03:04:05.000006Z"),
                (Attribute::Sequence, "pod-1-00000000000000000007"),
                (Attribute::Traceparent, "00-1-2-00"),
                (Attribute::QuarantineReason, "type_missing"),
            ];
            message(&pairs, body)
        };
        let template: Template = "webhooks.{tenant}.{type}".parse().unwrap();
        for (id, source) in [(id.as_str(), "urn:x"), ("sha256:of an older name", "urn:payroll")] {
            let read = reread(&odd(id, source, body), &sources, &template).unwrap();
            assert_eq!(read.route(), "webhooks.ours.file.processed", "whose it is, the configuration says");
            assert_eq!((read.get(Attribute::Id), read.get(Attribute::Source)), ("evt_7", "urn:payroll"));
            assert_eq!([Attribute::Tenant, Attribute::Environment].map(|name| read.get(name)), ["ours", "test"]);
            assert_eq!(read.get(Attribute::RecordedTime), "2026-01-02T03:04:05.000006Z");
            assert_eq!(read.get(Attribute::Sequence), "pod-1-00000000000000000007");
            assert_eq!(read.get(Attribute::DataContentType), "application/json");
            let message_id = format!("audit1/paper/evt_7/{:016x}", fingerprint(body));
            assert_eq!(read.get(Attribute::MessageId), message_id);
            assert_eq!(read.attributes.get(Attribute::QuarantineReason), None);
            assert_eq!(read.body, &body[..]);
        }
        let strange = reread(&odd("x", "urn:x", body), &sources, &Template::default());
        assert_eq!(strange, Err(NotReplayable::UnknownSource));
        let still = reread(&odd("x", "urn:payroll", b"not json"), &sources, &Template::default());
        assert_eq!(still, Err(NotReplayable::Unreadable(Quarantine::NotJson)));
    }

    /// Convoy's `t=` style may sign the body without its white space: the id was derived from that.
    #[test]
    fn an_event_signed_without_its_white_space_is_recognised() {
        let body = br#"{ "type": "policy.active", "data": {} }"#;
        let sources = [identity(Vendor::Policy1099, "acme")];
        let compact = br#"{"type":"policy.active","data":{}}"#;
        let id = event::derived_id(Vendor::Policy1099, "acme", compact);
        let pairs = [
            (Attribute::Id, id.as_str()),
            (Attribute::Vendor, "1099policy"),
            (Attribute::Source, "urn:x"),
            (Attribute::RecordedTime, "2026-01-02T03:04:05.000006Z"),
            (Attribute::Sequence, "pod-1-00000000000000000007"),
        ];
        let read = reread(&message(&pairs, body), &sources, &Template::default()).unwrap();
        assert_eq!(read.get(Attribute::Id), id);
        assert!(read.get(Attribute::MessageId).ends_with(&format!("/{:016x}/reread", fingerprint(compact))));
        assert_eq!(read.body, &body[..]);
    }

    /// Who may write to the quarantine subject may forge what the gateway writes beside a body.
    #[test]
    fn what_hookbus_never_writes_is_not_sent_on() {
        let body = b"\xef\xbb\xbf{\"type\":\"file.processed\",\"data\":{}}";
        let sources = [identity(Vendor::Audit1, "payroll")];
        let id = event::derived_id(Vendor::Audit1, "payroll", body);
        let (time, sequence) = ("2026-01-02T03:04:05.000006Z", "pod-1-00000000000000000007");
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read = |time: &str, sequence: &str, trace: &str| {
            let pairs = [
                (Attribute::Id, id.as_str()),
                (Attribute::Vendor, "audit1"),
                (Attribute::RecordedTime, time),
                (Attribute::Sequence, sequence),
                (Attribute::Traceparent, trace),
            ];
            reread(&message(&pairs, body), &sources, &Template::default())
        };
        let good = read(time, sequence, trace).unwrap();
        assert_eq!((good.get(Attribute::Traceparent), good.get(Attribute::Id)), (trace, id.as_str()));
        assert_eq!(good.body, &body[3..], "the byte order mark is no part of the JSON text");
        for bad in
            ["", "soon", "2026-01-02T03:04:05Z", "2026-13-02T03:04:05.000006Z", "2026-01-02T03:04:05.000006Z\r\nx: y"]
        {
            assert_eq!(read(bad, sequence, trace), Err(NotReplayable::Forged("recordedtime")), "{bad}");
        }
        for bad in ["", "1", "pod-1-7", "pod-1-00000000000000000007\n"] {
            assert_eq!(read(time, bad, trace), Err(NotReplayable::Forged("sequence")), "{bad}");
        }
        for bad in ["", "00-1-2-00", "x\r\ny: z"] {
            let begun = read(time, sequence, bad).unwrap();
            assert!(Traceparent::parse(begun.get(Attribute::Traceparent).as_bytes()).is_some(), "{bad}");
            assert_eq!(begun.get(Attribute::Hop), begun.get(Attribute::Traceparent));
        }
    }
}
