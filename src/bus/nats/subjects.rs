//! Which subjects the gateway publishes to, as patterns of NATS (`*` one token, `>` all the rest).

use crate::{config::Config, subject::covers};

/// The patterns that hold every subject of this configuration, sorted, none inside another.
pub fn wanted(config: &Config) -> Vec<String> {
    let mut patterns: Vec<String> = config.routes().into_iter().map(|route| route.pattern).collect();
    patterns.sort();
    patterns.dedup();
    let all = patterns.clone();
    patterns.retain(|pattern| !all.iter().any(|other| other != pattern && covers(other, pattern)));
    patterns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{BusKind, SourceConfig},
        vendors::Vendor,
    };

    #[test]
    fn a_configuration_wants_its_own_subjects_only() {
        let sources = vec![
            SourceConfig::defaults("acme", Vendor::Policy1099, "/a", Vec::new()),
            SourceConfig::defaults("payroll", Vendor::Audit1, "/b", Vec::new()),
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
