//! An event that was laid out once already, laid out again: by today's routing rules, or by today's reading of its body.
//!
//! In: a message from the dead letters, a journal or a bus. Out: the same event, ready for the configured bus. The body
//! stays as it is, and so does everything that says when and whence the event came; an id changes only when what could
//! not be read before now has one of its own.

use std::fmt::Display;

use super::{
    Attributes, Circumstances, Message, Origin, attributes::Attribute, fingerprint, lay_out, route, route::Template,
    subject,
};
use crate::{
    config::Source,
    json,
    vendor::{self, Kind, Quarantine, Vendor, catalogue},
};

/// Ends the message id of an event that leaves quarantine with the id that it had there: inside its duplicate window, a
/// stream would take it for the message in quarantine, and drop it with an acknowledgement.
const REREAD: &str = "/reread";

/// Why an event in quarantine has to stay there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StaysOdd {
    /// Its body still cannot be routed by its type.
    #[error("still unreadable: {0}")]
    Unreadable(Quarantine),
    /// Nobody knows any more whose it was.
    #[error("its source is not in the configuration any more")]
    UnknownSource,
}

/// Gives a message the subject that its event would get today, and takes away what only dead letters have. A message
/// that does not say enough about itself keeps the subject that it has.
pub fn reroute(message: &Message, template: &Template) -> Message {
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
    let documented = || catalogue::find(vendor, None, event_type).map(Kind::Documented);
    let unlisted = || route::is_routable(event_type).then(|| Kind::Unlisted(event_type.into()));
    let kind = odd.or_else(documented).or_else(unlisted)?;
    let origin = Origin { vendor, source_name, tenant: message.attributes.get(Attribute::Tenant) };
    Some(subject(&kind, origin, template))
}

/// Reads the body of a message in quarantine as it would be read today. Whoever may write to the bus wrote what the message
/// says of itself; so what leads to a subject, the tenant above all, is taken from the configuration.
///
/// # Errors
/// See [`StaysOdd`].
pub fn reread(message: &Message, sources: &[Source], template: &Template) -> Result<Message, StaysOdd> {
    let vendor: Vendor = message.get(Attribute::Vendor).parse().map_err(|_| StaysOdd::UnknownSource)?;
    let (source, signed) = signed_by(message, vendor, sources).ok_or(StaysOdd::UnknownSource)?;
    let mut reading = vendor::read(vendor, &source.name, &message.body);
    if let Kind::Quarantined(reason) = reading.kind {
        return Err(StaysOdd::Unreadable(reason));
    }
    if reading.id_is_derived {
        reading.id = vendor::derived_id(vendor, &source.name, &signed);
    }
    let telling = if reading.id == message.get(Attribute::Id) { REREAD } else { "" };
    let circumstances = Circumstances {
        origin: Origin { vendor, source_name: &source.name, tenant: source.tenant.as_deref() },
        ce_source: &source.ce_source,
        recorded: &message.get(Attribute::RecordedTime),
        sequence: &message.get(Attribute::Sequence),
        trace: &message.get(Attribute::Traceparent),
        // The headers of a bus do not tell it apart from the start of the transmission.
        hop: &message.get(Attribute::Traceparent),
        fingerprint: fingerprint(&signed),
        telling,
    };
    Ok(Message { attributes: lay_out(&reading, &circumstances, template), body: message.body.clone() })
}

/// The source whose event it is, and the bytes that it had signed: the id of every event in quarantine is derived from
/// both. A source that was renamed since is known by its CloudEvents `source`, if that was configured.
fn signed_by<'s>(message: &Message, vendor: Vendor, sources: &'s [Source]) -> Option<(&'s Source, Vec<u8>)> {
    let id = message.get(Attribute::Id);
    let compacted = || json::compact(&message.body).collect::<Vec<_>>().concat();
    let candidates = || sources.iter().filter(|source| source.vendor == vendor);
    for signed in [message.body.to_vec(), compacted()] {
        if let Some(source) = candidates().find(|source| vendor::derived_id(vendor, &source.name, &signed) == id) {
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
        let mut renamed = Source::defaults("paper", Vendor::Audit1, "/b", Vec::new());
        renamed.ce_source = "urn:payroll".into();
        renamed.tenant = Some("ours".into());
        let sources = [Source::defaults("other", Vendor::Audit1, "/a", Vec::new()), renamed];
        let id = vendor::derived_id(Vendor::Audit1, "paper", body);
        let odd = |id: &str, source: &str, body: &'static [u8]| {
            let pairs = [
                (Attribute::Id, id),
                (Attribute::Source, source),
                (Attribute::Type, "com.audit1.quarantine"),
                (Attribute::Vendor, "audit1"),
                (Attribute::Tenant, "theirs"),
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
            assert_eq!(read.get(Attribute::Tenant), "ours");
            assert_eq!(read.get(Attribute::RecordedTime), "2026-01-02T03:04:05.000006Z");
            assert_eq!(read.get(Attribute::Sequence), "pod-1-00000000000000000007");
            assert_eq!(read.get(Attribute::DataContentType), "application/json");
            let message_id = format!("audit1/paper/evt_7/{:016x}", fingerprint(body));
            assert_eq!(read.get(Attribute::MessageId), message_id);
            assert_eq!(read.attributes.get(Attribute::QuarantineReason), None);
            assert_eq!(read.body, &body[..]);
        }
        let strange = reread(&odd("x", "urn:x", body), &sources, &Template::default());
        assert_eq!(strange, Err(StaysOdd::UnknownSource));
        let still = reread(&odd("x", "urn:payroll", b"not json"), &sources, &Template::default());
        assert_eq!(still, Err(StaysOdd::Unreadable(Quarantine::NotJson)));
    }

    /// Convoy's `t=` style may sign the body without its white space: the id was derived from that.
    #[test]
    fn an_event_signed_without_its_white_space_is_recognised() {
        let body = br#"{ "type": "policy.active", "data": {} }"#;
        let sources = [Source::defaults("acme", Vendor::Policy1099, "/a", Vec::new())];
        let compact = br#"{"type":"policy.active","data":{}}"#;
        let id = vendor::derived_id(Vendor::Policy1099, "acme", compact);
        let pairs = [(Attribute::Id, id.as_str()), (Attribute::Vendor, "1099policy"), (Attribute::Source, "urn:x")];
        let read = reread(&message(&pairs, body), &sources, &Template::default()).unwrap();
        assert_eq!(read.get(Attribute::Id), id);
        assert!(read.get(Attribute::MessageId).ends_with(&format!("/{:016x}/reread", fingerprint(compact))));
        assert_eq!(read.body, &body[..]);
    }
}
