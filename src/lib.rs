//! hookbus receives the signed webhooks of two insurance vendors, 1099Policy and Audit1, and puts each one on a message
//! bus as a CloudEvent. It answers `200` only when the event is durable.
//!
//! # Map of the house
//!
//! An event walks through the rooms in one direction, and each room turns one type into the next:
//!
//! `TcpStream -> Received -> Verified -> Event -> Envelope -> Receipt -> Response`
//!
//! | room | takes | gives | never |
//! |---|---|---|---|
//! | [`listener`] | sockets | requests | reads a body's meaning |
//! | [`endpoint`] | a path | one configured source | looks at a body |
//! | [`intake`] | a request | an answer: THE request path | knows a vendor or a bus |
//! | [`body`] | an incoming body | its bytes, within limits and budget | reads them |
//! | [`verify`] | [`intake::Received`] | [`verify::Verified`] | reads JSON |
//! | [`vendor`] | [`verify::Verified`] | [`vendor::Event`] | copies or re-encodes the body |
//! | [`envelope`] | [`vendor::Event`] | [`envelope::Envelope`] | re-serialises the body |
//! | [`delivery`] | [`envelope::Envelope`] | [`delivery::Receipt`] | knows HTTP |
//! | [`recent`] | durable events | whether one is a repeat | remembers what is not durable |
//! | [`bus`] | a message | its acknowledgement | retries without end |
//! | [`journal`] | records | the same records, after any crash | knows vendors |
//! | [`reply`] | an outcome | a response | says why |
//! | [`observe`] | what happened | metrics, health, logs | sits on the request path |
//!
//! Around them: [`config`] and [`secrets`] (what the operator says), [`server`] (start and stop, in order), [`cli`] and
//! [`commands`] (what the operator calls), [`schema`] (what subscribers may rely on), [`json`] and [`pattern`] (tools),
//! [`wake`] (one wake-up for a group of events).
//!
//! # Promises, and the tests that guard each
//!
//! - P1, `200` means durable: acknowledged by the bus, or fsynced here. `it::durability::no_answer_before_fsync`,
//!   `it::durability::write_fsync_answer_in_this_order`; on Kafka by all in-sync replicas,
//!   `it::scenarios_kafka::kafka_leader_killed_and_too_few_replicas`
//! - P2, nothing without a valid signature is interpreted: `Verified`'s compile-fail example in [`verify`],
//!   `verify::tests::one_flipped_bit_is_refused`, `it::verification::unsigned_requests_leave_nothing_behind`
//! - P3, every accepted event reaches the bus, or lies in the dead letters, with its own bytes: `delivery::tests`,
//!   `it::durability::kill_9_loses_nothing`, `it::envelope::odd_bodies_arrive_byte_for_byte`, `it::replay`, `it::rolling`, and
//!   `it::scenarios`, judged by `it::oracle`, which `it::oracle::the_oracle_sees_each_fault` judges
//! - P4, JetStream stores no event twice, and a second copy on Kafka has the same id: `it::scenarios::nats_killed`,
//!   `it::scenarios::kafka_killed`; a repeat is never suppressed before the first copy is durable: `recent::tests`
//! - P5, the order of a source's key: `it::durability::order_is_kept`, `delivery::gate::model`, `it::scenarios`
//! - P6, no input chooses a subject, header, label or log line outside the documented alphabet, or grows the memory:
//!   `envelope::route::tests::routable_types_are_the_documented_alphabet`, `it::events::hostile_types_go_to_quarantine`,
//!   `bus::nats::headers::tests::every_header_is_on_the_list`, `it::limits::a_flood_of_unsigned_bodies_stays_within_the_budget`
//! - P7, recovery needs nobody: `journal`'s model test, `it::durability::damage_never_stops_the_start`
//! - P8, a signed event is never refused for being odd: `vendor::tests::no_hostile_type_gets_through`,
//!   `vendor::tests::wrong_shapes_are_events_too`, `it::events`
//!
//! What subscribers are told is what is published: `it::schema`; the consumers that they copy skip nothing and handle
//! nothing twice: `it::consumers`. A rolling update fails no request: `it::rolling`. Every metric that a rule, a panel or a
//! document names exists: `it::contract`.

pub mod body;
pub mod bus;
pub mod cli;
pub mod commands;
pub mod config;
pub mod delivery;
pub mod endpoint;
pub mod envelope;
pub mod intake;
pub mod journal;
pub mod json;
pub mod listener;
pub mod observe;
pub mod pattern;
pub mod recent;
pub mod reply;
pub mod schema;
pub mod secrets;
pub mod server;
pub mod vendor;
pub mod verify;
pub mod wake;
