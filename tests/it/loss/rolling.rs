//! Rolling updates: three gateways behind a proxy that pools connections for 60 s and tries nothing twice, under load, each
//! stopped and started again in turn as a kubelet does it. No request fails, and the bus has every event once.
//!
//! `make rolling` runs this with `HOOKBUS_ROLLINGS=20` and the delays that hookbus and its chart ship.

use std::{
    env, fs,
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures_util::StreamExt as _;

use crate::support::{
    brokers::nats::{NatsServer, Operator},
    harness::{Gateway, Setup},
    proxy::{Care, Kind, Network, Proxy, REPLICAS, Replica},
    rolling_load::{Failure, Load, Tally},
    wait::wait_until,
};

/// From a change of the endpoints to the ingress controller's reload.
const PROPAGATION: Duration = Duration::from_secs(1);

/// So many failures are printed; they look alike.
const SHOWN: usize = 10;

/// How a replica is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The preStop hook sleeps; then SIGTERM.
    Kubelet { pre_stop: Duration },
    /// SIGKILL, with no notice to the proxy.
    Kill,
}

/// One run.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    name: &'static str,
    proxy: Kind,
    rollings: usize,
    stop: Stop,
    drain_delay: Duration,
    /// How long a replica is away between its end and its start.
    away: Duration,
}

/// What a run has shown.
struct Outcome {
    scenario: Scenario,
    tally: Tally,
    lost: Vec<String>,
    duplicated: usize,
    took: Duration,
    proxy_log: String,
}

/// `make rolling` asks for many and takes its time; a test for a few with shorter delays.
fn rollings() -> Option<usize> {
    env::var("HOOKBUS_ROLLINGS").ok().map(|text| text.parse().expect("HOOKBUS_ROLLINGS is a number"))
}

/// `HAProxy` learns from `/readyz`, so that `drain_delay` alone is what it needs.
#[test]
fn behind_a_proxy_that_asks_for_readiness_no_request_fails() {
    let scenario = Scenario {
        name: "haproxy, checks /readyz",
        proxy: Kind::HaProxy,
        rollings: rollings().unwrap_or(3),
        stop: Stop::Kubelet { pre_stop: Duration::ZERO },
        drain_delay: Duration::from_secs(if rollings().is_some() { 5 } else { 2 }),
        away: Duration::ZERO,
    };
    let outcome = scenario.run();
    println!("{}", outcome.report());
    outcome.assert_flawless();
}

/// nginx learns from its controller, which learns of the removal at the same time as the kubelet.
#[test]
fn behind_an_ingress_that_is_told_of_endpoints_no_request_fails() {
    let seconds = Duration::from_secs(if rollings().is_some() { 5 } else { 2 });
    let scenario = Scenario {
        name: "nginx, told of endpoints",
        proxy: Kind::Nginx,
        rollings: rollings().unwrap_or(3),
        stop: Stop::Kubelet { pre_stop: seconds },
        drain_delay: seconds,
        away: Duration::ZERO,
    };
    let outcome = scenario.run();
    println!("{}", outcome.report());
    outcome.assert_flawless();
}

/// The same run sees a stop that is not waited for, however it comes; what was answered 200 is on the bus even then.
#[test]
fn a_careless_stop_is_seen_and_loses_nothing() {
    let at_once = Stop::Kubelet { pre_stop: Duration::ZERO };
    for (name, proxy, stop) in [
        ("haproxy, SIGKILL", Kind::HaProxy, Stop::Kill),
        ("haproxy, no delay", Kind::HaProxy, at_once),
        ("nginx, no delay", Kind::Nginx, at_once),
    ] {
        // Long enough for some of the load's moments: a quick restart could fall between two of them.
        let away = Duration::from_millis(500);
        let outcome = Scenario { name, proxy, rollings: 1, stop, drain_delay: Duration::ZERO, away }.run();
        println!("{}", outcome.report());
        assert!(!outcome.tally.failures.is_empty(), "{name}: nothing failed, so this test could not fail either");
        assert!(outcome.lost.is_empty(), "{:?}", outcome.lost);
        assert_eq!(outcome.duplicated, 0, "stored twice");
    }
}

impl Scenario {
    fn run(self) -> Outcome {
        let server = NatsServer::start();
        server.operator().create(Operator::settings());
        let network = Network::new();
        let addresses: [Replica; REPLICAS] =
            std::array::from_fn(|host| Replica { webhooks: network.address(host), admin: network.address(host) });
        let mut replicas = addresses.map(|replica| Some(start(self.setup(&server, replica))));
        let proxy = Mutex::new(Proxy::start(self.proxy, Care::None, network, addresses));
        let begin = Instant::now();
        let load = Load { target: proxy.lock().unwrap().address, keep_alive: self.proxy == Kind::HaProxy };
        let tally = load.during(|now| self.roll(&mut replicas, &proxy, now));
        let took = begin.elapsed();
        for replica in replicas.iter().flatten() {
            replica.wait_for_metric("journal_records", 0.0);
        }
        // Another connection than the first: that one's pings were not answered meanwhile.
        let stored = stored(&server.operator());
        let distinct = stored.iter().cloned().collect();
        Outcome {
            scenario: self,
            lost: tally.accepted.difference(&distinct).cloned().collect(),
            duplicated: stored.len() - distinct.len(),
            tally,
            took,
            proxy_log: proxy.lock().unwrap().log(),
        }
    }

