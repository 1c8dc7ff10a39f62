//! Through the front door: every test here starts the real binary and talks to it as a vendor, a subscriber or an
//! operator would.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test that panics has failed, which is what it is for"
)]

mod commands;
mod config;
mod consumers;
mod contract;
mod drain;
mod durability;
mod either;
mod envelope;
mod events;
mod harness;
mod http;
mod kafka;
mod kafka_broker;
mod limits;
mod load;
mod nats;
mod nats_logins;
mod nats_server;
mod observe;
mod oracle;
mod prometheus;
mod promql;
mod proxy;
mod quarantined;
mod replay;
mod rights;
mod rolling;
mod rolling_load;
mod rotation;
mod scenarios;
mod scenarios_kafka;
mod scenarios_nats;
mod schema;
mod verification;
