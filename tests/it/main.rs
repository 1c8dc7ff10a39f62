//! Every test here starts the real binary and talks to it as a vendor, a subscriber or an operator would. This list is the
//! table of contents.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test that panics has failed, which is what it is for"
)]

/// What the tests are made of; holds none itself, but for those that judge the oracle and the reader of expressions.
mod support {
    pub mod brokers {
        pub mod either;
        pub mod kafka;
        pub mod kafka_files;
        pub mod nats;
    }
    pub mod client;
    pub mod dashboard;
    pub mod follow_up;
    pub mod harness;
    pub mod journal;
    pub mod load;
    pub mod oracle;
    pub mod pages;
    pub mod printed;
    pub mod process;
    pub mod prometheus;
    pub mod promql;
    pub mod proxy;
    pub mod quarantined;
    pub mod replay;
    pub mod rolling_load;
    pub mod session;
    pub mod vendors;
    pub mod wait;
}

/// What a vendor and an orchestrator meet: requests, limits, signatures, start and stop, metrics and logs.
mod front {
    mod admin;
    mod config;
    mod console;
    mod descriptors;
    mod drain;
    mod early;
    mod http;
    mod limits;
    mod observe;
    mod senders;
    mod strangers;
    mod verification;
}

/// Either broker: messages, logins, permissions, secrets that change.
mod bus {
    mod answers;
    mod dangers;
    mod incarnation;
    mod kafka;
    mod kafka_attempts;
    mod nats;
    mod nats_attempts;
    mod nats_logins;
    mod permissions;
    mod rotation;
}

/// Nothing that was answered 200 is lost, whatever fails.
mod loss {
    mod durability;
    mod hot_keys;
    mod refused;
    mod restart;
    mod rolling;
    mod scenarios;
    mod scenarios_kafka;
    mod scenarios_nats;
    mod spool;
}

/// What subscribers find: events, envelopes, schemas, consumers to copy, alerts.
mod subscribers {
    mod catalogue;
    mod consumers;
    mod contract;
    mod drift;
    mod envelope;
    mod events;
    mod pictures;
    pub mod schema;
}

/// The operator's commands, and the documents: each command of a page does what the page shows.
mod operator {
    mod check;
    mod commands;
    mod dead_letters;
    mod documents;
    mod drain;
    mod endpoints;
    mod endpoints_answers;
    mod endpoints_killed;
    mod endpoints_page;
    mod endpoints_rotate;
    mod explain;
    mod follow_up;
    mod forward;
    mod provision;
    mod quarantine;
    mod reconcile;
    mod reconcile_killed;
    mod replay;
    mod timeline;
}
