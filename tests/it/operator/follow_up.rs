//! Follow-up calls on each bus, with the stand-in of the vendors' APIs: one event of details for each event that wants them,
//! whoever is killed and whatever the vendor answers.

use std::time::Duration;

use serde_json::json;

use crate::{
    subscribers::schema::assert_valid,
    support::{
        brokers::{
            kafka::{Broker, FIXED_TOPICS},
            nats::{NatsServer, Operator},
        },
        follow_up::{DETAILS, Reconciler, certificate, details, flagged, follow, lies_there, put, wait_for_details},
        harness::{Gateway, POLICY, Setup, free_ports},
        vendors::{KEY, Vendors},
        wait::{wait_at_most, wait_until},
    },
};

/// Events of one run.
const EVENTS: usize = 30;
/// How often the reconciler is killed in one run.
const KILLS: usize = 4;
const CALL: &str = "1099policy GET /files/certificates/";

fn post(gateway: &Gateway, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        assert_eq!(gateway.post(POLICY, &flagged(number)).status, 200);
    }
}

/// Kills the reconciler again and again in the middle of calls; gives how often each id lies on the bus.
fn through_kills(setup: Setup) -> (Gateway, Vec<usize>) {
    let vendors = Vendors::start();
    follow(&setup, &vendors.base("1099policy"));
    put(&vendors, 0..EVENTS);
    let gateway = setup.start();
    // Other types, other vendors, and what was there before the first start.
    assert_eq!(gateway.post(POLICY, br#"{"type":"policy.active","data":{"object":{"id":"pl_1"}}}"#).status, 200);
    post(&gateway, 0..EVENTS / 2);
    vendors.fault("1099policy", "GET", "slow", &json!({"seconds": 0.2, "times": 100_000}));
    for round in 1..=KILLS {
        let before = vendors.times(CALL).len();
        let reconciler = Reconciler::start(gateway.setup.path());
        // A broker misses who was killed after 10 or 15 seconds.
        wait_at_most(Duration::from_mins(1), "calls", || before + 3 <= vendors.times(CALL).len());
        reconciler.kill();
        post(&gateway, (EVENTS / 2..EVENTS).filter(|number| number % KILLS == round - 1));
    }
    let reconciler = Reconciler::start(gateway.setup.path());
    let ids = wait_for_details(&gateway.setup, EVENTS);
    assert_eq!(ids.len(), EVENTS, "one for each event that wants them");
    let log = reconciler.log();
    assert!(!log.contains(KEY) && !log.contains("gl_each_occurrence"), "{log}");
    reconciler.stop();
    // Nothing is left: another start calls nobody.
    let calls = vendors.times(CALL).len();
    let reconciler = Reconciler::start(gateway.setup.path());
    wait_until("the consumer", || reconciler.metric("vendor_details_consuming", "acme") == 1.0);
    post(&gateway, [EVENTS]);
    put(&vendors, [EVENTS]);
    assert_eq!(wait_for_details(&gateway.setup, EVENTS + 1).len(), EVENTS + 1);
    assert!(vendors.times(CALL).len() <= calls + 3, "what was acknowledged does not come again");
    reconciler.stop();
    println!("{} events, {} calls, {} kills: {ids:?}", EVENTS, vendors.times(CALL).len(), KILLS);
    (gateway, ids.into_values().collect())
}

#[test]
fn nats_kills_lose_no_details_and_the_stream_has_each_once() {
    let server = NatsServer::start();
    server.operator().create(Operator::settings());
    let (_gateway, copies) = through_kills(server.setup("", ""));
    assert!(copies.iter().all(|copies| *copies == 1), "{copies:?}");
}

#[test]
fn kafka_kills_lose_no_details_and_repeats_have_the_same_id() {
    let mut broker = Broker::new();
    broker.start();
    let topics = ["webhooks.1099policy.certificate.flagged", DETAILS];
    broker.create(&[&topics[..], &FIXED_TOPICS].concat());
    let (_gateway, copies) = through_kills(broker.setup("", "", ""));
    assert!(copies.iter().sum::<usize>() < 2 * EVENTS, "{copies:?}");
}

#[test]
fn journal_kills_lose_no_details_and_repeats_have_the_same_id() {
    let (gateway, copies) = through_kills(Setup::new("", ""));
    assert!(copies.iter().sum::<usize>() < 2 * EVENTS, "{copies:?}");
    // Its reader sees both journals, also one that is running already.
    assert!(gateway.setup.path().join("hookbus-data/beside").is_dir());
    assert!(gateway.setup.path().join("hookbus-data/consumers/hookbus-details-acme").is_file());
}

/// A gateway on the embedded bus beside a reconciler, with certificates 0 to 9 at the vendor.
fn small() -> (Vendors, Gateway, Reconciler) {
    let vendors = Vendors::start();
    let setup = Setup::new("", "");
    follow(&setup, &vendors.base("1099policy"));
    put(&vendors, 0..10);
    let gateway = setup.start();
    let reconciler = Reconciler::start(gateway.setup.path());
    (vendors, gateway, reconciler)
}

#[test]
fn what_stays_refused_or_has_another_shape_is_said_and_passed_over() {
    let (vendors, gateway, reconciler) = small();
    let fault = |number: usize, kind: &str, more: &serde_json::Value| {
        let mut fault = json!({"path": format!("/files/certificates/cert_{number}"), "times": 3});
        fault.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        vendors.fault("1099policy", "GET", kind, &fault);
    };
    fault(1, "status", &json!({"status": 403, "message": format!("not with {KEY}")}));
    let odd = json!({"id": "cert_2", "status": 7, "review_results": null});
    fault(2, "shape", &json!({"answer": odd}));
    fault(3, "status", &json!({"status": 500}));
    fault(4, "cut", &json!({"times": 1}));
    // 99 is not there: 404. 5 is refused once, as a certificate that is not everywhere yet.
    fault(5, "status", &json!({"status": 404, "times": 1}));
    post(&gateway, [99, 1, 2, 3, 4, 5, 6]);
    assert_eq!(wait_for_details(&gateway.setup, 4).len(), 4, "3, 4, 5 and 6");
    wait_until("three refusals", || reconciler.results("refused") == 3.0);
    assert_eq!(reconciler.results("published"), 4.0);
    assert_eq!((reconciler.failures("shape"), reconciler.failures("fault")), (3.0, 3.0));
    assert_eq!((reconciler.failures("refused"), reconciler.failures("no_answer")), (7.0, 1.0));
    let log = reconciler.log();
    let given_up = |certificate: &str, why: &str| {
        log.lines().any(|line| line.contains("given up") && line.contains(certificate) && line.contains(why))
    };
    assert!(given_up("cert_99", "answered 404") && given_up("cert_1", "answered 403"), "{log}");
    assert!(given_up("cert_2", "answered, but /status is not a text"), "{log}");
    assert!(!log.contains(KEY), "{log}");
    assert_findings(&gateway.setup);
    reconciler.stop();
}

/// One for each that was given up, with the certificate, the event and the vendor's words.
fn assert_findings(setup: &Setup) {
    let mut findings = Vec::new();
    wait_until("the findings", || {
        findings = lies_there(setup, "webhooks.hookbus.finding.details_refused");
        findings.len() == 3
    });
    findings.sort_by_key(|finding| finding["subject"].to_string());
    let schema = "schemas/asyncapi.json#/components/schemas/event.hookbus.finding.details_refused";
    assert_valid(&findings.iter().map(|finding| (schema.to_owned(), finding.clone())).collect::<Vec<_>>());
    for (finding, (number, why)) in
        findings.iter().zip([(1, "answered 403"), (2, "answered, but /status is not a text"), (99, "answered 404")])
    {
        let event = json!(format!("evt_{number}"));
        assert_eq!((&finding["subject"], &finding["causationid"]), (&json!(format!("cert_{number}")), &event));
        let data = &finding["data"];
        assert_eq!((&data["event"], &data["eventid"]), (&json!("certificate.flagged"), &event));
        let text = data["text"].as_str().unwrap();
        assert!(text.contains(why) && !text.contains(KEY), "{text}");
    }
}

#[test]
fn a_rate_limit_is_kept_by_all_calls_of_the_account() {
    let (vendors, gateway, reconciler) = small();
    let limit = json!({"path": "/files/certificates/", "status": 429, "headers": {"retry-after": "3"}, "times": 1});
    vendors.fault("1099policy", "GET", "status", &limit);
    post(&gateway, [1]);
    wait_until("the refusal", || reconciler.failures("rate_limited") == 1.0);
    post(&gateway, [2, 3]);
    assert_eq!(wait_for_details(&gateway.setup, 3).len(), 3);
    let times = vendors.times(CALL);
    assert_eq!(times.len(), 4, "one is refused, three are answered: {times:?}");
    assert!(times[1..].iter().all(|time| times[0] + 2.99 <= *time), "{times:?}");
    reconciler.stop();
}

#[test]
fn a_vendor_that_is_away_is_waited_for_and_stops_nothing_else() {
    let [port] = free_ports();
    let setup = Setup::new("", "");
    follow(&setup, &format!("http://127.0.0.1:{port}/1099policy/api/v1"));
    let gateway = setup.start();
    let reconciler = Reconciler::start(gateway.setup.path());
    post(&gateway, 0..6);
    wait_until("vain calls", || 6.0 <= reconciler.failures("no_answer"));
    assert_eq!(reconciler.metric("vendor_details_under_way", "acme"), 6.0, "all of them");
    assert_eq!(reconciler.results("refused"), 0.0);
    let log = reconciler.log();
    assert_eq!(log.matches("a follow-up call gave nothing").count(), 1, "one fault is one line: {log}");
    assert!(details(&gateway.setup).is_empty());
    let vendors = Vendors::start_at(port);
    put(&vendors, 0..6);
    assert_eq!(wait_for_details(&gateway.setup, 6).len(), 6);
    assert_eq!(certificate(1)["id"], "cert_1");
    reconciler.stop();
}

/// One more than `follow_up_calls`.
const POISON: usize = 5;

#[test]
fn certificates_that_always_fail_hold_up_no_other_one() {
    let (vendors, gateway, reconciler) = small();
    for number in 0..POISON {
        let fault = json!({"path": format!("/files/certificates/cert_{number}"), "status": 500, "times": 100_000});
        vendors.fault("1099policy", "GET", "status", &fault);
    }
    post(&gateway, 0..POISON);
    wait_until("their calls", || POISON as f64 <= reconciler.failures("fault"));
    post(&gateway, POISON..10);
    assert_eq!(wait_for_details(&gateway.setup, 10 - POISON).len(), 10 - POISON, "the others");
    assert_eq!(reconciler.metric("vendor_details_parked", "acme"), POISON as f64);
    assert_eq!(reconciler.results("refused"), 0.0, "nothing is given up so soon");
    reconciler.stop();
}

#[test]
fn an_answer_that_is_too_long_is_a_refusal() {
    let (vendors, gateway, reconciler) = small();
    let fault = json!({"path": "/files/certificates/cert_1", "bytes": 9 << 20, "times": 100});
    vendors.fault("1099policy", "GET", "long", &fault);
    post(&gateway, [1]);
    wait_until("it is given up", || reconciler.results("refused") == 1.0);
    assert_eq!(reconciler.failures("no_answer"), 0.0);
    assert!(reconciler.log().contains("the answer is not within 8 MiB"), "{}", reconciler.log());
    reconciler.stop();
}

#[test]
fn another_key_in_the_file_is_taken_without_a_restart() {
    let vendors = Vendors::start();
    let setup = Setup::new("", "");
    follow(&setup, &vendors.base("1099policy"));
    let key = setup.path().join("secrets/key");
    std::fs::write(&key, "an old one").unwrap();
    put(&vendors, 0..2);
    let gateway = setup.start();
    let reconciler = Reconciler::start(gateway.setup.path());
    post(&gateway, 0..2);
    wait_until("401", || 2.0 <= reconciler.failures("credential"));
    std::fs::write(&key, KEY).unwrap();
    assert_eq!(wait_for_details(&gateway.setup, 2).len(), 2);
    reconciler.stop();
}

#[test]
fn two_events_of_one_id_about_two_certificates_have_details_of_their_own() {
    let (_vendors, gateway, reconciler) = small();
    for number in [1, 2] {
        let body = String::from_utf8(flagged(number)).unwrap().replace(&format!("evt_{number}"), "evt_same");
        assert_eq!(gateway.post(POLICY, body.as_bytes()).status, 200);
    }
    wait_until("both", || reconciler.results("published") == 2.0);
    let ids: std::collections::BTreeSet<_> =
        details(&gateway.setup).iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    reconciler.stop();
}
