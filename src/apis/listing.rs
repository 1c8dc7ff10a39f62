//! What an API lists beside endpoints: certificates, and events that happened.
//!
//! Documented by the certificate guide: a certificate's `id`, `status` and `created`. Only in the public reference: the lists'
//! paths, `limit` (at most 100) and, for certificates, `starting_after`; that the newest come first; `updated`; an event's
//! `type`, `created` and `data`, and that some have neither `id` nor `created`. Assumed: events go on behind one as
//! certificates do; where they do not, a list with a full part is known to be cut.

use http::Method;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use super::{
    answer::{Part, Shape, id, is_id, text},
    api::{Api, Call, PLAIN},
};

/// What one call asks for, and the documented most.
pub const PART: usize = 100;

/// A certificate, as the vendor shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    /// The vendor's id of it.
    pub id: String,
    /// In the vendor's words.
    pub status: String,
    /// When it was uploaded.
    pub created: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
    /// The whole object, if it was to be kept.
    pub object: Value,
}

/// An event that happened at the vendor, whether or not its webhook came.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    /// Its id, where the vendor shows one.
    pub id: Option<String>,
    /// Its type.
    pub event: String,
    /// When it happened, where the vendor shows it.
    pub created: Option<Timestamp>,
    /// The id of the thing that it speaks of.
    pub subject: Option<String>,
    /// The whole event, if it was to be kept.
    pub object: Value,
}

impl Api {
    /// Lists certificates, the newest first, behind one of them; `None` where no document says how.
    pub fn certificates(&self, after: Option<&str>) -> Option<Call> {
        Some(self.part(self.certificates?, after))
    }

    /// Lists what happened, the newest first, behind one of them; `None` where no document says how.
    pub fn happened(&self, after: Option<&str>) -> Option<Call> {
        Some(self.part(self.happened?, after))
    }

    /// Reads the answer to [`Api::certificates`]. `keep`: with the whole objects.
    ///
    /// # Errors
    /// Another shape than the documents show.
    pub fn read_certificates(&self, answer: &Value, keep: bool) -> Result<Part<Certificate>, Shape> {
        self.read_all(answer, "a list of certificates", |at| certificate(answer, at, keep))
    }

    /// Reads the answer to [`Api::happened`]. `keep`: with the whole objects.
    ///
    /// # Errors
    /// Another shape than the documents show.
    pub fn read_happened(&self, answer: &Value, keep: bool) -> Result<Part<Happened>, Shape> {
        self.read_all(answer, "a list of events", |at| happened(answer, at, keep))
    }

    fn part(&self, path: &str, after: Option<&str>) -> Call {
        let after = after.map(|id| format!("&starting_after={}", utf8_percent_encode(id, PLAIN)));
        self.call(Method::GET, format!("{path}?limit={PART}{}", after.unwrap_or_default()))
    }

    fn read_all<T>(
        &self,
        answer: &Value,
        wanted: &'static str,
        read: impl Fn(&str) -> Result<T, Shape>,
    ) -> Result<Part<T>, Shape> {
        let lists = || self.listed.iter().filter_map(|path| Some((*path, answer.pointer(path)?.as_array()?)));
        let (path, list) = lists().next().ok_or_else(|| Shape { path: String::new(), wanted })?;
        Ok(Part::of(list, |index| read(&format!("{path}/{index}"))))
    }
}

fn certificate(answer: &Value, at: &str, keep: bool) -> Result<Certificate, Shape> {
    let object = answer.pointer(at).unwrap_or(&Value::Null);
    let created = moment(&object["created"]);
    let created = created.ok_or_else(|| Shape { path: format!("{at}/created"), wanted: "a time" })?;
    let updated = moment(&object["updated"]).unwrap_or(created);
    let object = if keep { object.clone() } else { Value::Null };
    Ok(Certificate { id: id(answer, at)?, status: text(answer, at, "status")?, created, updated, object })
}

