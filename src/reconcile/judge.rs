//! What a vendor says, held against what was seen. Nothing is asked here.
//!
//! In: what one account's API answered, and the index of the bus. Out: findings, and how many changes nobody can judge.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::{
    account::{Asked, List},
    finding::{Episode, Finding},
    seen::Seen,
};
use crate::{
    apis::{Api, Certificate, Delivery, Endpoint, Happened, Wanted},
    config::{ReconcileConfig, SourceConfig},
    envelope::route::Template,
    finding::Kind,
    vendor_api::{ApiError, Reason},
};

/// The statuses of a certificate that is being worked on.
const AT_WORK: [&str; 2] = ["pending", "processing"];
/// The status of which no webhook is sent (1099Policy's page on troubleshooting).
const ERROR: &str = "error";
/// The statuses that a webhook of the type `certificate.<status>` tells.
const TOLD: [&str; 3] = ["approved", "flagged", "denied"];

/// Things and types of events that the list of what happened has told of, with the place of their finding; without one
/// nobody knows.
type Told = HashMap<(String, String), Option<usize>>;

/// All that a judgement depends on beside the answers.
pub(super) struct Judge<'a> {
    pub(super) source: &'a SourceConfig,
    pub(super) api: &'static Api,
    pub(super) wanted: &'a Wanted,
    /// Every event that the endpoint can ask for.
    pub(super) all: &'a BTreeSet<String>,
    pub(super) reconcile: &'a ReconcileConfig,
    pub(super) template: &'a Template,
    pub(super) seen: &'a Seen,
    /// When the vendor was asked.
    pub(super) now: Timestamp,
}

/// What one account's answers come to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What was found.
    pub findings: Vec<Finding>,
    /// Changes of which the bus cannot say whether their event came.
    pub unknown: u64,
    /// Items of another shape than the documents show.
    pub odd: usize,
    /// The lists that the vendor did not give, and why. Nothing that they would show is judged.
    pub failed: Vec<(List, ApiError)>,
}

impl Verdict {
    /// Whether a list was read that tells of this kind.
    pub fn judges(&self, kind: Kind) -> bool {
        let has = |list| self.failed.iter().all(|(failed, _)| *failed != list);
        match kind {
            Kind::EndpointMissing | Kind::EndpointOff | Kind::EndpointChanged => has(List::Endpoints),
            Kind::CertificateStuck | Kind::CertificateError => has(List::Certificates),
            Kind::EventMissed => {
                let both = [List::Certificates, List::Happened];
                both.iter().all(|list| self.is_settled(*list)) && both.iter().any(|list| has(*list))
            }
            Kind::DeliveryFailed => has(List::Endpoints) && has(List::Deliveries),
            Kind::DetailsRefused => true,
        }
    }

    /// Whether a list was given, or is refused, which lasts: then the other one speaks for itself. One that failed once would
    /// have named the same change, by another occurrence.
    fn is_settled(&self, list: List) -> bool {
        self.failed.iter().all(|(failed, error)| *failed != list || Reason::from(error) == Reason::Refused)
    }
}

