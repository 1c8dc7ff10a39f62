//! The routes that a configuration can lead to: the one list for topics, a stream's subjects, documents and checks.

use super::route::{self, Template};
use crate::{
    finding::{self, Kind},
    metrics::Label as _,
    source::Identity,
    vendors::Vendor,
};

/// Stands in an address for a type that is not known beforehand; no configured text can hold it.
pub const TYPE: &str = "{type}";

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// A type of the catalogue.
    Documented(Vendor, &'static str),
    /// Any other type.
    Unlisted(Vendor),
    /// A body that cannot be routed by its type.
    Quarantine(Vendor),
    /// What hookbus has found at a vendor.
    Finding(Kind),
    /// What a vendor's API shows of a certificate whose event never came.
    Missed,
    /// A certificate as a vendor's API shows it, fetched after its webhook.
    Details,
}

/// A topic or subject, and one kind of event on it. Several kinds may share an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The topic or subject, with [`TYPE`] in it where the type is open.
    pub address: String,
    /// The same as a pattern of NATS that leaves every type open.
    pub pattern: String,
    /// What is published there.
    pub content: Content,
}

/// Every route of these sources. The catch-all is one also where unknown types have subjects of their own: an event that
/// was spooled before the setting changed still goes there.
pub fn routes(sources: &[Identity], template: &Template) -> Vec<Route> {
    sources.iter().flat_map(|source| of_source(source, template)).collect()
}

/// The routes of hookbus's own events, which have fixed addresses: `findings`, what APIs show of `missed` certificates, and
/// `details`.
pub fn own_routes(findings: bool, missed: bool, details: bool) -> Vec<Route> {
    let route = |content, address| Route { address, pattern: finding::PATTERN.into(), content };
    let kinds = Kind::all().into_iter().filter(|_| findings);
    let kinds = kinds.map(|(kind, _)| route(Content::Finding(kind), kind.route()));
    let missed = missed.then(|| route(Content::Missed, finding::MISSED_ROUTE.into()));
    kinds.chain(missed).chain(details.then(|| route(Content::Details, finding::DETAILS_ROUTE.into()))).collect()
}

fn of_source(source: &Identity, template: &Template) -> Vec<Route> {
    let (vendor, name) = (source.vendor, source.vendor.as_str());
    let pattern = pattern(&template.render(source, TYPE).to_string());
    let by_template = |content, event| Route {
        address: template.render(source, event).to_string(),
        pattern: pattern.clone(),
        content,
    };
    let fixed = |content, address: String| Route { pattern: address.clone(), address, content };
    let mut routes: Vec<Route> =
        vendor.profile().event_types().map(|event| by_template(Content::Documented(vendor, event), event)).collect();
    if template.routes_unknown() {
        routes.push(by_template(Content::Unlisted(vendor), TYPE));
    }
    routes.push(fixed(Content::Unlisted(vendor), route::catch_all(name).to_string()));
    routes.push(fixed(Content::Quarantine(vendor), route::quarantine(name).to_string()));
    routes
}

/// A type has one token or several, so everything from its place on is free.
fn pattern(address: &str) -> String {
    let open = address.split('.').any(|token| token.contains(TYPE));
    let tokens = address.split('.').take_while(|token| !token.contains(TYPE)).chain(open.then_some(">"));
    tokens.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_leads_to_its_types_and_its_two_fixed_routes() {
        let sources = [Identity {
            vendor: Vendor::Audit1,
            name: "acme".into(),
            ce_source: "urn:x".into(),
            tenant: Some("t1".into()),
            environment: "production".into(),
        }];
        let of = |template: &str, unknown| {
            let template: Template = template.parse().unwrap();
            routes(&sources, &template.routing_unknown(unknown))
        };
        let types = Vendor::Audit1.profile().event_types().count();
        let found = of("in.{tenant}.{source}.x-{category}", false);
        assert_eq!(found.len(), types + 2);
        let file = found.iter().find(|route| route.content == Content::Documented(Vendor::Audit1, "file.failed"));
        assert_eq!(file.map(|route| (&*route.address, &*route.pattern)), Some(("in.t1.acme.x-file", "in.t1.acme.>")));
        let fixed: Vec<_> = found[types..].iter().map(|route| (&*route.address, route.content)).collect();
        let unlisted = Content::Unlisted(Vendor::Audit1);
        let quarantine = ("webhooks.audit1.quarantine", Content::Quarantine(Vendor::Audit1));
        assert_eq!(fixed, [("webhooks.audit1.unknown", unlisted), quarantine]);
        let open = of("{type}", true);
        assert_eq!((open[types].address.as_str(), open[types].pattern.as_str()), (TYPE, ">"));
        assert_eq!((open.len(), open[types].content), (types + 3, unlisted));
        assert_eq!(of("all.{vendor}", false)[0].pattern, "all.audit1");
    }
}
