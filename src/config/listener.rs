//! `[listener]` and `[admin]`: the two addresses, and the limits of the first.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    findings::Findings,
    key::{
        GIB, HOUR, KIB, MIB, MINUTE, Reading, SHORT, TIB, address, because, count, duration, flag, list, made_of,
        optional, request_path, size, word,
    },
    section::section,
};
use crate::sender::Forwarding;

/// Audit1 gives up on an answer after 10 s, so a later one is never seen.
pub(super) const LATEST_ANSWER: Duration = Duration::from_secs(8);

/// Most bytes of a host name.
const MOST_HOST: usize = 253;

/// Proxies keep idle connections to hookbus for about this long, and retry nothing when one closes under a POST.
const POOLED: Duration = Duration::from_mins(1);

/// Most networks of proxies: each request through a proxy is compared with them.
const MOST_NETWORKS: usize = 256;

section! {
    /// `[listener]`.
    pub struct ListenerConfig {
        /// IP address and port. In a container: "0.0.0.0:8080".
        address: SocketAddr = address(8080),
        /// Threads that serve requests; 0 = one per CPU, in a container one per CPU of the node. On NATS each has a connection
        /// of its own, and two more are there: workers + 2.
        workers: usize = count(0, 0..=1024),
        /// Connections that the kernel queues until they are accepted; it caps this at net.core.somaxconn.
        backlog: u32 = count(4096, 1..=65_535),
        /// Open connections at once; one more is answered 503 and closed. Each needs a file descriptor, and up to
        /// 10KiB + max_head of memory. A lower limit of open files lowers it with a warning.
        max_connections: usize = count(10_000, 1..=1_000_000),
        /// Largest body of a request. A larger one is answered 413, and its event is lost when the sender gives up.
        max_body: usize = size(5 * MIB, 1..=GIB),
        /// Largest head of a request; a larger one is answered 431.
        max_head: usize = size(16 * KIB, because(8 * KIB..=MIB, "the HTTP library's least is 8KiB")),
        /// All heads and bodies in memory at once, at least twice max_body; beyond it the answer is 503. Bodies above 64KiB, and
        /// heads above 4KiB or not complete, get three quarters of it, so that they cannot shut out the rest.
        max_inflight: usize = size(64 * MIB, 1..=TIB),
        /// From the first byte of a head to its last, and from a connection's beginning to its first byte; a slower connection is
        /// closed without an answer.
        head_timeout: Duration = duration(Duration::from_secs(5), SHORT..=MINUTE),
        /// How long a connection may stay open between two requests. Keep it above what the proxy in front does.
        idle_timeout: Duration = duration(Duration::from_secs(75), SHORT..=HOUR),
        /// Longest pause inside a body, at most request_timeout; then 408.
        body_timeout: Duration = duration(Duration::from_secs(5), SHORT..=MINUTE),
        /// From a request's head to the end of its body; then 408.
        request_timeout: Duration = duration(Duration::from_secs(15), SHORT..=HOUR),
        /// After an answer that is given before the body is read (404, 405, 413, 503): how much of the body is read and
        /// discarded, so that a sender or a proxy that is still writing gets the answer and no reset. It needs no memory.
        discard_max: u64 = size(64 * MIB, 0..=TIB),
        /// How long that may take.
        discard_timeout: Duration = duration(Duration::from_secs(10), SHORT..=MINUTE),
        /// From the end of a body to its answer; then 503.
        answer_timeout: Duration =
            duration(Duration::from_secs(5), because(SHORT..=LATEST_ANSWER, "Audit1 gives up after 10s")),
        /// After SIGTERM: how long new connections are still taken while /readyz says 503, so that load balancers notice.
        drain_delay: Duration = duration(Duration::from_secs(5), Duration::ZERO..=HOUR),
        /// After that: how long requests in flight may take. Both together stay below the orchestrator's grace period.
        drain_deadline: Duration = duration(Duration::from_secs(20), Duration::ZERO..=HOUR),
        /// Optional, no default: a path that answers GET, HEAD and OPTIONS like /readyz, for a load balancer that can only ask
        /// this port.
        health_path: Option<String> = optional("/healthz", request_path),
        /// Networks of the proxies in front, such as ["10.0.0.0/8", "2001:db8::7"]. Only what these say of a sender's address
        /// is believed, and only for the log; with none it is the connection's address.
        trusted_proxies: Vec<IpNet> = list("networks", &[], networks),
        /// Where they say it: "x-forwarded-for", "forwarded" or "off". The right-most address that is none of theirs counts.
        /// Name the header that they write: another one they pass on as a stranger wrote it.
        forwarded_header: Forwarding = word(Forwarding::XForwardedFor, &[
            ("x-forwarded-for", Forwarding::XForwardedFor),
            ("forwarded", Forwarding::Forwarded),
            ("off", Forwarding::Off),
        ]),
        /// Whether they begin each connection with a PROXY protocol v2 head, of at most 1KiB within head_timeout (HAProxy's
        /// send-proxy-v2, an AWS network load balancer). A connection of theirs without one is closed; others have none. Behind
        /// a head that names no sender (LOCAL, UNSPEC) no header counts.
        proxy_protocol: bool = flag(false),
    }
}