    /// A replica's folder: its own journal, its own address, the spool on.
    fn setup(&self, server: &NatsServer, replica: Replica) -> Setup {
        let setup = server.setup("", "");
        let file = setup.path().join("hookbus.toml");
        let text = fs::read_to_string(&file).unwrap();
        let text = text
            .replacen("127.0.0.1:0", &replica.webhooks.to_string(), 1)
            .replacen("127.0.0.1:0", &replica.admin.to_string(), 1)
            .replace("drain_delay = \"0s\"", &format!("drain_delay = \"{}ms\"", self.drain_delay.as_millis()))
            .replace("spool = \"off\"\n", "");
        fs::write(&file, text).unwrap();
        setup
    }

    /// All replicas, one after the other, again and again.
    fn roll(&self, replicas: &mut [Option<Gateway>; REPLICAS], proxy: &Mutex<Proxy>, now: &Mutex<String>) {
        let (changes, changed) = mpsc::sync_channel::<(Instant, usize, bool)>(2 * REPLICAS);
        thread::scope(|scope| {
            // The endpoint controller and the ingress controller: late, but in order.
            scope.spawn(move || {
                for (due, number, listed) in changed {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    proxy.lock().unwrap().list(number, listed);
                }
            });
            for rolling in 1..=self.rollings {
                for (number, replica) in replicas.iter_mut().enumerate() {
                    let say = |what: &str| *now.lock().unwrap() = format!("rolling {rolling}, replica {number} {what}");
                    let list = |listed| changes.send((Instant::now() + PROPAGATION, number, listed)).unwrap();
                    say("serves");
                    let gateway = replica.take().unwrap();
                    wait_until("traffic to the replica", || gateway.metric(ACCEPTED) > 0.0);
                    let setup = self.stop(gateway, say, list);
                    say("is away");
                    thread::sleep(self.away);
                    say("starts");
                    *replica = Some(start(setup));
                    list(true);
                }
            }
            for gateway in replicas.iter().flatten() {
                wait_until("traffic to the replica", || gateway.metric(ACCEPTED) > 0.0);
            }
            drop(changes);
        });
    }

    fn stop(&self, gateway: Gateway, say: impl Fn(&str), list: impl Fn(bool)) -> Setup {
        let Stop::Kubelet { pre_stop } = self.stop else {
            say("is killed");
            return gateway.kill();
        };
        list(false);
        say("in preStop");
        thread::sleep(pre_stop);
        say("has got SIGTERM");
        // The grace period is the harness's patience: 30 s, as on Kubernetes.
        gateway.stop()
    }
}

/// A series that stands still at 0 while a replica gets no traffic.
const ACCEPTED: &str = r#"http_requests_total{source="acme",status="200"}"#;

/// Starts a replica and waits, as the kubelet does, for its readiness.
fn start(setup: Setup) -> Gateway {
    let gateway = setup.start();
    wait_until("readiness", || gateway.get_admin("/readyz").status == 200);
    gateway
}

/// The ids of all events in the stream.
fn stored(operator: &Operator) -> Vec<String> {
    operator.runtime.block_on(async {
        let stream = operator.context.get_stream("WEBHOOKS").await.unwrap();
        let count = usize::try_from(stream.cached_info().state.messages).unwrap();
        let consumer =
            stream.create_consumer(OrderedConfig { headers_only: true, ..OrderedConfig::default() }).await.unwrap();
        let messages = consumer.messages().await.unwrap().take(count);
        // `<vendor>/<source>/<id>/<hash of the body>`
        let id = |headers: &async_nats::HeaderMap| {
            headers.get("Nats-Msg-Id").unwrap().as_str().split('/').nth(2).unwrap().to_owned()
        };
        messages.map(|message| id(message.unwrap().headers.as_ref().unwrap())).collect().await
    })
}

impl Outcome {
    /// A small table.
    fn report(&self) -> String {
        let milliseconds = |percent| self.tally.percentile(percent).as_secs_f64() * 1000.0;
        let failures: String = self.tally.failures.iter().take(SHOWN).map(Failure::line).collect();
        format!(
            "\n{:<26}{:>8}{:>10}{:>8}{:>6}{:>12}{:>9}{:>9}{:>9}\n{:<26}{:>8}{:>10}{:>8}{:>6}{:>12}{:>9.1}{:>9.1}{:>9.0}\n{failures}",
            "proxy",
            "restarts",
            "requests",
            "failed",
            "lost",
            "duplicated",
            "p99 ms",
            "max ms",
            "seconds",
            self.scenario.name,
            self.scenario.rollings * REPLICAS,
            self.tally.requests(),
            self.tally.failures.len(),
            self.lost.len(),
            self.duplicated,
            milliseconds(99),
            milliseconds(100),
            self.took.as_secs_f64(),
        )
    }

    fn assert_flawless(&self) {
        let failed = self.tally.failures.len();
        assert_eq!(failed, 0, "{failed} requests failed; the proxy:\n{}", self.proxy_log);
        assert!(self.lost.is_empty(), "lost: {:?}", self.lost);
        assert_eq!(self.duplicated, 0, "stored twice");
        assert!(self.tally.requests() > self.scenario.rollings * REPLICAS * 100, "there was hardly any load");
    }
}