fn happened(answer: &Value, at: &str, keep: bool) -> Result<Happened, Shape> {
    let object = answer.pointer(at).unwrap_or(&Value::Null);
    // The object stands in `data`, or one level below, as in webhooks.
    let inner = object.pointer("/data/object").filter(|inner| inner.is_object()).unwrap_or(&object["data"]);
    let name = |value: &Value| match &value["id"] {
        Value::String(id) => Some(id.clone()).filter(|id| is_id(id)),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    };
    let (id, subject) = (name(object), name(inner));
    if id.is_none() && subject.is_none() {
        return Err(Shape { path: format!("{at}/id"), wanted: "an id, nor is that of its thing" });
    }
    let (event, created) = (text(answer, at, "type")?, moment(&object["created"]));
    let object = if keep { object.clone() } else { Value::Null };
    Ok(Happened { id, event, created, subject, object })
}

/// Unix seconds, or a date and time, in UTC where it names no zone.
fn moment(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(seconds) => Timestamp::from_second(seconds.as_i64()?).ok(),
        Value::String(text) => {
            let local = || TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
            text.parse().ok().or_else(local)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{apis::of, vendors::Vendor};

    fn api() -> &'static Api {
        of(Vendor::Policy1099).unwrap()
    }

    #[test]
    fn a_list_is_asked_for_in_parts() {
        assert_eq!(api().certificates(None).unwrap().path, "/files/certificates?limit=100");
        assert_eq!(api().happened(Some("a/b")).unwrap().path, "/events?limit=100&starting_after=a%2Fb");
        let audit = of(Vendor::Audit1).unwrap();
        assert_eq!((audit.certificates(None), audit.happened(None)), (None, None));
    }

    #[test]
    fn what_the_documents_show_is_read_and_what_they_demand_is_missed() {
        let list = json!([{"id": "cert_1", "status": "flagged", "created": 10, "updated": 20, "more": null}]);
        let read = api().read_certificates(&list, true).unwrap().items.remove(0);
        assert_eq!((read.created.as_second(), read.updated.as_second(), &read.object), (10, 20, &list[0]));
        let path = |list: Value| api().read_certificates(&list, true).and_then(Part::readable).unwrap_err().path;
        assert_eq!(path(json!({"data": [{"id": "a", "status": "b"}]})), "/data/0/created");
        assert_eq!(path(json!([{"id": "a", "created": 1}])), "/0/status");
        assert_eq!(path(json!({})), "");
        let events = json!([
            {"id": "ev_1", "type": "policy.active", "created": 5, "data": {"id": "pl_1", "object": "policy"}},
            {"type": "certificate.flagged", "data": {"object": {"id": 7}}, "created": "1970-01-01T00:00:09.5"},
        ]);
        let read = api().read_happened(&events, true).unwrap().items;
        let facts = |happened: &Happened| {
            (happened.id.clone(), happened.created.map(Timestamp::as_second), happened.subject.clone())
        };
        assert_eq!(facts(&read[0]), (Some("ev_1".into()), Some(5), Some("pl_1".into())));
        assert_eq!(facts(&read[1]), (None, Some(9), Some("7".into())));
        assert_eq!(
            api().read_happened(&json!([{"id": "a"}]), true).and_then(Part::readable).unwrap_err().path,
            "/0/type"
        );
    }
    #[test]
    fn an_odd_item_is_counted_and_passed_over() {
        let good = json!({"id": "cert_1", "status": "flagged", "created": 10});
        let list = json!([
            {"id": "cert_2", "status": null, "created": 10},
            good,
            {"id": "cert_3", "status": "flagged"},
            {"id": "cert 4", "status": "flagged", "created": 10},
        ]);
        let part = api().read_certificates(&list, true).unwrap();
        assert_eq!((part.items.len(), part.items[0].id.as_str(), part.odd.len()), (1, "cert_1", 3));
        assert_eq!(part.last, None, "nothing can be asked for behind it");
        let events = json!([
            {"id": "a\nb", "type": "t", "data": {"id": "pl_1\u{7}"}},
            {"id": "", "type": "t", "data": {}},
            {"id": "a\nb", "type": "t", "data": {"id": "pl_1"}},
            {"id": "ev_1", "type": "t", "data": {"id": "x".repeat(300)}},
        ]);
        let part = api().read_happened(&events, true).unwrap();
        let named: Vec<_> = part.items.iter().map(|item| (item.id.as_deref(), item.subject.as_deref())).collect();
        assert_eq!((named, part.odd.len()), (vec![(None, Some("pl_1")), (Some("ev_1"), None)], 2));
    }
}
