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
//! | [`sender`] | a connection's address, and headers | whose address the log has | decides anything |
//! | [`request`] | an incoming body | its bytes, within limits and budget | reads them |
//! | [`verify`] | [`request::Received`] | [`verify::Verified`] | reads JSON |
//! | [`event`] | [`verify::Verified`] | [`event::Event`] | copies or re-encodes the body |
//! | [`envelope`] | [`event::Event`] | [`envelope::Envelope`] | re-serialises the body |
//! | [`delivery`] | [`envelope::Envelope`] | [`delivery::Receipt`] | knows HTTP |
//! | [`recent`] | durable events | whether one is a repeat | remembers what is not durable |
//! | [`bus`] | a message | its acknowledgement | retries without end |
//! | [`reply`] | an outcome | a response | says why |
//!
//! # Floors
//!
//! Rooms stand on floors, and imports run down only. `make house` prints who imports whom; `tests/house` holds it.
//!
//! | floor | rooms | what they are |
//! |---|---|---|
//! | 16 | cli | the words of the command line |
//! | 15 | commands | what the operator calls |
//! | 14 | [`follow_up`] | the rest of what the vendors announce, in the reconciler's process |
//! | 13 | reconcile | what the vendors know beside what came, in a process of its own |
//! | 12 | server [`vendor_api`] | start and stop, in order; the client of the vendors' own APIs |
//! | 11 | listener | sockets |
//! | 10 | intake admin | the request path; metrics, health and the console over HTTP |
//! | 9 | endpoint | a path, and the source behind it |
//! | 8 | delivery drift | makes an event durable: bus, spool, drain, dead letters; what differs from the documents |
//! | 7 | bus log schema | Kafka, NATS and the journal as one; log lines; what subscribers may rely on |
//! | 6 | config | what the operator configures |
//! | 5 | envelope | the CloudEvent, and where it goes |
//! | 4 | event | what a vendor's body says |
//! | 3 | verify | signatures |
//! | 2 | source request health apis finding | who sends; what was received; alive and ready; the vendors' own APIs; what is found there |
//! | 1 | vendors secrets sender subject json reply recent metrics units wake text clock | the ground: what each vendor documents, and tools |
//!
//! Below the house, in `crates/`, stands what knows nothing of webhooks: [`journal`], the durable log on disk, and
//! [`log_once`]. A vendor is one folder in `src/vendors/` and two lines in [`vendors`].
//!
//! # Promises, and the tests that guard each
//!
//! - P1, `200` means durable: acknowledged by the bus, or fsynced here. `it::loss::durability::no_answer_before_fsync`,
//!   `it::loss::durability::write_fsync_answer_in_this_order`; on Kafka by all in-sync replicas,
//!   `it::loss::scenarios_kafka::kafka_leader_killed_and_too_few_replicas`
//! - P2, nothing without a valid signature is interpreted: `Verified`'s compile-fail example in [`verify`],
//!   `verify::tests::one_flipped_bit_is_refused`, `it::front::verification::unsigned_requests_leave_nothing_behind`
//! - P3, every accepted event reaches the bus, or lies in the dead letters, with its own bytes: `delivery::tests`,
//!   `it::loss::durability::kill_9_loses_nothing`, `it::subscribers::envelope::odd_bodies_arrive_byte_for_byte`,
//!   `it::operator`, `it::loss::rolling`, and `it::loss::scenarios`, judged by `it::support::oracle`, which
//!   `it::support::oracle::the_oracle_sees_each_fault` judges
//!   P1, P3, P5 and P7 together, under crashes and faults of disk, bus and clock in any order: `delivery::simulation`
//!   (`make simulate`)
//! - P4, JetStream stores no event twice, and a second copy on Kafka has the same id:
//!   `it::loss::scenarios::nats_killed`, `it::loss::scenarios::kafka_killed`; a repeat is never suppressed before the
//!   first copy is durable: `recent::tests`
//! - P5, the order of a source's key: `it::loss::durability::order_is_kept`, `delivery::gate::model`,
//!   `it::loss::scenarios`
//! - P6, no input chooses a subject, header, label or log line outside the documented alphabet, or grows the memory:
//!   `subject::tests::routable_types_are_the_documented_alphabet`,
//!   `it::subscribers::events::hostile_types_go_to_quarantine`, `bus::nats::headers::tests::every_header_is_on_the_list`,
//!   `it::front::limits::a_flood_of_unsigned_bodies_stays_within_the_budget`; nor does it script the console:
//!   `admin::console::tests::no_text_of_a_sender_becomes_a_tag_an_attribute_or_a_direction`
//! - P7, recovery needs no operator: the model test of `crates/journal`, `it::loss::durability::damage_never_stops_the_start`
//! - P8, a signed event is never refused for being odd: `event::tests::no_hostile_type_gets_through`,
//!   `event::tests::wrong_shapes_are_events_too`, `it::subscribers::events`
//!
//! Beside the gateway, what never came is found, exactly that, and what cannot be known is called unknown:
//! `it::operator::reconcile`.
//!
//! The schemas say what is published: `it::subscribers::schema`; the consumers that they copy skip nothing
//! and handle nothing twice: `it::subscribers::consumers`. A rolling update fails no request: `it::loss::rolling`. Every
//! metric that a rule, a panel or a document names exists: `it::subscribers::contract`.

pub mod admin;
pub mod apis;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod delivery;
pub mod drift;
pub mod endpoint;
pub mod envelope;
pub mod event;
pub mod finding;
pub mod follow_up;
pub mod health;
pub mod intake;
pub mod json;
pub mod listener;
pub mod log;
pub mod metrics;
pub mod recent;
pub mod reconcile;
pub mod reply;
pub mod request;
pub mod schema;
pub mod secrets;
pub mod sender;
pub mod server;
pub mod source;
pub mod subject;
pub mod text;
pub mod units;
pub mod vendor_api;
pub mod vendors;
pub mod verify;
pub mod wake;
