//! An event that an older hookbus could not read and put into quarantine, and that today's reads.

use async_nats::HeaderMap;
use hookbus::{event::derived_id, vendors::Vendor};

use crate::support::brokers::nats::Operator;

pub const BODY: &[u8] = br#"{ "id":"evt_9", "type":"file.processed", "n":1.50, "data":{"fileId":"f_1"} }"#;
pub const ROUTE: &str = "webhooks.audit1.quarantine";
/// Where it belongs.
pub const TARGET: &str = "webhooks.audit1.file.processed";

/// Its headers: how the bus marks attributes, and where it has the body's type.
pub fn headers(prefix: &str, content_type: &str) -> Vec<(String, String)> {
    let id = derived_id(Vendor::Audit1, "payroll", BODY);
    let attributes = [
        ("id", id.as_str()),
        ("source", "//hookbus/audit1/payroll"),
        ("type", "com.audit1.quarantine"),
        ("vendor", "audit1"),
        ("recordedtime", "2026-01-02T03:04:05.000006Z"),
        ("sequence", "old-1-00000000000000000001"),
        ("quarantinereason", "type_missing"),
    ];
    let mut headers = vec![(content_type.to_owned(), "application/octet-stream".to_owned())];
    headers.extend(attributes.map(|(name, value)| (format!("{prefix}{name}"), value.to_owned())));
    headers
}

/// Puts it on NATS, as that older one did.
pub fn put(operator: &Operator) {
    let mut map = HeaderMap::new();
    for (name, value) in headers("ce-", "ce-datacontenttype") {
        map.insert(name, value);
    }
    let publish = operator.context.publish_with_headers(ROUTE, map, BODY.into());
    operator.runtime.block_on(async { publish.await.unwrap().await.unwrap() });
}
