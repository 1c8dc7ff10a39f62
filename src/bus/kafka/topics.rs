//! Topics: which ones the configuration can lead to, which ones exist, and which one a message takes.
//!
//! In: the configuration, and what the brokers list. Out: a topic for each message. The names come from the template and
//! the catalogue only, never from a body.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
};

use rdkafka::metadata::{Metadata, MetadataTopic};

use crate::{config::Config, envelope::route, vendors::Vendor};

/// Every topic that an event of this configuration may take.
pub fn expected(config: &Config) -> BTreeSet<String> {
    config.routes().into_iter().map(|route| route.address).collect()
}

/// The expected topics that brokers list, and those that they do not.
pub(super) fn listed(config: &Config, metadata: &Metadata) -> (BTreeSet<String>, BTreeSet<String>) {
    let listed: BTreeSet<&str> = metadata.topics().iter().map(MetadataTopic::name).collect();
    expected(config).into_iter().partition(|topic| listed.contains(topic.as_str()))
}

/// Some names, and that there are more.
pub fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    /// Most names in one line.
    const MOST: usize = 5;
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    let more = names.len().saturating_sub(MOST);
    let text = names.into_iter().take(MOST).collect::<Vec<_>>().join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}

/// Whether this is a vendor's catch-all topic.
pub fn is_catch_all(topic: &str) -> bool {
    Vendor::ALL.iter().any(|vendor| topic == route::catch_all(vendor.as_str()).to_string())
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
    pub(super) fn choose<'a>(&self, route: &'a str, catch_all: impl FnOnce() -> String) -> Option<Cow<'a, str>> {
        let own = self.topics.contains(route).then_some(Cow::Borrowed(route));
        own.or_else(|| Some(catch_all()).filter(|topic| self.topics.contains(topic)).map(Cow::Owned))
    }

    /// Whether it exists.
    pub(super) fn contains(&self, topic: &str) -> bool {
        self.topics.contains(topic)
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
    use crate::config::{BusKind, SourceConfig};

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
        assert_eq!(known(&["a", "c"]).choose("a", || unreachable!("not wanted")), Some("a".into()));
        assert_eq!(known(&["b", "c"]).choose("a", || "c".into()), Some("c".into()));
        assert_eq!(known(&["b"]).choose("a", || "c".into()), None);
        let expected = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(known(&["b"]).missing(&expected), BTreeSet::from(["a"]));
    }

    #[test]
    fn the_expected_topics_are_the_addresses_of_the_routes() {
        let config =
            Config::defaults(BusKind::Kafka, vec![SourceConfig::defaults("acme", Vendor::Audit1, "/a", Vec::new())]);
        let topics = expected(&config);
        assert!(topics.contains("webhooks.audit1.file.processed") && topics.contains("webhooks.audit1.quarantine"));
        assert!(is_catch_all("webhooks.audit1.unknown") && !is_catch_all("webhooks.audit1.quarantine"));
    }
}
