//! Which subjects the gateway publishes to, and whether a stream takes them.
//!
//! In: the configuration, or a stream's patterns. Out: patterns of NATS (`*` one token, `>` all the rest).

use crate::{
    config::{Config, Source},
    envelope::route::{self, Fields},
};

/// Stands for whatever type an event has; no configured text can hold it.
const ANY_TYPE: &str = "\u{0}";

/// The patterns that hold every subject of this configuration, sorted, none inside another.
pub fn wanted(config: &Config) -> Vec<String> {
    let mut patterns: Vec<String> = config.sources.iter().flat_map(|source| of_source(config, source)).collect();
    patterns.sort();
    patterns.dedup();
    let all = patterns.clone();
    patterns.retain(|pattern| !all.iter().any(|other| other != pattern && covers(other, pattern)));
    patterns
}

fn of_source(config: &Config, source: &Source) -> [String; 3] {
    let vendor = source.vendor.as_str();
    let fields = Fields { vendor, source: &source.name, tenant: source.tenant.as_deref(), event_type: ANY_TYPE };
    let subject = config.bus.subject.render(fields);
    // A type has one token or several, so everything from its place on is free.
    let fixed: Vec<&str> = subject.split('.').take_while(|token| !token.contains(ANY_TYPE)).collect();
    let mut documented = fixed.join(".");
    if documented.len() < subject.len() {
        documented.push_str(if documented.is_empty() { ">" } else { ".>" });
    }
    [documented, route::catch_all(vendor), route::quarantine(vendor)]
}

/// Whether every subject of `wanted`, itself a subject or a pattern, is one of `pattern`.
pub fn covers(pattern: &str, wanted: &str) -> bool {
    let mut wanted = wanted.split('.');
    for token in pattern.split('.') {
        match (token, wanted.next()) {
            (">", Some(_)) => return true,
            (_, None | Some(">")) => return false,
            ("*", Some(_)) => {}
            (token, Some(wanted)) if token == wanted => {}
            _ => return false,
        }
    }
    wanted.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::BusKind, vendor::Vendor};

    #[test]
    fn patterns_cover_what_nats_says() {
        for (pattern, wanted) in [
            (">", "a"),
            (">", ">"),
            ("a.>", "a.b"),
            ("a.>", "a.b.c"),
            ("a.>", "a.>"),
            ("a.>", "a.*.>"),
            ("a.*", "a.b"),
            ("a.*", "a.*"),
            ("*.*.>", "a.b.c.>"),
            ("a.b", "a.b"),
        ] {
            assert!(covers(pattern, wanted), "{pattern} {wanted}");
        }
        for (pattern, wanted) in
            [("a.>", "a"), ("a.*", "a.b.c"), ("a.*", "a.>"), ("a.b", "a.*"), ("a", "b"), ("a.*.c", "a.b"), ("a.*", ">")]
        {
            assert!(!covers(pattern, wanted), "{pattern} {wanted}");
        }
    }

    #[test]
    fn a_configuration_wants_its_own_subjects_only() {
        let sources = vec![
            Source::defaults("acme", Vendor::Policy1099, "/a", Vec::new()),
            Source::defaults("payroll", Vendor::Audit1, "/b", Vec::new()),
        ];
        let mut config = Config::defaults(BusKind::Nats, sources);
        assert_eq!(wanted(&config), ["webhooks.1099policy.>", "webhooks.audit1.>"]);
        config.bus.subject = "in.{source}.x-{type}".parse().unwrap();
        let fixed = [
            "webhooks.1099policy.quarantine",
            "webhooks.1099policy.unknown",
            "webhooks.audit1.quarantine",
            "webhooks.audit1.unknown",
        ];
        assert_eq!(wanted(&config), [&["in.acme.>", "in.payroll.>"][..], &fixed].concat());
        config.bus.subject = "all.{vendor}".parse().unwrap();
        assert_eq!(wanted(&config), [&["all.1099policy", "all.audit1"][..], &fixed].concat());
    }
}