section! {
    /// `[admin]`.
    pub struct AdminConfig {
        /// IP address and port. For a scraper or a probe outside the container: "0.0.0.0:9464".
        address: SocketAddr = address(9464),
        /// Whether /console shows what the gateway does, and its last requests, to whoever reaches this address.
        console: bool = flag(true),
        /// Host names under which a browser may open /console, besides IP addresses, localhost, names without a dot and names
        /// in .localhost, .local, .internal, .svc and .cluster.local. A stranger's web page whose name is made to lead here
        /// (DNS rebinding) is refused.
        console_hosts: Vec<String> = list("host names", &[], hosts),
    }
}

/// Host names as a browser sends them, without a port.
fn hosts(names: &[&str]) -> Reading<Vec<String>> {
    let is_name = |name: &&&str| made_of(name, MOST_HOST, |b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if names.iter().filter(is_name).count() < names.len() {
        return Err("must be host names such as \"hookbus.example.com\", without scheme and port".into());
    }
    Ok(names.iter().map(|name| name.to_ascii_lowercase()).collect())
}

/// Rules over several keys.
pub(super) fn rules(listener: &ListenerConfig, findings: &mut Findings) {
    findings.rule(
        &["listener.max_inflight", "listener.max_body"],
        listener.max_body <= listener.max_inflight / 2,
        "must be at least twice listener.max_body, or one such body shuts out the next",
    );
    findings.rule(
        &["listener.body_timeout", "listener.request_timeout"],
        listener.body_timeout <= listener.request_timeout,
        "must be at most listener.request_timeout, which ends the request first",
    );
    findings.rule(
        &["listener.proxy_protocol", "listener.trusted_proxies"],
        !listener.proxy_protocol || !listener.trusted_proxies.is_empty(),
        "needs listener.trusted_proxies: from others no head is read",
    );
    if listener.proxy_protocol && listener.forwarded_header != Forwarding::Off {
        let text = "is not \"off\" beside proxy_protocol: the sender's address then has two sources, and the header counts wherever \
                    the head names a listed proxy. Keep it only with another proxy in front of the balancer";
        findings.warning("listener.forwarded_header", text);
    }
    if listener.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
        let text = "has a network of all addresses: every sender can then choose the address that the log has";
        findings.warning("listener.trusted_proxies", text);
    }
    if listener.idle_timeout < POOLED {
        findings.warning(
            "listener.idle_timeout",
            "is below 60s, as long as proxies keep a connection; a webhook may meet one that is being closed",
        );
    }
}

fn networks(networks: &[&str]) -> Reading<Vec<IpNet>> {
    if networks.len() > MOST_NETWORKS {
        return Err(format!("must list at most {MOST_NETWORKS} networks"));
    }
    let network = |text: &&str| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
    let networks: Option<Vec<_>> = networks.iter().map(network).collect();
    networks.ok_or_else(|| "must be networks such as \"10.0.0.0/8\" or \"2001:db8::/32\", or addresses".into())
}
