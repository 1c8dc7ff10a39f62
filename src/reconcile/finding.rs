//! One finding, and the event that it becomes.
//!
//! Its id is that of the thing and of the occurrence: what is found again has the same id, and what was well in between
//! has another one.

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{config::SourceConfig, finding::Kind, metrics::Label as _, text::hex_encode, vendors::Vendor};

/// Most characters of a subject: a vendor's ids are far shorter.
const MOST_SUBJECT: usize = 256;

/// What was found at a vendor.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The source's configured name.
    pub source: String,
    /// Whose API says so.
    pub vendor: Vendor,
    /// The thing: an endpoint's id or URL, a certificate's, another object's or a delivery's id.
    pub subject: String,
    /// The vendor's type of the event that is missing.
    pub event: Option<String>,
    /// The vendor's id of that event, where its API shows one.
    pub event_id: Option<String>,
    /// The thing's status, in the vendor's words.
    pub status: Option<String>,
    /// Since when it is so, by the vendor's clock, where it says so.
    pub since: Option<Timestamp>,
    /// In words.
    pub text: String,
    /// Tells this occurrence from another one of the same thing.
    pub occurrence: String,
    /// What the vendor's API shows of a certificate whose event is missing.
    pub certificate: Option<Value>,
    /// What it shows of that event.
    pub happened: Option<Value>,
}

impl Finding {
    /// A finding of which only the thing is known.
    pub fn new(kind: Kind, source: &SourceConfig, subject: impl Into<String>, occurrence: impl Into<String>) -> Self {
        Finding {
            kind,
            source: source.name.clone(),
            vendor: source.vendor,
            subject: subject.into().chars().take(MOST_SUBJECT).collect(),
            event: None,
            event_id: None,
            status: None,
            since: None,
            text: kind.description().into(),
            occurrence: occurrence.into(),
            certificate: None,
            happened: None,
        }
    }

    /// The id of its event; `healed`: of the event that says it is over.
    pub fn id(&self, healed: bool) -> String {
        let state = if healed { "healed" } else { "" };
        let parts = [self.kind.as_str(), &self.source, &self.subject, self.event.as_deref().unwrap_or_default()];
        let text = [parts.as_slice(), &[&self.occurrence, state]].concat().join("\0");
        ["sha256:", &hex_encode(&Sha256::digest(text))].concat()
    }

    /// The event's body.
    pub fn data(&self, healed: bool, now: Timestamp) -> Value {
        let mut data = json!({
            "kind": self.kind.as_str(),
            "state": if healed { "healed" } else { "open" },
            "source": self.source,
            "vendor": self.vendor.as_str(),
            "subject": self.subject,
            "text": self.text,
            "occurrence": self.occurrence,
            "seen": now.to_string(),
        });
        let since = self.since.map(|since| since.to_string());
        for (name, value) in
            [("event", &self.event), ("eventid", &self.event_id), ("status", &self.status), ("since", &since)]
        {
            if let Some(value) = value {
                data[name] = value.as_str().into();
            }
        }
        data
    }
}

/// One time in which an endpoint was not as wanted, as the bus tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Episode {
    subject: String,
    occurrence: String,
    /// When it ended.
    healed: Option<String>,
}

impl Episode {
    /// Of the body of a finding's event.
    pub(super) fn of(data: &Value) -> Option<Self> {
        let text = |name: &str| data[name].as_str().map(str::to_owned);
        let healed = if data["state"] == "healed" { Some(text("seen")?) } else { None };
        Some(Episode { subject: text("subject")?, occurrence: text("occurrence")?, healed })
    }

    /// What tells the present occurrence from others, for a process that has no memory: the open one goes on; another one
    /// begins behind the last end, or today.
    pub(super) fn occurrence(last: Option<&Episode>, now: Timestamp) -> String {
        match last {
            Some(Episode { occurrence, healed: None, .. }) => occurrence.clone(),
            Some(Episode { healed: Some(healed), .. }) => format!("after {healed}"),
            None => now.strftime("%F").to_string(),
        }
    }

    /// The finding that is over, if this one is open.
    pub(super) fn to_heal(&self, kind: Kind, source: &SourceConfig) -> Option<Finding> {
        let open = self.healed.is_none();
        open.then(|| Finding::new(kind, source, &self.subject, &self.occurrence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> SourceConfig {
        SourceConfig::defaults("acme", Vendor::Audit1, "/a", Vec::new())
    }

    #[test]
    fn a_repeat_has_the_same_id_and_another_occurrence_thing_or_state_another_one() {
        let finding = |subject: &str, occurrence: &str| Finding::new(Kind::EndpointOff, &source(), subject, occurrence);
        let id = finding("wh_1", "a").id(false);
        assert_eq!(Finding { text: "other".into(), ..finding("wh_1", "a") }.id(false), id);
        assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
        let missing = Finding { kind: Kind::EndpointMissing, ..finding("wh_1", "a") };
        let others = [finding("wh_2", "a").id(false), finding("wh_1", "b").id(false), missing.id(false)];
        assert!(!others.contains(&id) && finding("wh_1", "a").id(true) != id);
    }

    #[test]
    fn an_occurrence_goes_on_until_it_was_healed() {
        let now: Timestamp = "2026-11-29T09:00:00Z".parse().unwrap();
        let later: Timestamp = "2026-12-03T00:00:00Z".parse().unwrap();
        let first = Episode::occurrence(None, now);
        assert_eq!(first, "2026-11-29");
        let open = Finding::new(Kind::EndpointOff, &source(), "wh_1", first.clone());
        let episode = Episode::of(&open.data(false, now)).unwrap();
        assert_eq!(Episode::occurrence(Some(&episode), later), first);
        let over = episode.to_heal(Kind::EndpointOff, &source()).unwrap();
        assert_eq!(over.id(false), open.id(false));
        let healed = Episode::of(&over.data(true, later)).unwrap();
        assert_eq!(healed.to_heal(Kind::EndpointOff, &source()), None);
        assert_eq!(Episode::occurrence(Some(&healed), later), "after 2026-12-03T00:00:00Z");
    }
}
