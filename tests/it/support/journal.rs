//! A journal without a gateway.

use std::path::Path;

use hookbus::envelope::{Attributes, attributes::Attribute};
use journal::{Journal, Keep, Options, Record};

use crate::support::harness::Setup;

/// Records of 500 keys as the embedded bus has them, without a gateway that would have to take them one by one.
pub fn fill_journal(setup: &Setup, count: usize) {
    fill(&setup.path().join("hookbus-data"), count, 500, 0);
}

/// Records in the spool, each of a key of its own, as a run has left them that had no bus. `bytes`: so many more in each
/// body.
pub fn fill_spool(setup: &Setup, count: usize, bytes: usize) {
    fill(&setup.path().join("hookbus-data/spool"), count, count, bytes);
}

fn fill(directory: &Path, count: usize, keys: usize, bytes: usize) {
    let filler = "x".repeat(bytes);
    let options = Options {
        directory: directory.to_owned(),
        segment_size: 16 << 20,
        max_size: 1 << 30,
        max_age: None,
        reserve: 0,
        keep: Keep::UntilOld,
        queue: count,
    };
    let journal = Journal::open(options, std::sync::Arc::new(())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let appends: Vec<_> = (0..count)
        .map(|number| {
            let mut head = Attributes::default();
            head.push(Attribute::Id, &format_args!("evt_{number}"));
            head.push(Attribute::Type, &"com.1099policy.policy.active");
            head.push(Attribute::DataContentType, &"application/json");
            head.push(Attribute::Vendor, &"1099policy");
            head.push(Attribute::PartitionKey, &format_args!("1099policy/acme/pl_{}", number % keys));
            head.push(Attribute::Route, &"webhooks.1099policy.policy.active");
            head.push(Attribute::MessageId, &format_args!("1099policy/acme/evt_{number}/{number:016x}"));
            journal.append(Record {
                head: head.into_encoded(),
                body: format!("{{\"n\":{number},\"x\":\"{filler}\"}}").into(),
            })
        })
        .collect();
    for append in appends {
        runtime.block_on(append).unwrap();
    }
    journal.close();
}
