//! Topics: which ones the configuration can lead to, which ones exist, and which one a message takes.
//!
//! In: the configuration, and what the brokers list. Out: a topic for each message. The names come from the template and
//! the catalogue only, never from a body.

use std::collections::{BTreeSet, HashSet};

use crate::{
    config::Config,
    envelope::route::{self, Fields},
    vendor::{Vendor, catalogue},
};

/// Every topic that an event of this configuration may take.
pub fn expected(config: &Config) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for source in &config.sources {
        let vendor = source.vendor.as_str();
        for event_type in catalogue::event_types(source.vendor) {
            let fields = Fields { vendor, source: &source.name, tenant: source.tenant.as_deref(), event_type };
            topics.insert(config.bus.subject.render(fields));
        }
        topics.insert(route::catch_all(vendor));
        topics.insert(route::quarantine(vendor));
    }
    topics
}

/// Whether this is a vendor's catch-all topic.
pub fn is_catch_all(topic: &str) -> bool {
    Vendor::ALL.iter().any(|vendor| topic == route::catch_all(vendor.as_str()))
}

/// The topics that exist.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Known {
    topics: HashSet<String>,
}

impl Known {
    pub(super) fn new(topics: HashSet<String>) -> Self {
        Known { topics }
    }

    /// The topic for an event: its own, else the catch-all, if they exist.
    pub(super) fn choose<'a>(&self, route: &'a str, catch_all: &'a str) -> Option<&'a str> {
        [route, catch_all].into_iter().find(|topic| self.topics.contains(*topic))
    }

    /// Whether each of these is one of those.
    pub(super) fn is_within(&self, other: &Known) -> bool {
        self.topics.is_subset(&other.topics)
    }

    /// Those of `expected` that do not exist.
    pub(super) fn missing<'a>(&self, expected: &'a BTreeSet<String>) -> BTreeSet<&'a str> {
        expected.iter().map(String::as_str).filter(|topic| !self.topics.contains(*topic)).collect()
    }
}

/// What brokers list, look by look. One answer may come from a broker that has just started and knows little: a topic is
/// missing, or has gone, when two answers in a row do not list it.
#[derive(Debug, Default)]
pub(super) struct Looks {
    last: Option<HashSet<String>>,
}

impl Looks {
    /// One answer. `None`: it may know too little, and there is none to compare it with.
    pub(super) fn take(&mut self, listed: HashSet<String>, expected: &BTreeSet<String>) -> Option<Known> {
        let last = self.last.replace(listed.clone());
        let is_first = last.is_none();
        let known = Known::new(listed.into_iter().chain(last.into_iter().flatten()).collect());
        (!is_first || known.missing(expected).is_empty()).then_some(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BusKind, Source};

    #[test]
    fn a_topic_is_missing_or_gone_when_two_looks_do_not_list_it() {
        let listed = |topics: &[&str]| topics.iter().map(|topic| (*topic).to_owned()).collect::<HashSet<_>>();
        let known = |topics: &[&str]| Some(Known::new(listed(topics)));
        let expected = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let mut looks = Looks::default();
        assert_eq!(looks.take(listed(&["a"]), &expected), None, "b may be there");
        assert_eq!(looks.take(listed(&["a"]), &expected), known(&["a"]));
        assert_eq!(looks.take(listed(&["a", "b"]), &expected), known(&["a", "b"]));
        assert_eq!(looks.take(listed(&[]), &expected), known(&["a", "b"]), "they may be there");
        assert_eq!(looks.take(listed(&[]), &expected), known(&[]));
        assert_eq!(Looks::default().take(listed(&["a", "b", "c"]), &expected), known(&["a", "b", "c"]));
    }

    #[test]
    fn a_topic_that_exists_is_taken_and_else_the_catch_all() {
        let known = |topics: &[&str]| Known::new(topics.iter().map(|topic| (*topic).to_owned()).collect());
        assert_eq!(known(&["a", "c"]).choose("a", "c"), Some("a"));
        assert_eq!(known(&["b", "c"]).choose("a", "c"), Some("c"));
        assert_eq!(known(&["b"]).choose("a", "c"), None);
        let expected = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(known(&["b"]).missing(&expected), BTreeSet::from(["a"]));
    }

    #[test]
    fn the_expected_topics_are_the_catalogue_in_the_template() {
        let mut source = Source::defaults("acme", Vendor::Audit1, "/hook", Vec::new());
        source.tenant = Some("t1".into());
        let mut config = Config::defaults(BusKind::Kafka, vec![source]);
        let topics = expected(&config);
        assert_eq!(topics.len(), catalogue::event_types(Vendor::Audit1).count() + 2);
        assert!(topics.contains("webhooks.audit1.file.processed") && topics.contains("webhooks.audit1.quarantine"));
        config.bus.subject = "x.{vendor}.{tenant}.{source}.{category}".parse().unwrap();
        let topics = expected(&config);
        assert!(topics.contains("x.audit1.t1.acme.file") && topics.contains("webhooks.audit1.unknown"));
        assert!(is_catch_all("webhooks.audit1.unknown") && !is_catch_all("webhooks.audit1.quarantine"));
    }
}