impl Judge<'_> {
    pub(super) fn judge(&self, asked: Asked) -> Verdict {
        let mut verdict = Verdict { odd: asked.odd, failed: asked.failed, ..Verdict::default() };
        if verdict.judges(Kind::EndpointMissing) {
            verdict.findings.extend(self.endpoint(&asked.endpoints));
        }
        // Of one change both lists may tell: it counts once.
        let mut told = HashMap::new();
        self.happened(&asked.happened, &mut told, &mut verdict);
        for certificate in &asked.certificates {
            self.certificate(certificate, &told, &mut verdict);
        }
        verdict.findings.extend(asked.deliveries.iter().filter_map(|delivery| self.delivery(delivery)));
        verdict
    }

    /// Events come while one endpoint with our URL is on and gets all of ours: during a rotation the other one may be off.
    fn endpoint(&self, endpoints: &[Endpoint]) -> Option<Finding> {
        let ours: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| endpoint.url == self.wanted.url).collect();
        let on: Vec<&Endpoint> = ours.iter().copied().filter(|endpoint| !self.api.is_off(endpoint)).collect();
        if on.iter().any(|endpoint| !endpoint.has_other_events(self.wanted, self.all)) {
            return None;
        }
        let found = |kind, subject: &str, status: Option<&String>| {
            let occurrence = Episode::occurrence(self.seen.episode(&self.source.name, kind), self.now);
            let status = status.cloned();
            Some(Finding { status, ..Finding::new(kind, self.source, subject, occurrence) })
        };
        match (on.first(), ours.first()) {
            (Some(other), _) => found(Kind::EndpointChanged, &other.id, other.status.as_ref()),
            (None, Some(off)) => found(Kind::EndpointOff, &off.id, off.status.as_ref()),
            (None, None) => found(Kind::EndpointMissing, &self.wanted.url, None),
        }
    }

    /// What was over longer ago than the vendor tries again, and not longer ago than a look goes back.
    fn is_due(&self, moment: Timestamp) -> bool {
        let before = |duration| self.now.checked_sub(duration).unwrap_or(Timestamp::MIN);
        before(self.reconcile.look_back) <= moment && moment <= before(self.reconcile.grace)
    }

    fn type_of(&self, event: &str) -> String {
        format!("com.{}.{event}", self.source.vendor)
    }

    /// Whether everything since then would be on the bus.
    fn reaches(&self, event: &str, moment: Timestamp) -> bool {
        let reach = self.seen.reach(&self.template.render(&self.source.identity(), event).to_string());
        reach.is_some_and(|since| since <= moment)
    }

    fn happened(&self, list: &[Happened], told: &mut Told, verdict: &mut Verdict) {
        for happened in list {
            let Some(created) = happened.created.filter(|created| self.is_due(*created)) else { continue };
            if !self.wanted.events.contains(&happened.event) || self.was_seen(happened, created) {
                continue;
            }
            let (id, event) = (happened.id.clone(), happened.event.clone());
            let subject = happened.subject.clone().or_else(|| id.clone()).unwrap_or_default();
            if !self.reaches(&event, created) {
                verdict.unknown += 1;
                told.insert((subject, event), None);
                continue;
            }
            told.insert((subject.clone(), event.clone()), Some(verdict.findings.len()));
            let occurrence = id.clone().unwrap_or_else(|| created.to_string());
            verdict.findings.push(Finding {
                event: Some(event),
                event_id: id,
                since: Some(created),
                happened: Some(happened.object.clone()),
                ..Finding::new(Kind::EventMissed, self.source, subject, occurrence)
            });
        }
    }

    /// By its id, or, as webhooks have other ids or none, by its type, thing and second.
    fn was_seen(&self, happened: &Happened, created: Timestamp) -> bool {
        let (source, kind) = (&self.source.ce_source, self.type_of(&happened.event));
        let has_id = happened.id.as_ref().is_some_and(|id| self.seen.has_id(source, id));
        let subject = happened.subject.as_deref();
        has_id || subject.is_some_and(|subject| self.seen.has_at(source, &kind, subject, created))
    }

    fn certificate(&self, certificate: &Certificate, told: &Told, verdict: &mut Verdict) {
        let Certificate { id, status, created, updated, object } = certificate;
        let age = self.now.duration_since(*updated);
        let found = |kind| Finding {
            status: Some(status.clone()),
            since: Some(*updated),
            ..Finding::new(kind, self.source, id, format!("{status} {updated}"))
        };
        let is_older = |duration| jiff::SignedDuration::try_from(duration).is_ok_and(|limit| limit < age);
        if AT_WORK.contains(&status.as_str()) && is_older(self.reconcile.stuck_after) {
            verdict.findings.push(found(Kind::CertificateStuck));
        }
        if status == ERROR && !is_older(self.reconcile.look_back) {
            verdict.findings.push(found(Kind::CertificateError));
        }
        let event = format!("certificate.{status}");
        let is_told = TOLD.contains(&status.as_str()) && self.wanted.events.contains(&event);
        if !is_told
            || !verdict.is_settled(List::Happened)
            || !self.is_due(*updated)
            || self.seen.has(&self.source.ce_source, &self.type_of(&event), id)
        {
            return;
        }
        if let Some(place) = told.get(&(id.clone(), event.clone())) {
            let same = place.and_then(|place| verdict.findings.get_mut(place));
            same.into_iter().for_each(|same| same.certificate = Some(object.clone()));
            return;
        }
        // What changed it last need not have been its status, of which the event may have come before the bus begins.
        if self.reaches(&event, *created) {
            let certificate = Some(object.clone());
            verdict.findings.push(Finding { event: Some(event), certificate, ..found(Kind::EventMissed) });
        } else {
            verdict.unknown += 1;
        }
    }

    fn delivery(&self, delivery: &Delivery) -> Option<Finding> {
        let time: Option<Timestamp> = delivery.time.parse().ok();
        let look_back = self.now.checked_sub(self.reconcile.look_back).unwrap_or(Timestamp::MIN);
        // Of one without a time nobody knows that it is old.
        if !delivery.has_failed() || time.is_some_and(|time| time < look_back) {
            return None;
        }
        Some(Finding {
            event: Some(delivery.event.clone()),
            status: Some(delivery.status.clone()),
            since: time,
            ..Finding::new(Kind::DeliveryFailed, self.source, &delivery.id, &delivery.time)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{
        apis,
        bus::Record,
        config::{BusKind, Config},
        envelope::{Attributes, Message, attributes::Attribute},
        vendors::Vendor,
    };

    const NOW: i64 = 1_000_000;
    const HOUR: i64 = 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A bus that begins `reach` seconds ago and has these events: type, thing, how many seconds ago.
    fn seen(reach: i64, events: &[(&str, &str, i64)]) -> Seen {
        let mut seen = Seen::new(100);
        for (kind, thing, ago) in [("policy.active", "pl_1", reach)].iter().chain(events) {
            let time = at(NOW - ago);
            let mut attributes = Attributes::default();
            attributes.push(Attribute::Id, &format!("evt_{thing}"));
            attributes.push(Attribute::Source, &"//hookbus/1099policy/acme");
            attributes.push(Attribute::Type, &format!("com.1099policy.{kind}"));
            attributes.push(Attribute::Subject, thing);
            attributes.push(Attribute::Time, &time);
            attributes.push(Attribute::RecordedTime, &time);
            let message = Some(Message { attributes, body: "{}".into() });
            let payload = "{}".into();
            let record = Record { written: None, message, is_behind_a_gap: false, payload, is_structured: false };
            seen.take(&record, false, false);
        }
        seen
    }

    fn judge(seen: &Seen, asked: &Asked) -> (Vec<(Kind, String)>, u64) {
        let source = SourceConfig::defaults("acme", Vendor::Policy1099, "/a", Vec::new());
        let api = apis::of(Vendor::Policy1099).unwrap();
        let all = api.all_events(Vendor::Policy1099.profile().catalogue);
        let wanted = Wanted { url: "https://a.example/".into(), events: all.clone(), description: None };
        let config = Config::defaults(BusKind::Nats, vec![source.clone()]).reconciled();
        let reconcile = ReconcileConfig { grace: Duration::from_hours(1), ..config.reconcile.clone().unwrap() };
        let (template, now) = (config.bus.template(), at(NOW));
        let judge = Judge {
            source: &source,
            api,
            wanted: &wanted,
            all: &all,
            reconcile: &reconcile,
            template: &template,
            seen,
            now,
        };
        let endpoint = Endpoint { id: "we_1".into(), url: wanted.url.clone(), events: None, status: None };
        let verdict = judge.judge(Asked {
            endpoints: vec![endpoint],
            certificates: asked.certificates.clone(),
            happened: asked.happened.clone(),
            deliveries: asked.deliveries.clone(),
            ..Asked::default()
        });
        (verdict.findings.into_iter().map(|found| (found.kind, found.subject)).collect(), verdict.unknown)
    }

    fn certificate(id: &str, status: &str, created_ago: i64, updated_ago: i64) -> Certificate {
        let (created, updated) = (at(NOW - created_ago), at(NOW - updated_ago));
        Certificate { id: id.into(), status: status.into(), created, updated, object: json!({}) }
    }

    fn of_certificates(certificates: Vec<Certificate>) -> Asked {
        Asked { certificates, ..Asked::default() }
    }

    fn happened(id: Option<&str>, event: &str, subject: &str, ago: i64) -> Happened {
        let (id, subject) = (id.map(Into::into), Some(subject.into()));
        Happened { id, event: event.into(), created: Some(at(NOW - ago)), subject, object: json!({}) }
    }

    #[test]
    fn a_certificate_is_missed_only_where_it_is_due_and_the_bus_reaches() {
        let seen = seen(40 * HOUR, &[("certificate.flagged", "c_told", 3 * HOUR)]);
        let asked = of_certificates(vec![
            certificate("c_lost", "approved", 9 * HOUR, 2 * HOUR),
            certificate("c_told", "flagged", 9 * HOUR, 2 * HOUR),
            certificate("c_other_status", "denied", 9 * HOUR, 2 * HOUR),
            // It may still come; it is too long ago; no event tells of such a status.
            certificate("c_young", "approved", 9 * HOUR, HOUR / 2),
            certificate("c_ancient", "approved", 99 * HOUR, 49 * HOUR),
            certificate("c_strange", "archived", 9 * HOUR, 2 * HOUR),
            // Its event may have come before the bus begins.
            certificate("c_unknown", "approved", 41 * HOUR, 2 * HOUR),
        ]);
        let lost = |id: &str| (Kind::EventMissed, id.to_owned());
        assert_eq!(judge(&seen, &asked), (vec![lost("c_lost"), lost("c_other_status")], 1));
        let (findings, unknown) = judge(&Seen::new(100), &asked);
        assert_eq!((findings.len(), unknown), (0, 4), "an empty bus knows nothing");
    }

    #[test]
    fn a_certificate_is_stuck_or_in_error_whatever_the_bus_says() {
        let asked = of_certificates(vec![
            certificate("c_1", "pending", 9 * HOUR, 3 * HOUR),
            certificate("c_2", "processing", 9 * HOUR, HOUR),
            certificate("c_3", "error", 9 * HOUR, 0),
            certificate("c_4", "error", 99 * HOUR, 49 * HOUR),
        ]);
        let expected = vec![(Kind::CertificateStuck, "c_1".to_owned()), (Kind::CertificateError, "c_3".to_owned())];
        assert_eq!(judge(&Seen::new(100), &asked), (expected, 0));
    }

    #[test]
    fn what_happened_is_known_by_its_id_or_by_its_second_and_counts_once() {
        let seen = seen(40 * HOUR, &[("policy.active", "pl_2", 5 * HOUR)]);
        let asked = Asked {
            happened: vec![
                happened(Some("evt_pl_2"), "policy.active", "other", 9 * HOUR),
                happened(Some("ev_other"), "policy.active", "pl_2", 5 * HOUR + 1),
                happened(None, "policy.active", "pl_2", 5 * HOUR),
                happened(Some("ev_lost"), "policy.active", "pl_2", 6 * HOUR),
                happened(Some("ev_c"), "certificate.denied", "c_1", 6 * HOUR),
                happened(Some("ev_early"), "certificate.denied", "c_2", 41 * HOUR),
                happened(Some("ev_young"), "policy.active", "pl_9", 0),
                happened(Some("ev_unwanted"), "policy.made_up", "pl_9", 6 * HOUR),
            ],
            certificates: vec![
                certificate("c_1", "denied", 9 * HOUR, 6 * HOUR),
                certificate("c_2", "denied", 42 * HOUR, 41 * HOUR),
            ],
            ..Asked::default()
        };
        let expected = vec![(Kind::EventMissed, "pl_2".to_owned()), (Kind::EventMissed, "c_1".to_owned())];
        assert_eq!(judge(&seen, &asked), (expected, 1));
    }

    #[test]
    fn a_delivery_that_was_given_up_lately_is_found() {
        let delivery = |id: &str, status: &str, time: &str| Delivery {
            id: id.into(),
            event: "file.failed".into(),
            time: time.into(),
            status: status.into(),
            code: None,
            attempts: 7,
            error: None,
        };
        let lately = at(NOW - HOUR).to_string();
        let deliveries = vec![
            delivery("d_1", "failed", &lately),
            delivery("d_2", "delivered", &lately),
            delivery("d_3", "failed", &at(NOW - 49 * HOUR).to_string()),
            delivery("d_4", "failed", "some day"),
        ];
        let found = judge(&Seen::new(1), &Asked { deliveries, ..Asked::default() }).0;
        let expected = ["d_1", "d_4"].map(|id| (Kind::DeliveryFailed, id.to_owned()));
        assert_eq!(found, expected);
    }
}
