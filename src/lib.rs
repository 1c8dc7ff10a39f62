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
//! [`commands`] (what the operator calls), [`schema`] (what subscribers may rely on), [`json`] and [`pattern`] (tools).
//!
//! # Invariants, and the test that guards each
//!
//! - What the bus has not got is in the spool, goes on in order and is sent once as far as anyone can know:
//!   `delivery::gate::model`, `delivery::tests`
//! - What the bus refuses for good is in the dead letters and blocks nobody:
//!   `delivery::tests::a_refusal_for_good_goes_to_the_dead_letters_and_blocks_nobody`
//! - What lies there is sent on when it can be, once, with its own bytes and in order: `it::replay`
//! - `200` means fsynced: `it::durability::no_answer_before_fsync`, `it::durability::write_fsync_answer_in_this_order`
//! - On Kafka `200` means acknowledged by all in-sync replicas, through kill and freeze of the broker, and a second copy
//!   has the same bytes: `it::scenarios::kafka_killed`, `it::scenarios_kafka::kafka_leader_killed_and_too_few_replicas`
//! - Nothing without a valid signature is interpreted: `Verified`'s compile-fail example in [`verify`],
//!   `verify::tests::one_flipped_bit_is_refused`, `it::verification::unsigned_requests_leave_nothing_behind`
//! - Every accepted event survives a kill, and its bytes arrive unchanged: `it::durability::kill_9_loses_nothing`,
//!   `it::envelope::odd_bodies_arrive_byte_for_byte`
//! - A repeat is not published again, and never suppressed before the first copy is durable: `recent::tests`,
//!   `it::events::a_repeat_is_answered_and_stored_once`
//! - Events of one source and key keep their order: `it::durability::order_is_kept`
//! - No input chooses a subject, label or log line outside the documented alphabet:
//!   `envelope::route::tests::routable_types_are_the_documented_alphabet`, `it::events::hostile_types_go_to_quarantine`
//! - On NATS a `200` means acknowledged, and an unknown outcome is repeated with the same id, never stored twice:
//!   `it::scenarios::nats_killed`, `it::scenarios_nats::nats_leader_killed`
//! - No header of a request reaches NATS: `bus::nats::outgoing::tests::every_header_is_on_the_list`,
//!   `it::nats::events_arrive_with_their_headers_in_both_modes`
//! - Memory stays within the budget: `it::limits::a_flood_of_unsigned_bodies_stays_within_the_budget`
//! - Recovery needs nobody: `journal`'s model test, `it::durability::damage_never_stops_the_start`
//! - An outage of the broker reorders and loses nothing, whatever dies meanwhile: `delivery::gate`'s model test and
//!   `it::scenarios`, all judged by `it::oracle`, which `it::oracle::the_oracle_sees_each_fault` judges
//! - What subscribers are told is what is published, attribute by attribute and header by header: `it::schema`; and the
//!   consumers that they copy skip nothing and handle nothing twice: `it::consumers`
//! - A rolling update fails no request and loses no event: `it::rolling`,
//!   `it::drain::a_request_under_way_when_connections_are_closed_is_answered`
//! - A signed event is never refused for being odd: `vendor::tests::no_hostile_type_gets_through`,
//!   `vendor::tests::wrong_shapes_are_events_too`, `it::events`

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
